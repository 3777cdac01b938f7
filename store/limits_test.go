package store_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// setExtension changes the limit of the world's extension.
func (w *world) setExtension(limit int) {
	w.Helper()
	_, err := w.s.UpdateExtension(context.Background(), w.cl.ID, w.ext.ID, func(e *scheduler.Extension) error { e.Limit = limit; return nil })
	must(w.T, err)
}

// setClient changes the limit of the world's client.
func (w *world) setClient(limit int) {
	w.Helper()
	_, err := w.s.UpdateSettings(context.Background(), storetest.MasterID, w.cl.ID, func(s *scheduler.Settings) error {
		s.MaxConcurrentCalls = limit
		return nil
	})
	must(w.T, err)
}

// limits returns the limits of the client as "extension id: running of most".
func (w *world) limits() map[scheduler.ExtensionID][2]int {
	w.Helper()
	rows, err := w.s.CallLimits(context.Background(), w.cl.ID)
	must(w.T, err)
	limits := map[scheduler.ExtensionID][2]int{}
	for _, l := range rows {
		limits[l.ExtensionID] = [2]int{l.Running, l.Most}
	}
	return limits
}

func TestAnExtensionsLimitHoldsTheQueue(t *testing.T) {
	each(t, 0, func(w *world) {
		store.SetClock(w.s, func() time.Time { return w.now })
		w.setExtension(2)
		other := storetest.Extension(w.T, w.s, w.cl)
		behind := w.draft(0)
		behind.ExtensionID = other.ID
		w.addDue(3)
		w.add(behind)
		owner := w.join("n1")
		claimed := w.claim(owner, 9)
		if len(claimed.Started) != 2 || !claimed.Next.Equal(w.now.Add(250*time.Millisecond)) {
			w.Fatalf("%d started, looks again at %s", len(claimed.Started), claimed.Next)
		}
		if hold := w.runtime().Hold; hold.Gate != scheduler.GateExtension || hold.Detail == "" {
			w.Errorf("held by %+v", hold)
		}
		if got := w.limits()[w.ext.ID]; got != [2]int{2, 2} {
			w.Errorf("the limit is %v", got)
		}
		w.toldHolds(scheduler.GateExtension)
		w.now = w.now.Add(250 * time.Millisecond)
		if n := len(w.claim(owner, 9).Started); n != 0 {
			w.Fatalf("%d started with the extension full: order must not change", n)
		}
		w.apply(owner, claimed.Started[0].Transition.Task.End(w.connected(), w.now))
		w.now = w.now.Add(250 * time.Millisecond)
		w.toldHolds(scheduler.GateExtension)
		next := w.claim(owner, 9).Started
		if len(next) != 2 || next[1].Call.Task == 0 || w.limits()[w.ext.ID] != [2]int{2, 2} {
			w.Errorf("then %d started, the limit is %v", len(next), w.limits())
		}
		w.toldHolds(scheduler.GateExtension, "")
		last := w.addDue(1)[0]
		w.claim(owner, 9)
		w.toldHolds(scheduler.GateExtension, "", scheduler.GateExtension)
		must(w.T, w.s.CancelTask(context.Background(), w.cl.ID, w.queue.ID, last.ID, false, w.now))
		w.toldHolds(scheduler.GateExtension, "", scheduler.GateExtension, "") // nothing waits: nobody looks again
	})
}

// toldHolds wants those who listen to have been told of holds, one after the
// other, that end at no time that is known.
func (w *world) toldHolds(want ...scheduler.Gate) {
	w.Helper()
	changes, err := w.s.Changes(context.Background(), w.cl.ID, w.queue.ID, 0, 1000)
	must(w.T, err)
	var told []scheduler.Gate
	for _, c := range changes {
		if c.Hold != nil {
			told = append(told, c.Hold.Gate)
			if !c.Hold.Until.IsZero() {
				w.Errorf("told of a hold until %s", c.Hold.Until)
			}
		}
	}
	if !slices.Equal(told, want) {
		w.Errorf("told of the holds %q, want %q", told, want)
	}
}

// A limit that begins, changes or ends while calls are up counts every one.
func TestALimitCountsWhatIsUp(t *testing.T) {
	for whose, set := range map[string]func(*world, int){"an extension's": (*world).setExtension, "a client's": (*world).setClient} {
		t.Run(whose, func(t *testing.T) {
			each(t, 0, func(w *world) {
				key := w.ext.ID
				if whose == "a client's" {
					key = 0
				}
				want := func(running, most int) {
					w.Helper()
					if got, there := w.limits()[key]; got != [2]int{running, most} || there != (most > 0) {
						w.Fatalf("the limit is %v, want %d of %d", got, running, most)
					}
				}
				owner := w.join("n1")
				w.addDue(9)
				started := w.claim(owner, 3).Started
				set(w, 4)
				want(3, 4)
				started = append(started, w.claim(owner, 9).Started...)
				want(4, 4)
				end := func(n int) {
					for range n {
						w.apply(owner, started[0].Transition.Task.End(w.connected(), w.now))
						started = started[1:]
					}
				}
				set(w, 2)
				end(2)
				want(2, 2)
				w.now = w.now.Add(time.Second)
				if n := len(w.claim(owner, 9).Started); n != 0 {
					w.Fatalf("%d started while full", n)
				}
				set(w, 0)
				want(0, 0)
				w.now = w.now.Add(time.Second)
				started = append(started, w.claim(owner, 9).Started...)
				end(1)
				set(w, 9)
				want(6, 9)
				w.apply(owner, started[0].Transition.Task.Lose(w.now), started[1].Transition.Task.Release(w.now))
				want(4, 9)
			})
		})
	}
}

func TestALimitEndsWithItsExtension(t *testing.T) {
	each(t, 0, func(w *world) {
		w.setExtension(2)
		w.addDue(3)
		owner := w.join("n1")
		started := w.claim(owner, 9).Started
		must(w.T, w.s.DeleteExtension(context.Background(), w.cl.ID, w.ext.ID, w.now))
		if len(w.limits()) != 0 {
			w.Errorf("left %v", w.limits())
		}
		if n := w.apply(owner, started[0].Transition.Task.End(w.connected(), w.now)); n != 1 {
			w.Error("the end of its call was not taken")
		}
		made, err := w.s.AddExtension(context.Background(), scheduler.Extension{ClientID: w.cl.ID, Limit: 3, Trunk: "t", CreatedAt: w.now})
		if err != nil || made.Limit != 3 || w.limits()[made.ID] != [2]int{0, 3} {
			w.Errorf("made %+v, %v; limits %v", made, err, w.limits())
		}
	})
}

// The trunk of the extension is handed to the dialer.
func TestClaimForcesTheTrunk(t *testing.T) {
	each(t, 0, func(w *world) {
		_, err := w.s.UpdateExtension(context.Background(), w.cl.ID, w.ext.ID, func(e *scheduler.Extension) error { e.Trunk = "carrier"; return nil })
		must(w.T, err)
		w.addDue(1)
		if started := w.claim(w.join("n1"), 1).Started; started[0].Call.Trunk != "carrier" {
			w.Errorf("the call goes by %q", started[0].Call.Trunk)
		}
	})
}

// Four nodes claim for several queues of one client while its
// limits are lowered, raised, taken away and set again and its extension is
// blocked: no claim passes a limit that stood while it began and ended, the
// nodes wait for nobody in a circle, and the counts come out right.
func TestSharedLimitsRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, 0)
		other := storetest.Extension(t, s, w.cl)
		queues := []scheduler.QueueID{w.queue.ID}
		for range 7 {
			queues = append(queues, storetest.Queue(t, s, w.cl, 0).ID)
		}
		r := &limitRace{world: w, other: other.ID, queues: queues}
		r.setExtension(3)
		r.most.Store(3)
		owners := []scheduler.Owner{w.join("n1"), w.join("n2"), w.join("n3"), w.join("n4")}
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		var racing sync.WaitGroup
		for i, owner := range owners {
			racing.Go(func() { r.claims(ctx, owner, rand.New(rand.NewPCG(3, uint64(i)))) })
		}
		r.change(ctx)
		stop()
		racing.Wait()
		for key, l := range r.limits() {
			if l[0] != 0 {
				t.Errorf("%d slots of %d did not come back", l[0], key)
			}
		}
		if r.ended.Load() == 0 {
			t.Error("nothing was called")
		}
	})
}

// limitRace counts the calls of the world's extension from below.
type limitRace struct {
	*world
	other    scheduler.ExtensionID
	queues   []scheduler.QueueID
	most     atomic.Int32 // 0: not to be judged now
	version  atomic.Int32 // of most
	up       atomic.Int32
	ended    atomic.Int32
	breaches atomic.Int32
}

func (r *limitRace) claims(ctx context.Context, owner scheduler.Owner, rnd *rand.Rand) {
	now := r.now
	for ctx.Err() == nil {
		queue := r.queues[rnd.IntN(len(r.queues))]
		a, b := r.draft(0), r.draft(0)
		b.ExtensionID = r.other
		if _, err := r.s.AddTasks(context.Background(), r.cl.ID, queue, []scheduler.Task{a, b}); err != nil {
			r.Error(err)
			return
		}
		now = now.Add(time.Second) // past every look-again
		version, most := r.version.Load(), r.most.Load()
		claimed, err := r.s.Claim(context.Background(), owner, now, 20)
		if err != nil {
			r.Error(err)
			return
		}
		limited := int32(0)
		for _, st := range claimed.Started {
			if st.Transition.Task.ExtensionID == r.ext.ID {
				limited++
			}
		}
		if up := r.up.Add(limited); limited > 0 && most > 0 && up > most && version == r.version.Load() {
			r.breaches.Add(1)
			r.Errorf("%d calls of the extension are up, %d may be", up, most)
		}
		r.up.Add(-limited)
		var trs []scheduler.Transition
		for _, st := range claimed.Started {
			trs = append(trs, st.Transition.Task.End(r.connected(), now))
		}
		if _, err := r.s.Apply(context.Background(), owner, trs); err != nil {
			r.Error(err)
			return
		}
		r.ended.Add(int32(len(trs)))
	}
}

// set changes the limit; until it has, and what was up before has ended,
// nothing is judged.
func (r *limitRace) set(limit int) {
	r.version.Add(1)
	r.most.Store(0)
	r.setExtension(limit)
	for deadline := time.Now().Add(5 * time.Second); limit > 0 && time.Now().Before(deadline); {
		if l := r.limits()[r.ext.ID]; l[0] <= l[1] {
			break
		}
	}
	r.most.Store(int32(limit))
	r.version.Add(1)
}

func (r *limitRace) change(ctx context.Context) {
	for _, limit := range []int{1, 5, 0, 2, 7, 0, 1, 3} {
		r.set(limit)
		r.setClient(4)
		for from := r.ended.Load(); r.ended.Load() < from+20 && ctx.Err() == nil; {
			r.limits()
		}
		r.setClient(0)
		_, err := r.s.UpdateExtension(context.Background(), r.cl.ID, r.ext.ID, func(e *scheduler.Extension) error { e.Blocked = !e.Blocked; return nil })
		must(r.T, err)
		_, err = r.s.AddQueue(context.Background(), scheduler.Queue{ClientID: r.cl.ID, Name: "new", On: true, CreatedAt: r.now})
		must(r.T, err)
	}
}
