package scheduler

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFigures(t *testing.T) {
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	answered := func(role Role, from, to int, by Party) Leg {
		return Leg{Role: role, StartedAt: at(0), RangAt: at(0).Add(250 * time.Millisecond), AnsweredAt: at(from), EndedAt: at(to), Disposition: Answered, By: by}
	}
	ended := func(role Role, d Disposition, to int) Leg {
		return Leg{Role: role, StartedAt: at(0), EndedAt: at(to), Disposition: d}
	}
	lost := ended(LegA, Cancelled, 1)
	lost.Lost = true
	good := LegFigures{Bids: 1, Seizures: 1, Answers: 1, Judged: 1, Effective: 1}
	for claim, tc := range map[string]struct {
		bridged bool
		legs    []Leg
		want    Figures
		a, b    LegFigures
	}{
		"nothing was dialled": {false, nil, Figures{Attempts: 1}, LegFigures{}, LegFigures{}},
		"A and B talked": {true, []Leg{answered(LegA, 1, 9, ByUs), answered(LegB, 3, 9, ByPeer)}, Figures{Attempts: 1, Connected: 1},
			LegFigures{1, 1, 1, 1, 1, 0, 8 * time.Second, nil}, LegFigures{1, 1, 1, 1, 1, 0, 6 * time.Second, nil}},
		"a user is busy":               {false, []Leg{ended(LegA, UserBusy, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1, Seizures: 1, Judged: 1, Effective: 1}, LegFigures{}},
		"the network is congested":     {false, []Leg{ended(LegA, Congestion, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1, Seizures: 1, Judged: 1}, LegFigures{}},
		"a number is invalid":          {false, []Leg{ended(LegA, InvalidNumber, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1, Seizures: 1}, LegFigures{}},
		"a call was taken back":        {false, []Leg{ended(LegA, Cancelled, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1, Seizures: 1}, LegFigures{}},
		"nothing was signalled":        {false, []Leg{ended(LegA, LocalError, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1}, LegFigures{}},
		"no trunk takes the number":    {false, []Leg{ended(LegA, NoRoute, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1}, LegFigures{}},
		"a fork that lost":             {false, []Leg{lost, ended(LegA, NoAnswer, 1)}, Figures{Attempts: 1}, LegFigures{Bids: 1, Seizures: 1, Judged: 1, Effective: 1, Losing: 1}, LegFigures{}},
		"each try on a trunk is a leg": {false, []Leg{ended(LegA, Congestion, 1), ended(LegA, NoAnswer, 2)}, Figures{Attempts: 1}, LegFigures{Bids: 2, Seizures: 2, Judged: 2, Effective: 1}, LegFigures{}},
		"B is busy, and A is sent away": {false, []Leg{answered(LegA, 1, 3, ByUs), ended(LegB, UserBusy, 3)}, Figures{Attempts: 1, Abandoned: 1},
			LegFigures{1, 1, 1, 1, 1, 0, 2 * time.Second, nil}, LegFigures{Bids: 1, Seizures: 1, Judged: 1, Effective: 1}},
		"A leaves while B rings": {false, []Leg{answered(LegA, 1, 3, ByPeer), ended(LegB, Cancelled, 3)}, Figures{Attempts: 1},
			LegFigures{1, 1, 1, 1, 1, 0, 2 * time.Second, nil}, LegFigures{Bids: 1, Seizures: 1}},
		"A leaves once B is gone": {false, []Leg{answered(LegA, 1, 3, ByPeer), ended(LegB, UserBusy, 2)}, Figures{Attempts: 1, Abandoned: 1},
			LegFigures{1, 1, 1, 1, 1, 0, 2 * time.Second, nil}, LegFigures{Bids: 1, Seizures: 1, Judged: 1, Effective: 1}},
		"A leaves before B is called":       {false, []Leg{answered(LegA, 1, 3, ByPeer)}, Figures{Attempts: 1}, LegFigures{1, 1, 1, 1, 1, 0, 2 * time.Second, nil}, LegFigures{}},
		"A is sent away, and B not tried":   {false, []Leg{answered(LegA, 1, 3, ByUs)}, Figures{Attempts: 1, Abandoned: 1}, LegFigures{1, 1, 1, 1, 1, 0, 2 * time.Second, nil}, LegFigures{}},
		"an answer whose time nobody knows": {true, []Leg{{Role: LegA, Disposition: Answered}}, Figures{Attempts: 1, Connected: 1}, good, LegFigures{}},
	} {
		t.Run(claim, func(t *testing.T) {
			tr := Transition{Step: StepEnd, Attempt: Attempt{Legs: tc.legs, EndedAt: at(9)}}
			if tc.bridged {
				tr.Attempt.BridgedAt = at(4)
			}
			var got Figures
			got.Count(tr)
			rang := slices.ContainsFunc(tc.legs, func(l Leg) bool { return !l.RangAt.IsZero() })
			if q := got.A.PDD.Quantile(0.5); rang != within(q, 250*time.Millisecond) || !rang && q != 0 {
				t.Errorf("post-dial delay %s", q)
			}
			got.A.PDD, got.B.PDD = nil, nil
			tc.want.A, tc.want.B = tc.a, tc.b
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("counted %+v, want %+v", got, tc.want)
			}
		})
	}
	t.Run("a task that finishes counts, however it does", func(t *testing.T) {
		var got Figures
		lost := talking().Lose(began)
		for _, tr := range []Transition{talking().End(connected, began), dialling().End(aBusy, began), fresh().Drop(began, CommentExpired), lost, dialling().Release(began)} {
			got.Count(tr)
		}
		if got.Finished != 3 || got.Succeeded != 2 || got.Attempts != 3 || got.Connected != 2 {
			t.Errorf("counted %+v", got)
		}
	})
}

func within(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= float64(want)*HistogramResolution/100
}

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.IntRange(1, 130_000), 1, 200).Draw(t, "milliseconds")
		var h Histogram
		for _, ms := range all {
			h.add(binOf(time.Duration(ms)*time.Millisecond), 1)
		}
		slices.Sort(all)
		for _, p := range []float64{0.05, 0.5, 0.95, 1} {
			exact := all[int(math.Ceil(p*float64(len(all))))-1]
			if got := h.Quantile(p); !within(got, time.Duration(exact)*time.Millisecond) || h.N() != len(all) {
				t.Fatalf("quantile %g of %v is %s, not %d ms", p, all, got, exact)
			}
		}
	})
	for d, bin := range map[time.Duration]int{-1: 0, 0: 0, time.Microsecond: 0, time.Hour: maxBins - 1} {
		if got := binOf(d); got != bin {
			t.Errorf("%s is in bin %d, want %d", d, got, bin)
		}
	}
}

// The bounds are where (p − q)² n = z² q (1 − q); these were found by bisection.
func TestWilson(t *testing.T) {
	for r, want := range map[Ratio][2]float64{
		{0, 0}: {0, 1}, {0, 10}: {0, 0.2775}, {10, 10}: {0.7225, 1}, {5, 10}: {0.2366, 0.7634}, {34, 82}: {0.3142, 0.5227}, {500, 1000}: {0.4691, 0.5309},
	} {
		low, high := r.Wilson()
		if math.Abs(low-want[0]) > 5e-5 || math.Abs(high-want[1]) > 5e-5 {
			t.Errorf("%+v: %.4f to %.4f, want %v", r, low, high, want)
		}
	}
}

func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<40)
		leg := func() LegFigures {
			f := LegFigures{n.Draw(t, "bids"), n.Draw(t, "seizures"), n.Draw(t, "answers"), n.Draw(t, "judged"), n.Draw(t, "effective"), n.Draw(t, "losing"), 0, nil}
			f.Talk = time.Duration(rapid.IntRange(0, 1<<40).Draw(t, "talk")) * time.Millisecond
			for range rapid.IntRange(0, 5).Draw(t, "bins") {
				f.PDD.add(rapid.IntRange(0, maxBins-1).Draw(t, "bin"), rapid.IntRange(1, 9).Draw(t, "in it"))
			}
			return f
		}
		var tally Tally
		for i := range rapid.IntRange(0, 3).Draw(t, "minutes") {
			tally = append(tally, MinuteFigures{Minute(i), Figures{n.Draw(t, "attempts"), n.Draw(t, "connected"), n.Draw(t, "abandoned"), time.Second,
				n.Draw(t, "finished"), n.Draw(t, "succeeded"), leg(), leg()}})
		}
		got, err := ParseTally(tally.Bytes())
		if err != nil || !reflect.DeepEqual(got, tally) {
			t.Fatalf("%+v became %+v, %v", tally, got, err)
		}
		if b := tally.Bytes(); len(b) > 0 {
			if _, err := ParseTally(b[:len(b)-1]); err == nil {
				t.Fatal("a part of it is read as the whole")
			}
		}
	})
	late := Tally(nil).Count(Transition{Step: StepDrop, At: began.Add(time.Minute), Task: Task{Status: Finished}})
	late = late.Count(Transition{Step: StepDrop, At: began, Task: Task{Status: Finished}})
	if len(late) != 2 || late[0].Minute != MinuteOf(began) || late[1].Minute != late[0].Minute+1 || late[0].Finished != 1 {
		t.Errorf("what comes late is %+v", late)
	}
}

// FuzzTally: whatever a row holds is read, or refused.
func FuzzTally(f *testing.F) {
	f.Add([]byte{})
	f.Add(Tally{{Minute: 1, Figures: Figures{Attempts: 1, A: LegFigures{PDD: Histogram{0, 1}}}}}.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if tally, err := ParseTally(b); err == nil {
			tally.Bytes()
		}
	})
}
