package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/esl/esltest"
	"ringback/store/storetest"
)

// switchboard is a FreeSWITCH's event socket and a node that is connected to
// it, set up as docs/trunks.md says.
type switchboard struct {
	fs     *esltest.Server
	client *tenant
	events *receiver
	node   *program
	dir    string
	env    []string
}

func newSwitchboard(t *testing.T, env ...string) *switchboard {
	t.Helper()
	s := &switchboard{
		fs: esltest.Start(t, esltest.Options{Password: "change-me-please"}), events: newReceiver(), dir: t.TempDir(),
		env: append(env, "RINGBACK_ADMIN_USERNAME="+adminName, "RINGBACK_ADMIN_PASSWORD="+adminPassword,
			"RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "RINGBACK_GRACE=1s"),
	}
	t.Cleanup(s.events.Close)
	file := strings.ReplaceAll(section(t, "yaml"), "127.0.0.1:8021", s.fs.Addr)
	if err := os.WriteFile(filepath.Join(s.dir, "ringback.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t, "desk")
	var err error
	if s.client, err = newTenant(s.node.url, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts a node.
func (s *switchboard) start(t *testing.T, name string) {
	t.Helper()
	node, err := startProgram("", s.dir, []string{"serve"}, append(slices.Clone(s.env), "RINGBACK_NODE="+name))
	if err != nil {
		t.Fatal(err)
	}
	s.node = node
	if s.client != nil {
		s.client.base = node.url
	}
	t.Cleanup(func() {
		if code, err := node.stop(syscall.SIGINT); code > 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, node.out.String())
		}
	})
}

// section returns the first block of a language below the heading of
// FreeSWITCH in docs/trunks.md that has all words in it.
func section(t *testing.T, language string, words ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "trunks.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## FreeSWITCH")
	for {
		var block string
		var ok bool
		if _, rest, ok = strings.Cut(rest, "```"+language+"\n"); !ok {
			t.Fatalf("docs/trunks.md has no %s with %q for FreeSWITCH", language, words)
		}
		block, rest, _ = strings.Cut(rest, "```")
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(block, w) }) {
			return block
		}
	}
}

// post posts the task to A and B, told apart by the ends of their numbers.
func (s *switchboard) post(t *testing.T, a, b string) {
	t.Helper()
	task := map[string]any{
		"name": "by switchboard", "a_number": "+39061234" + a, "b_number": "+39061235" + b, "extension_id": s.client.extension,
		"url_before": s.events.URL + "/before", "url_success": s.events.URL + "/success", "url_after": s.events.URL + "/after",
		"variables": map[string]string{"order": "7,8"},
	}
	if err := s.client.must(http.StatusCreated, "POST", s.client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
}

// until waits until the task, and the events of it, are as wanted.
func (s *switchboard) until(t *testing.T, what string, wanted func(wireTask, []string) bool) wireTask {
	t.Helper()
	var got wireTask
	err := await(patience, func() (err error) {
		got, err = s.client.task("by switchboard")
		if events := s.events.of(got.ID); err == nil && !wanted(got, events) {
			err = fmt.Errorf("%s: the task is %s, events %q", what, got.Status, events)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.node.out.String())
	}
	return got
}

func (s *switchboard) finished(t *testing.T) wireTask {
	t.Helper()
	got := s.until(t, "the end", func(task wireTask, _ []string) bool { return task.Status == "finished" })
	if got.FinishResult != "success" || got.Attempts != 1 {
		t.Errorf("the task is %+v\n%s", got, s.node.out.String())
	}
	return got
}

func (s *switchboard) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := asker.Get(s.node.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestFreeSWITCH sends one task through the program to a FreeSWITCH.
func TestFreeSWITCH(t *testing.T) {
	t.Parallel()
	s := newSwitchboard(t)
	s.post(t, "0000", "0200")
	got := s.finished(t)
	var call struct {
		Result      string            `json:"result"`
		Simulated   bool              `json:"simulated"`
		Disposition string            `json:"hangup_disposition"`
		Cause       string            `json:"hangup_cause"`
		Variables   map[string]string `json:"variables"`
		CDR         []struct {
			Leg     string `json:"leg"`
			Result  string `json:"result"`
			SIPCode int    `json:"sip_code"`
			Q850    int    `json:"q850"`
			Trunk   string `json:"trunk"`
			PDD     *int   `json:"pdd_ms"`
		} `json:"cdr"`
	}
	if err := s.client.must(http.StatusOK, "GET", s.client.path("/call_history/"+got.CDR), nil, &call); err != nil {
		t.Fatal(err)
	}
	for i, l := range call.CDR {
		if l.PDD == nil || *l.PDD < 20 || *l.PDD > 10_000 {
			t.Errorf("the post-dial delay of leg %s is %v", l.Leg, l.PDD)
		}
		call.CDR[i].PDD = nil
	}
	want := "{bridged false callee_bye NORMAL_CLEARING map[order:7,8] [{a answered 0 16 fs <nil>} {b answered 200 16 fs <nil>}]}"
	if fmt.Sprint(call) != want {
		t.Errorf("the call history says\n%v, want\n%s", call, want)
	}
	s.until(t, "the events", func(_ wireTask, events []string) bool {
		return slices.Equal(events, []string{"before", "success", "after"})
	})
	if left := s.fs.Channels(); len(left) > 0 {
		t.Errorf("freeswitch has channels %q", left)
	}
	for _, c := range s.fs.Commands() {
		if strings.HasPrefix(c, "originate") && !strings.Contains(c, "ringback_var_order=7%2C8") {
			t.Errorf("the variables are not in %q", c)
		}
	}
	_, metrics := s.get(t, "/metrics")
	for _, line := range []string{
		`ringback_trunk_up{trunk="fs"} 1`, `ringback_trunk_channels{trunk="fs"} 0`,
		`ringback_legs_total{disposition="answered",role="a",trunk="fs"} 1`, `ringback_legs_total{disposition="answered",role="b",trunk="fs"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// TestFreeSWITCHOutlivesUs: a node that is killed in the middle of a talk leaves
// nothing behind once it is back, or another one takes over.
func TestFreeSWITCHOutlivesUs(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		next string // the node that follows
		env  func(t *testing.T) []string
	}{
		"the same node, started again": {"desk", func(*testing.T) []string { return nil }},
		"another node": {"other", func(t *testing.T) []string {
			return []string{"RINGBACK_DATABASE_URL=" + storetest.PostgresURL(t), "RINGBACK_SECRET_KEY=" + testKey, "RINGBACK_LEASE=1s"}
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			s := newSwitchboard(t, c.env(t)...)
			s.post(t, "0000", "0000")
			s.until(t, "the talk", func(_ wireTask, events []string) bool { return slices.Contains(events, "success") })
			<-time.After(500 * time.Millisecond) // what is kept of its legs is written
			if _, err := s.node.stop(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if left := s.fs.Channels(); len(left) != 2 {
				t.Fatalf("freeswitch has channels %q after the kill: nothing is tested", left)
			}
			s.start(t, c.next)
			if err := await(patience, func() error {
				if left := s.fs.Channels(); len(left) > 0 {
					return fmt.Errorf("freeswitch still has channels %q", left)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if got := s.finished(t); got.FinishComment != "attempt lost" {
				t.Errorf("the task is %+v", got)
			}
		})
	}
}

// TestFreeSWITCHIsAway: tasks wait without losing a try, and are called when it
// is back; one that dies in the middle of a talk ends it for us, too.
func TestFreeSWITCHIsAway(t *testing.T) {
	t.Parallel()
	s := newSwitchboard(t)
	s.fs.Stop()
	if err := await(patience, func() error {
		if code, text := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "trunk fs is down: freeswitch is away") {
			return fmt.Errorf("/readyz: %d %s", code, text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.post(t, "0000", "0000")
	<-time.After(3 * time.Second) // three ticks
	if got, err := s.client.task("by switchboard"); err != nil || got.Status != "scheduled" || got.Attempts != 0 {
		t.Errorf("while freeswitch is away the task is %+v, %v", got, err)
	}
	s.fs.Run()
	s.until(t, "the talk", func(_ wireTask, events []string) bool { return slices.Contains(events, "success") })
	s.fs.Stop()
	s.fs.Run()
	s.finished(t)
	if code, text := s.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d %s", code, text)
	}
}

// TestFreeSWITCHFiles: what docs/trunks.md has FreeSWITCH read fits together,
// and fits what ringback reads.
func TestFreeSWITCHFiles(t *testing.T) {
	type params struct {
		Name   string `xml:"name,attr"`
		Params []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"param"`
	}
	value := func(p params, name string) string {
		for _, v := range p.Params {
			if v.Name == name {
				return v.Value
			}
		}
		return ""
	}
	read := func(into any, words ...string) {
		t.Helper()
		if err := xml.Unmarshal([]byte(section(t, "xml", words...)), into); err != nil {
			t.Fatal(err)
		}
	}
	var socket struct {
		Name     string `xml:"name,attr"`
		Settings params `xml:"settings"`
	}
	read(&socket, "event_socket.conf")
	var carrier struct {
		Gateway params `xml:"gateway"`
	}
	read(&carrier, "<gateway")
	var list struct {
		Name    string `xml:"name,attr"`
		Default string `xml:"default,attr"`
		Nodes   []struct {
			Type string `xml:"type,attr"`
			CIDR string `xml:"cidr,attr"`
		} `xml:"node"`
	}
	read(&list, "<list")
	ours := section(t, "yaml")
	for _, want := range []string{
		"address: " + value(socket.Settings, "listen-ip") + ":" + value(socket.Settings, "listen-port") + "\n",
		"password: " + value(socket.Settings, "password") + "\n",
		`endpoint: "sofia/gateway/` + carrier.Gateway.Name + `/{number}"`,
	} {
		if !strings.Contains(ours, want) {
			t.Errorf("ringback.yaml lacks %q", want)
		}
	}
	if socket.Name != "event_socket.conf" || value(socket.Settings, "password") == "" || list.Name != "ringback" || list.Default != "deny" || len(list.Nodes) != 1 {
		t.Errorf("read %+v and %+v", socket, list)
	}
}
