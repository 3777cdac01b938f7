package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a test waits for what must come at once.
const patience = 30 * time.Second

// eventPatience is how long a test waits for events after a kill: what was
// being sent is left to the dead until the lease of the delivery is over, and a
// later event of the task waits for it, a minute at most.
const eventPatience = 90 * time.Second

func TestMain(m *testing.M) {
	// The test binary is the program too: started as "ringback" it runs main,
	// under the race detector if the tests are.
	testscript.Main(m, map[string]func(){"ringback": main})
}

// program is a running ringback.
type program struct {
	cmd  *exec.Cmd
	url  string // http://127.0.0.1:PORT, once it listens
	out  lines
	done chan struct{} // closed at its end
}

// lines is what a program said, readable while it runs.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var listening = regexp.MustCompile(`listening on (http://[0-9.:]+)`)

// startProgram starts binary ("" for the program itself) in a directory, with
// nothing of the environment but env, and waits until it listens.
func startProgram(binary, dir string, args, env []string) (*program, error) {
	if binary == "" {
		binary = "ringback"
	}
	p := &program{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "RINGBACK_LISTEN=127.0.0.1:0"}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	w.Close()
	listens := make(chan string, 1)
	go p.read(r, listens)
	select {
	case p.url = <-listens:
		return p, p.awaitReady()
	case <-p.done:
		return nil, fmt.Errorf("ended at once:\n%s", p.out.String())
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		return nil, fmt.Errorf("did not listen:\n%s", p.out.String())
	}
}

func (p *program) read(r *os.File, listens chan<- string) {
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		p.out.add(s.Text())
		if m := listening.FindStringSubmatch(s.Text()); m != nil {
			select {
			case listens <- m[1]:
			default:
			}
		}
	}
	_ = p.cmd.Wait()
	close(p.done)
}

func (p *program) awaitReady() error {
	return await(patience, func() error {
		resp, err := asker.Get(p.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("/readyz: %d %s", resp.StatusCode, body)
		}
		return nil
	})
}

func (p *program) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// stop sends a signal and returns the exit code, -1 if it was killed.
func (p *program) stop(s os.Signal) (int, error) {
	p.signal(s)
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		return 0, fmt.Errorf("did not end:\n%s", p.out.String())
	}
}

// await calls check until it says nil or the time is over.
func await(limit time.Duration, check func() error) error {
	end := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// asker is what programs are asked with: one that does not answer is a failure.
var asker = &http.Client{Timeout: time.Minute}

// caller speaks to the API of a program with a token.
type caller struct {
	base, token string
}

// login takes a token.
func (c *caller) login(form url.Values) error {
	resp, err := asker.PostForm(c.base+"/oauth/token", form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("token: %d %w", resp.StatusCode, err)
	}
	c.token = answer.Token
	return nil
}

// do sends a request and returns the status and the body of the answer. The
// body sent is a string as it is, or any value as JSON.
func (c *caller) do(method, path string, body any) (int, []byte, error) {
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.base+path, content)
	if err != nil {
		return 0, nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := asker.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// must sends a request that must be answered with a status, and decodes the
// answer into to, unless that is nil.
func (c *caller) must(status int, method, path string, body, to any) error {
	got, answer, err := c.do(method, path, body)
	switch {
	case err != nil:
		return err
	case got != status:
		return fmt.Errorf("%s %s: got %d, want %d: %s", method, path, got, status, answer)
	case to == nil:
		return nil
	}
	return json.Unmarshal(answer, to)
}

// tenant is a client of its own with a queue and an extension.
type tenant struct {
	caller
	client    string // GUID
	secret    string // of its token
	queue     int64
	extension int64
}

const (
	adminName     = "admin"
	adminPassword = "correct horse battery"
)

// newTenant makes a client through the admin API, and through the callback
// API what it needs to call.
func newTenant(base string, limit int) (*tenant, error) {
	t := &tenant{caller: caller{base: base}, secret: "a secret of tests"}
	if err := t.login(url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {adminPassword}}); err != nil {
		return nil, err
	}
	var account struct {
		ResponseData struct{ Detail json.RawMessage }
	}
	if err := t.must(http.StatusOK, "GET", "/api/v1/admin/accounts", nil, &account); err != nil {
		return nil, err
	}
	user := regexp.MustCompile(`"UserID": ?"([^"]+)"`).FindSubmatch(account.ResponseData.Detail)
	if user == nil {
		return nil, errors.New("the account has no UserID")
	}
	var made struct {
		ResponseData struct{ Detail struct{ ID string } }
	}
	client := map[string]string{"Name": "tests", "Secret": t.secret, "UserID": string(user[1])}
	if err := t.must(http.StatusOK, "POST", "/api/v1/admin/clients", client, &made); err != nil {
		return nil, err
	}
	t.client = made.ResponseData.Detail.ID
	if err := t.login(url.Values{"grant_type": {"client_credentials"}, "client_id": {t.client}, "client_secret": {t.secret}}); err != nil {
		return nil, err
	}
	queue := map[string]any{"name": "tests", "status": "on", "concurrent_task_limit": limit}
	if limit == 0 {
		queue["concurrent_task_limit"] = nil
	}
	var id struct{ ID int64 }
	if err := t.must(http.StatusCreated, "POST", t.path("/task_scheduler/"), queue, &id); err != nil {
		return nil, err
	}
	t.queue = id.ID
	if err := t.must(http.StatusCreated, "POST", t.path("/extension/"), map[string]any{"name": "tests"}, &id); err != nil {
		return nil, err
	}
	t.extension = id.ID
	return t, nil
}

// path is a path below the client's.
func (t *tenant) path(rest string) string { return "/client/" + t.client + rest }

// tasks is the path of the queue's tasks.
func (t *tenant) tasks() string { return t.path(fmt.Sprintf("/task_scheduler/%d/tasks/", t.queue)) }

// wireTask is what tests read of a task.
type wireTask struct {
	ID            int64  `json:"id"`
	Name          string `json:"name"`
	Status        string `json:"status"`
	FinishResult  string `json:"finish_result"`
	FinishComment string `json:"finish_comment"`
	Attempts      int    `json:"attempts"`
	CDR           string `json:"cdr"`
}

// task returns the task of a name.
func (t *tenant) task(name string) (wireTask, error) {
	var list []wireTask
	if err := t.must(http.StatusOK, "GET", t.tasks()+"?name="+url.QueryEscape(name), nil, &list); err != nil {
		return wireTask{}, err
	}
	if len(list) != 1 {
		return wireTask{}, fmt.Errorf("%d tasks are called %s", len(list), name)
	}
	return list[0], nil
}
