package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"ringback/scheduler"
)

// Leases that a former epoch of the node took and did not give back: their
// tokens begin with its name ($1) and not with its epoch ($2). It reads what is
// ready, once a start.
const freeDeliveries = `UPDATE deliveries SET lease_token = '', lease_until = NULL
	WHERE state = 'ready' AND lease_until > $3 AND substr(lease_token, 1, length($1)) = $1
		AND substr(lease_token, 1, length($2)) <> $2`

// nodesLeases is how the tokens of a node's leases begin. The quotes end the
// name, whatever is in it.
func nodesLeases(node string) string { return strconv.Quote(node) + "/" }

// leaseOf is how the tokens of an owner's leases begin.
func leaseOf(o scheduler.Owner) string { return nodesLeases(o.Node) + fmt.Sprintf("%d/", o.Epoch) }

// FreeDeliveries lets go the deliveries that former lives of the owner's node
// were sending when they ended, so that nobody waits for their leases to run
// out. It returns how many there were.
func (s *Store) FreeDeliveries(ctx context.Context, owner scheduler.Owner, now time.Time) (freed int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		res, err := t.pool.ExecContext(ctx, freeDeliveries, nodesLeases(owner.Node), leaseOf(owner), now.UTC())
		if err != nil {
			return err
		}
		freed, err = res.RowsAffected()
		t.eventful = freed > 0
		return err
	})
	return freed, err
}
