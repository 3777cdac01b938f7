package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/sip/sipptest"
)

// TestASIPTrunkIsAway: the node is not ready and says why, tasks wait without
// losing a try, and are called when the trunk is back.
func TestASIPTrunkIsAway(t *testing.T) {
	t.Parallel()
	port := sipptest.FreePort(t)
	dir := t.TempDir()
	// Over TCP it is known at once that nobody is there.
	trunks := fmt.Sprintf(`trunks:
  - {name: carrier, driver: sip, endpoint: 'sip:{number}@127.0.0.1:%d;transport=tcp', listen: '127.0.0.1:0', options_interval: 300ms}
`, port)
	if err := os.WriteFile(filepath.Join(dir, "ringback.yaml"), []byte(trunks), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProgram("", dir, []string{"serve"}, []string{"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := p.stop(syscall.SIGINT); code != 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, p.out.String())
		}
	})
	ready := func(status int, says string) error {
		resp, err := asker.Get(p.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != status || !strings.Contains(string(body), says)) {
			err = fmt.Errorf("/readyz: %d %s", resp.StatusCode, body)
		}
		return err
	}
	err = await(patience, func() error {
		return ready(http.StatusServiceUnavailable, "trunk carrier is down: the peer does not answer OPTIONS")
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := newTenant(p.url, 1)
	if err != nil {
		t.Fatal(err)
	}
	task := map[string]any{
		"name": "later", "a_number": "+390612340001", "b_number": "+390612340002", "extension_id": client.extension,
		"callback_params": map[string]any{"call_duration": 1},
	}
	if err := client.must(http.StatusCreated, "POST", client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * time.Second) // three ticks
	if got, err := client.task("later"); err != nil || got.Status != "scheduled" || got.Attempts != 0 {
		t.Errorf("while the trunk is away the task is %+v, %v", got, err)
	}
	peer := sipptest.Start(t, sipptest.Options{
		Scenario: filepath.Join("..", "..", "dialer", "sip", "testdata", "office.xml"), Calls: sipptest.Many, Port: port, TCP: true, Limit: 2 * patience,
	})
	var got wireTask
	err = await(patience, func() error {
		if got, err = client.task("later"); err == nil && got.Status != "finished" {
			err = fmt.Errorf("the task is still %s", got.Status)
		}
		return err
	})
	if err != nil || got.FinishResult != "success" || got.Attempts != 1 {
		t.Fatalf("got %+v, %v\n%s\n%s", got, err, p.out.String(), peer.Messages())
	}
	if err := ready(http.StatusOK, ""); err != nil {
		t.Error(err)
	}
	peer.Finish()
}
