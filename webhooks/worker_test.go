package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// Of a process that only delivers: its database, and when its clock began.
const (
	workerVariable = "RINGBACK_TEST_WORKER"
	beganVariable  = "RINGBACK_TEST_BEGAN"
)

const (
	gangSlots     = 32 // requests in flight of a process
	gangReceivers = 20 // that the events are for
)

// soaks reports whether the long forms of tests are asked for; make soak does.
func soaks() bool { return os.Getenv("RINGBACK_SOAK") != "" }

// haste is how much faster than the wall's the clock of these tests runs: what a
// killed process was sending is sent again when its lease ends, in two seconds.
const haste = 20

// hasty is a clock that runs faster since a moment that all processes share.
func hasty(began time.Time) func() time.Time {
	return func() time.Time { return began.Add(haste * time.Since(began)) }
}

// deliverForever is a process that delivers until it is killed.
func deliverForever(url string) {
	ctx := context.Background()
	micro, _ := strconv.ParseInt(os.Getenv(beganVariable), 10, 64)
	now := hasty(time.UnixMicro(micro))
	var s *store.Store
	for {
		var err error
		if s, err = store.Open(ctx, store.Options{URL: url, Secret: storetest.SecretKey(), Now: now}); err == nil {
			break
		}
		fmt.Fprintln(os.Stderr, err)
		<-time.After(50 * time.Millisecond)
	}
	webhooks.New(webhooks.Options{Outbox: s, Guard: loopback, Slots: gangSlots, Now: now, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
}

// gang is some processes that deliver, which are killed and replaced.
type gang struct {
	t     *testing.T
	url   string
	began time.Time
	procs []*exec.Cmd
	kills int
}

func (g *gang) start(i int) {
	g.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), workerVariable+"="+g.url, fmt.Sprintf("%s=%d", beganVariable, g.began.UnixMicro()))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.procs[i] = cmd
}

func (g *gang) kill(i int) {
	if cmd := g.procs[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		g.procs[i] = nil
		g.kills++
	}
}

// ledger is a receiver that writes down what came, by webhook-id.
type ledger struct {
	*httptest.Server
	mu       sync.Mutex
	times    map[string]int
	flying   atomic.Int64
	most     int64
	requests int
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{times: map[string]int{}}
	l.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ ID string }
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &e) != nil {
			return
		}
		flying := l.flying.Add(1)
		defer l.flying.Add(-1)
		<-time.After(3 * time.Millisecond)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.times[e.ID]++
		l.requests++
		l.most = max(l.most, flying)
	}))
	l.Config.ErrorLog = quiet()
	wide, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Listener.Close()
	l.Listener = wide
	l.Start()
	return l
}

func (l *ledger) counts() (events, requests int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.times), l.requests
}

// massacre delivers n events by processes of which one is killed at random
// times, and wants every one to arrive; upset is called before every kill.
func massacre(t *testing.T, url string, workers, n, kills int, upset func(kill int)) {
	t.Helper()
	l := newLedger(t)
	defer l.Close()
	s := storetest.Open(t, url)
	r := newRig(t, s)
	want := n
	hooks := make([]string, gangReceivers) // all of 127.0.0.0/8 is here
	for i := range hooks {
		hooks[i] = fmt.Sprintf("http://127.0.1.%d:%d/hook", i+1, l.Listener.Addr().(*net.TCPAddr).Port)
	}
	for n > 0 {
		batch := min(n, 500)
		r.owe(slices.Repeat(hooks, batch/gangReceivers)...)
		n -= batch
	}
	if strings.HasPrefix(url, "sqlite:") { // its file is one process's
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if upset != nil {
		<-time.After(time.Second) // test clusters write through that late
	}
	g := &gang{t: t, url: url, began: time.Now(), procs: make([]*exec.Cmd, workers)}
	for i := range workers {
		g.start(i)
	}
	defer func() {
		for i := range g.procs {
			g.kill(i)
		}
	}()
	luck := uint32(time.Now().UnixNano()) //nolint:gosec // any number will do
	t.Logf("seed %d", luck)
	pause := func(most time.Duration) {
		luck = luck*1664525 + 1013904223
		<-time.After(time.Duration(luck>>8) % most)
	}
	for kill := range kills {
		// Each kill meets one that works: after some of what is left has arrived.
		was, _ := l.counts()
		for end := time.Now().Add(time.Minute); was < want && time.Now().Before(end); {
			if now, _ := l.counts(); now > was {
				break
			}
			pause(20 * time.Millisecond)
		}
		pause(100 * time.Millisecond)
		if upset != nil {
			upset(kill)
		}
		g.kill(kill % workers)
		g.start(kill % workers)
	}
	killed := g.kills
	for end := time.Now().Add(5 * time.Minute); ; {
		if got, _ := l.counts(); got == want {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d of %d events arrived", got, want)
		}
		<-time.After(100 * time.Millisecond)
	}
	got, requests := l.counts()
	t.Logf("%d events, %d kills: %d arrived, %d twice or more; at most %d in flight at one time", want, killed, got, requests-got, l.most)
	if upset == nil && requests-got > killed*gangSlots {
		t.Errorf("%d duplicates by %d kills", requests-got, killed)
	}
}

// Two processes on PostgreSQL, or one on SQLite, are killed at random; every
// event arrives, and none more often than there were kills while it was in
// flight.
func TestNoEventIsLostWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	events, kills := 600, 6
	if soaks() {
		events, kills = 20_000, 200
	}
	for name, c := range map[string]struct {
		url     func(testing.TB) string
		workers int
	}{"postgres": {storetest.PostgresURL, 2}, "sqlite": {storetest.SQLiteURL, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			massacre(t, c.url(t), c.workers, events, kills, nil)
		})
	}
}

// The database crashes and comes back, too.
func TestNoEventIsLostWhenTheDatabaseCrashes(t *testing.T) {
	t.Parallel()
	events, kills, each := 300, 2, 1
	if soaks() {
		events, kills, each = 20_000, 40, 2
	}
	db := storetest.NewCluster(t)
	massacre(t, db.URL(), 2, events, kills, func(kill int) {
		if kill%each == 0 {
			db.Crash()
			<-time.After(200 * time.Millisecond)
			db.Start()
		}
	})
}
