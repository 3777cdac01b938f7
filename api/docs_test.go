package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/store/storetest"
)

// TestDocsFiles: the page and its files come packed to whoever can unpack, are
// the same to whoever cannot, and name no other host.
func TestDocsFiles(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	plain := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer plain.CloseIdleConnections()
	for name := range docsTypes {
		var told [2]string
		for i, client := range []*http.Client{server.Client(), plain} {
			a, err := client.Get(server.URL + "/docs/" + name)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			_ = a.Body.Close()
			if err != nil || a.StatusCode != http.StatusOK || len(body) == 0 {
				t.Fatalf("%s: %d, %v", name, a.StatusCode, err)
			}
			told[i] = string(body)
		}
		if told[0] != told[1] {
			t.Errorf("%s differs when it is not packed", name)
		}
	}
}

// TestExamples sends the example of every body to its operation, which takes it.
func TestExamples(t *testing.T) {
	r := newRig(t, storetest.Open(t, storetest.SQLiteURL(t)))
	r.dispatch()
	w := newWorld(r)
	for _, name := range documentedRoutes(t) {
		op := operation(t, name)
		if op.RequestBody == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r.t = t
			for media, content := range op.RequestBody.Value.Content {
				if media != mediaJSON && media != mediaForm || len(op.RequestBody.Value.Content) > 1 && media == mediaForm {
					continue // of the admin API, which has them in JSON
				}
				if content.Example == nil {
					t.Fatalf("there is no example in %s", media)
				}
				body, err := json.Marshal(content.Example)
				if err != nil {
					t.Fatal(err)
				}
				if media == mediaForm {
					form := url.Values{}
					for name, value := range content.Example.(map[string]any) {
						form.Set(name, fmt.Sprint(value))
					}
					body = []byte(form.Encode())
				}
				method, pattern, _ := strings.Cut(name, " ")
				said := w.exampled(string(body))
				if a := r.bodied(method, w.path(pattern), r.user, media, said, 0); a.code < 200 || a.code > 299 {
					t.Errorf("%s is answered %d: %s", said, a.code, a.body)
				}
			}
		})
	}
}

// exampled puts who there is in the place of whom examples speak of.
func (w world) exampled(body string) string {
	who := string(storetest.UserID)
	if strings.Contains(body, "client_id") {
		who = string(w.r.a.client.ID)
	}
	return strings.ReplaceAll(body, "0197f3f8-6c0a-7cc1-a21c-7a13ad4d1c5e", who)
}

// try is an operation as tryall.js tries it.
type try struct {
	Block   string            `json:"block"`   // its id in the page
	Values  map[string]string `json:"values"`  // of the parameters of its path
	Instead map[string]string `json:"instead"` // what its example says, and should
}

// tries is how the page tries each operation: those that end something come
// last, and of them those whose path is longest first. A listener's answer has no
// end, and before that the page shows nothing of it.
func (w world) tries(t *testing.T) []try {
	var all, ends []try
	names := documentedRoutes(t)
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, name := range names {
		method, pattern, _ := strings.Cut(name, " ")
		op := operation(t, name)
		if op.OperationID == "listenToScheduler" || pattern == "/Token" { // which is /oauth/token by another name
			continue
		}
		one := try{"operations-" + op.Tags[0] + "-" + op.OperationID, map[string]string{}, map[string]string{}}
		if isOpen(op) {
			one.Values = map[string]string{"grant_type": "client_credentials", "client_id": string(w.r.a.client.ID), "client_secret": clientSecret, "token": "nobody's"}
		}
		if op.OperationID == "runAccountTask" {
			one.Values["id"] = w.account.task
		}
		path := strings.Split(w.path(pattern), "/")
		for i, part := range strings.Split(pattern, "/") {
			if param, ok := strings.CutPrefix(part, ":"); ok && param != "file" {
				one.Values[param] = path[i]
			}
		}
		const example = "0197f3f8-6c0a-7cc1-a21c-7a13ad4d1c5e"
		one.Instead[example] = w.exampled(example)
		if method == http.MethodDelete || op.OperationID == "setPassword" { // which ends sessions
			ends = append(ends, one)
		} else {
			all = append(all, one)
		}
	}
	return append(all, ends...)
}

// someTries are the operations that are tried in a browser unless RINGBACK_SOAK
// is set: resolving the references of one takes the page a second.
var someTries = []string{"operations-tasks-addTasks", "operations-intervals-deleteInterval"}

// TestDocsInABrowser shows the page in headless Chromium (Debian: chromium): it
// has every operation of the document. It signs in with a token, and tries them
// there.
func TestDocsInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED IN A BROWSER: there is no chromium")
	}
	r := newRig(t, storetest.Open(t, storetest.SQLiteURL(t)))
	r.dispatch()
	w := newWorld(r)
	all := w.tries(t)
	some := all
	if os.Getenv("RINGBACK_SOAK") == "" {
		some = slices.DeleteFunc(slices.Clone(all), func(t try) bool { return !slices.Contains(someTries, t.Block) })
	}
	tries, err := json.Marshal(some)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/tryall.js")
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		Blocks   []string
		Shown    map[string]string
		Problems []string
	}
	tried := make(chan outcome, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/tried":
			var o outcome
			if err := json.NewDecoder(req.Body).Decode(&o); err != nil {
				o.Problems = append(o.Problems, err.Error())
			}
			tried <- o
			return
		case "/metrics": // is not of this server
			return
		}
		r.server.ServeHTTP(w, req)
		if req.URL.Path == "/docs/start.js" {
			fmt.Fprintf(w, "\nconst token = %q, tries = %s;\n%s", r.user, tries, script)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute) // of all on a busy machine; some take seconds
	defer cancel()
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), server.URL+"/docs")
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = browser.Wait()
	}()
	select {
	case o := <-tried:
		for _, problem := range o.Problems {
			t.Error(problem)
		}
		for _, route := range theOracle(t).table {
			op := route.Operation
			if block := "operations-" + op.Tags[0] + "-" + op.OperationID; !slices.Contains(o.Blocks, block) {
				t.Errorf("the page does not show %s", block)
			}
		}
		for _, try := range some {
			if !strings.HasPrefix(o.Shown[try.Block], "2") {
				t.Errorf("%s is shown to be answered %q", try.Block, o.Shown[try.Block])
			}
		}
	case <-ctx.Done():
		t.Fatal("the page did not come to its end")
	}
}
