package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is a fenced block of a Markdown file.
type block struct{ language, text string }

var fenced = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// transcript returns the blocks of a section of the README.
func transcript(t *testing.T, section string) []block {
	t.Helper()
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(content), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var blocks []block
	for _, m := range fenced.FindAllStringSubmatch(rest, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// What differs from run to run: moments, ids, numbers of rows.
var varying = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\d+(\.\d+)?`), "N"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

func normal(text string) string {
	for _, v := range varying {
		text = v.form.ReplaceAllString(text, v.as)
	}
	return strings.TrimSpace(text)
}

// TestREADMETranscript types the README's transcript, word for word, and
// compares what it shows with what comes; then it stops the demonstration and
// starts it again.
func TestREADMETranscript(t *testing.T) {
	needCurl(t)
	dir := t.TempDir()
	began := time.Now()
	demo, err := startProgram("", dir, []string{"demo"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = demo.stop(syscall.SIGKILL) }()
	first := time.Since(began)
	if kib := residentMemory(t, demo); kib > 60<<10 && !raceEnabled {
		t.Errorf("the demonstration takes %d KiB before anyone has come", kib)
	}
	var script strings.Builder
	script.WriteString("set -e\n")
	var shown []string // what the README shows after each block it has us type
	var printed []string
	for _, b := range transcript(t, "From clone to finished task") {
		switch b.language {
		case "bash":
			script.WriteString("echo '@@@'\n" + b.text)
			shown = append(shown, "")
		case "json", "text":
			shown[len(shown)-1] = b.text
		case "console": // what the first terminal prints
			printed = append(printed, strings.Split(strings.TrimSpace(b.text), "\n")...)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script.String())
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nthe demonstration said:\n%s", err, out, demo.out.String())
	}
	for i, got := range strings.Split(string(out), "@@@\n")[1:] {
		if normal(got) != normal(shown[i]) {
			t.Errorf("block %d of the README shows\n%s\nbut this comes:\n%s", i+1, shown[i], got)
		}
	}
	for _, line := range printed {
		err := await(patience, func() error {
			if !strings.Contains(normal(demo.out.String()), normal(line)) {
				return os.ErrNotExist
			}
			return nil
		})
		if err != nil {
			t.Errorf("the demonstration did not print %q:\n%s", line, demo.out.String())
		}
	}
	again := restart(t, dir, demo)
	if took := min(first, again); took > 2*time.Second && !raceEnabled { // the better of two, as other tests run beside
		t.Errorf("the demonstration answered after %s", took)
	}
}

// needCurl skips the test where there is no curl to type with.
func needCurl(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("curl")
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skipf("THE README IS NOT TESTED: %v", err)
	}
}

// residentMemory returns the memory of a program in KiB.
func residentMemory(t testing.TB, p *program) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if err != nil || m == nil {
		t.Fatalf("no VmRSS: %v", err)
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib
}

// restart stops the demonstration as Ctrl-C does, and starts it again: it goes
// on where it was, with the same credentials. It returns how long that took.
func restart(t *testing.T, dir string, demo *program) time.Duration {
	t.Helper()
	before := credentialsOf(t, dir)
	began := time.Now()
	if code, err := demo.stop(syscall.SIGINT); err != nil || code != 0 {
		t.Fatalf("Ctrl-C: exit code %d, %v\n%s", code, err, demo.out.String())
	}
	if took := time.Since(began); took > 2*time.Second+5*time.Second {
		t.Errorf("Ctrl-C took %s, the grace is 2s", took)
	}
	began = time.Now()
	again, err := startProgram("", dir, []string{"demo"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	defer func() { _, _ = again.stop(syscall.SIGINT) }()
	after := credentialsOf(t, dir)
	before[0], after[0] = "", "" // RINGBACK_URL: a port of the moment, in this test
	if !slices.Equal(before, after) {
		t.Errorf("the credentials changed:\n%q\n%q", before, after)
	}
	shell := exec.Command("bash", "-c", transcriptLogin+`curl -sf -H "Authorization: Bearer $TOKEN" "$RINGBACK_URL/client/$CLIENT_ID/task_scheduler/$QUEUE/tasks/"`)
	shell.Dir = dir
	if out, err := shell.CombinedOutput(); err != nil || !strings.Contains(string(out), "order 1001") {
		t.Errorf("the tasks are gone: %v\n%s", err, out)
	}
	return took
}

const transcriptLogin = `set -e; . data/demo/credentials
TOKEN=$(curl -sf "$RINGBACK_URL/oauth/token" -d grant_type=client_credentials -d client_id="$CLIENT_ID" -d client_secret="$CLIENT_SECRET" |
sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
`

func credentialsOf(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data/demo/credentials"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}
