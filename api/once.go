package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

const (
	headerIdempotency = "Idempotency-Key"
	headerReplayed    = "Idempotency-Replayed"
	// maxOnceKey is how long a key may be.
	maxOnceKey = 255
)

// onces makes POSTs that are to be done once.
type onces struct {
	keys OnceKeys
	now  func() time.Time
}

// once returns a POST that obeys an Idempotency-Key: sent again, it answers by
// again what was made, as it is now, and makes nothing.
func (s onces) once(do func(echo.Context, caller) error, again func(echo.Context, caller, scheduler.Once) error) func(echo.Context, caller) error {
	return func(c echo.Context, me caller) error {
		key := c.Request().Header.Get(headerIdempotency)
		if key == "" {
			return do(c, me)
		}
		o, err := onceOf(c, me, key)
		if err != nil {
			return err
		}
		ctx := c.Request().Context()
		kept, begun, err := s.keys.BeginOnce(ctx, o, s.now())
		switch {
		case err != nil:
			return err
		case !begun && !bytes.Equal(kept.Hash, o.Hash):
			return scheduler.Errorf(scheduler.Conflict, "the Idempotency-Key was used for another request")
		case !begun && !kept.Done:
			c.Response().Header().Set(headerRetryAfter, "1")
			return &problem{code: http.StatusConflict, status: "idempotency_in_progress", message: "the request with this Idempotency-Key is still being done"}
		case !begun:
			c.Response().Header().Set(headerReplayed, "true")
			return again(c, me, kept)
		}
		c.SetRequest(c.Request().WithContext(scheduler.WithOnce(ctx, &o)))
		defer func() {
			if !o.Done {
				_ = s.keys.DropOnce(context.WithoutCancel(ctx), o) // else its lease ends it
			}
		}()
		return do(c, me)
	}
}

// onceOf reads what a key stands for: the caller, and all that was asked.
func onceOf(c echo.Context, me caller, key string) (scheduler.Once, error) {
	if len(key) > maxOnceKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return scheduler.Once{}, scheduler.Faults{{
			Field: strconv.Quote(headerIdempotency), Message: "must be at most " + strconv.Itoa(maxOnceKey) + " printable ASCII characters long",
		}}.Err()
	}
	body, err := readBody(c)
	if err != nil {
		return scheduler.Once{}, err
	}
	putBack(c, body)
	r := c.Request()
	h := sha256.New()
	for _, part := range []string{r.Method, c.Path(), strings.Join(c.ParamValues(), "/"), r.URL.RawQuery, body} {
		_, _ = io.WriteString(h, part+"\x00") // never fails
	}
	caller := "user " + string(me.User.ID)
	if me.byClient() {
		caller = "client " + string(me.Client.ID)
	}
	return scheduler.Once{Caller: caller, Key: key, Hash: h.Sum(nil), Token: rand.Text()}, nil
}

// putBack makes a body that was read the body of its request again.
func putBack(c echo.Context, body string) {
	c.Request().Body, c.Request().ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// only returns the id of what a request made that makes one thing.
func only(kept scheduler.Once) int64 {
	if len(kept.IDs) != 1 {
		return 0
	}
	return kept.IDs[0]
}
