package scheduler

import (
	"context"
	"time"
)

// Actor is who asks for a change, by one request.
type Actor struct {
	AccountID AccountID
	UserID    UserID
	ByClient  ClientID // whose token it is; "": the user's own
	ClientID  ClientID // whose resources are asked for; "": the account's
	Address   string   // of the caller
	RequestID string
	Method    string
	Path      string
	// Entry is the audit's row of the request, once it is stored.
	Entry AuditID
}

type actorKey struct{}

// WithActor returns a context whose changes are an actor's.
func WithActor(ctx context.Context, a *Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns whose changes those of a context are; nil: our own.
func ActorOf(ctx context.Context) *Actor {
	a, _ := ctx.Value(actorKey{}).(*Actor)
	return a
}

// AuditID is the number of an entry of the audit.
type AuditID int64

// AuditKeep is how long entries of the audit are kept.
const AuditKeep = 365 * 24 * time.Hour

// AuditEntry says who changed what. It is the row as it is stored.
type AuditEntry struct {
	ID        AuditID   `gorm:"primaryKey"`
	At        time.Time `gorm:"serializer:instant"`
	AccountID AccountID
	UserID    UserID
	ByClient  ClientID
	ClientID  ClientID
	Method    string
	Path      string
	Address   string
	RequestID string
	// Before and After are JSON objects of what changed of a resource, by the
	// names of its fields, without secrets; "": the request tells it all.
	Before string
	After  string
}

// TableName names the table for gorm.
func (AuditEntry) TableName() string { return "audit" }

// AuditFilter selects entries of the audit; zero fields select all.
type AuditFilter struct {
	UserID    UserID
	ClientID  ClientID // whose resources
	RequestID string
	From, To  time.Time // To exclusive
}
