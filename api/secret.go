package api

import (
	"bytes"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/webhooks"
)

// secrets answers …/webhooks/secrets.
type secrets struct {
	keys Keys
	now  func() time.Time
}

// secretAnswer is a secret as it is told: the secret itself only once, when it
// is made.
type secretAnswer struct {
	ID         int64   `json:"id"`
	Secret     string  `json:"secret,omitempty"`
	CreateDate string  `json:"create_date_utc"`
	ExpireDate *string `json:"expire_date_utc"` // null: the current one
}

func tellSecret(s webhooks.Secret) secretAnswer {
	a := secretAnswer{ID: s.ID, CreateDate: date(s.CreatedAt)}
	if !s.ExpiresAt.IsZero() {
		a.ExpireDate = new(date(s.ExpiresAt))
	}
	return a
}

func (s secrets) list(c echo.Context, me caller) error {
	live, err := s.keys.Secrets(c.Request().Context(), me.client)
	if err != nil {
		return err
	}
	told := make([]secretAnswer, len(live))
	for i, secret := range live {
		told[i] = tellSecret(secret)
	}
	total(c, len(told))
	return answer(c, http.StatusOK, told)
}

// add makes a new secret the current one. It takes no body.
func (s secrets) add(c echo.Context, me caller) error {
	ctx := c.Request().Context()
	made := webhooks.NewSecret(s.now())
	if err := s.keys.AddSecret(ctx, me.client, made, s.now()); err != nil {
		return err
	}
	live, err := s.keys.Secrets(ctx, me.client)
	if err != nil {
		return err
	}
	told := tellSecret(made)
	for _, secret := range live {
		if bytes.Equal(secret.Key, made.Key) {
			told = tellSecret(secret)
		}
	}
	told.Secret = made.String()
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return answer(c, http.StatusCreated, told)
}
