package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"ringback/config"
	"ringback/dialer"
	"ringback/dialer/ari"
	"ringback/dialer/esl"
	"ringback/dialer/sim"
	"ringback/dialer/sip"
)

// carriers are the networks of a node: the engine over their trunks, and the
// drivers that must be closed.
type carriers struct {
	engine  *dialer.Engine
	sounds  dialer.Sounds // what calls may be announced with
	drivers []dialer.Driver
	shared  map[network]dialer.Driver
}

// network is what trunks share a driver of: all of SIP, so that any two of
// its trunks can be bridged, an application of an Asterisk, where a second
// connection would throw out the first, or a FreeSWITCH.
type network struct{ driver, at, app string }

func networkOf(t config.Trunk) network { return network{t.Driver, cmp.Or(t.URL, t.Address), t.App} }

// carrierOptions are what carriers work with.
type carrierOptions struct {
	now      func() time.Time
	observed *metrics
	keeper   *dialer.Keeper
	log      *slog.Logger
}

// openCarriers opens the drivers of the configured trunks; or, where every
// call is to be simulated, the simulated carrier alone. What is wrong with any
// of them is reported at once.
func openCarriers(cfg config.Config, o carrierOptions) (*carriers, error) {
	list := cfg.Trunks
	if cfg.Dialer == "sim" {
		list = []config.Trunk{{Name: "sim", Driver: "sim", Internal: true, URIHosts: uriHosts(cfg)}}
	}
	c := &carriers{shared: map[network]dialer.Driver{}}
	var err error
	var faults []error
	if cfg.SoundsDir != "" {
		if c.sounds, err = dialer.LoadSounds(cfg.SoundsDir); err != nil {
			faults = append(faults, fmt.Errorf("RINGBACK_SOUNDS_DIR: %w", err))
		}
	}
	trunks := make([]dialer.Trunk, len(list))
	for i, t := range list {
		driver, err := c.open(cfg, t, o.log)
		faults = append(faults, err)
		if driver == nil {
			continue
		}
		trunks[i] = dialer.Trunk{
			Name: t.Name, Driver: driver, Prefixes: t.Prefixes, Internal: t.Internal, URIHosts: t.URIHosts, MaxChannels: t.MaxChannels,
			MaxCPS: t.MaxCPS, Failover: t.Failover, Simulated: t.Driver == "sim",
		}
		if lines, ok := driver.(*sip.Driver); ok {
			trunks[i].Health = func(context.Context) error { return lines.TrunkHealth(t.Name) }
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if c.engine, err = dialer.New(dialer.Options{Trunks: trunks, Now: o.now, Log: o.log, Observer: o.observed, Keeper: o.keeper, Sounds: c.sounds}); err != nil {
		return nil, errors.Join(err, c.close())
	}
	o.observed.trunks(c.engine)
	return c, nil
}

// uriHosts are those of all trunks.
func uriHosts(cfg config.Config) []string {
	var hosts []string
	for _, t := range cfg.Trunks {
		hosts = append(hosts, t.URIHosts...)
	}
	return hosts
}

// names are those of the trunks.
func (c *carriers) names() []string {
	var names []string
	for _, t := range c.engine.Trunks() {
		names = append(names, t.Name)
	}
	return names
}

// open returns the driver of a trunk; nil if it cannot be opened, which is told
// once, of the first trunk that needs it.
func (c *carriers) open(cfg config.Config, t config.Trunk, log *slog.Logger) (dialer.Driver, error) {
	of := networkOf(t)
	if driver, ok := c.shared[of]; ok {
		return driver, nil
	}
	driver, err := openDriver(cfg, t, log)
	if err != nil {
		driver = nil // not one that is nil within
	}
	if t.Driver != "sim" {
		c.shared[of] = driver
	}
	switch {
	case err != nil && t.Driver == "sip": // it names its trunks itself
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("trunk %s: %w", t.Name, err)
	}
	c.drivers = append(c.drivers, driver)
	return driver, nil
}

// openDriver opens the driver of a trunk.
func openDriver(cfg config.Config, t config.Trunk, log *slog.Logger) (dialer.Driver, error) {
	switch t.Driver {
	case "sim":
		return sim.New(sim.Options{
			AnswerPercent: cfg.Sim.AnswerPercent, Ring: cfg.Sim.Ring, Talk: cfg.Sim.Talk, Seed: simSeed(cfg), Journal: cfg.Sim.Journal,
			Outage: sim.Outage{After: cfg.Sim.OutageAfter, For: cfg.Sim.OutageFor},
		})
	case "sip":
		return openSIP(cfg.Trunks, log)
	case "ari":
		return ari.New(ari.Options{
			URL: t.URL, Username: t.Username, Password: string(t.Password), App: t.App, KeepLeft: true, Node: cfg.Node,
			Endpoints: endpoints(cfg.Trunks, networkOf(t)), Sounds: soundsOf(cfg.Trunks, networkOf(t)), Log: log,
		})
	case "esl":
		return esl.New(esl.Options{
			Address: t.Address, Password: string(t.Password), Node: cfg.Node,
			Endpoints: endpoints(cfg.Trunks, networkOf(t)), Sounds: soundsOf(cfg.Trunks, networkOf(t)), Log: log,
		})
	}
	return nil, fmt.Errorf("there is no driver %s", t.Driver)
}

// openSIP opens the driver of all sip trunks.
func openSIP(trunks []config.Trunk, log *slog.Logger) (dialer.Driver, error) {
	driver, err := sip.New(sipOptions(trunks, log))
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// checkSIP returns what is wrong with the sip trunks, if there are any.
func checkSIP(trunks []config.Trunk) error {
	o := sipOptions(trunks, nil)
	if len(o.Trunks) == 0 {
		return nil
	}
	return sip.Check(o)
}

func sipOptions(trunks []config.Trunk, log *slog.Logger) sip.Options {
	o := sip.Options{Log: log}
	for _, t := range trunks {
		if t.Driver == "sip" {
			o.Trunks = append(o.Trunks, sip.Trunk{
				Name: t.Name, Endpoint: t.Endpoint, Listen: t.Listen, Advertise: t.Advertise, RTPPorts: t.RTPPorts, Codecs: t.Codecs,
				OutboundProxy: t.OutboundProxy, Username: t.Username, Password: string(t.Password), Probe: t.Probe, Silence: t.Silence, Register: t.Register, Direct: t.Direct,
				TLSCert: t.TLSCert, TLSKey: t.TLSKey, TLSCA: t.TLSCA,
			})
		}
	}
	return o
}

// endpoints are those of all trunks on one application of an Asterisk, or one
// FreeSWITCH.
func endpoints(trunks []config.Trunk, of network) map[string]string {
	m := map[string]string{}
	for _, t := range trunks {
		if networkOf(t) == of {
			m[t.Name] = t.Endpoint
		}
	}
	return m
}

// soundsOf are the directories of sounds of all trunks on one application of an
// Asterisk, or one FreeSWITCH, which finds the others where we do.
func soundsOf(trunks []config.Trunk, of network) map[string]string {
	m := map[string]string{}
	for _, t := range trunks {
		if networkOf(t) == of && t.Sounds != "" {
			m[t.Name] = t.Sounds
		}
	}
	return m
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
