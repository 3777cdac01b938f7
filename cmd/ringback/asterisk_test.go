package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/sip/sipptest"
	"ringback/store/storetest"
)

// office is an Asterisk with SIPp at its far ends and a node that is connected
// to it, both set up as docs/trunks.md says.
type office struct {
	pbx    *asterisktest.PBX
	a, b   *sipptest.Peer
	node   *program
	client *tenant
	events *receiver
	dir    string
	name   string   // of the node
	env    []string // what it has beside the usual

	exchange *sipptest.Exchange
}

// officeOptions say what is to be started.
type officeOptions struct {
	root string   // Asterisk's
	a, b string   // scenarios of the far ends
	env  []string // of the node
}

// newOffice starts all of it; the scenarios are those of A and B.
func newOffice(t *testing.T, root, a, b string) *office {
	t.Helper()
	return newOfficeOn(t, officeOptions{root: root, a: a, b: b})
}

func newOfficeOn(t *testing.T, want officeOptions) *office {
	t.Helper()
	scenarios := filepath.Join("..", "..", "dialer", "sip", "testdata")
	exchange := sipptest.NewExchange(t)
	keys := map[string]string{"ring": "600", "talk": "1500"} // of those that have them
	o := &office{
		a:      sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, want.a), Keys: keys, Limit: 2 * patience}),
		b:      sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, want.b), Keys: keys, Limit: 2 * patience}),
		events: newReceiver(), dir: t.TempDir(), exchange: exchange, name: "desk", env: want.env,
	}
	t.Cleanup(o.events.Close)
	exchange.Connect("390612340001", o.a.Addr)
	exchange.Connect("390612340002", o.b.Addr)
	o.pbx = asterisktest.Start(t, asterisktest.Options{Root: want.root, Carrier: exchange.Addr.String()})
	if err := os.WriteFile(filepath.Join(o.dir, "ringback.yaml"), []byte(o.pbx.Doc("`ringback.yaml`")), 0o600); err != nil {
		t.Fatal(err)
	}
	o.start(t)
	var err error
	if o.client, err = newTenant(o.node.url, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := o.node.stop(syscall.SIGINT); code != 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, o.node.out.String())
		}
	})
	return o
}

// start starts the node, again if it was killed.
func (o *office) start(t *testing.T) {
	t.Helper()
	var err error
	o.node, err = startProgram("", o.dir, []string{"serve"}, append([]string{
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword,
		"RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "RINGBACK_NODE=" + o.name, "RINGBACK_GRACE=1s",
	}, o.env...))
	if err != nil {
		t.Fatal(err)
	}
	if o.client != nil {
		o.client.base = o.node.url
	}
}

// post posts the task.
func (o *office) post(t *testing.T) { o.posts(t, nil) }

// posts posts the task with more in it.
func (o *office) posts(t *testing.T, more map[string]any) {
	t.Helper()
	task := map[string]any{
		"name": "at the office", "a_number": "+390612340001", "b_number": "+390612340002", "extension_id": o.client.extension,
		"url_before": o.events.URL + "/before", "url_success": o.events.URL + "/success", "url_after": o.events.URL + "/after",
	}
	maps.Copy(task, more)
	if err := o.client.must(http.StatusCreated, "POST", o.client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
}

// talk waits until A and B talk, and that is written.
func (o *office) talk(t *testing.T) {
	t.Helper()
	err := await(patience, func() error {
		got, err := o.client.task("at the office")
		if err == nil && !slices.Contains(o.events.of(got.ID), "success") {
			err = fmt.Errorf("A and B do not talk yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// finished waits until the task is finished, and wants it to be a success.
func (o *office) finished(t *testing.T) wireTask {
	t.Helper()
	var got wireTask
	err := await(patience, func() (err error) {
		if got, err = o.client.task("at the office"); err == nil && got.Status != "finished" {
			err = fmt.Errorf("the task is still %s", got.Status)
		}
		return err
	})
	if err != nil || got.FinishResult != "success" {
		t.Fatalf("got %+v, %v\n%s", got, err, o.node.out.String())
	}
	return got
}

// empty waits until Asterisk has neither channels nor bridges.
func (o *office) empty(t *testing.T) {
	t.Helper()
	err := await(patience, func() error {
		if channels, bridges := o.pbx.Channels(), o.pbx.Bridges(); len(channels)+len(bridges) > 0 {
			return fmt.Errorf("asterisk still has channels %q and bridges %q", channels, bridges)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAsterisk sends one task through the program and an Asterisk to two SIPp.
func TestAsterisk(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOffice(t, root, "measured.xml", "measured_end.xml")
		o.post(t)
		got := o.finished(t)
		o.a.Wait()
		o.b.Wait()
		var measured tracedCall
		if err := o.client.must(http.StatusOK, "GET", o.client.path("/call_history/"+got.CDR), nil, &measured); err != nil {
			t.Fatal(err)
		}
		measured.Legs[0].compare(t, o.a, "200", "BYE")
		measured.Legs[1].compare(t, o.b, "200", "BYE")
		var call struct {
			Result      string `json:"result"`
			Simulated   bool   `json:"simulated"`
			Disposition string `json:"hangup_disposition"`
			Cause       string `json:"hangup_cause"`
			CDR         []struct {
				Leg    string `json:"leg"`
				Result string `json:"result"`
				Q850   int    `json:"q850"`
				Trunk  string `json:"trunk"`
			} `json:"cdr"`
		}
		if err := o.client.must(http.StatusOK, "GET", o.client.path("/call_history/"+got.CDR), nil, &call); err != nil {
			t.Fatal(err)
		}
		want := "{bridged false callee_bye NORMAL_CLEARING [{a answered 16 pbx} {b answered 16 pbx}]}"
		if fmt.Sprint(call) != want {
			t.Errorf("the call history says\n%v, want\n%s", call, want)
		}
		err := await(patience, func() error {
			if types := o.events.of(got.ID); !slices.Equal(types, []string{"before", "success", "after"}) {
				return fmt.Errorf("events %q", types)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		o.empty(t)
	})
}

// adopts starts who adopts the call that the killed node leaves, waits until
// it did, lets B hang up, and looks at what is recorded.
func (o *office) adopts(t *testing.T, start func()) {
	t.Helper()
	o.post(t)
	o.talk(t)
	if _, err := o.node.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	channels := o.pbx.Channels()
	if len(channels) != 2 {
		t.Fatalf("asterisk has channels %q after the kill: nothing is tested", channels)
	}
	start()
	if err := await(patience, func() error {
		if !strings.Contains(o.node.out.String(), "a call goes on that another node left") {
			return errors.New("the call was not adopted")
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, o.node.out.String())
	}
	<-time.After(time.Second) // it talks on, and nobody sweeps it away
	if now := o.pbx.Channels(); len(now) != 2 {
		t.Fatalf("asterisk has channels %q: the call was hung up\n%s", now, o.node.out.String())
	}
	if got, err := o.client.task("at the office"); err != nil || got.Status != "executed" {
		t.Errorf("while they talk the task is %+v, %v", got, err)
	}
	b := slices.IndexFunc(channels, func(id string) bool { return strings.Contains(id, "-b1") })
	if code, err := o.pbx.Request("DELETE", "channels/"+channels[b]); err != nil || code >= 300 {
		t.Fatalf("hang up B: %d, %v", code, err)
	}
	got := o.finished(t)
	if got.Attempts != 1 || got.FinishComment != "" {
		t.Errorf("the task is %+v", got)
	}
	o.empty(t)
	o.a.Wait()
	o.b.Wait()
	var call struct {
		Result      string  `json:"result"`
		Disposition string  `json:"hangup_disposition"`
		Bridged     float64 `json:"bridged_duration"`
		CDR         []struct {
			Leg    string `json:"leg"`
			Number string `json:"number"`
			Result string `json:"result"`
			Trunk  string `json:"trunk"`
		} `json:"cdr"`
	}
	if err := o.client.must(http.StatusOK, "GET", o.client.path("/call_history/"+got.CDR), nil, &call); err != nil {
		t.Fatal(err)
	}
	want := "[{a +390612340001 answered pbx} {b +390612340002 answered pbx}]"
	if call.Result != "bridged" || call.Disposition != "callee_bye" || call.Bridged < 1 || fmt.Sprint(call.CDR) != want {
		t.Errorf("the call history says %+v, want %s", call, want)
	}
	err := await(patience, func() error {
		if types := o.events.of(got.ID); !slices.Equal(types, []string{"before", "success", "after"}) {
			return fmt.Errorf("events %q", types)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAsteriskOutlivesUs: a node that is killed in the middle of a talk goes on
// with it when it is back.
func TestAsteriskOutlivesUs(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOffice(t, root, "answer.xml", "answer.xml")
		o.adopts(t, func() { o.start(t) })
	})
}

// TestAsteriskOutlivesANode: another node goes on with a talk whose node was
// killed, and that one leaves it alone when it is back.
func TestAsteriskOutlivesANode(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOfficeOn(t, officeOptions{
			root: root, a: "answer.xml", b: "answer.xml",
			env: []string{"RINGBACK_DATABASE_URL=" + storetest.PostgresURL(t), "RINGBACK_LEASE=2s", "RINGBACK_SECRET_KEY=" + testKey},
		})
		o.adopts(t, func() {
			o.name = "desk2"
			o.start(t)
			adopter := o.node
			if err := await(patience, func() error {
				if !strings.Contains(adopter.out.String(), "a call goes on that another node left") {
					return errors.New("the call was not adopted")
				}
				return nil
			}); err != nil {
				t.Fatalf("%v\n%s", err, adopter.out.String())
			}
			o.name = "desk"
			o.start(t)
			killed := o.node
			t.Cleanup(func() {
				if code, err := killed.stop(syscall.SIGINT); code != 0 || err != nil {
					t.Errorf("stop: exit code %d, %v", code, err)
				}
			})
			o.node, o.client.base = adopter, adopter.url
		})
	})
}

// TestAsteriskIsAway: tasks wait without losing a try, and are called when it
// is back.
func TestAsteriskIsAway(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOffice(t, root, "answer.xml", "hangs_up.xml")
		o.pbx.Stop(syscall.SIGKILL)
		err := await(patience, func() error {
			resp, err := asker.Get(o.node.url + "/readyz")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "trunk pbx is down: asterisk is away") {
				return fmt.Errorf("/readyz: %d %s", resp.StatusCode, body)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		o.post(t)
		<-time.After(3 * time.Second) // three ticks
		if got, err := o.client.task("at the office"); err != nil || got.Status != "scheduled" || got.Attempts != 0 {
			t.Errorf("while asterisk is away the task is %+v, %v", got, err)
		}
		o.pbx.Run()
		if got := o.finished(t); got.Attempts != 1 {
			t.Errorf("the task took %d attempts", got.Attempts)
		}
		o.a.Wait()
		o.b.Wait()
		o.empty(t)
	})
}

// TestAsteriskDies: an Asterisk that is killed in the middle of a talk ends it
// for us, too, and no slot stays taken.
func TestAsteriskDies(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOffice(t, root, "answer.xml", "answer.xml") // they hear nothing of it
		o.post(t)
		o.talk(t)
		o.pbx.Stop(syscall.SIGKILL)
		o.pbx.Run()
		if got := o.finished(t); got.Attempts != 1 {
			t.Errorf("the task took %d attempts", got.Attempts)
		}
		var queue struct{ Counts map[string]int }
		path := o.client.path(fmt.Sprintf("/task_scheduler/%d", o.client.queue))
		if err := o.client.must(http.StatusOK, "GET", path, nil, &queue); err != nil || queue.Counts["executed"] != 0 {
			t.Errorf("the queue has %v, %v", queue.Counts, err)
		}
		o.empty(t)
	})
}

// TestAsteriskRingsTwo: of two telephones of A that ring, the one that was not
// picked up is told that another was.
func TestAsteriskRingsTwo(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		o := newOffice(t, root, "measured.xml", "measured_end.xml")
		beside := sipptest.Start(t, sipptest.Options{
			Scenario: filepath.Join("..", "..", "dialer", "sip", "testdata", "told_elsewhere.xml"), Limit: 2 * patience,
		})
		o.exchange.Connect("390612340011", beside.Addr)
		o.posts(t, map[string]any{"callback_params": map[string]any{"extended_a_numbers": []string{"+390612340011"}}})
		got := o.finished(t)
		o.a.Wait()
		o.b.Wait()
		beside.Wait()
		var call tracedCall
		if err := o.client.must(http.StatusOK, "GET", o.client.path("/call_history/"+got.CDR), nil, &call); err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, l := range call.Legs {
			rows = append(rows, l.Leg+" "+l.Number+" "+l.Result)
		}
		want := []string{"a +390612340001 answered", "a +390612340011 not answered", "b +390612340002 answered"}
		if slices.Sort(rows); !slices.Equal(rows, want) {
			t.Errorf("legs %q, want %q", rows, want)
		}
		o.empty(t)
	})
}
