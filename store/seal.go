package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// newSeal returns the cipher that seals secrets at rest, AES-256-GCM, and the
// id of its key: the first 8 bytes of the key's SHA-256, in hex.
func newSeal(key []byte) (cipher.AEAD, string, error) {
	if len(key) != 32 {
		return nil, "", errors.New("the secret key must be 32 bytes long")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, "", err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(key)
	return seal, hex.EncodeToString(sum[:8]), nil
}
