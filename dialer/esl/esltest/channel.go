package esltest

import (
	"slices"
	"strings"
	"time"
)

// Refusal is why a channel ends.
type Refusal struct {
	Cause string // FreeSWITCH's name
	Q850  int
	SIP   int // final response; 0: none
}

// Far is what a far end does. Its times run from one thing to the next.
type Far struct {
	Unmade  string        // a cause: no channel is made at all
	Rings   time.Duration // until it rings
	Early   bool          // and sends sound before it answers
	Answers time.Duration // from ringing to the answer; 0: never
	Refuses *Refusal      // instead of answering, as soon as it would ring
	Leaves  time.Duration // from the bridge to its hang-up; 0: it stays
	Hurries time.Duration // from the answer to its hang-up; 0: it stays
	Late    time.Duration // from its end, as an originate tells it, to the event that does
}

// ByNumber tells far ends by the last four digits of what is dialled: 0200
// leaves soon after it was bridged, 0487 soon after it answered, 0480 does not
// answer, 0183 sends sound before it answers, 0486, 0603, 0404 and 0503 refuse;
// any other answers and stays.
func ByNumber(dial string) Far {
	number := strings.Trim(dial[strings.LastIndex(dial, "/")+1:], "+")
	answers := Far{Rings: 20 * time.Millisecond, Answers: 300 * time.Millisecond}
	switch number[max(0, len(number)-4):] {
	case "0200":
		answers.Leaves = 200 * time.Millisecond
	case "0487":
		answers.Hurries = 150 * time.Millisecond
	case "0183":
		answers.Early = true
	case "0480":
		answers.Answers = 0
	case "0486":
		answers.Refuses = &Refusal{"USER_BUSY", 17, 486}
	case "0603":
		answers.Refuses = &Refusal{"CALL_REJECTED", 21, 603}
	case "0404":
		answers.Refuses = &Refusal{"UNALLOCATED_NUMBER", 1, 404}
	case "0503":
		answers.Refuses = &Refusal{"NORMAL_TEMPORARY_FAILURE", 41, 503}
	}
	return answers
}

// channel is a call that FreeSWITCH makes.
type channel struct {
	s         *Server
	uuid      string
	dial      string
	variables map[string]string
	far       Far
	created   time.Time
	done      func(result string) // of its originate; nil: told
	timers    []*time.Timer

	ringing, early, answered, parked, ended bool
	playing                                 string
	partner                                 *channel
	cause                                   string
}

// originate makes a channel.
func (s *Server) originate(args string, done func(string)) {
	variables, dial, fault := ParseOriginate(args)
	uuid := variables["origination_uuid"]
	switch {
	case fault != "":
		s.fault("originate %s: %s", args, fault)
	case uuid == "" || variables["ringback_node"] == "":
		s.fault("originate %s: there is no id, or no node", args)
	case variables["ignore_early_media"] != "true" || variables["park_after_bridge"] != "true":
		s.fault("originate %s: it would go on at early media, or leave with its partner", args)
	case s.channels[uuid] != nil:
		s.fault("originate of %s, which exists", uuid)
	default:
		s.dial(&channel{s: s, uuid: uuid, dial: dial, variables: variables, far: s.far(dial), created: time.Now(), done: done})
		return
	}
	done("-ERR INVALID_MSG_UNSPECIFIED\n")
}

func (s *Server) dial(c *channel) {
	if c.far.Unmade != "" {
		c.finish("-ERR " + c.far.Unmade + "\n")
		return
	}
	s.channels[c.uuid] = c
	s.tell(c, "CHANNEL_CREATE")
	c.after(c.far.Rings, func() {
		if c.far.Refuses != nil {
			// An outgoing call that was refused is told as refused on sending, too:
			// https://developer.signalwire.com/freeswitch/Channel-Variables-Catalog/sip_hangup_disposition_16352604
			s.hangUp(c, *c.far.Refuses, "send_refuse")
			return
		}
		c.ringing = true
		s.tell(c, "CHANNEL_PROGRESS")
		if c.early = c.far.Early; c.early {
			s.tell(c, "CHANNEL_PROGRESS_MEDIA")
		}
		if c.far.Answers > 0 {
			c.after(c.far.Answers, func() { s.answer(c) })
		}
	})
}

// answer parks a channel a moment after its answer.
func (s *Server) answer(c *channel) {
	c.answered = true
	s.tell(c, "CHANNEL_ANSWER")
	c.after(10*time.Millisecond, func() {
		c.parked = true
		c.finish("+OK " + c.uuid + "\n")
		s.tell(c, "CHANNEL_PARK")
	})
	if c.far.Hurries > 0 {
		c.after(c.far.Hurries, func() { s.hangUp(c, Refusal{"NORMAL_CLEARING", 16, 200}, "recv_bye") })
	}
}

// joined puts two channels together.
func (s *Server) joined(a, b *channel) {
	a.partner, b.partner = b, a
	a.parked, b.parked = false, false
	s.tell(a, "CHANNEL_BRIDGE", "Bridge-A-Unique-ID", a.uuid, "Bridge-B-Unique-ID", b.uuid, "Other-Leg-Unique-ID", b.uuid)
	for _, c := range []*channel{a, b} {
		if c.far.Leaves > 0 {
			c.after(c.far.Leaves, func() { s.hangUp(c, Refusal{"NORMAL_CLEARING", 16, 200}, "recv_bye") })
		}
	}
}

// ours is how FreeSWITCH itself ends the channel.
func (c *channel) ours() string {
	if c.answered {
		return "send_bye"
	}
	return "send_cancel"
}

// hangUp ends a channel. The result of its originate comes before or after
// that, in turns: they are told by different threads.
func (s *Server) hangUp(c *channel, why Refusal, side string) {
	if c.ended {
		return
	}
	c.ended, c.cause = true, why.Cause
	c.stop()
	delete(s.channels, c.uuid)
	s.turn++
	if s.turn%2 == 0 || c.far.Late > 0 {
		c.finish("-ERR " + why.Cause + "\n")
	}
	told := func() { s.tell(c, "CHANNEL_HANGUP_COMPLETE", hangupFields(why, side)...) }
	if c.far.Late > 0 {
		time.AfterFunc(c.far.Late, func() { s.with(told) })
		return
	}
	told()
	c.finish("-ERR " + why.Cause + "\n")
	if p := c.partner; p != nil { // park_after_bridge
		p.partner = nil
		p.after(10*time.Millisecond, func() {
			p.parked = true
			s.tell(p, "CHANNEL_PARK")
		})
	}
}

// finish tells the result of the originate, once.
func (c *channel) finish(result string) {
	if c.done != nil {
		c.done(result)
		c.done = nil
	}
}

// after does something later, unless the channel has ended.
func (c *channel) after(d time.Duration, f func()) {
	c.timers = append(c.timers, time.AfterFunc(d, func() {
		c.s.with(func() {
			if c.s.channels[c.uuid] == c {
				f()
			}
		})
	}))
}

func (c *channel) stop() {
	for _, t := range c.timers {
		t.Stop()
	}
}

// Channels returns the ids of the channels, in order.
func (s *Server) Channels() (ids []string) {
	s.with(func() {
		for uuid := range s.channels {
			ids = append(ids, uuid)
		}
	})
	slices.Sort(ids)
	return ids
}

// Variables returns what a channel was made with.
func (s *Server) Variables(uuid string) (variables map[string]string) {
	s.with(func() {
		if c := s.channels[uuid]; c != nil {
			variables = c.variables
		}
	})
	return variables
}

// Playing returns what a channel hears of FreeSWITCH.
func (s *Server) Playing(uuid string) (sound string) {
	s.with(func() {
		if c := s.channels[uuid]; c != nil {
			sound = c.playing
		}
	})
	return sound
}

// HangUp has the far end of a channel hang up.
func (s *Server) HangUp(uuid string) {
	s.with(func() {
		if c := s.channels[uuid]; c != nil {
			s.hangUp(c, Refusal{"NORMAL_CLEARING", 16, 200}, "recv_bye")
		}
	})
}

// Kill ends a channel as somebody at FreeSWITCH's console does.
func (s *Server) Kill(uuid string) {
	s.with(func() {
		if c := s.channels[uuid]; c != nil {
			s.hangUp(c, Refusal{Cause: "MANAGER_REQUEST", Q850: 16}, c.ours())
		}
	})
}

// Strand makes a channel of a node that is parked and belongs to no call.
func (s *Server) Strand(uuid, node string) {
	s.with(func() {
		c := &channel{
			s: s, uuid: uuid, dial: "sofia/gateway/carrier/390612340000", variables: map[string]string{"ringback_node": node},
			created: time.Now(), ringing: true, answered: true, parked: true,
		}
		s.channels[uuid] = c
		s.tell(c, "CHANNEL_PARK")
	})
}
