package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/sip/sipptest"
	"ringback/store/storetest"
)

// crash is a node that calls two SIPp and is killed.
type crash struct {
	a, b     *sipptest.Peer
	dir      string
	env      []string
	node     *program
	client   *tenant
	receiver *receiver
}

// newCrash starts a node, named n1, whose SIP address stays the same.
func newCrash(t *testing.T, a, b string, env ...string) *crash {
	t.Helper()
	scenarios := filepath.Join("..", "..", "dialer", "sip", "testdata")
	c := &crash{
		a:   sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, a), Limit: patience}),
		b:   sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, b), Limit: patience}),
		dir: t.TempDir(), receiver: newReceiver(),
		env: append(env, "RINGBACK_ADMIN_USERNAME="+adminName, "RINGBACK_ADMIN_PASSWORD="+adminPassword,
			"RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "RINGBACK_GRACE=1s"),
	}
	t.Cleanup(c.receiver.Close)
	trunks := fmt.Sprintf(`trunks:
  - {name: near, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340001"], listen: '127.0.0.1:%d', options_interval: 0s}
  - {name: far, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340002"], listen: '127.0.0.1:0', options_interval: 0s}
`, c.a.Addr, sipptest.FreePort(t), c.b.Addr)
	if err := os.WriteFile(filepath.Join(c.dir, "ringback.yaml"), []byte(trunks), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(t, "n1")
	var err error
	if c.client, err = newTenant(c.node.url, 1); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts a node, which is stopped with the test.
func (c *crash) start(t *testing.T, name string) {
	t.Helper()
	node, err := startProgram("", c.dir, []string{"serve"}, append(slices.Clone(c.env), "RINGBACK_NODE="+name))
	if err != nil {
		t.Fatal(err)
	}
	c.node = node
	if c.client != nil {
		c.client.base = node.url
	}
	t.Cleanup(func() {
		if code, err := node.stop(syscall.SIGINT); code > 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, node.out.String())
		}
	})
}

// call posts the task and waits until an event was sent, or the peer got a
// message.
func (c *crash) call(t *testing.T, reached func(events []string) bool) {
	t.Helper()
	task := map[string]any{
		"name": "the last call", "a_number": "+390612340001", "b_number": "+390612340002", "extension_id": c.client.extension,
		"url_success": c.receiver.URL + "/success",
	}
	if err := c.client.must(http.StatusCreated, "POST", c.client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
	err := await(patience, func() error {
		got, err := c.client.task("the last call")
		if err == nil && !reached(c.receiver.of(got.ID)) {
			err = fmt.Errorf("the call is not that far")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kill kills the node, once what it keeps of its legs is written.
func (c *crash) kill(t *testing.T) {
	t.Helper()
	<-time.After(500 * time.Millisecond)
	if _, err := c.node.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// finished waits until the task is finished.
func (c *crash) finished(t *testing.T) wireTask {
	t.Helper()
	var got wireTask
	err := await(patience, func() (err error) {
		if got, err = c.client.task("the last call"); err == nil && got.Status != "finished" {
			err = fmt.Errorf("the task is still %s", got.Status)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, c.node.out.String())
	}
	return got
}

func talks(events []string) bool { return slices.Contains(events, "success") }

// TestSIPLegsOutliveUs: a node that is killed in the middle of a talk is
// followed by one that hangs up for it.
func TestSIPLegsOutliveUs(t *testing.T) {
	for claim, c := range map[string]struct {
		next string // the node that follows
		env  func(t *testing.T) []string
	}{
		"the same node, started again": {"n1", func(*testing.T) []string { return nil }},
		"another node": {"n2", func(t *testing.T) []string {
			return []string{"RINGBACK_DATABASE_URL=" + storetest.PostgresURL(t), "RINGBACK_SECRET_KEY=" + testKey, "RINGBACK_LEASE=1s"}
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			crash := newCrash(t, "left.xml", "left.xml", c.env(t)...)
			crash.call(t, talks)
			crash.kill(t)
			crash.start(t, c.next)
			crash.a.Wait()
			crash.b.Wait()
			if got := crash.finished(t); got.FinishResult != "success" || got.FinishComment != "attempt lost" || got.Attempts != 1 {
				t.Errorf("the task is %+v", got)
			}
			if n := strings.Count(crash.a.Messages()+crash.b.Messages(), "\nBYE sip:"); n != 2 {
				t.Errorf("%d BYE for two legs", n)
			}
		})
	}
}

// TestSIPLegsOutliveOurDatabase: who has nothing to know a leg by hangs nothing
// up; the session timer does.
func TestSIPLegsOutliveOurDatabase(t *testing.T) {
	t.Parallel()
	crash := newCrash(t, "outlives_us.xml", "outlives_us.xml")
	crash.call(t, talks)
	crash.kill(t)
	if err := os.RemoveAll(filepath.Join(crash.dir, "data")); err != nil {
		t.Fatal(err)
	}
	crash.start(t, "n1")
	crash.a.Wait()
	if !strings.Contains(crash.a.Messages(), "481 Call/Transaction Does Not Exist") || strings.Contains(crash.a.Messages(), "\nBYE sip:3906") {
		t.Errorf("the node knew the leg\n%s", crash.a.Messages())
	}
}

// TestSIPAnswersAfterACrash: a leg that rang cannot be cancelled any more; if it
// is answered, it is hung up.
func TestSIPAnswersAfterACrash(t *testing.T) {
	t.Parallel()
	crash := newCrash(t, "answers_nobody.xml", "left.xml")
	crash.call(t, func([]string) bool { return strings.Contains(crash.a.Messages(), "180 Ringing") })
	crash.kill(t)
	crash.start(t, "n1")
	crash.a.Wait()
	if got := crash.finished(t); got.FinishResult != "failed" || got.Attempts != 1 {
		t.Errorf("the task is %+v", got)
	}
}
