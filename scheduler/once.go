package scheduler

import (
	"context"
	"time"
)

// Once is a request that is to be done once, however often it is sent: what is
// kept of its Idempotency-Key.
type Once struct {
	Caller string // whose key it is
	Key    string
	Hash   []byte // of the request
	Token  string // of who is doing it
	IDs    []int64
	Call   CallID // that it made, if it made one
	Answer string // what is to be told again that rows cannot tell
	// Done says that it was done, and IDs are what it made.
	Done bool
}

// How long keys are kept.
const (
	// OnceKeep is how long a request is known after it was done.
	OnceKeep = 24 * time.Hour
	// OnceLease is how long a request is left to who is doing it: longer than any
	// takes.
	OnceLease = time.Minute
)

type onceKey struct{}

// WithOnce returns a context in which the next transaction does a request, and
// says so in the same commit.
func WithOnce(ctx context.Context, o *Once) context.Context {
	return context.WithValue(ctx, onceKey{}, o)
}

// OnceOf returns the request that is done in a context, nil if it may be done
// more than once.
func OnceOf(ctx context.Context) *Once {
	o, _ := ctx.Value(onceKey{}).(*Once)
	return o
}
