package webhooks_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/webhooks"
)

func verifier(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The vector of the Standard Webhooks specification.
func TestTheVectorOfTheSpecification(t *testing.T) {
	const (
		key       = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		id        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		body      = `{"test": 2432232314}`
		signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := webhooks.Secret{Key: raw}
	if secret.String() != "whsec_"+key {
		t.Errorf("the secret reads %s", secret)
	}
	h := http.Header{}
	webhooks.Sign(h, id, []byte(body), []webhooks.Secret{secret}, time.Unix(1614265330, 0))
	if h.Get("webhook-id") != id || h.Get("webhook-timestamp") != "1614265330" || h.Get("webhook-signature") != signature {
		t.Errorf("headers %v", h)
	}
	if err := verifier(t, secret.String()).VerifyIgnoringTimestamp([]byte(body), h); err != nil {
		t.Error(err)
	}
}

func TestTheOfficialLibraryTakesTheSignatureAndNoOther(t *testing.T) {
	now := time.Now()
	secret := webhooks.NewSecret(now)
	v := verifier(t, secret.String())
	body := webhooks.Body(sample(), "evt_1")
	signed := http.Header{}
	webhooks.Sign(signed, "evt_1", body, []webhooks.Secret{secret}, now)
	if err := v.Verify(body, signed); err != nil {
		t.Fatal(err)
	}
	for i := range body {
		tampered := append([]byte{}, body...)
		tampered[i] ^= 1
		if v.Verify(tampered, signed) == nil {
			t.Fatalf("byte %d of the body changed, and it is taken", i)
		}
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		value := signed.Get(name)
		// The last character of base64 before its padding holds two unused bits.
		for i := range strings.TrimRight(value, "=") {
			flipped := []byte(value)
			flipped[i] ^= 4
			h := signed.Clone()
			h.Set(name, string(flipped))
			if v.Verify(body, h) == nil {
				t.Fatalf("byte %d of %s changed, and it is taken", i, name)
			}
		}
	}
}

func TestEveryLiveSecretSigns(t *testing.T) {
	now := time.Now()
	current, former, gone := webhooks.NewSecret(now), webhooks.NewSecret(now), webhooks.NewSecret(now)
	former.ExpiresAt, gone.ExpiresAt = now.Add(time.Second), now
	h := http.Header{}
	body := []byte("{}")
	webhooks.Sign(h, "evt_1", body, []webhooks.Secret{current, former, gone}, now)
	if n := len(strings.Fields(h.Get("webhook-signature"))); n != 2 {
		t.Errorf("%d signatures: %s", n, h.Get("webhook-signature"))
	}
	for name, c := range map[string]struct {
		secret webhooks.Secret
		ok     bool
	}{
		"the current secret verifies":         {current, true},
		"one that is being retired verifies":  {former, true},
		"one that has expired does no longer": {gone, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verifier(t, c.secret.String()).Verify(body, h); (err == nil) != c.ok {
				t.Error(err)
			}
		})
	}
}

func TestSecretsAreDistinct(t *testing.T) {
	a, b := webhooks.NewSecret(time.Now()), webhooks.NewSecret(time.Now())
	if len(a.Key) != 32 || a.String() == b.String() || !strings.HasPrefix(a.String(), "whsec_") {
		t.Errorf("secrets %s and %s", a, b)
	}
}
