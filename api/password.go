package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of argon2id (RFC 9106): memory in KiB, passes, lanes.
const (
	argonMemory = 19 * 1024
	argonPasses = 2
	argonLanes  = 1
	argonKey    = 32
	argonSalt   = 16
)

// HashPassword returns the argon2id hash of a password or client secret, in
// PHC string format.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	key := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// vault checks passwords and secrets, two at once: each takes 19 MiB.
type vault struct {
	slots chan struct{}
	dummy string // a hash of nothing anybody knows
}

func newVault() *vault {
	return &vault{slots: make(chan struct{}, 2), dummy: HashPassword(rand.Text())}
}

// hash returns the hash of a secret.
func (v *vault) hash(ctx context.Context, secret string) (string, error) {
	if err := v.enter(ctx); err != nil {
		return "", err
	}
	defer v.leave()
	return HashPassword(secret), nil
}

// check reports whether secret is what hash was made of. Without a hash it
// takes as long, and says no.
func (v *vault) check(secret, hash string) bool {
	if hash == "" {
		hash = v.dummy
	}
	return matches(secret, hash)
}

func (v *vault) enter(ctx context.Context) error {
	select {
	case v.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to check a secret: %w", ctx.Err())
	}
}

func (v *vault) leave() { <-v.slots }

func matches(secret, hash string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil ||
		memory > 1<<20 || passes < 1 || passes > 16 || lanes < 1 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(key) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(key, argon2.IDKey([]byte(secret), salt, passes, memory, lanes, uint32(len(key)))) == 1
}
