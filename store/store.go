// Package store keeps ringback's rows in PostgreSQL, or in SQLite for a single
// node. Plain rows go through gorm; the hot paths (claim, apply, insert) are
// SQL in named constants, one text for each database.
package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// Options say which database to open, and how.
type Options struct {
	URL    string           // sqlite://PATH or postgres://…
	Now    func() time.Time // the clock of rows; time.Now if nil
	Secret []byte           // 32 bytes; seals webhook secrets at rest
	Log    *slog.Logger     // slog.Default if nil
}

// StatementTimeout is how long one statement of a worker may run: a third of
// the shortest lease in use would be less only below three seconds.
const StatementTimeout = 5 * time.Second

// How long a whole transaction may take on PostgreSQL, however silent the
// network is: one of a worker, whose statements are short, and any other.
const (
	workerPatience = 2 * StatementTimeout
	writePatience  = 12 * StatementTimeout
)

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	db       *gorm.DB  // writes, and reads within them
	reads    *gorm.DB  // plain reads; the same pool on PostgreSQL
	postgres *postgres // nil on SQLite
	sqlite   *sqlite   // nil on PostgreSQL
	now      func() time.Time
	log      *slog.Logger
	seal     cipher.AEAD
	sealID   string
	onceKey  []byte // of the hashes of requests

	zones    sync.Map // by name, *time.Location
	awakes   awakeList
	onTasks  atomic.Pointer[func()]
	onEvents atomic.Pointer[func()]
	onHangUp atomic.Pointer[func(scheduler.CallID)]
	onWrote  atomic.Pointer[func(scheduler.Transition)]
}

// Open opens the database without changing it: see Migrate.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{now: o.Now, log: o.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.seal, s.sealID, err = newSeal(o.Secret); err != nil {
		return nil, err
	}
	s.onceKey = hashed(o.Secret, []byte("requests that are done once"))
	switch {
	case strings.HasPrefix(o.URL, "sqlite://"):
		err = s.openSQLite(ctx, strings.TrimPrefix(o.URL, "sqlite://"))
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		err = s.openPostgres(ctx, o.URL)
	default:
		return nil, errors.New("open database: the URL must begin with sqlite:// or postgres://")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return s, nil
}

// Close closes the database. Nothing may be under way.
func (s *Store) Close() error {
	if s.postgres != nil {
		return s.postgres.close(s.db)
	}
	return s.sqlite.close(s.db, s.reads)
}

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	db, err := s.reads.DB()
	if err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// OnTasks sets what is called after a commit that may let a task start
// earlier than was known.
func (s *Store) OnTasks(wake func()) { s.onTasks.Store(&wake) }

// OnEvents sets what is called after a commit that owes events. Other nodes are
// not told: who owes an event sends it, and while its slots are full the others
// find it with their next tick. A NOTIFY with every event would make all commits
// of the cluster wait for each other.
func (s *Store) OnEvents(wake func()) { s.onEvents.Store(&wake) }

// OnHangUp sets what is called, here and by Listen, after a commit that wants a
// call ended.
func (s *Store) OnHangUp(hangUp func(scheduler.CallID)) { s.onHangUp.Store(&hangUp) }

// OnTransition sets what is called after a commit, with each transition that
// was taken.
func (s *Store) OnTransition(tell func(scheduler.Transition)) { s.onWrote.Store(&tell) }

// tx is a transaction of the hot paths, and what is to be told after it.
type tx struct {
	*Store
	ctx      context.Context
	db       *gorm.DB
	pool     gorm.ConnPool // the same transaction, below gorm
	conn     *sql.Conn     // its connection; nil on SQLite
	lowered  bool          // a wake_at moved to an earlier time
	made     []int64       // ids of the rows that a request asked for, see finishOnce
	results  bool          // it writes what became of calls, as it does all the time
	eventful bool          // a delivery was inserted
	written  []scheduler.Transition
	changes  map[scheduler.QueueID][]scheduler.TaskID // see changed
	before   any                                      // of what is changed, for the audit; see saw
	after    any
	hangups  []scheduler.CallID          // calls that a client wants ended
	asked    map[scheduler.LimitKey]bool // limits that were looked for, and are locked if they are there
	limits   map[scheduler.LimitKey]scheduler.CallLimit
}

// write runs do in one transaction: READ COMMITTED on PostgreSQL, the only
// writer on SQLite.
func (s *Store) write(ctx context.Context, do func(*tx) error) error {
	ctx, cancel := s.within(ctx, writePatience)
	defer cancel()
	t := &tx{Store: s, ctx: ctx}
	actor, once := scheduler.ActorOf(ctx), scheduler.OnceOf(ctx)
	var entry scheduler.AuditID
	err := s.transaction(t, func(db *gorm.DB) (err error) {
		t.db, t.pool = db, db.Statement.ConnPool
		if err := do(t); err != nil {
			return err
		}
		if actor != nil {
			if entry, err = t.audit(actor); err != nil {
				return err
			}
		}
		if once != nil && !once.Done {
			if err := t.finishOnce(once); err != nil {
				return err
			}
		}
		return t.notify()
	})
	if err != nil {
		return s.sort(err)
	}
	if actor != nil {
		actor.Entry = entry
	}
	if once != nil {
		once.Done = true
	}
	if t.lowered {
		if !t.results {
			s.awakes.forget()
		}
		call(&s.onTasks)
	}
	if t.eventful {
		call(&s.onEvents)
	}
	if hangUp := s.onHangUp.Load(); hangUp != nil {
		for _, id := range t.hangups {
			(*hangUp)(id)
		}
	}
	if tell := s.onWrote.Load(); tell != nil {
		for _, tr := range t.written {
			(*tell)(tr)
		}
	}
	return nil
}

// transaction runs do in a transaction on a connection of its own.
func (s *Store) transaction(t *tx, do func(*gorm.DB) error) error {
	db := s.db.WithContext(t.ctx)
	if s.postgres == nil {
		return db.Transaction(do)
	}
	return db.Connection(func(db *gorm.DB) error {
		conn, ok := db.Statement.ConnPool.(*sql.Conn)
		if !ok {
			return fmt.Errorf("a connection is a %T", db.Statement.ConnPool)
		}
		t.conn = conn
		return db.Transaction(do)
	})
}

// within bounds what is asked of a server: a network that goes silent ends no
// connection. SQLite needs no bound.
func (s *Store) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if s.postgres == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

func call(hook *atomic.Pointer[func()]) {
	if f := hook.Load(); f != nil {
		(*f)()
	}
}

// notify tells the other nodes, in the transaction, of what it lets start, and
// of calls that are to end.
func (t *tx) notify() error {
	if t.postgres == nil {
		return nil
	}
	for _, id := range t.hangups {
		if _, err := t.pool.ExecContext(t.ctx, "SELECT pg_notify('"+wakeChannel+"', $1)", string(id)); err != nil {
			return err
		}
	}
	if !t.lowered {
		return nil
	}
	_, err := t.pool.ExecContext(t.ctx, "SELECT pg_notify('"+wakeChannel+"', '')")
	return err
}

// sort gives a database's refusal of a row its name.
func (s *Store) sort(err error) error {
	if scheduler.KindOf(err) != scheduler.Internal || errors.Is(err, scheduler.ErrFenced) {
		return err
	}
	if refusesRow(err) {
		return fmt.Errorf("%w: %w", scheduler.ErrData, err)
	}
	return err
}
