package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which of our packages may import which; drivers are all those
// below dialer. Only cmd may import all.
var allowed = map[string][]string{
	"scheduler": {},
	"config":    {},
	"web":       {},
	"dialer":    {"scheduler"},
	"webhooks":  {"scheduler"},
	"api":       {"scheduler", "webhooks"},
	"store":     {"scheduler", "webhooks"},
	"driver":    {"dialer", "scheduler"},
}

// helpers are packages for tests, no part of the program.
var helpers = map[string]bool{"store/storetest": true, "dialer/dialertest": true, "dialer/sip/sipptest": true, "dialer/ari/asterisktest": true, "dialer/esl/esltest": true}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "ringback/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		pkg, imports, _ := strings.Cut(strings.TrimPrefix(line, "ringback/"), " ")
		if strings.HasPrefix(pkg, "cmd/") || helpers[pkg] {
			continue
		}
		room := pkg
		if strings.HasPrefix(pkg, "dialer/") {
			room = "driver"
		}
		may, ok := allowed[room]
		if !ok {
			t.Errorf("there is no room for a package %s", pkg)
		}
		for _, imported := range strings.Fields(imports) {
			ours, ok := strings.CutPrefix(imported, "ringback/")
			switch {
			case ok && !slices.Contains(may, ours):
				t.Errorf("%s may not import %s", pkg, ours)
			case pkg == "scheduler" && !ok && strings.Contains(imported, ".") && imported != "github.com/robfig/cron/v3":
				t.Errorf("scheduler may not import %s", imported)
			case pkg == "scheduler" && (imported == "net" || imported == "os" || strings.HasPrefix(imported, "net/")):
				t.Errorf("scheduler may not import %s", imported)
			}
		}
	}
}
