// Package esltest plays a FreeSWITCH's event socket for tests: it obeys and
// tells what the documentation of FreeSWITCH says, with far ends that behave
// as a number asks, and judges every command that it is given.
package esltest

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are how a Server is set up.
type Options struct {
	Password string // "": ClueCon, as in the configuration that FreeSWITCH comes with
	// Far says what the far end of a dial string does; nil: ByNumber.
	Far func(dial string) Far
}

// Server is the event socket of a FreeSWITCH. Its channels outlive its
// connections. A command that no FreeSWITCH would take is a fault of the test.
type Server struct {
	Addr     string // host:port
	Password string

	t   testing.TB
	far func(string) Far
	wg  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	sessions []*session
	channels map[string]*channel
	jobs     map[string]bool // every Job-UUID so far
	commands []string
	core     string // Core-UUID, new with every start
	sequence int
	denied   bool
	frozen   bool
	apart    bool
	lags     bool
	delay    time.Duration
	turn     int
	faults   []string
}

// session is a connection.
type session struct {
	conn   net.Conn
	out    chan string
	signed bool
	events map[string]bool
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Password: o.Password, t: t, far: o.Far, channels: map[string]*channel{}, jobs: map[string]bool{}}
	if s.Password == "" {
		s.Password = "ClueCon"
	}
	if s.far == nil {
		s.far = ByNumber
	}
	s.Addr = "127.0.0.1:0"
	s.Run()
	t.Cleanup(func() {
		s.Freeze(false)
		s.Stop()
		s.wg.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.faults {
			t.Error(f)
		}
	})
	return s
}

// Run lets a server that was stopped run again, at the same address.
func (s *Server) Run() {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp4", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener, s.Addr, s.core, s.sequence = l, l.Addr().String(), id(), 0
	s.wg.Go(func() { s.accept(l) })
}

// Stop ends the server as a kill does: connections and channels are gone, and
// nobody is told.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close()
	s.drop()
	for _, c := range s.channels {
		c.stop()
	}
	clear(s.channels)
}

// Drop cuts every connection; the channels live on.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

func (s *Server) drop() {
	for _, c := range s.sessions {
		_ = c.conn.Close()
		close(c.out)
	}
	s.sessions = nil
}

// Deny has every further connection turned away, as an apply-inbound-acl does.
func (s *Server) Deny(on bool) { s.with(func() { s.denied = on }) }

// Freeze has the server neither read nor say anything.
func (s *Server) Freeze(on bool) { s.with(func() { s.frozen = on }) }

// Lag has the list of channels, which FreeSWITCH writes to a table of its own,
// not know of any.
func (s *Server) Lag(on bool) { s.with(func() { s.lags = on }) }

// KeepApart has it say yes to a bridge and not make it.
func (s *Server) KeepApart(on bool) { s.with(func() { s.apart = on }) }

// Delay has it take its time for every command.
func (s *Server) Delay(d time.Duration) { s.with(func() { s.delay = d }) }

// Say sends a text as it is to every connection.
func (s *Server) Say(text string) {
	s.with(func() {
		for _, c := range s.sessions {
			c.say(text)
		}
	})
}

// Commands returns what it was told to do, without the greeting and whether it
// is there, in their order.
func (s *Server) Commands() (commands []string) {
	s.with(func() { commands = slices.Clone(s.commands) })
	return commands
}

// Count returns how many commands begin with a text.
func (s *Server) Count(prefix string) int {
	n := 0
	for _, c := range s.Commands() {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func (s *Server) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// fault notes a command that is wrong.
func (s *Server) fault(format string, args ...any) {
	s.faults = append(s.faults, "freeswitch: "+fmt.Sprintf(format, args...))
}

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c := &session{conn: conn, out: make(chan string, 10_000), events: map[string]bool{}}
		s.mu.Lock()
		denied := s.denied
		if !denied {
			s.sessions = append(s.sessions, c)
			// The greeting of https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_event_socket_1048924/
			c.say("Content-Type: auth/request\n\n")
		}
		s.mu.Unlock()
		if denied {
			const words = "Access Denied, go away.\n"
			fmt.Fprintf(conn, "Content-Type: text/rude-rejection\nContent-Length: %d\n\n%s", len(words), words)
			_ = conn.Close()
			continue
		}
		s.wg.Go(func() { s.write(c) })
		s.wg.Go(func() { s.serve(c) })
	}
}

// say queues a text; a connection that does not read is dropped by the test's
// end.
func (c *session) say(text string) {
	select {
	case c.out <- text:
	default:
	}
}

func (s *Server) write(c *session) {
	for text := range c.out {
		s.thaw()
		if _, err := c.conn.Write([]byte(text)); err != nil {
			_ = c.conn.Close()
		}
	}
}

// thaw waits while the server is frozen.
func (s *Server) thaw() {
	for frozen := true; frozen; {
		s.with(func() { frozen = s.frozen })
		if frozen {
			<-time.After(10 * time.Millisecond)
		}
	}
}

// serve reads commands: a line, maybe headers, and an empty line.
func (s *Server) serve(c *session) {
	defer s.leave(c)
	r := bufio.NewReader(c.conn)
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			lines = append(lines, line)
			continue
		}
		if len(lines) == 0 {
			continue
		}
		s.thaw()
		var delay time.Duration
		s.with(func() { delay = s.delay })
		if delay > 0 {
			<-time.After(delay)
		}
		s.with(func() { s.obey(c, lines) })
		lines = nil
	}
}

func (s *Server) leave(c *session) {
	s.with(func() {
		if i := slices.Index(s.sessions, c); i >= 0 {
			s.sessions = slices.Delete(s.sessions, i, i+1)
			close(c.out)
		}
	})
	_ = c.conn.Close()
}

// id returns a UUID.
func id() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
