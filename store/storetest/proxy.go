package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Fate is what becomes of a statement that a Proxy looks at.
type Fate int

// The fates.
const (
	Pass    Fate = iota // it is passed on, and so is its answer
	Swallow             // it is passed on; the answer is lost, and the connection with it
)

// Statement is what a client is about to have executed.
type Statement struct {
	SQL    string
	Before []string // what its transaction has executed, from its BEGIN on
}

// IsCommit reports whether the statement commits a transaction in which
// something was executed that has a text in it.
func (s Statement) IsCommit(having string) bool {
	if !strings.EqualFold(s.SQL, "commit") {
		return false
	}
	for _, sql := range s.Before {
		if strings.Contains(sql, having) {
			return true
		}
	}
	return false
}

// Proxy stands between clients and a PostgreSQL server, and is what a network
// is not in tests: unreliable on demand. It understands clients that do not
// encrypt.
type Proxy struct {
	url    url.URL
	server string
	lines  net.Listener
	pumps  sync.WaitGroup

	mu    sync.Mutex
	flow  *sync.Cond // of mu: frozen or the connections changed
	look  func(Statement) Fate
	gone  bool // nobody gets through
	still bool // nothing moves, and nobody is told
	over  bool
	conns map[net.Conn]bool // clients' and servers'
	lost  map[net.Conn]bool // those on which nothing will ever move again
}

// NewProxy starts a proxy in front of the server of a database. It ends with
// the test.
func NewProxy(t testing.TB, databaseURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{server: u.Host, lines: lines, conns: map[net.Conn]bool{}, lost: map[net.Conn]bool{}}
	p.flow = sync.NewCond(&p.mu)
	p.url = *u
	p.url.Host = lines.Addr().String()
	p.pumps.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL is the database behind the proxy.
func (p *Proxy) URL() string { return p.url.String() }

// Look sets what is asked about every statement before it is passed on; what
// it does not answer waits, and its connection with it. nil: all pass.
func (p *Proxy) Look(look func(Statement) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look = look
}

// Cut ends every connection, and new ones at once, until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.endAll()
}

// Mend undoes Cut and Freeze: those who are connected go on.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone, p.still = false, false
	p.flow.Broadcast()
}

// Freeze stops what flows, both ways, and tells nobody.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = true
}

// Strand stops what flows on the connections there are, for ever, and tells
// nobody; new ones are sound.
func (p *Proxy) Strand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.lost[c] = true
	}
}

// endAll ends the connections; mu is held.
func (p *Proxy) endAll() {
	for c := range p.conns {
		_ = c.Close()
	}
	p.flow.Broadcast()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.over, p.still = true, false
	p.endAll()
	p.mu.Unlock()
	_ = p.lines.Close()
	p.pumps.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.lines.Accept()
		if err != nil {
			return
		}
		p.pumps.Go(func() { p.serve(client) })
	}
}

// serve carries one connection.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)
	c := &carrier{proxy: p, client: client, server: server, named: map[string]string{}}
	var back sync.WaitGroup
	back.Go(c.answers)
	c.orders()
	_ = client.Close()
	_ = server.Close()
	back.Wait()
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || p.over {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
		delete(p.lost, c)
	}
}

// wait returns once something may flow again on a connection.
func (p *Proxy) wait(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.still || p.lost[conn]) && !p.over {
		p.flow.Wait()
	}
}

func (p *Proxy) ask(s Statement) Fate {
	p.mu.Lock()
	look := p.look
	p.mu.Unlock()
	if look == nil {
		return Pass
	}
	return look(s)
}

// carrier is one connection.
type carrier struct {
	proxy          *Proxy
	client, server net.Conn
	named          map[string]string // prepared statements
	executed       []string          // by the transaction; nil: there is none

	mu   sync.Mutex
	deaf bool // answers are lost
}

// answers carries what the server says.
func (c *carrier) answers() {
	defer c.client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buf)
		if err != nil {
			return
		}
		c.proxy.wait(c.client)
		c.mu.Lock()
		deaf := c.deaf
		c.mu.Unlock()
		if deaf {
			return // the server has answered: what it was told is done
		}
		if _, err := c.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// orders carries what the client says, message by message.
func (c *carrier) orders() {
	startup, err := readMessage(c.client, 0)
	for err == nil {
		c.proxy.wait(c.client)
		if _, err := c.server.Write(startup); err != nil {
			return
		}
		startup, err = c.next()
	}
}

// next reads a message and asks what becomes of it.
func (c *carrier) next() ([]byte, error) {
	m, err := readMessage(c.client, 1)
	if err != nil {
		return nil, err
	}
	sql := ""
	body := m[5:]
	switch m[0] {
	case 'Q':
		sql, _ = text(body)
	case 'P': // Parse: name, statement
		name, rest := text(body)
		c.named[name], _ = text(rest)
	case 'B': // Bind: portal, name; Execute follows at once
		_, rest := text(body)
		name, _ := text(rest)
		sql = c.named[name]
	}
	if sql == "" {
		return m, nil
	}
	fate := c.proxy.ask(Statement{SQL: sql, Before: c.executed})
	switch strings.ToLower(sql) {
	case "begin":
		c.executed = []string{}
	case "commit", "rollback":
		c.executed = nil
	default:
		if c.executed != nil {
			c.executed = append(c.executed, sql)
		}
	}
	if fate == Swallow {
		c.mu.Lock()
		c.deaf = true
		c.mu.Unlock()
	}
	return m, nil
}

// readMessage reads a message whose length stands behind a head.
func readMessage(r io.Reader, head int) ([]byte, error) {
	m := make([]byte, head+4)
	if _, err := io.ReadFull(r, m); err != nil {
		return nil, err
	}
	m = append(m, make([]byte, int(binary.BigEndian.Uint32(m[head:]))-4)...)
	_, err := io.ReadFull(r, m[head+4:])
	return m, err
}

// text cuts a text that ends with a zero off.
func text(b []byte) (string, []byte) {
	s, rest, _ := bytes.Cut(b, []byte{0})
	return string(s), rest
}
