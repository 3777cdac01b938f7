package dialer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ringback/scheduler"
)

// Trunk is a way out to a network.
type Trunk struct {
	Name        string
	Driver      Driver   // may serve several trunks; compared by identity
	Prefixes    []string // E.164, with the +; the longest match wins; none: any number
	Internal    bool     // takes dial strings such as 101, too
	URIHosts    []string // of SIP URIs that it takes, too: names in lower case and addresses
	MaxChannels int      // legs at one time on this node; 0: no limit
	MaxCPS      int      // legs begun per second on this node; 0: no limit
	Simulated   bool     // its driver reaches no network
	// Failover names the trunk that is tried where this one is down or
	// congested; "": none.
	Failover string
	// Health is nil if this trunk can be used now; without it its driver's
	// Health says so.
	Health func(context.Context) error
}

// trunk is a Trunk in use.
type trunk struct {
	Trunk
	channels channels
	pace     pace
	next     *trunk // Failover
}

func newTrunk(t Trunk) *trunk {
	return &trunk{Trunk: t, channels: channels{limit: t.MaxChannels}, pace: newPace(t.MaxCPS)}
}

// newTrunks returns the trunks with their failovers found.
func newTrunks(list []Trunk) []*trunk {
	trunks := make([]*trunk, len(list))
	for i, t := range list {
		trunks[i] = newTrunk(t)
	}
	for _, t := range trunks {
		for _, other := range trunks {
			if t.Failover == other.Name {
				t.next = other
			}
		}
	}
	return trunks
}

// health is nil if the trunk can be used now.
func (t *trunk) health(ctx context.Context) error {
	if err := t.Driver.Health(ctx); err != nil || t.Trunk.Health == nil {
		return err
	}
	return t.Trunk.Health(ctx)
}

var prefixForm = regexp.MustCompile(`^\+[0-9]{1,15}$`)

// checkTrunks returns every fault of the trunks.
func checkTrunks(trunks []Trunk) []error {
	var faults []error
	if len(trunks) == 0 {
		return []error{errors.New("there is no trunk")}
	}
	names := map[string]bool{}
	channels := 0
	for i, t := range trunks {
		switch {
		case t.Name == "":
			faults = append(faults, fmt.Errorf("trunk %d has no name", i+1))
		case names[t.Name]:
			faults = append(faults, fmt.Errorf("trunk %s is there twice", t.Name))
		}
		names[t.Name] = true
		if t.Driver == nil {
			faults = append(faults, fmt.Errorf("trunk %s has no driver", t.Name))
		}
		if t.MaxChannels < 0 {
			faults = append(faults, fmt.Errorf("trunk %s: max_channels must not be negative", t.Name))
		}
		if t.MaxCPS < 0 {
			faults = append(faults, fmt.Errorf("trunk %s: max_cps must not be negative", t.Name))
		}
		for _, p := range t.Prefixes {
			if !prefixForm.MatchString(p) {
				faults = append(faults, fmt.Errorf("trunk %s: prefix %q must be + and up to 15 digits", t.Name, p))
			}
		}
		if t.MaxChannels == 0 {
			channels = 2
		}
		channels += t.MaxChannels
	}
	if channels < 2 {
		faults = append(faults, errors.New("the trunks have fewer than the two channels that a call needs"))
	}
	return slices.Concat(faults, checkFailovers(trunks), checkPlan(trunks))
}

// checkFailovers finds trunks that fail over to nowhere, or in a circle.
func checkFailovers(trunks []Trunk) []error {
	var faults []error
	next := map[string]string{}
	for _, t := range trunks {
		next[t.Name] = t.Failover
	}
	for _, t := range trunks {
		if t.Failover == "" {
			continue
		}
		if _, ok := next[t.Failover]; !ok {
			faults = append(faults, fmt.Errorf("trunk %s: failover %s is no trunk", t.Name, t.Failover))
			continue
		}
		at := t.Failover
		for range trunks {
			if at == t.Name || at == "" {
				break
			}
			at = next[at]
		}
		if at == t.Name {
			faults = append(faults, fmt.Errorf("trunk %s fails over to itself", t.Name))
		}
	}
	return faults
}

// takes reports whether the trunk takes a number, and how many characters of
// it one of its prefixes names.
func (t *trunk) takes(n scheduler.Number) (match int, ok bool) {
	if n.E164 == "" {
		if uri, ok := scheduler.ParseURI(n.Given); ok {
			return 0, uri.Among(t.URIHosts)
		}
		return 0, t.Internal && isDialString(n.Given)
	}
	if len(t.Prefixes) == 0 {
		return 0, true
	}
	for _, p := range t.Prefixes {
		if strings.HasPrefix(n.E164, p) && len(p) > match {
			match, ok = len(p), true
		}
	}
	return match, ok
}

// isDialString reports whether s is made of what a telephone has keys for.
func isDialString(s string) bool {
	return s != "" && strings.Trim(s, "0123456789*#") == ""
}

// route returns the trunk for a number among those that may be used: the one
// with the longest prefix, the first of equals, or its failover while it is
// down; nil if none takes it.
func (e *Engine) route(n scheduler.Number, may func(*trunk) bool) *trunk {
	var best *trunk
	longest := -1
	for _, t := range e.trunks {
		if match, ok := t.takes(n); ok && match > longest && may(t) {
			best, longest = t, match
		}
	}
	if best == nil || best.health(context.Background()) == nil {
		return best
	}
	if up := best.after(n, may); up != nil {
		return up
	}
	return best
}

// after returns the first trunk of the failover order after t that is up and
// may take the number; nil if there is none.
func (t *trunk) after(n scheduler.Number, may func(*trunk) bool) *trunk {
	for next := t.next; next != nil; next = next.next {
		if _, ok := next.takes(n); ok && may(next) && next.health(context.Background()) == nil {
			return next
		}
	}
	return nil
}

// routeB returns the trunk for B beside an A on driver d: legs of different
// drivers cannot be bridged.
func (e *Engine) routeB(b scheduler.Number, d Driver, may func(*trunk) bool) *trunk {
	return e.route(b, beside(d, may))
}

// beside tells the trunks that may be used whose legs can be bridged to one of
// driver d.
func beside(d Driver, may func(*trunk) bool) func(*trunk) bool {
	return func(t *trunk) bool { return t.Driver == d && may(t) }
}

// routeA returns the trunk for an A that is to be bridged to b.
func (e *Engine) routeA(a, b scheduler.Number, may func(*trunk) bool) *trunk {
	return e.route(a, e.toward(b, may))
}

// toward tells the trunks that may be used whose legs can be bridged to b.
func (e *Engine) toward(b scheduler.Number, may func(*trunk) bool) func(*trunk) bool {
	return func(t *trunk) bool { return may(t) && e.routeB(b, t.Driver, may) != nil }
}

// reachable reports whether any trunk that may be used takes the number.
func (e *Engine) reachable(n scheduler.Number, may func(*trunk) bool) bool {
	return e.route(n, may) != nil
}
