package webhooks

import "time"

// BacklogMost is how many deliveries of a state a Backlog counts at most: it is
// taken every few seconds, and must not read a million rows.
const BacklogMost = 100_000

// Backlog is what is owed, over all clients.
type Backlog struct {
	Ready, Held  int           // deliveries, up to BacklogMost each
	Oldest       time.Duration // for how long one has been due whose destination is neither paused nor disabled; 0 if none is
	Destinations map[DestinationState]int
	OldestMail   time.Duration // for how long an e-mail has waited to be sent; 0 if none does
}
