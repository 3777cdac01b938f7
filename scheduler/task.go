package scheduler

import (
	"encoding/json"
	"time"
)

// Status is the state of a task.
type Status string

// The stored states, and the three that are derived on reading from a due
// task's queue.
const (
	Scheduled Status = "scheduled" // waits for its first attempt
	Executed  Status = "executed"  // an attempt is being made
	Delayed   Status = "delayed"   // waits for its next attempt
	Finished  Status = "finished"

	DelayedInterval   Status = "delayed_interval"
	DelayedASR        Status = "delayed_asr"
	DelayedConcurrent Status = "delayed_concurrent_task"
)

// Waiting reports whether the task waits for an attempt.
func (s Status) Waiting() bool { return s == Scheduled || s == Delayed }

// Result is how a task finished; "" until it has.
type Result string

// The results. Success means that A and B were connected.
const (
	Success Result = "success"
	Failure Result = "failed"
)

// Limits of a task's fields.
const (
	MaxName           = 255 // characters
	MaxTryCount       = 50
	MaxTryCountCaller = 50
	MaxPause          = 864000 // seconds
	MaxURL            = 2048   // characters
	MaxExtendedA      = 10
	MaxVariable       = 200 // characters
	MaxVariables      = 100 // names
	MaxExternalID     = 128 // characters
	MaxANIs           = 50  // caller numbers of one list
	MaxBatch          = 50_000
	MaxDTMF           = 64   // digits and pauses
	DefaultPause      = 60   // seconds
	DefaultRing       = 30   // seconds
	DefaultDuration   = 7200 // seconds
)

// Params are the optional parameters of the calls of a task; zero values mean
// the default.
type Params struct {
	CallerIDName   string   `json:"caller_id_name,omitempty"`
	CallerIDNumber string   `json:"caller_id_number,omitempty"`
	ExtendedA      []Number `json:"extended_a,omitempty"`
	SrcANI         string   `json:"src_ani,omitempty"` // caller number shown to A
	DstANI         string   `json:"dst_ani,omitempty"` // caller number shown to B
	WaitForPickup  int      `json:"wait_for_pickup,omitempty"`
	CallDuration   int      `json:"call_duration,omitempty"`
	AttemptSrcANI  []string `json:"attempt_src_ani,omitempty"` // per attempt; the last one stays
	AttemptDstANI  []string `json:"attempt_dst_ani,omitempty"`
	// Ids of sounds: the one that A hears before B is called, and the one that
	// both hear before they are connected; "": none.
	AnnounceSoundID    string `json:"announce_sound_id,omitempty"`
	DstAnnounceSoundID string `json:"dst_announce_sound_id,omitempty"`
	// DstDTMF is sent to B after it answered, before it is connected: 0-9, *, #,
	// A-D, and the pauses w (half a second) and p (two seconds).
	DstDTMF string `json:"dst_dtmf,omitempty"`
	// Ignored are parameters that are kept and told again, and never acted on,
	// as the JSON they were given in.
	Ignored map[string]json.RawMessage `json:"ignored,omitempty"`
}

// Number is a destination as it was given and as it is dialled.
type Number struct {
	Given string `json:"given"`
	E164  string `json:"e164,omitempty"` // "" for a dial string and for a SIP URI
}

// Dial returns what a trunk is given: the E.164 form, else what was given.
func (n Number) Dial() string {
	if n.E164 != "" {
		return n.E164
	}
	return n.Given
}

// Task is one callback to be made: call A, then B, connect them. It is the row
// as it is stored; times are UTC, the zero time is NULL. Status, and what goes
// with it, is changed by the methods of lifecycle.go alone.
type Task struct {
	ID          TaskID `gorm:"primaryKey"`
	ClientID    ClientID
	QueueID     QueueID
	ExtensionID ExtensionID
	ExternalID  string
	// RequeuedFrom is the finished task that this one asks for again; 0: none.
	RequeuedFrom TaskID

	// What was asked.
	Name           string
	ANumber        string // as given
	ANumberE164    string `gorm:"column:a_number_e164"` // "" for a dial string
	BNumber        string
	BNumberE164    string `gorm:"column:b_number_e164"`
	TryCount       int
	TryPause       int // seconds, from the end of an attempt
	TryCountCaller int // 0: no budget of its own for A
	TryPauseCaller int
	URLBefore      string            `gorm:"column:url_before"`
	URLBeforeAgain string            `gorm:"column:url_before_again"`
	URLSuccess     string            `gorm:"column:url_success"`
	URLAfter       string            `gorm:"column:url_after"`
	StartAt        time.Time         `gorm:"serializer:instant"`
	Deadline       time.Time         `gorm:"serializer:instant"` // zero: none
	Params         Params            `gorm:"serializer:json"`
	Variables      map[string]string `gorm:"serializer:json"`

	// Where it stands.
	Status      Status
	Result      Result
	Comment     string
	ReadyAt     time.Time `gorm:"serializer:instant"` // when it is due; zero unless waiting
	Attempts    int       // begun
	Announced   int       // the highest attempt whose before-event is owed already
	TriesSpent  int       // of TryCount
	CallerSpent int       // of TryCountCaller
	Reached     bool      // A was reached in some attempt
	Releases    int       // free attempts in a row
	FreeSince   time.Time `gorm:"serializer:instant"` // the first of them
	EventSeq    int       // sequence of the latest event

	// The attempt under way, or the latest one.
	CallID          CallID
	PrevCallID      CallID    // what CallID was before this attempt began
	CalledAt        time.Time `gorm:"serializer:instant"` // when it began
	CalledBy        string    // the node that began it, and may have lost it to another
	Node            string    // its owner while executed, else ""
	Epoch           int64
	BridgedAt       time.Time `gorm:"serializer:instant"`
	CancelRequested bool

	CreatedAt time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	UpdatedAt time.Time `gorm:"serializer:instant;autoUpdateTime:false"`
}

// A returns the number that is called first.
func (t Task) A() Number { return Number{Given: t.ANumber, E164: t.ANumberE164} }

// B returns the number that is called second.
func (t Task) B() Number { return Number{Given: t.BNumber, E164: t.BNumberE164} }
