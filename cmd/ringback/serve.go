package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"

	"github.com/robfig/cron/v3"

	"ringback/api"
	"ringback/config"
	"ringback/dialer"
	"ringback/scheduler"
	"ringback/store"
	"ringback/webhooks"
)

// errFenced ends a process whose epoch another one raised: what it believes is
// out of date, and a new start is the cure.
var errFenced = errors.New("another process took over the calls of this node; start it again")

func serveCommand(args []string, signals <-chan os.Signal, stderr io.Writer) error {
	cfg, err := load(config.Source{Args: args, Serves: true})
	if err != nil {
		return errors.Join(err, checkSIP(cfg.Trunks))
	}
	return serve(cfg, newLog(cfg, stderr), signals, func(context.Context, string) error { return nil })
}

// serve runs a node until a signal comes, then stops it in the order in which
// work flows: no requests, no new calls, calls under way until the grace is
// over or a second signal comes, their results, the events being sent. up is called
// with the node's address once it answers.
//
// It is one straight line on purpose, and therefore long: the order is what
// matters here.
func serve(cfg config.Config, log *slog.Logger, signals <-chan os.Signal, up func(ctx context.Context, base string) error) (err error) {
	tuneMemory()
	ctx, stop := untilSignal(signals)
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()

	clock := &scheduler.Clock{}
	db, err := openStore(ctx, cfg, clock, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	observed := newMetrics()
	lease := scheduler.NewLease()
	keeper := dialer.NewKeeper(dialer.KeeperOptions{Legs: db, Lease: lease, Log: log})
	networks, err := openCarriers(cfg, carrierOptions{now: clock.Now, observed: observed, keeper: keeper, log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, networks.close()) }()

	recorder := scheduler.NewRecorder(scheduler.RecorderOptions{
		Results: db, Lease: lease, Now: clock.Now, Log: log,
	})
	guard := webhooks.Guard{Allow: cfg.WebhookAllowed}
	notifier := webhooks.New(webhooks.Options{Outbox: db, Questions: db, Owner: lease.Owner, Guard: guard, Now: clock.Now, Log: log, Observer: observed})
	dispatcher := scheduler.NewDispatcher(scheduler.DispatcherOptions{
		Tasks: db, Callbacks: db, Live: db, Progress: networks.engine, Recorder: recorder, Dialer: networks.engine, Adopter: networks.engine, Receivers: notifier, Lease: lease, Workers: cfg.Workers, Now: clock.Now,
		Simulated: cfg.Dialer == "sim", Stray: 2 * store.StatementTimeout, Log: log, Observer: observed,
	})
	node := scheduler.NewNode(scheduler.NodeOptions{
		Name: cfg.Node, Length: cfg.Lease, Nodes: db, Lease: lease, Clock: clock, Time: db.Time, Left: func(left []scheduler.Task) { dispatcher.Recover(left) }, Log: log,
	})
	db.OnTasks(dispatcher.Wake)
	db.OnHangUp(dispatcher.HangUp)
	db.OnEvents(notifier.Wake)
	db.OnTransition(observed.Wrote)
	observed.gauge("ringback_overdue_seconds", "For how long something that may start has not been started.", func() float64 {
		return dispatcher.Overdue().Seconds()
	})
	observed.gauge("ringback_calls_in_progress", "Calls under way on this node, results not yet written included.", func() float64 {
		return float64(dispatcher.InProgress())
	})

	left, err := node.Join(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // asked to stop while another process held the name
	case err != nil:
		return fmt.Errorf("join as node %s: %w", cfg.Node, err)
	}

	if _, err := db.FreeDeliveries(ctx, lease.Owner(), clock.Now()); err != nil {
		log.Warn("deliveries of this node's former life wait for their leases to run out", "err", err)
	}
	if err := db.FreeRuns(ctx, lease.Owner()); err != nil {
		log.Warn("runs of this node's former life wait for their leases to run out", "err", err)
	}

	// What starts work ends with the signal (ctx); what finishes it, later.
	finishing, finished := context.WithCancel(context.WithoutCancel(ctx))
	defer finished()
	var starters, writer, finishers sync.WaitGroup
	writer.Go(func() { recorder.Run(finishing) })
	finishers.Go(func() { node.Run(finishing) })
	finishers.Go(func() { notifier.Run(finishing) })
	finishers.Go(func() { keeper.Run(finishing, networks.engine.Recover) })
	finishers.Go(func() { hangUpWhenFenced(finishing, lease, dispatcher) })
	asked := dispatcher.Recover(left)
	finishers.Go(func() {
		<-asked
		networks.engine.Sweep(finishing)
	})
	starters.Go(func() { dispatcher.Run(ctx) })
	finishers.Go(func() { listen(finishing, db, dispatcher.Wake, log) })
	jobs := newCron()
	jobs.Schedule(every(tickEvery), cron.FuncJob(dispatcher.Tick))
	jobs.Schedule(every(tidyEvery), cron.FuncJob(func() { tidy(ctx, db, clock, log) }))
	jobs.Schedule(every(forgetEvery), cron.FuncJob(func() { forget(ctx, db, cfg, clock, log) }))
	jobs.Schedule(every(tickEvery), cron.FuncJob(func() { workBulks(ctx, db, log) }))
	jobs.Schedule(every(observeEvery), cron.FuncJob(func() { observeOwed(ctx, db, clock, observed) }))
	jobs.Start()
	options := api.Options{
		Store: db, Caller: dispatcher, CheckURL: guard.CheckURL, SendEvent: notifier.Send, Now: clock.Now, Log: log, DefaultRegion: cfg.DefaultRegion, URIHosts: uriHosts(cfg),
		TrustedProxies: cfg.TrustedProxies, Sound: networks.sounds.Has, Observer: observed, Simulated: simulated(cfg), Mails: cfg.SMTP.Host != "",
		Trunks:  networks.names(),
		Ready:   health{db: db, engine: networks.engine, fenced: lease.Fenced()}.reasons,
		Holding: func() []scheduler.Hold { return dispatcher.Holding(networks.engine.Health(context.Background())) },
	}
	if cfg.MetricsListen == "" {
		options.Metrics = observed.handler()
	}
	server := api.New(options)
	starters.Go(func() { server.Stream(ctx) })
	runner := scheduler.NewRunner(scheduler.RunnerOptions{Runs: db, Performer: server, Owner: lease.Owner, Now: clock.Now, Log: log, Observer: observed})
	jobs.Schedule(every(tickEvery), cron.FuncJob(func() { runner.Tick(ctx) }))
	if mailer := newMailer(cfg, db, clock, observed, log); mailer != nil {
		jobs.Schedule(every(tickEvery), cron.FuncJob(func() { mailer.Tick(ctx) }))
	}
	web := serveHTTP(cfg, listener, server, observed, log)
	debug.FreeOSMemory() // what only the start needed
	log.Info("listening on " + web.base)

	err = up(ctx, web.base)
	if err == nil {
		select {
		case <-ctx.Done():
			log.Info(fmt.Sprintf("stopping: calls may go on for %s; a second signal ends them", cfg.Grace))
		case <-lease.Fenced():
			err = errFenced
		case err = <-web.failed:
		}
	}
	stop()
	web.close()
	starters.Wait()
	<-jobs.Stop().Done()
	runner.Wait()
	drain(cfg.Grace, dispatcher, signals, log)
	recorder.Close()
	if !within(resultsEnd, writer.Wait) {
		log.Error("results could not be written in time: their calls will be recorded as lost")
	}
	finished()
	writer.Wait()
	finishers.Wait()
	leave(node, log)
	return err
}
