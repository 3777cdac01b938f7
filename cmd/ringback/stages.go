package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"ringback/api"
	"ringback/config"
	"ringback/dialer"
	"ringback/scheduler"
	"ringback/store"
	"ringback/webhooks"
)

const (
	// observeEvery is how old what the metrics tell of the outbox is at most.
	observeEvery = 15 * time.Second
	// tickEvery is the safety net below every wake-up of the dispatcher.
	tickEvery = time.Second
	// tidyEvery is how often the housekeeping runs.
	tidyEvery = time.Minute
	// forgetEvery is how often what is over for long is forgotten.
	forgetEvery = 10 * time.Minute
	// statsKept is how long the statistics of queues are kept.
	statsKept = 400 * 24 * time.Hour
	// listenAgain is the pause before a lost notification channel is opened again.
	listenAgain = time.Second
	// cutEnd is how long calls that were hung up may take to end.
	cutEnd = dialer.DefaultGrace + 2*time.Second
	// resultsEnd is how long the last results may take to be written.
	resultsEnd = 30 * time.Second
)

// openStore opens the database, brings it up to this release unless that is
// switched off, and makes the first account.
func openStore(ctx context.Context, cfg config.Config, clock *scheduler.Clock, log *slog.Logger) (*store.Store, error) {
	key, err := secretKey(cfg)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Options{URL: cfg.DatabaseURL, Now: clock.Now, Secret: key, Log: log})
	if err != nil {
		return nil, err
	}
	if err = prepare(ctx, cfg, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare makes an open database fit to be served from.
func prepare(ctx context.Context, cfg config.Config, db *store.Store) error {
	if cfg.Migrate {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
	}
	pending, err := db.MigrationsPending(ctx)
	if err != nil {
		return err
	}
	if pending > 0 {
		return fmt.Errorf("the database lacks %d migrations, and RINGBACK_MIGRATE is off: ringback migrate up", pending)
	}
	return firstAccount(ctx, cfg, db, time.Now())
}

// firstAccount makes the master account with its first user. Without an
// account nobody could sign in, so that without one nothing is served.
func firstAccount(ctx context.Context, cfg config.Config, db *store.Store, now time.Time) error {
	has, err := db.HasAccount(ctx)
	if err != nil || has {
		return err
	}
	if cfg.AdminUsername == "" {
		return errors.New("there is no account yet, so that nobody could sign in: " +
			"set RINGBACK_ADMIN_USERNAME and RINGBACK_ADMIN_PASSWORD (or RINGBACK_ADMIN_PASSWORD_FILE) for the first start")
	}
	account := scheduler.Account{
		ID: scheduler.AccountID(scheduler.NewGUID(now)), CompanyName: "Master", TimeZone: "UTC", CreatedAt: now,
	}
	user := scheduler.User{
		ID: scheduler.UserID(scheduler.NewGUID(now)), AccountID: account.ID, Username: cfg.AdminUsername,
		PasswordHash: api.HashPassword(string(cfg.AdminPassword)), CreatedAt: now,
	}
	if err := db.EnsureMaster(ctx, account, user); err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	return nil
}

// hangUpWhenFenced ends what nobody talks on yet as soon as another process
// took over the epoch: it calls those people itself.
func hangUpWhenFenced(ctx context.Context, lease *scheduler.Lease, dispatcher *scheduler.Dispatcher) {
	select {
	case <-lease.Fenced():
		dispatcher.Cut(scheduler.CutFenced)
	case <-ctx.Done():
	}
}

// listen wakes the dispatcher when another node's commit may let a task start,
// and hangs up what another node's wants ended, also while the node drains.
// Without it the tick finds out, a second later.
func listen(ctx context.Context, db *store.Store, wake func(), log *slog.Logger) {
	for ctx.Err() == nil {
		if err := db.Listen(ctx, wake); err != nil && ctx.Err() == nil {
			log.Warn("the database's notifications are lost; listening again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// tidy is the housekeeping.
func tidy(ctx context.Context, db *store.Store, clock *scheduler.Clock, log *slog.Logger) {
	now := clock.Now()
	_, err := db.Tidy(ctx, now)
	if err = errors.Join(err, db.RollUp(ctx, now, now.Add(-statsKept))); err != nil && ctx.Err() == nil {
		log.Error("housekeeping failed; the next run tries again", "err", err)
	}
}

// forget deletes what is kept no longer.
func forget(ctx context.Context, db *store.Store, cfg config.Config, clock *scheduler.Clock, log *slog.Logger) {
	err := db.Forget(ctx, clock.Now(), scheduler.Keep{Finished: cfg.KeepFinished, Calls: cfg.KeepCalls})
	if err != nil && ctx.Err() == nil {
		log.Error("what is old could not be forgotten; the next run tries again", "err", err)
	}
}

// observeOwed looks at what is owed to receivers, for the metrics.
func observeOwed(ctx context.Context, db *store.Store, clock *scheduler.Clock, observed *metrics) {
	if b, err := db.Backlog(ctx, clock.Now()); err == nil { // else the next look tells
		observed.owed(b)
	}
}

// workBulks goes on with what is done to many tasks, slice by slice, until
// nothing of it is left.
func workBulks(ctx context.Context, db *store.Store, log *slog.Logger) {
	for ctx.Err() == nil {
		worked, err := db.WorkBulks(ctx)
		if err != nil && ctx.Err() == nil {
			log.Error("a bulk action failed; the next tick tries again", "err", err)
		}
		if err != nil || !worked {
			return
		}
	}
}

// newMailer makes what sends e-mails; nil without a mail server.
func newMailer(cfg config.Config, db *store.Store, clock *scheduler.Clock, observed *metrics, log *slog.Logger) *webhooks.Mailer {
	s := cfg.SMTP
	if s.Host == "" {
		return nil
	}
	return webhooks.NewMailer(webhooks.MailerOptions{Outbox: db, Now: clock.Now, Log: log, Observer: observed, Server: webhooks.MailServer{
		Host: s.Host, Port: s.Port, Username: s.Username, Password: string(s.Password), From: s.From, TLS: s.TLS,
	}})
}

// drain waits for the calls under way until the grace is over or a second
// signal comes, then ends them.
func drain(grace time.Duration, dispatcher *scheduler.Dispatcher, signals <-chan os.Signal, log *slog.Logger) {
	if drainFor(grace, dispatcher, signals) {
		return
	}
	log.Info(fmt.Sprintf("hanging up %d calls", dispatcher.InProgress()))
	dispatcher.Cut(scheduler.CutShutdown)
	if !drainFor(cutEnd, dispatcher, nil) {
		log.Error("calls did not end when they were hung up: they will be recorded as lost")
	}
}

// drainFor reports whether the calls under way end within a limit, and before
// a signal comes.
func drainFor(limit time.Duration, dispatcher *scheduler.Dispatcher, signals <-chan os.Signal) bool {
	ctx, over := context.WithTimeout(context.Background(), limit)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer over()
	watch.Go(func() {
		select {
		case <-signals:
			over()
		case <-ctx.Done():
		}
	})
	return dispatcher.Drain(ctx)
}

// leave gives the lease back, so that nobody waits for it to run out.
func leave(node *scheduler.Node, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), store.StatementTimeout)
	defer cancel()
	if err := node.Leave(ctx); err != nil && !errors.Is(err, scheduler.ErrFenced) {
		log.Warn("the lease could not be given back: it runs out by itself", "err", err)
	}
}

// within reports whether wait returns within a limit.
func within(limit time.Duration, wait func()) bool {
	done := make(chan struct{})
	go func() {
		wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
