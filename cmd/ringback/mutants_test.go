package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/store/storetest"
)

// edit changes a file of the program, by what stands in it exactly once.
type edit struct{ file, from, to string }

// mutants are programs that lack a rule that the killing of nodes must show.
var mutants = map[string][]edit{
	"without the limit": {
		{"scheduler/admission.go", "if r.Queue.Limit > 0 && r.Runtime.Running+len(v.Start) >= r.Queue.Limit {", "if false {"},
		{"store/claim.go", "if l.queue.Limit == 0 {", "if l.queue.Limit >= 0 {"},
	},
	"without the fence": { // nor the key that refuses the second end of an attempt
		{"store/apply.go", "OR t.call_id = v.from_call AND t.node = v.from_node AND t.epoch = v.from_epoch)", "OR true)"},
		{"store/apply.go", "AND t.call_id = v.from_call\n		AND (t.status, t.node, t.epoch) =", "AND (true OR t.call_id = v.from_call\n		AND (t.status, t.node, t.epoch) ="},
		{"store/apply.go", "($15::bigint[])[1] END)\n	RETURNING", "($15::bigint[])[1] END))\n	RETURNING"},
		{"store/migrations/postgres/00001_init.sql", "CREATE TABLE attempts (\n    call_id      text        COLLATE \"C\" PRIMARY KEY", "CREATE TABLE attempts (\n    call_id      text        COLLATE \"C\""},
		{"store/apply.go", "	if n[0] == 0 {\n", "	if n[0] < 0 {\n"},
		{"store/awake.go", "case !w.mine:", "case false:"},
		{"store/lease.go", "if err == nil && n == 0 {\n			return scheduler.ErrFenced", "if err == nil && n < 0 {\n			return scheduler.ErrFenced"},
	},
}

// TestMutantsAreCaught runs what TestNodesAreKilled runs with programs that
// lack a rule, and must be told so.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("mutants are built and killed without -short")
	}
	for name, edits := range mutants {
		t.Run(name, func(t *testing.T) {
			m := &massacre{
				binary: buildMutant(t, edits), dir: t.TempDir(), database: storetest.PostgresURL(t),
				nodes: 3, tasks: 300, limit: 10, freeze: true, tillOver: true, limitFor: 90 * time.Second,
			}
			fault := m.run(t)
			if !strings.Contains(fault, "calls were up at one time") {
				t.Errorf("nobody noticed more calls than the limit allows: %s", fault)
			}
		})
	}
}

// buildMutant builds the program with edits, beside the tree.
func buildMutant(t *testing.T, edits []edit) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	texts := map[string]string{}
	for _, e := range edits {
		path := filepath.Join(root, e.file)
		if _, ok := texts[path]; !ok {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(content)
		}
		if n := strings.Count(texts[path], e.from); n != 1 {
			t.Fatalf("%s has %d times what the mutant changes: %s", e.file, n, e.from)
		}
		texts[path] = strings.Replace(texts[path], e.from, e.to, 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range texts {
		changed := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = changed
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "ringback")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-overlay", file, "-o", binary, "ringback/cmd/ringback")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}
