package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Nodes is the store, as a node needs it.
type Nodes interface {
	// Join begins a new epoch of the node and returns what its former ones
	// left executed; held if another process still has the name.
	Join(ctx context.Context, node string, now time.Time, lease time.Duration) (owner Owner, left []Task, held bool, err error)
	// Renew extends the lease until a time; ErrFenced if its epoch was raised.
	Renew(ctx context.Context, owner Owner, until time.Time) error
	// TakeOver makes the executed tasks of nodes whose lease ran out the
	// owner's, and returns them.
	TakeOver(ctx context.Context, owner Owner, now time.Time) ([]Task, error)
}

// NodeOptions are what a Node works with.
type NodeOptions struct {
	Name   string
	Length time.Duration // of the lease
	Nodes  Nodes
	Lease  *Lease
	Clock  *Clock
	Time   func(context.Context) (time.Time, error) // the database's
	Left   func([]Task)                             // is given what was taken over; must not block
	Log    *slog.Logger
}

// Node holds this process's lease and takes over the tasks of nodes that lost
// theirs.
type Node struct{ o NodeOptions }

// NewNode returns a node that has not joined yet.
func NewNode(o NodeOptions) *Node { return &Node{o} }

// Join takes the node's lease, waiting while another process has the name, and
// returns the tasks that its former life left executed.
func (n *Node) Join(ctx context.Context) ([]Task, error) {
	for told := false; ; told = true {
		if err := n.o.Clock.Measure(ctx, n.o.Time); err != nil {
			return nil, err
		}
		began := time.Now()
		owner, left, held, err := n.o.Nodes.Join(ctx, n.o.Name, n.o.Clock.Now(), n.o.Length)
		if err != nil {
			return nil, err
		}
		if !held {
			n.o.Lease.hold(owner, began, n.o.Length)
			return left, nil
		}
		if !told {
			n.o.Log.Warn("another process holds the lease of node " + n.o.Name +
				", or held it until a moment ago: waiting for it to run out")
		}
		if !sleep(ctx, n.o.Length/4) {
			return nil, ctx.Err()
		}
	}
}

// Run renews the lease until ctx ends or the node is fenced.
func (n *Node) Run(ctx context.Context) {
	for sleep(ctx, n.o.Length/3) {
		if !n.renew(ctx) {
			return
		}
		if n.o.Lease.unbroken() < n.o.Length {
			// After an outage of the database every lease has lapsed; who came
			// back first must not take what the others are about to renew.
			continue
		}
		left, err := n.o.Nodes.TakeOver(ctx, n.o.Lease.Owner(), n.o.Clock.Now())
		if err != nil {
			if ctx.Err() == nil {
				n.o.Log.Error("take over lapsed nodes failed; trying again", "err", err)
			}
			continue
		}
		if len(left) > 0 {
			n.o.Log.Warn(fmt.Sprintf("took over %d calls of a node that is gone", len(left)))
			n.o.Left(left)
		}
	}
}

// renew extends the lease; false once the node is fenced.
func (n *Node) renew(ctx context.Context) bool {
	// An answer that comes after the lease ran out is no use; the next may be.
	ctx, cancel := context.WithTimeout(ctx, n.o.Length)
	defer cancel()
	if err := n.o.Clock.Measure(ctx, n.o.Time); err != nil && ctx.Err() == nil {
		n.o.Log.Error("read the database's clock failed", "err", err)
	}
	began := time.Now()
	owner := n.o.Lease.Owner()
	err := n.o.Nodes.Renew(ctx, owner, n.o.Clock.Now().Add(n.o.Length))
	switch {
	case err == nil:
		n.o.Lease.hold(owner, began, n.o.Length)
	case errors.Is(err, ErrFenced):
		n.o.Lease.fence()
		return false
	case ctx.Err() == nil:
		n.o.Log.Error("renew the lease failed; trying again", "err", err)
	}
	return true
}

// Leave gives the lease back, so that nobody waits for it to run out.
func (n *Node) Leave(ctx context.Context) error {
	return n.o.Nodes.Renew(ctx, n.o.Lease.Owner(), n.o.Clock.Now())
}
