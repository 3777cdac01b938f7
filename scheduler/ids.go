package scheduler

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Identifiers. GUIDs are lower-case and hyphenated (RFC 9562, section 4); the
// others are row numbers, ascending in the order of creation.

type (
	// AccountID is the GUID of a paying party.
	AccountID string
	// UserID is the GUID of a person of an account.
	UserID string
	// ClientID is the GUID of an API consumer; every tenant query is bound to it.
	ClientID string
	// QueueID is the row number of a queue (wire: scheduler_id).
	QueueID int64
	// TaskID is the row number of a task.
	TaskID int64
	// ExtensionID is the row number of an extension.
	ExtensionID int64
	// DeliveryID is the row number of an event owed to a URL.
	DeliveryID int64
)

// CallID identifies one attempt: 32 lower-case hex digits. It is made before
// anything is dialled and is the SIP Call-ID's stem, the guard of every write
// of the attempt, and the uuid of its CDR.
type CallID string

// NewCallID makes a version 7 UUID (RFC 9562, section 5.7) without hyphens, so
// that ids made later sort later.
func NewCallID(now time.Time) CallID {
	b := newUUID(now)
	return CallID(hex.EncodeToString(b[:]))
}

// Began is when the id was made, to the millisecond; the zero time if it is no
// version 7 UUID.
func (id CallID) Began() time.Time {
	if len(id) != 32 {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(string(id[:12]), 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// NewGUID makes a version 7 UUID in its hyphenated form.
func NewGUID(now time.Time) string {
	b := newUUID(now)
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func newUUID(now time.Time) [16]byte {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the program instead
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint32(b[0:4], uint32(ms>>16))
	binary.BigEndian.PutUint16(b[4:6], uint16(ms))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return b
}

var guidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ParseGUID returns s as a lower-case GUID, and whether it is one.
func ParseGUID(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	return s, guidForm.MatchString(s)
}
