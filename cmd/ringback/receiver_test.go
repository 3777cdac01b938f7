package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver takes events as a client's system would, and judges their
// signatures by the official library.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret *standardwebhooks.Webhook // nil: signatures are not looked at
	events map[string]event          // by webhook-id: what comes twice counts once
	faults []string
}

// event is what tests read of an event.
type event struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Sequence int    `json:"sequence"`
	Data     struct {
		TaskID        int64  `json:"task_id"`
		Attempt       int    `json:"attempt"`
		FinishResult  string `json:"finish_result"`
		FinishComment string `json:"finish_comment"`
	} `json:"data"`
}

func newReceiver() *receiver {
	r := &receiver{events: map[string]event{}}
	r.Server = httptest.NewServer(r)
	return r
}

// verify makes the receiver judge signatures by a client's secret, whsec_….
func (r *receiver) verify(secret string) error {
	w, err := standardwebhooks.NewWebhook(secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = w
	return err
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender is gone, and will try again
	}
	var e event
	err = json.Unmarshal(body, &e)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.faults = append(r.faults, err.Error())
	case e.ID == "" || e.ID != req.Header.Get("webhook-id"):
		r.faults = append(r.faults, fmt.Sprintf("event %q came as %q", e.ID, req.Header.Get("webhook-id")))
	case !strings.HasSuffix(e.Type, "."+strings.TrimPrefix(req.URL.Path, "/")):
		r.faults = append(r.faults, fmt.Sprintf("%s came to %s", e.Type, req.URL.Path))
	case r.secret != nil && r.secret.Verify(body, req.Header) != nil:
		r.faults = append(r.faults, fmt.Sprintf("event %s is not signed as it must be", e.ID))
	}
	if r.secret != nil {
		r.tamper(body, req.Header)
	}
	r.events[e.ID] = e
}

// tamper checks that the signature does not fit a body with one bit changed.
func (r *receiver) tamper(body []byte, header http.Header) {
	other := slices.Clone(body)
	other[len(other)/2] ^= 1
	if r.secret.Verify(other, header) == nil {
		r.faults = append(r.faults, "a tampered event passed as signed")
	}
}

// of returns the types of a task's events without "task.", by sequence.
func (r *receiver) of(task int64) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []event
	for _, e := range r.events {
		if e.Data.TaskID == task {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b event) int { return a.Sequence - b.Sequence })
	types := make([]string, len(list))
	for i, e := range list {
		types[i] = strings.TrimPrefix(e.Type, "task.")
	}
	return types
}

// fault returns what was wrong with what came, "" if nothing was.
func (r *receiver) fault() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.faults, "; ")
}

// testKey is a secret key for programs on PostgreSQL.
var testKey = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
