package esltest

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// reply is what answers a command that is not a query.
func (c *session) reply(text string, more ...string) {
	c.say("Content-Type: command/reply\nReply-Text: " + text + "\n" + strings.Join(more, "") + "\n")
}

// obey answers a command: its line, and the headers below it.
func (s *Server) obey(c *session, lines []string) {
	verb, rest, _ := strings.Cut(lines[0], " ")
	if !slices.Contains(s.sessions, c) {
		return
	}
	switch {
	case verb == "auth":
		s.auth(c, rest)
	case !c.signed:
		s.fault("a command before auth: %s", verb)
		c.reply("-ERR command not found")
	case verb == "event":
		s.subscribe(c, strings.Fields(rest))
	case verb == "api" && rest == "uptime":
		c.say("Content-Type: api/response\nContent-Length: 3\n\n42\n")
	case verb == "bgapi" && len(lines) == 2:
		s.background(c, rest, lines[1])
	default:
		s.fault("a command that is not expected: %q", lines)
		c.reply("-ERR command not found")
	}
}

// auth answers the password; after a wrong one FreeSWITCH hangs up.
func (s *Server) auth(c *session, password string) {
	if password == s.Password {
		c.signed = true
		c.reply("+OK accepted")
		return
	}
	c.reply("-ERR invalid")
	const words = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
	c.say(fmt.Sprintf("Content-Type: text/disconnect-notice\nContent-Length: %d\n\n%s", len(words), words))
}

// known are the events that may be asked for
// (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Introduction/Event-System/Event-List_7143557/).
var known = []string{
	"BACKGROUND_JOB", "CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER", "CHANNEL_PARK",
	"CHANNEL_EXECUTE_COMPLETE", "CHANNEL_BRIDGE", "CHANNEL_HANGUP_COMPLETE",
}

func (s *Server) subscribe(c *session, words []string) {
	if len(words) < 2 || words[0] != "plain" {
		s.fault("event wants a form and names, got %q", words)
		c.reply("-ERR no keywords supplied")
		return
	}
	for _, name := range words[1:] {
		if !slices.Contains(known, name) {
			s.fault("there is no event %s", name)
		}
		c.events[name] = true
	}
	c.reply("+OK event listener enabled plain")
}

// background begins a job: its reply comes at once, its result by an event
// (https://developer.signalwire.com/freeswitch/programming/esl-inbound/).
func (s *Server) background(c *session, command, header string) {
	name, job, ok := strings.Cut(header, ": ")
	switch {
	case !ok || name != "Job-UUID":
		s.fault("below bgapi stands %q", header)
	case s.jobs[job]:
		s.fault("the job %s was given twice", job)
	case !c.events["BACKGROUND_JOB"]:
		s.fault("a job, and its result is not subscribed to")
	}
	s.jobs[job] = true
	s.commands = append(s.commands, command)
	c.reply("+OK Job-UUID: "+job, "Job-UUID: "+job+"\n")
	verb, args, _ := strings.Cut(command, " ")
	done := func(result string) { s.finished(job, verb, args, result) }
	if verb == "originate" {
		s.originate(args, done)
		return
	}
	done(s.do(verb, strings.Split(args, " ")))
}

// killable are names of hang-up causes
// (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Troubleshooting-Debugging/Hangup-Cause-Code-Table_3964945/).
var killable = map[string]int{"NORMAL_CLEARING": 16, "USER_BUSY": 17, "NO_ANSWER": 19, "CALL_REJECTED": 21, "LOSE_RACE": 16, "MANAGER_REQUEST": 16}

// do obeys a command of mod_commands and returns what it prints
// (https://developer.signalwire.com/freeswitch/reference/cli-and-api/).
func (s *Server) do(verb string, args []string) string {
	if verb == "show" {
		if !slices.Equal(args, []string{"channels", "as", "json"}) {
			s.fault("show %q", args)
		}
		return s.list()
	}
	ch := s.channels[args[0]]
	want := map[string]int{"uuid_kill": 2, "uuid_bridge": 2, "uuid_broadcast": 3, "uuid_break": 2, "uuid_getvar": 2, "uuid_dump": 2, "uuid_send_dtmf": 2}[verb]
	switch {
	case len(args) != want:
		s.fault("%s %q", verb, args)
		return "-USAGE: " + verb + "\n"
	case ch == nil:
		return "-ERR No such channel!\n"
	}
	switch verb {
	case "uuid_kill":
		q850, ok := killable[args[1]]
		if !ok {
			s.fault("there is no cause %s", args[1])
		}
		why := Refusal{Cause: args[1], Q850: q850}
		if !ch.answered {
			why.SIP = 487 // what a phone answers to the INVITE that was cancelled
		}
		s.hangUp(ch, why, ch.ours())
	case "uuid_getvar":
		if value, ok := ch.variables[args[1]]; ok {
			return value
		}
		return "_undef_"
	case "uuid_dump":
		return ch.dump(args[1])
	case "uuid_bridge":
		return s.bridge(ch, args[1])
	case "uuid_broadcast":
		return s.play(ch, args[1], args[2])
	case "uuid_send_dtmf":
		digits, length, _ := strings.Cut(args[1], "@")
		if !ch.parked || strings.Trim(digits, "0123456789*#ABCDwW") != "" || digits == "" || length != "100" {
			s.fault("uuid_send_dtmf %q to a channel that is parked: %t", args, ch.parked)
		}
	case "uuid_break":
		if ch.playing == "" || args[1] != "all" {
			s.fault("uuid_break %q of a channel that plays %q", args, ch.playing)
		}
		ch.playing = ""
	}
	return "+OK\n"
}

// play plays a tone, or a WAV file of the disk; when it is through with the
// file, it says so.
func (s *Server) play(c *channel, sound, leg string) string {
	tone := strings.HasPrefix(sound, "tone_stream://")
	if !c.parked || leg != "aleg" || c.playing != "" || !tone && (!strings.HasPrefix(sound, "/") || !strings.HasSuffix(sound, ".wav")) {
		s.fault("uuid_broadcast of %s to the %s of a channel that is parked %t and hears %q", sound, leg, c.parked, c.playing)
	}
	c.playing = sound
	if tone {
		return "+OK Message sent\n"
	}
	response, length := "FILE PLAYED", time.Duration(0)
	if info, err := os.Stat(sound); err != nil {
		response = "FILE NOT FOUND"
	} else {
		length = time.Duration(info.Size()-44) * time.Second / 16_000 // 16 bits, mono, 8 kHz
	}
	c.after(length, func() {
		c.playing = ""
		s.tell(c, "CHANNEL_EXECUTE_COMPLETE", "Application", "playback", "Application-Data", sound, "Application-Response", response)
	})
	return "+OK Message sent\n"
}

func (s *Server) bridge(a *channel, other string) string {
	b := s.channels[other]
	switch {
	case b == nil:
		return "-ERR Invalid uuid\n"
	case !a.parked || !b.parked || !a.answered || !b.answered:
		s.fault("uuid_bridge of channels that are answered %t and %t, parked %t and %t", a.answered, b.answered, a.parked, b.parked)
	case a.playing != "":
		s.fault("uuid_bridge of a channel that still hears %s", a.playing)
	}
	a.after(10*time.Millisecond, func() {
		if s.channels[b.uuid] == b && !s.apart {
			s.joined(a, b)
		}
	})
	return "+OK " + other + "\n"
}

// list is what show channels as json prints; its columns are those of the
// table of channels (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_commands_1966741/).
func (s *Server) list() string {
	type row map[string]string
	var answer struct {
		Count int   `json:"row_count"`
		Rows  []row `json:"rows,omitempty"`
	}
	for _, c := range s.channels {
		if s.lags {
			break
		}
		answer.Count++
		answer.Rows = append(answer.Rows, row{
			"uuid": c.uuid, "direction": "outbound", "created_epoch": fmt.Sprint(c.created.Unix()), "name": c.name(), "state": c.state(),
			"cid_name": c.variables["origination_caller_id_name"], "cid_num": c.variables["origination_caller_id_number"],
			"ip_addr": "", "dest": c.dial[strings.LastIndex(c.dial, "/")+1:], "application": c.application(), "application_data": "",
			"dialplan": "XML", "context": "default", "hostname": "fs", "presence_id": "", "presence_data": "", "accountcode": "",
			"callstate": c.callState(), "callee_name": "Outbound Call", "call_uuid": "",
		})
	}
	return asJSON(answer)
}

// dump is what uuid_dump prints: the headers of the channel, as its events have
// them, and its variables.
func (c *channel) dump(format string) string {
	if format != "json" {
		c.s.fault("uuid_dump as %s", format)
	}
	answer := map[string]string{
		"Event-Name": "CHANNEL_DATA", "Channel-State": c.state(), "Channel-Call-State": c.callState(), "Channel-Name": c.name(),
		"Unique-ID": c.uuid, "Answer-State": c.answerState(), "variable_current_application": c.application(),
	}
	for name, value := range c.variables {
		answer["variable_"+name] = value
	}
	return asJSON(answer)
}

func (c *channel) application() string {
	switch {
	case c.partner != nil:
		return "uuid_bridge"
	case c.parked:
		return "park"
	}
	return ""
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "-ERR " + err.Error()
	}
	return string(text)
}

// originateForm is a call to park: variables in braces, a dial string and the
// application
// (https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_commands_1966741/#originate).
var (
	originateForm = regexp.MustCompile(`^\{([^{}\[\]<>]+)\}([A-Za-z0-9_./:;=@+*%-]+) &park\(\)$`)
	settingForm   = regexp.MustCompile(`^([a-z][A-Za-z0-9_]*)=([^'"\\$^&|` + "`" + `]+|'[^'"\\$^&|` + "`" + `]+')$`)
)

// understood are the variables of an originate that are FreeSWITCH's own
// (https://developer.signalwire.com/freeswitch/reference/channel-variables/).
var understood = []string{
	"origination_uuid", "ignore_early_media", "originate_timeout", "hangup_after_bridge", "park_after_bridge", "loopback_bowout",
	"origination_caller_id_name", "origination_caller_id_number",
}

// ParseOriginate reads the arguments of an originate; a fault says what is
// wrong with them.
func ParseOriginate(args string) (variables map[string]string, dial, fault string) {
	m := originateForm.FindStringSubmatch(args)
	if m == nil {
		return nil, "", "it is not {variables}dial-string &park()"
	}
	variables = map[string]string{}
	for _, setting := range strings.Split(m[1], ",") {
		pair := settingForm.FindStringSubmatch(setting)
		if pair == nil {
			return nil, "", fmt.Sprintf("%q is no setting", setting)
		}
		if strings.Contains(pair[2], " ") && pair[2][0] != '\'' {
			return nil, "", fmt.Sprintf("%q has a space and no quotes", setting)
		}
		if _, ok := variables[pair[1]]; ok {
			return nil, "", pair[1] + " is set twice"
		}
		if !slices.Contains(understood, pair[1]) && !strings.HasPrefix(pair[1], "ringback_") {
			return nil, "", "there is no variable " + pair[1]
		}
		variables[pair[1]] = strings.Trim(pair[2], "'")
	}
	return variables, m[2], ""
}
