package webhooks_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

var update = flag.Bool("update", false, "write the transcript into the documentation")

const guide = "../docs/webhooks.md"

// snippet returns the first block of a language in the guide.
func snippet(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("the guide has no sample in %s", language)
	}
	return code
}

const goDriver = `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

%s

func main() {
	var cases []struct {
		Secret, Body string
		Headers      map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	said := []bool{}
	for _, c := range cases {
		h := http.Header{}
		for name, value := range c.Headers {
			h.Set(name, value)
		}
		said = append(said, verify(c.Secret, h, []byte(c.Body)))
	}
	_ = json.NewEncoder(os.Stdout).Encode(said)
}
`

// The samples for receivers take what is signed, and nothing else.
func TestTheSamplesVerify(t *testing.T) {
	type request struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	now := time.Now()
	current, former := webhooks.NewSecret(now), webhooks.NewSecret(now)
	former.ExpiresAt = now.Add(time.Hour)
	signed := func(at time.Time, secrets ...webhooks.Secret) request {
		body, h := webhooks.Body(sample(), "evt_1"), http.Header{}
		webhooks.Sign(h, "evt_1", body, secrets, at)
		r := request{current.String(), map[string]string{}, string(body)}
		for name := range h {
			r.Headers[strings.ToLower(name)] = h.Get(name)
		}
		return r
	}
	rotating := signed(now, former, current)
	foreign, stale, ahead := signed(now, former), signed(now.Add(-6*time.Minute), current), signed(now.Add(6*time.Minute), current)
	tampered, renamed, bare := signed(now, current), signed(now, current), signed(now, current)
	tampered.Body = strings.Replace(tampered.Body, "task", "tusk", 1)
	renamed.Headers["webhook-id"] = "evt_2"
	delete(bare.Headers, "webhook-signature")
	given, err := json.Marshal([]request{signed(now, current), rotating, foreign, stale, ahead, tampered, renamed, bare})
	if err != nil {
		t.Fatal(err)
	}
	const want = "[true,true,false,false,false,false,false,false]"
	for language, c := range map[string]struct {
		program, file string
		args          []string
		driver        string // %s: the sample
	}{
		"go": {"go", "main.go", []string{"run"}, goDriver},
		"javascript": {"node", "verify.js", nil, "%s\nconst cases = JSON.parse(require(\"node:fs\").readFileSync(0));\n" +
			"console.log(JSON.stringify(cases.map((c) => verify(c.secret, c.headers, c.body))));\n"},
		"python": {"python3", "verify.py", nil, "%s\nimport json, sys\ncases = json.load(sys.stdin)\n" +
			"print(json.dumps([verify(c[\"secret\"], c[\"headers\"], c[\"body\"].encode()) for c in cases]))\n"},
	} {
		t.Run(language, func(t *testing.T) {
			path := program(t, c.program)
			file := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(file, []byte(fmt.Sprintf(c.driver, snippet(t, language))), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, append(c.args, file)...)
			cmd.Stdin = strings.NewReader(string(given))
			cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if got := strings.ReplaceAll(strings.TrimSpace(string(out)), " ", ""); err != nil || got != want {
				t.Errorf("it says %s, want %s; %v", got, want, err)
			}
		})
	}
}

// turning notes when destinations change their state.
type turning struct {
	*observed
	mu    sync.Mutex
	began time.Time
	lines []entry
}

// entry is a line of the transcript.
type entry struct {
	at   time.Duration
	text string
}

// Turned notes it.
func (o *turning) Turned(to webhooks.DestinationState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, entry{time.Since(o.began), "            the destination is " + string(to)})
	o.observed.Turned(to)
}

// A receiver is away for ten minutes: the breaker opens, probes, and lets what
// was missed go in order, slowly at first. With -update the guide shows it.
func TestTheTranscriptOfAReceiverThatWasAway(t *testing.T) {
	virtual(t, func(r *rig) {
		const tasks = 45
		t := r.T // the bubble's
		seen := &turning{observed: &r.seen, began: r.began}
		r.o.Observer, r.o.Luck = seen, func() float64 { return 0.5 } // the same each time
		r.away(time.Minute, 11*time.Minute)
		n, stop := r.run()
		r.s.OnEvents(n.Wake)
		for range tasks {
			r.finish(r.start(urls{"", hook, hook})...)
			<-time.After(20 * time.Second)
		}
		<-time.After(5 * time.Minute)
		stop()
		lines := slices.Clone(seen.lines)
		all, err := r.s.Deliveries(t.Context(), r.cl.ID, webhooks.Filter{}, scheduler.Page{Number: 1, Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		missed := 0
		for _, d := range all.Rows {
			_, tries, err := r.s.Delivery(t.Context(), r.cl.ID, d.ID)
			if err != nil || d.State != scheduler.DeliveryDelivered {
				t.Errorf("delivery %d is %s, %v", d.ID, d.State, err)
			}
			for i, try := range tries {
				at := try.At.Sub(r.began)
				outcome := "delivered"
				if try.Error != "" {
					outcome = fmt.Sprintf("%s (%d)", try.Error, try.Status)
				}
				if at > 11*time.Minute && d.CreatedAt.Sub(r.began) < 11*time.Minute {
					missed++
				}
				lines = append(lines, entry{at, fmt.Sprintf("%6s  try %d  %s", fmt.Sprintf("%d/%d", d.TaskID, d.Sequence), i+1, outcome)})
			}
		}
		slices.SortStableFunc(lines, func(a, b entry) int { return int(a.at - b.at) })
		var text strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&text, "%02d:%04.1f  %s\n", int(l.at.Minutes()), (l.at % time.Minute).Seconds(), l.text)
		}
		last := map[int64]int{}
		for _, p := range r.net.arrived() {
			if at := p.At.Sub(r.began); at >= time.Minute && at < 11*time.Minute {
				continue // it took nothing
			}
			if before := last[p.Event.Data.TaskID]; p.Event.Sequence != before+1 {
				t.Errorf("task %d: event %d came after %d", p.Event.Data.TaskID, p.Event.Sequence, before)
			}
			last[p.Event.Data.TaskID] = p.Event.Sequence
		}
		turns := r.turns()
		if len(all.Rows) != 2*tasks || missed < 30 || !slices.Contains(turns, webhooks.DestinationOpen) || turns[len(turns)-1] != webhooks.DestinationRamp {
			t.Errorf("%d deliveries, %d missed, turns %v\n%s", len(all.Rows), missed, turns, text.String())
		}
		if *update {
			show(t, text.String())
		} else if guided, err := os.ReadFile(guide); err != nil || !strings.Contains(string(guided), "```\n"+text.String()+"```\n") {
			t.Errorf("the guide shows something else (-update writes it), %v:\n%s", err, text.String())
		}
	})
}

// show writes the transcript into the guide.
func show(t *testing.T, text string) {
	t.Helper()
	guided, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "-update -->\n", "<!-- end of transcript -->"
	head, rest, _ := strings.Cut(string(guided), from)
	_, tail, found := strings.Cut(rest, to)
	if !found {
		t.Fatal("the guide has no place for the transcript")
	}
	if err := os.WriteFile(guide, []byte(head+from+"```\n"+text+"```\n"+to+tail), 0o644); err != nil { //nolint:gosec // it is read by all
		t.Fatal(err)
	}
}
