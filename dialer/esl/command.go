package esl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ringback/dialer"
	"ringback/scheduler"
)

// unansweredFor is how long a channel may ring before FreeSWITCH ends it
// without us, in seconds: longer than any call of ours rings.
const unansweredFor = 150

// Variables that we mark our channels with: the node that they belong to, and
// the task's own variables.
const (
	nodeVariable   = "ringback_node"
	variablePrefix = "ringback_var_"
)

// ringingTone is what A hears while B rings, as most of Europe knows it (ITU-T
// E.180, supplement 2): 425 Hz, one second on, four seconds off.
const ringingTone = "tone_stream://%(1000,4000,425);loops=-1"

// originateCommand makes a channel that is parked once it was answered. Early
// media does not count as that. A channel whose partner leaves is parked
// again, so that it is ours to end, and one into the dialplan does not make way
// for the channel that is called there, whose id we do not know.
func originateCommand(node, dial string, o dialer.Originate) string {
	settings := []string{
		"origination_uuid=" + string(o.ID),
		nodeVariable + "=" + node,
		"ignore_early_media=true",
		fmt.Sprintf("originate_timeout=%d", unansweredFor),
		"hangup_after_bridge=false",
		"park_after_bridge=true",
		"loopback_bowout=false",
	}
	settings = append(settings, callerSettings(o.Caller)...)
	for _, name := range slices.Sorted(maps.Keys(o.Variables)) {
		if value := o.Variables[name]; value != "" && variableForm.MatchString(name) {
			settings = append(settings, variablePrefix+name+"="+escape(value))
		}
	}
	return "originate {" + strings.Join(settings, ",") + "}" + dial + " &park()"
}

// callerSettings name the caller; none leaves that to FreeSWITCH's own
// settings.
func callerSettings(c scheduler.CallerID) []string {
	if !isDialled(strings.TrimPrefix(c.Number, "+")) {
		return nil
	}
	settings := []string{"origination_caller_id_number=" + c.Number}
	if name := callerName(c.Name); name != "" {
		settings = append(settings, "origination_caller_id_name='"+name+"'")
	}
	return settings
}

func ringCommand(id dialer.LegID) string {
	return "uuid_broadcast " + string(id) + " " + ringingTone + " aleg"
}

func quietCommand(id dialer.LegID) string { return "uuid_break " + string(id) + " all" }

func bridgeCommand(a, b dialer.LegID) string { return "uuid_bridge " + string(a) + " " + string(b) }

// killCommand ends a channel; the cause is a name of FreeSWITCH's.
func killCommand(id dialer.LegID, cause string) string {
	return "uuid_kill " + string(id) + " " + cause
}

func dumpCommand(id dialer.LegID) string { return "uuid_dump " + string(id) + " json" }

func ownerCommand(id dialer.LegID) string { return "uuid_getvar " + string(id) + " " + nodeVariable }

const listCommand = "show channels as json"
