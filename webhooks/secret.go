package webhooks

import (
	"crypto/rand"
	"encoding/base64"
	"time"
)

// Limits of a client's secrets.
const (
	// MaxSecrets is how many secrets of a client are live at most.
	MaxSecrets = 3
	// Overlap is how long a secret stays live after a newer one was made.
	Overlap = 24 * time.Hour
	// secretSize is the size of a key in bytes.
	secretSize = 32
	// secretPrefix is what secrets are known by (Standard Webhooks).
	secretPrefix = "whsec_"
)

// Secret is a key that signs the events of a client.
type Secret struct {
	ID        int64
	Key       []byte // 32 random bytes
	CreatedAt time.Time
	ExpiresAt time.Time // zero: the current one
}

// NewSecret makes a secret.
func NewSecret(now time.Time) Secret {
	key := make([]byte, secretSize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return Secret{Key: key, CreatedAt: now}
}

// String returns the secret as receivers are given it: whsec_ and the key in
// base64 (Standard Webhooks).
func (s Secret) String() string {
	return secretPrefix + base64.StdEncoding.EncodeToString(s.Key)
}

// Live reports whether the secret still signs at now.
func (s Secret) Live(now time.Time) bool {
	return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)
}
