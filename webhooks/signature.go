package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed event (Standard Webhooks).
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// Sign adds the headers of Standard Webhooks: the id of the event, when it is
// sent, and a v1 signature (HMAC-SHA256 of id, seconds and body) with each
// secret that is live then.
func Sign(h http.Header, id string, body []byte, secrets []Secret, now time.Time) {
	seconds := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, s := range secrets {
		if s.Live(now) {
			signatures = append(signatures, signature(s.Key, id, seconds, body))
		}
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, seconds)
	h.Set(headerSignature, strings.Join(signatures, " "))
}

func signature(key []byte, id, seconds string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id))
	mac.Write([]byte{'.'})
	mac.Write([]byte(seconds))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
