package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"ringback/config"
)

// demoDefaults are what demo sets where nothing else is given.
var demoDefaults = map[string]string{
	"RINGBACK_DATABASE_URL":        "sqlite://./data/demo/ringback.db",
	"RINGBACK_DIALER":              "sim",
	"RINGBACK_GRACE":               "2s",
	"RINGBACK_SIM_ANSWER_PERCENT":  "100", // so that everybody sees the same
	"RINGBACK_SIM_RING_MS":         "1000",
	"RINGBACK_SIM_TALK_MS":         "3000",
	"RINGBACK_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8,::1/128",
	"RINGBACK_LOG_LEVEL":           "warn",
}

// demoCommand runs a node that shows itself: a simulated carrier, an account,
// a client, made-up tasks, and a receiver that prints the events.
func demoCommand(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) error {
	cfg, err := load(config.Source{Args: args, Serves: true, Defaults: demoDefaults})
	if err != nil {
		return err
	}
	path, sqlite := strings.CutPrefix(cfg.DatabaseURL, "sqlite://")
	if !sqlite || cfg.Dialer != "sim" {
		return errors.New("demo is for SQLite and the simulated carrier alone: use serve")
	}
	creds, err := openCredentials(filepath.Join(filepath.Dir(path), "credentials"))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	cfg.AdminUsername, cfg.AdminPassword = creds.AdminUsername, config.Secret(creds.AdminPassword)
	receiver, err := startReceiver(creds, stdout)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer receiver.Close()
	return serve(cfg, newLog(cfg, stderr), signals, func(ctx context.Context, base string) error {
		creds.URL = base
		if err := creds.save(); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		if creds.ClientID == "" {
			if err := populate(ctx, creds); err != nil && ctx.Err() == nil { // stopped meanwhile, the next start makes it up anew
				return fmt.Errorf("demo: make up an account: %w", err)
			}
		}
		debug.FreeOSMemory() // a password's hash takes 19 MiB, and the next one is far
		welcome(stdout, creds)
		return nil
	})
}

// startReceiver starts what the events of the demonstration are sent to, at
// the address that its tasks know.
func startReceiver(creds *credentials, stdout io.Writer) (io.Closer, error) {
	address := "127.0.0.1:0"
	if creds.Receiver != "" {
		address = strings.TrimPrefix(creds.Receiver, "http://")
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil { // somebody else's by now: tasks of former starts send to nobody
		listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("receiver of events: %w", err)
	}
	creds.Receiver = "http://" + listener.Addr().String()
	server := &http.Server{Handler: printer{stdout}, ReadTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

// welcome says what there is and how to talk to it.
func welcome(w io.Writer, c *credentials) {
	fmt.Fprintf(w, `
ringback demo is listening on %[1]s

  Every call is simulated: nobody is called. By the last digits of a number:
  0486 busy, 0480 no answer, 0603 rejects, 0404 invalid, 0503 congestion,
  0487 answers and hangs up; all others answer.
  Events may go to loopback addresses here (serve refuses them), and are
  printed below as they come to %[2]s.

  administrator  %[3]s / %[4]s
  client         %[5]s / %[6]s
  all of it      %[7]s

Paste this into another terminal:

  . %[7]s
  TOKEN=$(curl -s $RINGBACK_URL/oauth/token -d grant_type=client_credentials -d client_id=$CLIENT_ID -d client_secret=$CLIENT_SECRET | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
  curl -s $RINGBACK_URL/client/$CLIENT_ID/task_scheduler/$QUEUE/tasks/ -H "Authorization: Bearer $TOKEN" --json '{"tasks":[{"name":"hello","a_number":"+442079460001","b_number":"+442079460002","extension_id":'$EXTENSION',"url_after":"'$RECEIVER'"}]}'
  curl -s "$RINGBACK_URL/client/$CLIENT_ID/task_scheduler/$QUEUE/tasks/?name=hello" -H "Authorization: Bearer $TOKEN"

Ctrl-C stops; the next start goes on where it was. To begin anew remove %[8]s.

`, c.URL, c.Receiver, c.AdminUsername, c.AdminPassword, c.ClientID, c.ClientSecret, c.path, filepath.Dir(c.path))
}
