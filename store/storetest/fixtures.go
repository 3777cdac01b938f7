package storetest

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/webhooks"
)

// The master account that Client makes its clients for, and its user. The
// password hash opens nothing.
const (
	MasterID = scheduler.AccountID("01900000-0000-7000-8000-000000000001")
	UserID   = scheduler.UserID("01900000-0000-7000-8000-000000000002")
)

// Client stores a client of the master account, which it makes if need be.
func Client(t testing.TB, s *store.Store) scheduler.Client {
	t.Helper()
	now := now()
	account := scheduler.Account{ID: MasterID, CompanyName: "Master", Email: "master@example.com", TimeZone: "UTC", CreatedAt: now}
	user := scheduler.User{ID: UserID, AccountID: MasterID, Username: "admin", PasswordHash: "none", CreatedAt: now}
	if err := s.EnsureMaster(context.Background(), account, user); err != nil {
		t.Fatal(err)
	}
	c := scheduler.Client{
		ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: MasterID, UserID: UserID,
		Name: "client", SecretHash: "none", CreatedAt: now,
	}
	if err := s.AddClient(context.Background(), c, webhooks.NewSecret(now)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Extension stores an extension of the client that may call.
func Extension(t testing.TB, s *store.Store, c scheduler.Client) scheduler.Extension {
	t.Helper()
	e, err := s.AddExtension(context.Background(), scheduler.Extension{ClientID: c.ID, Name: "extension", ANI: "+390612345678", CreatedAt: now()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Queue stores a queue of the client that is on; limit 0 is none.
func Queue(t testing.TB, s *store.Store, c scheduler.Client, limit int) scheduler.Queue {
	t.Helper()
	q, err := s.AddQueue(context.Background(), scheduler.Queue{ClientID: c.ID, Name: "queue", On: true, Limit: limit, CreatedAt: now()})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// Task returns a task that is due at the given time, not stored yet, with
// every field that the schema asks for.
func Task(e scheduler.Extension, due time.Time) scheduler.Task {
	return scheduler.Task{
		ExtensionID: e.ID, ANumber: "+390612345601", ANumberE164: "+390612345601", BNumber: "102",
		TryCount: 1, TryPause: scheduler.DefaultPause, TryPauseCaller: scheduler.DefaultPause,
		Status: scheduler.Scheduled, StartAt: due, ReadyAt: due, CreatedAt: due, UpdatedAt: due,
	}
}

// now is the time as databases keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
