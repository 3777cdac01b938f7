package sipptest

import (
	"regexp"
	"strings"
	"time"
)

// Message is one that SIPp sent or received.
type Message struct {
	At   time.Time // by SIPp's own clock
	Sent bool      // by SIPp
	Text string
}

// First is the first line, without the version of SIP: "INVITE sip:1@h",
// "180 Ringing".
func (m Message) First() string {
	line, _, _ := strings.Cut(m.Text, "\n")
	line = strings.TrimSpace(line)
	return strings.TrimSuffix(strings.TrimPrefix(line, "SIP/2.0 "), " SIP/2.0")
}

var traceHead = regexp.MustCompile(`(?m)^-{20,} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})\r?\n\w+ message (sent|received)[^\n]*\n\r?\n`)

// Trace returns what SIPp sent and received so far, as its own log has it.
func (p *Peer) Trace() []Message {
	p.t.Helper()
	text := p.Messages()
	heads := traceHead.FindAllStringSubmatchIndex(text, -1)
	list := make([]Message, len(heads))
	for i, h := range heads {
		at, err := time.ParseInLocation("2006-01-02 15:04:05.000000", text[h[2]:h[3]], time.Local)
		if err != nil {
			p.t.Fatal(err)
		}
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		list[i] = Message{At: at, Sent: text[h[4]:h[5]] == "sent", Text: text[h[1]:end]}
	}
	return list
}

// At returns when the first message whose first line begins so was sent or
// received; zero: there is none.
func (p *Peer) At(begin string) time.Time {
	p.t.Helper()
	for _, m := range p.Trace() {
		if strings.HasPrefix(m.First(), begin) {
			return m.At
		}
	}
	return time.Time{}
}
