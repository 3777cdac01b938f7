package esl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"ringback/scheduler"
)

const (
	// connectLimit is how long an attempt to connect and sign in may take.
	connectLimit = 5 * time.Second
	// orderLimit is how long FreeSWITCH may take to obey an order, and
	// writeLimit to take it in.
	orderLimit = 10 * time.Second
	writeLimit = 5 * time.Second
)

// errUnsent says that a command never left: nothing was signalled.
var errUnsent = errors.New("freeswitch was not reached")

// errLost says that the connection broke before the answer came.
var errLost = errors.New("the connection to freeswitch broke")

// refusal is an answer of FreeSWITCH that is no success.
type refusal string

func (r refusal) Error() string { return "freeswitch answered " + string(r) }

// noChannel is what FreeSWITCH answers to an order for a channel that is not
// there.
func (r refusal) noChannel() bool {
	return strings.Contains(strings.ToLower(string(r)), "no such channel")
}

// subscription are the events that we hear of.
const subscription = "event plain BACKGROUND_JOB CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA " +
	"CHANNEL_ANSWER CHANNEL_PARK CHANNEL_EXECUTE_COMPLETE CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE"

// conn is a connection to the event socket. Commands are answered in their
// order; those of bgapi once more, by an event, when they are done.
type conn struct {
	net    net.Conn
	reader *reader
	events func(event)

	writing sync.Mutex // one command at a time, in the order of replies

	mu      sync.Mutex
	replies []chan message  // who waits, the first one first
	jobs    map[string]*job // by Job-UUID
	gone    chan struct{}   // closed: nothing more comes
	closed  bool
}

// job is a command that FreeSWITCH works on in the background.
type job struct {
	id     string
	c      *conn
	reply  chan message
	result chan string
}

// open connects and signs in; then the caller lets it read.
func open(ctx context.Context, address, password string, events func(event)) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	c := &conn{net: nc, reader: newReader(nc), events: events, jobs: map[string]*job{}, gone: make(chan struct{})}
	if err := c.signIn(password); err != nil {
		stop()
		_ = nc.Close()
		return nil, err
	}
	if !stop() {
		_ = nc.Close()
		return nil, ctx.Err()
	}
	return c, nil
}

// signIn answers the greeting.
func (c *conn) signIn(password string) error {
	hello, err := c.reader.next()
	switch {
	case err != nil:
		return err
	case hello.kind() == "text/rude-rejection":
		return errors.New("freeswitch takes no connections from our address (apply-inbound-acl)")
	case hello.kind() != "auth/request":
		return errors.New("what answers there is no event socket of freeswitch")
	}
	if _, err := fmt.Fprintf(c.net, "auth %s\n\n", password); err != nil {
		return err
	}
	reply, err := c.reader.next()
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(reply.head["Reply-Text"], "+OK"):
		return errors.New("freeswitch refuses the password")
	}
	return nil
}

// read passes on what comes until the connection is lost.
func (c *conn) read() error {
	defer c.close()
	for {
		m, err := c.reader.next()
		if err != nil {
			return err
		}
		switch m.kind() {
		case "command/reply", "api/response":
			if !c.replied(m) {
				return errors.New("freeswitch answered what it was not asked")
			}
		case "text/event-plain":
			if e := parseEvent(m.body); e.get("Event-Name") == "BACKGROUND_JOB" {
				c.done(e)
			} else {
				c.events(e)
			}
		case "text/disconnect-notice":
			return errors.New("freeswitch closed the connection")
		}
	}
}

func (c *conn) replied(m message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.replies) == 0 {
		return false
	}
	c.replies[0] <- m
	c.replies = c.replies[1:]
	return true
}

// done hands a job's result to who waits for it. Jobs of others are heard of,
// too.
func (c *conn) done(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := e.get("Job-UUID")
	if j := c.jobs[id]; j != nil {
		delete(c.jobs, id)
		j.result <- strings.TrimSpace(e.body)
	}
}

// close ends the connection, and the wait of everybody.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.gone)
		_ = c.net.Close()
	}
}

// send writes a command, whose reply will come through the channel. With an
// error FreeSWITCH does not have the whole of it, and does nothing.
func (c *conn) send(lines ...string) (chan message, error) {
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n\x00") {
			return nil, fmt.Errorf("%w: a command must be one line", errUnsent)
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	reply := make(chan message, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errUnsent
	}
	c.replies = append(c.replies, reply)
	c.mu.Unlock()
	_ = c.net.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := c.net.Write([]byte(strings.Join(lines, "\n") + "\n\n")); err != nil {
		c.close()
		return nil, fmt.Errorf("%w: %w", errUnsent, err)
	}
	return reply, nil
}

// command sends a command and waits for its reply.
func (c *conn) command(ctx context.Context, line string) (message, error) {
	reply, err := c.send(line)
	if err != nil {
		return message{}, err
	}
	select {
	case m := <-reply:
		if text := m.head["Reply-Text"]; strings.HasPrefix(text, "-ERR") {
			return m, refusal(text)
		}
		return m, nil
	case <-c.gone:
		return message{}, errLost
	case <-ctx.Done():
		return message{}, context.Cause(ctx)
	}
}

// begin starts a command in the background. With an error it was not started.
func (c *conn) begin(command string) (*job, error) {
	j := &job{id: scheduler.NewGUID(time.Now()), c: c, result: make(chan string, 1)}
	c.mu.Lock()
	c.jobs[j.id] = j
	c.mu.Unlock()
	var err error
	if j.reply, err = c.send("bgapi "+command, "Job-UUID: "+j.id); err != nil {
		j.forget()
		return nil, err
	}
	return j, nil
}

func (j *job) forget() {
	j.c.mu.Lock()
	defer j.c.mu.Unlock()
	delete(j.c.jobs, j.id)
}

// wait returns the result of the job: what FreeSWITCH said, or a refusal, or
// errLost.
func (j *job) wait(ctx context.Context) (string, error) {
	defer j.forget()
	reply := j.reply
	for {
		select {
		case m := <-reply:
			if text := m.head["Reply-Text"]; !strings.HasPrefix(text, "+OK") {
				return "", refusal(text)
			}
			reply = nil
		case text := <-j.result:
			if strings.HasPrefix(text, "-") {
				return "", refusal(text)
			}
			return text, nil
		case <-j.c.gone:
			return "", errLost
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// order has FreeSWITCH do something and waits until it has.
func (c *conn) order(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, orderLimit)
	defer cancel()
	j, err := c.begin(command)
	if err != nil {
		return "", err
	}
	return j.wait(ctx)
}
