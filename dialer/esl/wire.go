package esl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxHead bounds the lines of a message, and maxBody what follows them, in
	// bytes: a list of ten thousand channels.
	maxHead = 64 << 10
	maxBody = 16 << 20
)

// message is what FreeSWITCH sends: lines of "name: value", and a body if one
// of them tells its length.
type message struct {
	head map[string]string
	body string
}

func (m message) kind() string { return m.head["Content-Type"] }

// reader reads messages.
type reader struct {
	limit *io.LimitedReader
	lines *textproto.Reader
}

func newReader(r io.Reader) *reader {
	limit := &io.LimitedReader{R: r}
	return &reader{limit: limit, lines: textproto.NewReader(bufio.NewReader(limit))}
}

// next returns the next message. After an error nothing can be read any more:
// where the next message begins is not known.
func (r *reader) next() (message, error) {
	r.limit.N = maxHead
	m := message{head: map[string]string{}}
	for {
		line, err := r.lines.ReadLine()
		if err != nil {
			return m, r.why(err)
		}
		if line == "" {
			if len(m.head) == 0 {
				continue
			}
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return m, errors.New("what came is not the protocol of an event socket")
		}
		m.head[name] = strings.TrimSpace(value)
	}
	text, ok := m.head["Content-Length"]
	if !ok {
		return m, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxBody {
		return m, fmt.Errorf("a message of length %.20q", text)
	}
	r.limit.N += int64(n)
	body := make([]byte, n)
	if _, err := io.ReadFull(r.lines.R, body); err != nil {
		return m, r.why(err)
	}
	m.body = string(body)
	return m, nil
}

func (r *reader) why(err error) error {
	if r.limit.N <= 0 {
		return errors.New("a message without end")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("freeswitch closed the connection")
	}
	return err
}

// event is something that happened in FreeSWITCH, as the plain form tells it:
// lines with escaped values, and a body for the result of a job.
type event struct {
	fields map[string]string // escaped
	body   string
}

// parseEvent reads the body of a text/event-plain message. A line that is none
// is left out.
func parseEvent(text string) event {
	e := event{fields: map[string]string{}}
	head, body, _ := strings.Cut(text, "\n\n")
	e.body = body
	for line := range strings.SplitSeq(head, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			e.fields[name] = strings.TrimSpace(value)
		}
	}
	return e
}

// get returns a field; "" if it is missing or not defined.
func (e event) get(name string) string {
	value, err := url.PathUnescape(e.fields[name])
	if err != nil || value == "_undef_" {
		return ""
	}
	return value
}

// number returns a field that is a number; 0 if it is none.
func (e event) number(name string) int {
	n, err := strconv.Atoi(e.get(name))
	if err != nil {
		return 0
	}
	return n
}
