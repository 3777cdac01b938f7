// Command ringback is a callback task scheduler: it calls A, then B, connects
// them, tries again when they cannot be reached, and tells how it ended.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // an image without zone files knows every zone, too

	"ringback/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `ringback schedules callbacks: it calls A, then B, and connects them.

  ringback serve            run a node
  ringback demo             run a node with a simulated carrier and made-up tasks
  ringback migrate up       bring the database up to this release
  ringback migrate status   tell what the database lacks
  ringback rekey            seal the webhook secrets with another key
  ringback help             show this text and every setting

`

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

// run runs a command and returns the exit code.
func run(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	command := "help"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	var err error
	switch command {
	case "serve":
		err = serveCommand(args, signals, stderr)
	case "demo":
		err = demoCommand(args, signals, stdout, stderr)
	case "migrate":
		err = migrateCommand(args, signals, stdout)
	case "rekey":
		err = rekeyCommand(args, signals, stdout)
	case "help", "-h", "--help":
		err = flag.ErrHelp
	default:
		err = usageError(fmt.Sprintf("there is no command %q", command))
	}
	var faults config.Faults
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage, "Settings, by flag, environment or YAML file:\n\n", config.Usage())
		return exitOK
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, "ringback:", err)
		return exitUsage
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "ringback: %s\n\n%s", wrong, usage)
		return exitUsage
	}
	fmt.Fprintln(stderr, "ringback:", err)
	return exitFailed
}

// usageError is a command line that asks for something that does not exist.
type usageError string

func (e usageError) Error() string { return string(e) }

// load reads the settings of a command.
func load(src config.Source) (config.Config, error) {
	src.Env = os.LookupEnv
	cfg, err := config.Load(src)
	var faults config.Faults
	if err != nil && !errors.Is(err, flag.ErrHelp) && !errors.As(err, &faults) {
		return cfg, usageError(err.Error())
	}
	return cfg, err
}

// newLog returns the log of the process.
func newLog(cfg config.Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// untilSignal returns a context that the next signal ends.
func untilSignal(signals <-chan os.Signal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
