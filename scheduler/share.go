package scheduler

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// share is a client among those that share the workers.
type share struct {
	client  ClientID
	running int   // tasks of its queues that are executed
	queues  []int // places in ready that may still start something
}

// shares returns the clients in the order in which they are dealt room, each
// with its queues in theirs: the one that runs the fewest tasks, for its
// weight, comes first, then the one whose head is due for longest. When workers
// come free one by one, each goes to who has the least of them.
func shares(ready []Ready) []share {
	order := make([]int, len(ready))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := &ready[i], &ready[j]
		return cmp.Or(
			cmp.Compare(a.Runtime.Running*b.Queue.Weight(), b.Runtime.Running*a.Queue.Weight()),
			a.due().Compare(b.due()))
	})
	var clients []share
	at := map[ClientID]int{}
	for _, i := range order {
		id := ready[i].Queue.ClientID
		c, known := at[id]
		if !known {
			c = len(clients)
			at[id], clients = c, append(clients, share{client: id})
		}
		clients[c].queues = append(clients[c].queues, i)
		clients[c].running += ready[i].Runtime.Running
	}
	slices.SortStableFunc(clients, func(a, b share) int { return cmp.Compare(a.running, b.running) })
	return clients
}

// take returns the place of the queue whose turn it is: the one that was given
// the fewest starts for its weight.
func (s share) take(ready []Ready, verdicts []Verdict) (place int, more bool) {
	if len(s.queues) == 0 {
		return 0, false
	}
	return slices.MinFunc(s.queues, func(i, j int) int {
		return cmp.Compare(len(verdicts[i].Start)*ready[j].Queue.Weight(), len(verdicts[j].Start)*ready[i].Queue.Weight())
	}), true
}

// leave takes a queue out that can start nothing more.
func (s *share) leave(place int) {
	s.queues = slices.DeleteFunc(s.queues, func(i int) bool { return i == place })
}

// Weight is the queue's part of its client's share.
func (q Queue) Weight() int { return q.Priority + 1 }

// due is when the queue's head is due; zero without one.
func (r *Ready) due() time.Time {
	if len(r.Head) == 0 {
		return time.Time{}
	}
	return r.Head[0].Due
}

// Awake is a queue in which something may start.
type Awake struct {
	Queue    QueueID
	Client   ClientID
	Priority int
}

// Choose returns at most n of the awake queues for a claim to look at: the same
// number of each client while it has that many, and of a client's queues any,
// the likelier the more it weighs. Nobody is left out for long, and nothing has
// to be remembered.
func Choose(awake []Awake, n int, rnd *rand.Rand) []QueueID {
	type drawn struct {
		Awake
		key float64
	}
	// Each by the weight of its own: the keys of Efraimidis and Spirakis (2006).
	byClient := map[ClientID][]drawn{}
	var clients []ClientID
	for _, a := range awake {
		if byClient[a.Client] == nil {
			clients = append(clients, a.Client)
		}
		key := -math.Log(1-rnd.Float64()) / float64(a.Priority+1)
		byClient[a.Client] = append(byClient[a.Client], drawn{a, key})
	}
	rnd.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
	for _, queues := range byClient {
		slices.SortFunc(queues, func(a, b drawn) int { return cmp.Compare(a.key, b.key) })
	}
	var chosen []QueueID
	for round := 0; len(chosen) < min(n, len(awake)); round++ {
		for _, c := range clients {
			if queues := byClient[c]; round < len(queues) && len(chosen) < n {
				chosen = append(chosen, queues[round].Queue)
			}
		}
	}
	return chosen
}
