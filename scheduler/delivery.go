package scheduler

import "time"

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery. It begins ready or held and ends in one of the
// other three.
const (
	DeliveryReady     DeliveryState = "ready"     // to be tried at NextAt
	DeliveryHeld      DeliveryState = "held"      // waits for an earlier one of its task and origin
	DeliveryDelivered DeliveryState = "delivered" // the receiver took it
	DeliveryDead      DeliveryState = "dead"      // the receiver refused it for good, or too often
	DeliveryExpired   DeliveryState = "expired"   // it went stale before the receiver took it
)

// Ended reports whether nothing more will be sent.
func (s DeliveryState) Ended() bool { return s != DeliveryReady && s != DeliveryHeld }

// How long events keep.
const (
	// HoldMost is how long an event waits at most for an earlier one of its task.
	HoldMost = 60 * time.Second
	// BeforeKeeps is how long an event that announces an attempt is worth sending.
	BeforeKeeps = 15 * time.Minute
)

// Delivery is an event that is owed to a URL. It is the row as it is stored;
// the zero time is NULL.
type Delivery struct {
	ID       DeliveryID `gorm:"primaryKey"`
	ClientID ClientID
	TaskID   TaskID
	EventID  string // the same on every try
	Kind     EventKind
	Attempt  int
	Sequence int    // of the task's events over all its URLs, from 1
	Origin   string // scheme, host and port: what order and isolation are kept for
	URL      string `gorm:"column:url"`
	Body     []byte // what every try sends and signs
	State    DeliveryState
	Tries    int // made
	// TriesBefore is how many of them were made before it was sent again on
	// demand: the schedule began anew then.
	TriesBefore int
	LastError   string // the code of what was wrong with the last try; "" after a success
	// NextAt is when to try; of a held one, when it waits no longer.
	NextAt     time.Time `gorm:"serializer:instant"`
	ExpiresAt  time.Time `gorm:"serializer:instant"` // zero: it keeps
	LeaseToken string    // of who is trying it; "" if nobody is
	LeaseUntil time.Time `gorm:"serializer:instant"` // when another may try it
	CreatedAt  time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	EndedAt    time.Time `gorm:"serializer:instant"`
}

// Keeps returns when an event of this kind that happened at a time goes stale;
// the zero time if it never does.
func (k EventKind) Keeps(at time.Time) time.Time {
	if k == EventBefore || k == EventBeforeAgain {
		return at.Add(BeforeKeeps)
	}
	return time.Time{}
}
