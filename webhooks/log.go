package webhooks

import (
	"encoding/json"
	"time"

	"ringback/scheduler"
)

// Filter selects deliveries of a client; what is zero selects all.
type Filter struct {
	States      []scheduler.DeliveryState
	Kind        scheduler.EventKind
	TaskID      scheduler.TaskID
	Destination DestinationID
	Error       string    // the code of what was wrong with the last try
	From, To    time.Time // when the event happened, To exclusive
}

// States are the states of a delivery.
var States = []scheduler.DeliveryState{
	scheduler.DeliveryReady, scheduler.DeliveryHeld, scheduler.DeliveryDelivered, scheduler.DeliveryDead, scheduler.DeliveryExpired,
}

// Unsent are the states of what never reached its receiver.
var Unsent = []scheduler.DeliveryState{scheduler.DeliveryDead, scheduler.DeliveryExpired}

// Again returns a delivery as it is sent once more on demand: the same event,
// with the whole schedule before it, behind what its task is owed already. One
// that waits for an earlier event of its task, or is being sent, is a Conflict.
func Again(d scheduler.Delivery, now time.Time) (scheduler.Delivery, error) {
	switch {
	case d.State == scheduler.DeliveryHeld:
		return d, scheduler.Errorf(scheduler.Conflict, "delivery %d waits for an earlier event of its task", d.ID)
	case d.LeaseUntil.After(now):
		return d, scheduler.Errorf(scheduler.Conflict, "delivery %d is being sent right now", d.ID)
	}
	d.State, d.NextAt, d.TriesBefore = scheduler.DeliveryHeld, now.Add(scheduler.HoldMost), d.Tries
	d.ExpiresAt, d.EndedAt = d.Kind.Keeps(now), time.Time{}
	d.LeaseToken, d.LeaseUntil = "", time.Time{}
	return d, nil
}

// TestBody makes an event that says nothing but that it arrived.
func TestBody(id string, client scheduler.ClientID, now time.Time) []byte {
	body, _ := json.Marshal(struct {
		ID        string `json:"id"`
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
		Data      any    `json:"data"`
	}{id, "webhook.test", now.UTC().Format(timestampLayout), map[string]scheduler.ClientID{"client_id": client}})
	return body // strings always encode
}
