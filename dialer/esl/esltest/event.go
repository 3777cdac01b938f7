package esltest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// event is the text of an event in the plain form: lines with escaped values,
// then an empty line and the body, if there is one.
type event struct {
	text strings.Builder
}

func (e *event) add(name, value string) {
	if value == "" {
		value = "_undef_" // so FreeSWITCH writes a header without a value
	}
	escaped := strings.ReplaceAll(url.PathEscape(value), ":", "%3A")
	fmt.Fprintf(&e.text, "%s: %s\n", name, escaped)
}

// begin writes the headers that every event has. Their names and order are
// those of "Minimum event information" in
// https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Introduction/Event-System/Event-List_7143557/
func (s *Server) begin(e *event, name string) {
	s.sequence++
	now := time.Now()
	e.add("Event-Name", name)
	e.add("Core-UUID", s.core)
	e.add("FreeSWITCH-Hostname", "fs")
	e.add("FreeSWITCH-Switchname", "fs")
	e.add("FreeSWITCH-IPv4", "127.0.0.1")
	e.add("FreeSWITCH-IPv6", "::1")
	e.add("Event-Date-Local", now.Format(time.DateTime))
	e.add("Event-Date-GMT", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	e.add("Event-Date-Timestamp", fmt.Sprint(now.UnixMicro()))
	e.add("Event-Calling-File", "switch_channel.c")
	e.add("Event-Calling-Function", "switch_channel_event_set_data")
	e.add("Event-Calling-Line-Number", "1")
	e.add("Event-Sequence", fmt.Sprint(s.sequence))
}

// tell sends an event of a channel to who subscribed to it; extra are names and
// values of its own.
//
// The headers of a channel are those of "Channel events" in
// https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Introduction/Event-System/Event-List_7143557/
// and of https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Introduction/Event-System/Event-headers_32178341;
// its variables follow with variable_ before their names. Of the events that
// are sent here, that page and
// https://developer.signalwire.com/freeswitch/programming/events-catalog/ say:
//
//   - CHANNEL_CREATE: the channel has been made and is in CS_INIT
//   - CHANNEL_PROGRESS, CHANNEL_PROGRESS_MEDIA: the far end rings, without and with sound
//   - CHANNEL_ANSWER: the far end answered; Answer-State is answered
//   - CHANNEL_PARK: the channel is parked
//   - CHANNEL_EXECUTE_COMPLETE: it is through with an application: Application, Application-Data and
//     Application-Response, which for a file is FILE PLAYED or FILE NOT FOUND
//   - CHANNEL_BRIDGE: two channels are joined: Bridge-A-Unique-ID and Bridge-B-Unique-ID
//   - CHANNEL_HANGUP_COMPLETE: the channel has ended and its variables are complete: Hangup-Cause
func (s *Server) tell(c *channel, name string, extra ...string) {
	var e event
	s.begin(&e, name)
	e.add("Channel-State", c.state())
	e.add("Channel-Call-State", c.callState())
	e.add("Channel-Name", c.name())
	e.add("Unique-ID", c.uuid)
	e.add("Call-Direction", "outbound")
	e.add("Presence-Call-Direction", "outbound")
	e.add("Channel-HIT-Dialplan", "false")
	e.add("Channel-Call-UUID", c.uuid)
	e.add("Answer-State", c.answerState())
	e.add("Caller-Direction", "outbound")
	e.add("Caller-Caller-ID-Name", c.variables["origination_caller_id_name"])
	e.add("Caller-Caller-ID-Number", c.variables["origination_caller_id_number"])
	e.add("Caller-Destination-Number", c.dial[strings.LastIndex(c.dial, "/")+1:])
	e.add("Caller-Unique-ID", c.uuid)
	for i := 0; i+1 < len(extra); i += 2 {
		e.add(extra[i], extra[i+1])
	}
	for _, name := range slices.Sorted(maps.Keys(c.variables)) {
		e.add("variable_"+name, c.variables[name])
	}
	s.send(name, e.text.String()+"\n")
}

// hangupFields are what an end has beside the other headers. The variables are
// those of https://developer.signalwire.com/freeswitch/reference/channel-variables/
// (hangup_cause, hangup_cause_q850, proto_specific_hangup_cause, sip_term_status) and
// https://developer.signalwire.com/freeswitch/Channel-Variables-Catalog/sip_hangup_disposition_16352604
func hangupFields(why Refusal, side string) []string {
	fields := []string{
		"Hangup-Cause", why.Cause, "variable_hangup_cause", why.Cause, "variable_hangup_cause_q850", fmt.Sprint(why.Q850),
		"variable_sip_hangup_disposition", side,
	}
	if why.SIP != 0 {
		fields = append(fields, "variable_sip_term_status", fmt.Sprint(why.SIP), "variable_proto_specific_hangup_cause", fmt.Sprintf("sip:%d", why.SIP))
	}
	return fields
}

// finished tells the result of a job. Its headers are those of the example in
// https://lists.freeswitch.org/pipermail/freeswitch-dev/2008-April/001023.html,
// with the common ones as of today; the result is the body.
func (s *Server) finished(job, verb, args, result string) {
	var e event
	s.begin(&e, "BACKGROUND_JOB")
	e.add("Job-UUID", job)
	e.add("Job-Command", verb)
	e.add("Job-Command-Arg", args)
	fmt.Fprintf(&e.text, "Content-Length: %d\n\n%s", len(result), result)
	s.send("BACKGROUND_JOB", e.text.String())
}

// send sends the text of an event as the event socket wraps it
// (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_event_socket_1048924/).
func (s *Server) send(name, text string) {
	for _, c := range s.sessions {
		if c.events[name] {
			c.say(fmt.Sprintf("Content-Length: %d\nContent-Type: text/event-plain\n\n%s", len(text), text))
		}
	}
}

// name is that of the channel.
func (c *channel) name() string { return "sofia/external/" + c.dial[strings.LastIndex(c.dial, "/")+1:] }

// state is one of https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Introduction/Event-System/Event-List_7143557/#channel-states
func (c *channel) state() string {
	switch {
	case c.ended:
		return "CS_REPORTING"
	case c.partner != nil:
		return "CS_EXCHANGE_MEDIA"
	case c.parked:
		return "CS_EXECUTE"
	case c.ringing:
		return "CS_CONSUME_MEDIA"
	}
	return "CS_INIT"
}

func (c *channel) callState() string {
	switch {
	case c.ended:
		return "HANGUP"
	case c.answered:
		return "ACTIVE"
	case c.early:
		return "EARLY"
	case c.ringing:
		return "RINGING"
	}
	return "DOWN"
}

func (c *channel) answerState() string {
	switch {
	case c.ended:
		return "hangup"
	case c.answered:
		return "answered"
	case c.early:
		return "early"
	}
	return "ringing"
}
