package webhooks_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringback/webhooks"
)

// judge asks the official library for JavaScript about every request.
const judge = `const { Webhook } = require("standardwebhooks");
const cases = JSON.parse(require("node:fs").readFileSync(0));
console.log(JSON.stringify(cases.map((c) => {
  try { new Webhook(c.secret).verify(Buffer.from(c.body, "base64").toString("latin1"), c.headers); return true; } catch { return false; }
})));`

// The library is npm's standardwebhooks, where NODE_PATH leads to it.
func TestTheOfficialLibraryForJavaScriptTakesTheSignatureAndNoOther(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil || exec.Command(node, "-e", `require("standardwebhooks")`).Run() != nil {
		t.Skip("NOT TESTED: node does not find standardwebhooks (npm install standardwebhooks, and NODE_PATH)")
	}
	type request struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    []byte            `json:"body"`
	}
	now := time.Now()
	current, former, other := webhooks.NewSecret(now), webhooks.NewSecret(now), webhooks.NewSecret(now)
	former.ExpiresAt = now.Add(time.Hour)
	body, h := webhooks.Body(sample(), "evt_1"), http.Header{}
	webhooks.Sign(h, "evt_1", body, []webhooks.Secret{former, current}, now)
	headers := map[string]string{}
	for name := range h {
		headers[strings.ToLower(name)] = h.Get(name)
	}
	cases := []request{{current.String(), headers, body}, {former.String(), headers, body}, {other.String(), headers, body}}
	for i := range body {
		flipped := append([]byte{}, body...)
		flipped[i] ^= 1
		cases = append(cases, request{current.String(), headers, flipped})
	}
	given, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "-e", judge)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(given)), os.Stderr
	out, err := cmd.Output()
	var took []bool
	if err != nil || json.Unmarshal(out, &took) != nil || len(took) != len(cases) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, ok := range took {
		if ok != (i < 2) {
			t.Errorf("request %d was taken: %v", i, ok)
		}
	}
	t.Logf("%d requests with one byte changed, none was taken", len(body))
}
