package scheduler

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"
)

func TestCallIDs(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$`) // RFC 9562, section 5.7
	last := NewCallID(began.Add(-time.Millisecond))
	seen := map[CallID]bool{}
	for i := range 1000 {
		id := NewCallID(began.Add(time.Duration(i) * time.Millisecond))
		if !form.MatchString(string(id)) || id <= last || seen[id] {
			t.Fatalf("id %s after %s", id, last)
		}
		last, seen[id] = id, true
	}
	if a, b := NewCallID(began), NewCallID(began); a == b || a[:12] != b[:12] {
		t.Errorf("two ids of one moment: %s %s", a, b)
	}
	if id := NewCallID(time.UnixMilli(0x0123456789ab)); id[:12] != "0123456789ab" {
		t.Errorf("the time in %s", id)
	}
}

func TestGUIDs(t *testing.T) {
	id := NewGUID(began)
	if got, ok := ParseGUID(id); !ok || got != id {
		t.Errorf("%s is read as %s, %v", id, got, ok)
	}
	const guid = "0190163d-8694-739b-aea5-966c26f8ad91"
	for given, want := range map[string]bool{
		guid: true, "0190163D-8694-739B-AEA5-966C26F8AD91": true, " " + guid + "\n": true,
		"": false, guid[1:]: false, guid + "0": false, "0190163d8694739baea5966c26f8ad91": false,
		"g190163d-8694-739b-aea5-966c26f8ad91": false, "{" + guid + "}": false, "../" + guid: false, guid + "\n" + guid: false,
	} {
		if got, ok := ParseGUID(given); ok != want || ok && got != guid {
			t.Errorf("%q is read as %q, %v", given, got, ok)
		}
	}
}

func TestKinds(t *testing.T) {
	for claim, tc := range map[string]struct {
		err  error
		want Kind
	}{
		"an error of a kind":            {Errorf(Conflict, "task %d", 3), Conflict},
		"a wrapped one":                 {fmt.Errorf("open: %w", Errorf(NotFound, "x")), NotFound},
		"any other is internal":         {errors.New("x"), Internal},
		"faults are of kind invalid":    {Faults{{Field: "Name"}}.Err(), Invalid},
		"a fenced write is internal":    {ErrFenced, Internal},
		"no error has no kind to speak": {nil, Internal},
	} {
		if got := KindOf(tc.err); got != tc.want {
			t.Errorf("%s: kind %d, want %d", claim, got, tc.want)
		}
	}
	if err := (Faults{}).Err(); err != nil {
		t.Errorf("no fault is the error %v", err)
	}
	var faults Faults
	faults.Add("Tasks[3].TryCount", "must be between %d and %d", 1, 50)
	faults.Add("", "is odd")
	if got := faults.Err().Error(); got != "Tasks[3].TryCount must be between 1 and 50; is odd" {
		t.Errorf("faults read %q", got)
	}
	if got := Errorf(Conflict, "task %d is %s", 3, Executed).Error(); got != "task 3 is executed" {
		t.Errorf("error reads %q", got)
	}
}
