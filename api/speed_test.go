package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// thousand is a POST of 1,000 tasks as operators send them.
func thousand(extension scheduler.ExtensionID) string {
	tasks := make([]string, 1000)
	for i := range tasks {
		tasks[i] = fmt.Sprintf(`{"name": "reminder %[1]d", "a_number": "+39333%07[1]d", "b_number": "+442079460958", "extension_id": %[2]d, "try_count": 3,
	 "try_again_pause": "90", "url_before": "https://example.com/before", "url_before_again": "https://example.com/again",
	 "url_success": "https://example.com/success", "url_after": "https://example.com/after", "start_time_utc": "2035-01-02 03:04:05",
	 "variables": {"customer": "c-%[1]d"}, "external_id": "x-%[1]d",
	 "callback_params": {"caller_id_name": "Shop", "caller_id_number": "+390612345678", "extended_a_numbers": ["+393331234567"]}}`, i, extension)
	}
	return `{"tasks": [` + strings.Join(tasks, ",\n") + `]}`
}

// known checks tasks of client c, whose extension 1 is known.
func (s tasks) known(ctx context.Context) *intake {
	in := s.intake(ctx, caller{client: "c"}, 1, date2026)
	in.known[1] = scheduler.Extension{ID: 1, ANI: "+390612345678"}
	return in
}

// BenchmarkReadTasks decodes and checks 1,000 tasks.
func BenchmarkReadTasks(b *testing.B) {
	body := thousand(1)
	s := tasks{numbers: newNumbers(""), checkURL: webhooks.Guard{}.CheckURL}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d := &decoder{reader: reader{text: body}}
		if made, err := d.tasks(s.known(b.Context())); err != nil || len(made) != 1000 {
			b.Fatal(len(made), err)
		}
	}
}

// BenchmarkTellTasks encodes the answer to it.
func BenchmarkTellTasks(b *testing.B) {
	s := tasks{numbers: newNumbers(""), checkURL: webhooks.Guard{}.CheckURL}
	made, err := (&decoder{reader: reader{text: thousand(1)}}).tasks(s.known(b.Context()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder())
		found := scheduler.List[scheduler.Task]{Rows: made}
		if err := answerList(c, found, func(t scheduler.Task) taskAnswer {
			return tellTask(t, scheduler.Queue{On: true}, scheduler.Runtime{}, date2026)
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPostTasks posts 1,000 tasks, the whole way to PostgreSQL.
func BenchmarkPostTasks(b *testing.B) {
	s := storetest.Open(b, storetest.PostgresURL(b))
	client := storetest.Client(b, s)
	extension, queue := storetest.Extension(b, s, client), storetest.Queue(b, s, client, 10)
	issued, err := tokens{tokens: s, now: time.Now}.hand(b.Context(), scheduler.Token{ClientID: &client.ID})
	if err != nil {
		b.Fatal(err)
	}
	server := New(Options{Store: s, CheckURL: webhooks.Guard{}.CheckURL})
	body, path := thousand(extension.ID), fmt.Sprintf("/client/@me/task_scheduler/%d/tasks/", queue.ID)
	for n := 0; b.Loop(); n++ {
		// The external ids of another POST are other ones.
		req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(strings.ReplaceAll(body, `"x-`, fmt.Sprintf(`"%d-`, n))))
		req.Header.Set("Authorization", "Bearer "+issued.AccessToken)
		w := httptest.NewRecorder()
		if server.ServeHTTP(w, req); w.Code != http.StatusCreated {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
