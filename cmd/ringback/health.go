package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/api"
	"ringback/config"
	"ringback/dialer"
	"ringback/store"
)

// readyTimeout is how long /readyz waits for the database.
const readyTimeout = 2 * time.Second

// health says why a node cannot serve now.
type health struct {
	db     *store.Store
	engine *dialer.Engine
	fenced <-chan struct{}
}

func (h health) reasons(ctx context.Context) []api.Reason {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var reasons []api.Reason
	pending, err := 0, h.db.Ping(ctx)
	if err == nil {
		pending, err = h.db.MigrationsPending(ctx)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		reasons = append(reasons, api.Reason{Part: "database", Message: "does not answer"})
	case err != nil:
		reasons = append(reasons, api.Reason{Part: "database", Message: "cannot be reached"})
	case pending > 0:
		reasons = append(reasons, api.Reason{Part: "migrations", Message: fmt.Sprintf("the database lacks %d", pending)})
	}
	if err := h.engine.Health(ctx); err != nil {
		reasons = append(reasons, api.Reason{Part: "dialer", Message: err.Error()})
	}
	select {
	case <-h.fenced:
		reasons = append(reasons, api.Reason{Part: "node", Message: "another process took over its calls"})
	default:
	}
	return reasons
}

// simulated reports whether any call is made up.
func simulated(cfg config.Config) bool {
	for _, t := range cfg.Trunks {
		if t.Driver == "sim" {
			return true
		}
	}
	return cfg.Dialer == "sim"
}
