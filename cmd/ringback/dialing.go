package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"ringback/config"
	"ringback/dialer"
	"ringback/dialer/sim"
	"ringback/dialer/sip"
)

// carriers are the networks of a node: the engine over their trunks, and the
// drivers that must be closed.
type carriers struct {
	engine  *dialer.Engine
	drivers []dialer.Driver
}

// openCarriers opens the drivers of the configured trunks; or, where every
// call is to be simulated, the simulated carrier alone.
func openCarriers(cfg config.Config, now func() time.Time, log *slog.Logger) (*carriers, error) {
	list := cfg.Trunks
	if cfg.Dialer == "sim" {
		list = []config.Trunk{{Name: "sim", Driver: "sim", Internal: true}}
	}
	c := &carriers{}
	trunks := make([]dialer.Trunk, len(list))
	for i, t := range list {
		driver, err := openDriver(cfg, t, log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("trunk %s: %w", t.Name, err), c.close())
		}
		c.drivers = append(c.drivers, driver)
		trunks[i] = dialer.Trunk{
			Name: t.Name, Driver: driver, Prefixes: t.Prefixes, Internal: t.Internal, MaxChannels: t.MaxChannels,
			Simulated: t.Driver == "sim",
		}
	}
	var err error
	if c.engine, err = dialer.New(dialer.Options{Trunks: trunks, Now: now, Log: log}); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// openDriver opens the driver of a trunk.
func openDriver(cfg config.Config, t config.Trunk, log *slog.Logger) (dialer.Driver, error) {
	switch t.Driver {
	case "sim":
		return sim.New(sim.Options{
			AnswerPercent: cfg.Sim.AnswerPercent, Ring: cfg.Sim.Ring, Talk: cfg.Sim.Talk, Seed: simSeed(cfg), Journal: cfg.Sim.Journal,
		})
	case "sip":
		return sip.New(sip.Options{
			Name: t.Name, Endpoint: t.Endpoint, Listen: t.Listen, Advertise: t.Advertise, RTPPorts: t.RTPPorts, Codecs: t.Codecs,
			OutboundProxy: t.OutboundProxy, Log: log,
		})
	}
	return nil, fmt.Errorf("there is no driver %s", t.Driver)
}

// simSeed is the seed that was configured, or a random one.
func simSeed(cfg config.Config) uint64 {
	if cfg.Sim.Seed != 0 {
		return cfg.Sim.Seed
	}
	return rand.Uint64()
}

// closeEnd is how long the peers of legs that are left may take to let go.
const closeEnd = 5 * time.Second

// close ends every leg.
func (c *carriers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeEnd)
	defer cancel()
	var errs []error
	for _, d := range c.drivers {
		// A peer that does not answer is left to its own timers.
		if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
