package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
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

// TestDocsInABrowser shows the page in headless Chromium (Debian: chromium): it
// has every operation of the document.
func TestDocsInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED IN A BROWSER: there is no chromium")
	}
	server := httptest.NewServer(New(Options{Metrics: http.NotFoundHandler()}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	page, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=20000", "--dump-dom", server.URL+"/docs").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range theOracle(t).table {
		op := route.Operation
		if want := `id="operations-` + op.Tags[0] + "-" + op.OperationID + `"`; !strings.Contains(string(page), want) {
			t.Errorf("the page does not show %s", op.OperationID)
		}
	}
}
