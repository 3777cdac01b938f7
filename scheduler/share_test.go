package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// awakeOf are n awake queues of a client, with ids from the first on.
func awakeOf(client ClientID, priority, n int, first QueueID) []Awake {
	all := make([]Awake, n)
	for i := range all {
		all[i] = Awake{Queue: first + QueueID(i), Client: client, Priority: priority}
	}
	return all
}

func TestChoose(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	crowd, few := awakeOf("crowd", 5, 1000, 1), awakeOf("few", 5, 3, 2001)
	for range 100 {
		chosen := Choose(slices.Concat(crowd, few), 64, rnd)
		slices.Sort(chosen)
		if len(slices.Compact(slices.Clone(chosen))) != 64 || !slices.Equal(chosen[61:], []QueueID{2001, 2002, 2003}) {
			t.Fatalf("beside a client with a thousand queues one with three has %v of %d", chosen[61:], len(chosen))
		}
	}
	if chosen := Choose(few, 64, rnd); len(chosen) != 3 {
		t.Errorf("of three queues %v are chosen", chosen)
	}
	if chosen := Choose(nil, 64, rnd); len(chosen) != 0 {
		t.Errorf("of none %v are chosen", chosen)
	}
}

// Over many choices each queue of a client is chosen as its weight says.
func TestChooseByWeight(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	awake := slices.Concat(awakeOf("a", 9, 1, 1), awakeOf("a", 0, 1, 2))
	first := map[QueueID]int{}
	for range 11_000 {
		first[Choose(awake, 1, rnd)[0]]++
	}
	if n := first[2]; n < 850 || n > 1150 {
		t.Errorf("a queue of weight 1 beside one of weight 10 is chosen %d times of 11000", n)
	}
}
