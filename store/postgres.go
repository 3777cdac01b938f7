package store

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"ringback/scheduler"
)

// wakeChannel carries, between nodes, that a task may start; or, with its id,
// that a call is to end.
const wakeChannel = "ringback_wake"

// poolSize is how many connections a node has, unless the URL says it.
const poolSize = 16

// postgres is one pgx pool, below gorm.
type postgres struct {
	pool  *pgxpool.Pool
	keeps bool // statements stay prepared
}

func (s *Store) openPostgres(ctx context.Context, url string) error {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return errors.New("the URL is not one of PostgreSQL") // pgx's own error may quote the password
	}
	if !strings.Contains(url, "pool_max_conns=") {
		cfg.MaxConns = max(cfg.MaxConns, poolSize)
	}
	params := cfg.ConnConfig.RuntimeParams
	// A frozen host must not hold a queue's row for ever.
	params["statement_timeout"] = "5000"
	params["lock_timeout"] = "4000"
	params["idle_in_transaction_session_timeout"] = "5000"
	params["client_connection_check_interval"] = "2000"
	// Statements run for milliseconds: compiling one takes hundreds.
	params["jit"] = "off"
	params["timezone"] = "UTC"
	if params["application_name"] == "" {
		params["application_name"] = "ringback"
	}
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	// A server that is gone without a word is noticed while nothing is asked of it.
	cfg.ConnConfig.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}).DialContext
	cfg.PingTimeout = 2 * time.Second // of an idle connection that is about to be used
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return err
	}
	db, err := gorm.Open(gormpg.New(gormpg.Config{Conn: stdlib.OpenDBFromPool(pool)}), s.gormConfig())
	if err != nil {
		pool.Close()
		return err
	}
	s.db, s.reads, s.postgres = db, db, &postgres{
		pool: pool, keeps: cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement,
	}
	return nil
}

func (p *postgres) close(db *gorm.DB) error {
	pooled, err := db.DB()
	if err == nil {
		err = pooled.Close()
	}
	p.pool.Close()
	return err
}

// Listen calls wake whenever another node's commit may let a task start, and
// what OnHangUp has set for each call that is to end, until ctx ends. A lost connection is made again by calling it again; on SQLite it
// only waits.
func (s *Store) Listen(ctx context.Context, wake func()) (err error) {
	if s.postgres == nil {
		<-ctx.Done()
		return nil
	}
	// A connection of its own: it is never idle in the pool's eyes.
	conn, err := pgx.ConnectConfig(ctx, s.postgres.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "LISTEN "+wakeChannel); err != nil {
		return err
	}
	wake()
	for {
		about, err := notified(ctx, conn)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if hangUp := s.onHangUp.Load(); about == "" {
			wake()
		} else if hangUp != nil {
			(*hangUp)(scheduler.CallID(about))
		}
	}
}

// listenFor is how long a connection may be silent before it is tried.
const listenFor = time.Minute

// notified waits for a notification and returns what it is about, and sees to
// it that the connection lives.
func notified(ctx context.Context, conn *pgx.Conn) (string, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, listenFor)
		n, err := conn.WaitForNotification(waiting)
		silent := waiting.Err() != nil
		cancel()
		if err == nil {
			return n.Payload, nil
		}
		if !silent || ctx.Err() != nil {
			return "", err
		}
		trying, cancel := context.WithTimeout(ctx, StatementTimeout)
		err = conn.Ping(trying)
		cancel()
		if err != nil {
			return "", err
		}
	}
}

// refusesRow reports whether err says that the values of a row are at fault,
// so that sending them again cannot help: SQLSTATE classes 22 and 23, or
// SQLite's SQLITE_CONSTRAINT, SQLITE_MISMATCH and SQLITE_TOOBIG.
func refusesRow(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return len(pg.Code) == 5 && (pg.Code[:2] == "22" || pg.Code[:2] == "23")
	}
	return sqliteRefusesRow(err)
}
