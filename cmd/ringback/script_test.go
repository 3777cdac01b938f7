package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ringback/store/storetest"
)

// TestScripts runs the conversations of testdata/script with the real program.
// Beside the commands of testscript they have these:
//
//	node NAME [K=V …]        starts a node and waits until it is ready
//	signal NAME SIGNAL CODE  sends TERM, INT or KILL and awaits the exit code (-1: killed; -: does not wait)
//	said NAME TEXT           the node said this so far
//	tenant NAME [LIMIT]      makes a client with a queue and an extension on that node
//	http STATUS METHOD PATH [FILE]   asks the API as that client; the body becomes stdout
//	keep VAR FIELD           keeps a field of the last answer (a path such as 0.id) in a variable
//	has FIELD VALUE          the last answer has a field of that value
//	becomes NAME FIELD VALUE waits until a field of the task of that name has a value
//	heard NAME EVENTS…       waits until the task of that name has sent these events
//	finishes NAME RESULT COMMENT ATTEMPTS EVENTS…  waits for the task's end, and its events in order
//	measures TEXT            waits until /metrics has this in it
//	legs NAME ROLE:RESULT …  the latest call of the task has these legs
func TestScripts(t *testing.T) {
	postgres := storetest.PostgresURL(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			b := &bench{nodes: map[string]*program{}, receiver: newReceiver()}
			env.Defer(b.close)
			env.Values[benchKey{}] = b
			env.Setenv("RECEIVER", b.receiver.URL)
			env.Setenv("POSTGRES", postgres) // for one script: it is one database
			env.Setenv("NEXTYEAR", strconv.Itoa(time.Now().UTC().Year()+1))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": on((*bench).node), "signal": on((*bench).signal), "said": on((*bench).said), "tenant": on((*bench).tenant),
			"http": on((*bench).http), "keep": on((*bench).keep), "has": on((*bench).has),
			"becomes": on((*bench).becomes), "heard": on((*bench).heard), "finishes": on((*bench).finishes), "legs": on((*bench).legs), "measures": on((*bench).measures),
		},
	})
}

// bench is what the commands of one script work on.
type bench struct {
	nodes    map[string]*program
	receiver *receiver
	client   *tenant
	answer   any // the last one, decoded
}

type benchKey struct{}

// on makes a command of a method; none of them can be negated.
func on(do func(*bench, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		if err := do(ts.Value(benchKey{}).(*bench), ts, args); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

func (b *bench) close() {
	for _, p := range b.nodes {
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	b.receiver.Close()
}

func (b *bench) node(ts *testscript.TestScript, args []string) error {
	env := []string{
		"RINGBACK_NODE=" + args[0], "RINGBACK_DIALER=sim", "RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "RINGBACK_SECRET_KEY=" + testKey,
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword, "RINGBACK_DEFAULT_REGION=IT",
		"RINGBACK_SIM_ANSWER_PERCENT=100", "RINGBACK_SIM_RING_MS=100", "RINGBACK_SIM_TALK_MS=200", "RINGBACK_LEASE=1s", "RINGBACK_GRACE=5s",
		"RINGBACK_DATABASE_URL=sqlite://" + ts.MkAbs("ringback.db"), "RINGBACK_SIM_JOURNAL=" + ts.MkAbs("journal"),
	}
	p, err := startProgram("", ts.MkAbs("."), []string{"serve"}, append(env, args[1:]...))
	if err != nil {
		return err
	}
	b.nodes[args[0]] = p
	ts.Setenv("ADDRESS", strings.TrimPrefix(p.url, "http://"))
	if b.client != nil {
		b.client.base = p.url
	}
	return nil
}

func (b *bench) signal(_ *testscript.TestScript, args []string) error {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if args[2] == "-" {
		b.nodes[args[0]].signal(signals[args[1]])
		return await(patience, func() error { return b.said(nil, []string{args[0], "stopping"}) })
	}
	code, err := b.nodes[args[0]].stop(signals[args[1]])
	if err == nil && strconv.Itoa(code) != args[2] {
		err = fmt.Errorf("ended with %d:\n%s", code, b.nodes[args[0]].out.String())
	}
	return err
}

func (b *bench) said(_ *testscript.TestScript, args []string) error {
	if out := b.nodes[args[0]].out.String(); !strings.Contains(out, args[1]) {
		return fmt.Errorf("did not say %q:\n%s", args[1], out)
	}
	return nil
}

func (b *bench) tenant(ts *testscript.TestScript, args []string) error {
	limit := 0
	if len(args) > 1 {
		limit, _ = strconv.Atoi(args[1])
	}
	var err error
	if b.client, err = newTenant(b.nodes[args[0]].url, limit); err != nil {
		return err
	}
	ts.Setenv("CLIENT", "/client/"+b.client.client)
	ts.Setenv("QUEUE", strconv.FormatInt(b.client.queue, 10))
	ts.Setenv("EXTENSION", strconv.FormatInt(b.client.extension, 10))
	var made struct{ Secret string }
	if err := b.client.must(http.StatusCreated, "POST", b.client.path("/webhooks/secrets/"), nil, &made); err != nil {
		return err
	}
	return b.receiver.verify(made.Secret)
}

func (b *bench) http(ts *testscript.TestScript, args []string) error {
	var body any
	if len(args) > 3 {
		body = os.Expand(ts.ReadFile(args[3]), ts.Getenv)
	}
	status, answer, err := b.client.do(args[1], args[2], body)
	if err != nil {
		return err
	}
	_, _ = ts.Stdout().Write(answer)
	if strconv.Itoa(status) != args[0] {
		return fmt.Errorf("got %d: %s", status, answer)
	}
	b.answer = nil
	if len(answer) > 0 && json.Unmarshal(answer, &b.answer) != nil {
		b.answer = string(answer)
	}
	return nil
}

// field returns a field of a decoded answer by its path.
func field(v any, path string) (string, error) {
	for _, name := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			inner, ok := at[name]
			if !ok {
				return "", fmt.Errorf("there is no field %s of %s", name, path)
			}
			v = inner
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(at) {
				return "", fmt.Errorf("there is no element %s of %s", name, path)
			}
			v = at[n]
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func (b *bench) keep(ts *testscript.TestScript, args []string) error {
	value, err := field(b.answer, args[1])
	ts.Setenv(args[0], value)
	return err
}

func (b *bench) has(_ *testscript.TestScript, args []string) error {
	value, err := field(b.answer, args[0])
	if err == nil && value != args[1] {
		err = fmt.Errorf("%s is %s", args[0], value)
	}
	return err
}

func (b *bench) becomes(_ *testscript.TestScript, args []string) error {
	task, err := b.client.task(args[0])
	if err != nil {
		return err
	}
	return await(patience, func() error {
		var v any
		if err := b.client.must(http.StatusOK, "GET", b.client.tasks()+strconv.FormatInt(task.ID, 10), nil, &v); err != nil {
			return err
		}
		value, err := field(v, args[1])
		if err == nil && value != args[2] {
			err = fmt.Errorf("%s of %s is %s", args[1], args[0], value)
		}
		return err
	})
}

func (b *bench) finishes(ts *testscript.TestScript, args []string) error {
	var task wireTask
	err := await(patience, func() (err error) {
		if task, err = b.client.task(args[0]); err == nil && task.Status != "finished" {
			err = fmt.Errorf("task %s is still %s", args[0], task.Status)
		}
		return err
	})
	if err != nil {
		return err
	}
	got := []string{task.FinishResult, task.FinishComment, strconv.Itoa(task.Attempts)}
	if want := args[1:4]; !slices.Equal(got, want) {
		return fmt.Errorf("task %s finished as %q, want %q", args[0], got, want)
	}
	return b.heard(ts, append(args[:1:1], args[4:]...))
}

func (b *bench) heard(_ *testscript.TestScript, args []string) error {
	task, err := b.client.task(args[0])
	if err != nil {
		return err
	}
	err = await(eventPatience, func() error {
		if got := b.receiver.of(task.ID); !slices.Equal(got, args[1:]) {
			return fmt.Errorf("task %s sent the events %q, want %q", args[0], got, args[1:])
		}
		return nil
	})
	if err == nil && b.receiver.fault() != "" {
		err = fmt.Errorf("the receiver complains: %s", b.receiver.fault())
	}
	return err
}

func (b *bench) legs(_ *testscript.TestScript, args []string) error {
	task, err := b.client.task(args[0])
	if err != nil {
		return err
	}
	var call struct {
		CDR []struct{ Leg, Result string }
	}
	if err := b.client.must(http.StatusOK, "GET", b.client.path("/call_history/"+task.CDR), nil, &call); err != nil {
		return err
	}
	var got []string
	for _, leg := range call.CDR {
		got = append(got, leg.Leg+":"+leg.Result)
	}
	if !slices.Equal(got, args[1:]) {
		return fmt.Errorf("the call of %s has the legs %q, want %q", args[0], got, args[1:])
	}
	return nil
}

func (b *bench) measures(_ *testscript.TestScript, args []string) error {
	return await(patience, func() error {
		_, answer, err := b.client.do("GET", "/metrics", nil)
		if err == nil && !strings.Contains(string(answer), args[0]) {
			err = fmt.Errorf("there is no %s in\n%s", args[0], answer)
		}
		return err
	})
}
