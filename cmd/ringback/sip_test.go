package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ringback/dialer/sip/sipptest"
)

// TestSIP sends tasks through the program over SIP trunks.
func TestSIP(t *testing.T) {
	for claim, c := range map[string]struct {
		trunks    func(t *testing.T, a, b *sipptest.Peer) string
		near, far string // the trunks of A and B
	}{
		"A and B on two trunks":    {twoTrunks, "near", "far"},
		"as docs/trunks.md has it": {documented, "carrier", "carrier"},
	} {
		t.Run(claim, func(t *testing.T) { callOverSIP(t, c.near, c.far, c.trunks) })
	}
}

func twoTrunks(_ *testing.T, a, b *sipptest.Peer) string {
	return fmt.Sprintf(`trunks:
  - {name: near, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340001"], listen: '127.0.0.1:0', options_interval: 0s}
  - {name: far, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340002"], listen: '127.0.0.1:0', options_interval: 0s}
`, a.Addr, b.Addr)
}

// documented is the first block of YAML in docs/trunks.md, with our addresses
// in it.
func documented(t *testing.T, a, b *sipptest.Peer) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "trunks.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok || strings.Count(block, "driver: sip") != 2 {
		t.Fatal("docs/trunks.md does not begin with two SIP trunks")
	}
	exchange := sipptest.NewExchange(t)
	exchange.Connect("390612340001", a.Addr)
	exchange.Connect("390612340002", b.Addr)
	return strings.NewReplacer("sip.example.net:5060", exchange.Addr.String(), "sip.example.com", "127.0.0.1:9",
		"0.0.0.0:5060", fmt.Sprint("127.0.0.1:", sipptest.FreePort(t))).Replace(block)
}

// callOverSIP sends one task through the program and its trunks to two SIPp,
// which judge their dialogues themselves: A answers and is hung up on, B
// answers and hangs up.
func callOverSIP(t *testing.T, near, far string, trunks func(t *testing.T, a, b *sipptest.Peer) string) {
	scenarios := filepath.Join("..", "..", "dialer", "sip", "testdata")
	a := sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, "answer.xml"), Limit: patience})
	b := sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, "hangs_up.xml"), Limit: patience})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ringback.yaml"), []byte(trunks(t, a, b)), 0o600); err != nil {
		t.Fatal(err)
	}
	events := newReceiver()
	defer events.Close()
	p, err := startProgram("", dir, []string{"serve"}, []string{
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword, "RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if code, err := p.stop(syscall.SIGTERM); code != 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, p.out.String())
		}
	}()
	client, err := newTenant(p.url, 1)
	if err != nil {
		t.Fatal(err)
	}
	task := map[string]any{
		"name": "through sip", "a_number": "+390612340001", "b_number": "+390612340002", "extension_id": client.extension,
		"url_before": events.URL + "/before", "url_success": events.URL + "/success", "url_after": events.URL + "/after",
	}
	if err := client.must(http.StatusCreated, "POST", client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
	var got wireTask
	err = await(patience, func() error {
		if got, err = client.task("through sip"); err == nil && got.Status != "finished" {
			err = fmt.Errorf("the task is still %s", got.Status)
		}
		return err
	})
	if err != nil || got.FinishResult != "success" {
		t.Fatalf("got %+v, %v\n%s", got, err, p.out.String())
	}
	a.Wait()
	b.Wait()
	var call struct {
		Result      string `json:"result"`
		Simulated   bool   `json:"simulated"`
		Disposition string `json:"hangup_disposition"`
		CDR         []struct {
			Leg     string `json:"leg"`
			Result  string `json:"result"`
			SIPCode int    `json:"sip_code"`
			Trunk   string `json:"trunk"`
		} `json:"cdr"`
	}
	if err := client.must(http.StatusOK, "GET", client.path("/call_history/"+got.CDR), nil, &call); err != nil {
		t.Fatal(err)
	}
	want := "{bridged false callee_bye [{a answered 200 " + near + "} {b answered 200 " + far + "}]}"
	if fmt.Sprint(call) != want {
		t.Errorf("the call history says\n%v, want\n%s", call, want)
	}
	err = await(patience, func() error {
		if types := events.of(got.ID); !slices.Equal(types, []string{"before", "success", "after"}) {
			return fmt.Errorf("events %q", types)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	res, err := asker.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`ringback_trunk_up{trunk="` + near + `"} 1`, `ringback_trunk_channels{trunk="` + far + `"} 0`,
		`ringback_legs_total{disposition="answered",role="a",trunk="` + near + `"} 1`,
		`ringback_legs_total{disposition="answered",role="b",trunk="` + far + `"} 1`,
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
