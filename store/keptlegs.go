package store

import (
	"context"
	"database/sql"

	"ringback/scheduler"
)

// leftLegsBatch is how many legs of former epochs are read at a time.
const leftLegsBatch = 200

// A commit whose answer was lost is written again.
var keepLegs = statement{
	postgres: `INSERT INTO dialogs (leg_id, call_id, node, epoch, trunk, state)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bytea[])
	ON CONFLICT (leg_id) DO NOTHING`,
	sqlite: `INSERT INTO dialogs (leg_id, call_id, node, epoch, trunk, state) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (leg_id) DO NOTHING`,
}

var forgetLegs = statement{
	postgres: `DELETE FROM dialogs WHERE leg_id = ANY($1::text[])`,
	sqlite:   `DELETE FROM dialogs WHERE leg_id = $1`,
}

const (
	// What a take-over made the owner's has epoch 0.
	leftLegs = `SELECT leg_id, call_id, trunk, state FROM dialogs WHERE node = $1 AND epoch < $2 ORDER BY leg_id LIMIT $3`

	ownLegs = `UPDATE dialogs SET node = $2, epoch = 0 WHERE node = $1`

	ownLegsSQLite = `UPDATE dialogs SET node = $1, epoch = 0`
)

// KeepLegs notes legs that were answered and forgets legs that are over, in
// one transaction. ErrFenced: nothing was written, nor ever will be.
func (s *Store) KeepLegs(ctx context.Context, owner scheduler.Owner, kept []scheduler.KeptLeg, over []string) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.fence(owner); err != nil {
			return err
		}
		type K = scheduler.KeptLeg
		err := t.exec(keepLegs, batch{n: len(kept), columns: []column{
			col(kept, func(k *K) string { return k.ID }),
			col(kept, func(k *K) string { return string(k.Call) }),
			col(kept, func(*K) string { return owner.Node }),
			col(kept, func(*K) int64 { return owner.Epoch }),
			col(kept, func(k *K) string { return k.Trunk }),
			col(kept, func(k *K) []byte { return k.State }),
		}})
		if err != nil {
			return err
		}
		return t.exec(forgetLegs, batch{n: len(over), columns: []column{col(over, func(id *string) string { return *id })}})
	})
}

// LeftLegs returns legs that former epochs of the owner, or nodes it took over,
// left answered: some of them, if there are many.
func (s *Store) LeftLegs(ctx context.Context, owner scheduler.Owner) ([]scheduler.KeptLeg, error) {
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	return collect(t, leftLegs, []any{owner.Node, owner.Epoch, leftLegsBatch}, func(r *sql.Rows, k *scheduler.KeptLeg) error {
		return r.Scan(&k.ID, &k.Call, &k.Trunk, &k.State)
	})
}
