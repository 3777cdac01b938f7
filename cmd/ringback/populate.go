package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// populate makes up a client and its day, through the API like anyone else.
func populate(ctx context.Context, c *credentials) error {
	p := &populator{ctx: ctx, base: c.URL}
	p.login(url.Values{"grant_type": {"password"}, "username": {c.AdminUsername}, "password": {c.AdminPassword}})
	var account struct {
		ResponseData struct{ Detail struct{ UserID string } }
	}
	p.call(http.MethodGet, "/api/v1/admin/accounts", nil, &account)
	var client struct {
		ResponseData struct{ Detail struct{ ID string } }
	}
	secret := rand.Text()
	p.call(http.MethodPost, "/api/v1/admin/clients",
		map[string]string{"Name": "demo", "Secret": secret, "UserID": account.ResponseData.Detail.UserID}, &client)
	id := client.ResponseData.Detail.ID
	// Whose number is shown is the operator's to say, so that this is the user's.
	extension := p.create("/client/"+id+"/extension/", map[string]any{"name": "front desk", "ani": "+442079460000"})
	p.create("/client/"+id+"/extension/", map[string]any{"name": "sales", "ani": "+442079460009"})
	p.login(url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	queue := p.day(id, c.Receiver, extension)
	if p.err != nil {
		return p.err
	}
	c.ClientID, c.ClientSecret = id, secret
	c.Queue, c.Extension = strconv.FormatInt(queue, 10), strconv.FormatInt(extension, 10)
	return c.save()
}

// populator asks the API for one thing after the other, until one fails.
type populator struct {
	ctx         context.Context
	base, token string
	err         error
}

func (p *populator) login(form url.Values) {
	var answer struct {
		Token string `json:"access_token"`
	}
	p.send(http.MethodPost, "/oauth/token", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), &answer)
	p.token = answer.Token
}

// create posts a thing and returns its id.
func (p *populator) create(path string, thing any) int64 {
	var made struct {
		ID int64 `json:"id"`
	}
	p.call(http.MethodPost, path, thing, &made)
	return made.ID
}

func (p *populator) call(method, path string, body, answer any) {
	text, err := json.Marshal(body)
	if p.err == nil {
		p.err = err
	}
	p.send(method, path, "application/json", bytes.NewReader(text), answer)
}

func (p *populator) send(method, path, contentType string, body io.Reader, answer any) {
	if p.err != nil {
		return
	}
	if method == http.MethodGet {
		body = nil
	}
	var req *http.Request
	if req, p.err = http.NewRequestWithContext(p.ctx, method, p.base+path, body); p.err != nil {
		return
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.err = err
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		p.err = err
	case resp.StatusCode >= http.StatusMultipleChoices:
		p.err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	case answer != nil:
		p.err = json.Unmarshal(text, answer)
	}
}

// story is what happens to a made-up task, by the last digits of its numbers.
type story struct {
	name, a, b string
	tries      int
}

// stories are told over and over; the numbers are Ofcom's for drama.
var stories = []story{
	{"order 1001: call back", "+442079460101", "+442079460201", 3},
	{"order 1002: nobody at the desk", "+442079460480", "+442079460202", 2},
	{"claim 77: line is busy", "+442079460486", "+442079460203", 3},
	{"survey: does not want to", "+442079460603", "+442079460204", 2},
	{"lead 5: mistyped number", "+442079460404", "+442079460205", 3},
	{"order 1003: customer is busy", "+442079460102", "+442079460486", 2},
	{"lead 6: changes his mind", "+442079460487", "+442079460206", 1},
	{"order 1004: call back", "+442079460103", "+442079460207", 3},
	{"claim 78: no lines free", "+442079460104", "+442079460503", 2},
	{"order 1005: call back", "+442079460105", "+442079460208", 3},
}

// The made-up day: some tasks at once, the others over the hours.
const (
	dayTasks  = 72
	dayBegins = 3 * time.Second  // so that what there is was read before
	daySoon   = 12               // of them in the first minutes
	soonStep  = 10 * time.Second // between those
	dayStep   = 20 * time.Minute // between the others
)

// day makes queues and fills them; it returns the first queue.
func (p *populator) day(client, receiver string, extension int64) int64 {
	base := "/client/" + client + "/task_scheduler/"
	queues := []int64{
		p.create(base, map[string]any{"name": "callbacks", "comment": "who left a number", "status": "on", "concurrent_task_limit": 3}),
		p.create(base, map[string]any{"name": "sales", "comment": "one at a time", "status": "on", "concurrent_task_limit": 1}),
		p.create(base, map[string]any{"name": "night", "comment": "switched off: PUT status on", "status": "off"}),
	}
	tasks := make([][]map[string]any, len(queues))
	for i := range dayTasks {
		s := stories[i%len(stories)]
		start := dayBegins + time.Duration(i)*soonStep
		if i >= daySoon {
			start = time.Duration(i-daySoon+1) * dayStep
		}
		task := map[string]any{
			"name": s.name, "a_number": s.a, "b_number": s.b, "extension_id": extension, "try_count": s.tries, "try_again_pause": 30,
			"start_time_utc": int(start.Seconds()), "callback_params": map[string]any{"wait_for_pickup": 15},
		}
		for _, kind := range []string{"before", "before_again", "success", "after"} {
			task["url_"+kind] = receiver + "/" + kind
		}
		tasks[i%len(queues)] = append(tasks[i%len(queues)], task)
	}
	for i, queue := range queues {
		p.call(http.MethodPost, fmt.Sprintf("%s%d/tasks/", base, queue), map[string]any{"tasks": tasks[i]}, nil)
	}
	return queues[0]
}

// printer prints the events that come to the demonstration.
type printer struct{ to io.Writer }

func (p printer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Type string    `json:"type"`
		At   time.Time `json:"timestamp"`
		Data struct {
			Task    int64  `json:"task_id"`
			Name    string `json:"name"`
			Attempt int    `json:"attempt"`
			Result  string `json:"finish_result"`
			Comment string `json:"finish_comment"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&e); err != nil {
		http.Error(w, "this is no event", http.StatusBadRequest)
		return
	}
	fmt.Fprintf(p.to, "%s  %-17s task %d %q attempt %d  %s\n", e.At.Format(time.TimeOnly), e.Type, e.Data.Task, e.Data.Name,
		e.Data.Attempt, strings.TrimSpace(e.Data.Result+" "+e.Data.Comment))
}
