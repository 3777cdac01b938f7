package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; "sqlite" comes with the store

	"ringback/store/storetest"
)

// Of TestAKilledProcessDoesItOnce.
const (
	sameAtOnce = 50    // equal POSTs
	sameTasks  = 3_000 // of each, so that doing it takes a while
)

// TestAKilledProcessDoesItOnce: of equal POSTs at once with one Idempotency-Key
// one is being done when the process is killed. Sent again to the process that
// follows, they make one batch.
func TestAKilledProcessDoesItOnce(t *testing.T) {
	for name, of := range map[string]func(dir string) (url, driver, source string){
		"SQLite": func(dir string) (string, string, string) {
			path := filepath.Join(dir, "ringback.db")
			return "sqlite://" + path, "sqlite", "file:" + path
		},
		"PostgreSQL": func(string) (string, string, string) {
			url := storetest.PostgresURL(t)
			return url, "pgx", url
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			url, driver, source := of(dir)
			start := func() *program {
				t.Helper()
				p, err := startProgram("", dir, []string{"serve"}, []string{
					"RINGBACK_DATABASE_URL=" + url, "RINGBACK_DIALER=sim", "RINGBACK_SECRET_KEY=" + testKey, "RINGBACK_LEASE=1s",
					"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword,
				})
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			p := start()
			defer func() { _, _ = p.stop(syscall.SIGKILL) }()
			client, err := newTenant(p.url, 0)
			if err != nil {
				t.Fatal(err)
			}
			task := fmt.Sprintf(`{"a_number":"101","b_number":"102","extension_id":%d,"start_time_utc":3600}`, client.extension)
			same := samePosts{tenant: client, body: `{"tasks":[` + strings.Repeat(task+",", sameTasks-1) + task + `]}`}
			same.send(t, func() { p.signal(syscall.SIGKILL) })
			<-p.done
			made := same.afterTheKill(t, driver, source)

			p = start()
			client.base = p.url
			answers := same.send(t, nil)
			if answers[http.StatusCreated] == 0 || answers[http.StatusCreated]+answers[http.StatusConflict] != sameAtOnce {
				t.Errorf("sent again they were answered %v", answers)
			}
			if got := client.count(t); got != sameTasks {
				t.Errorf("there are %d tasks, %d of them before the kill", got, made)
			}
		})
	}
}

// samePosts are equal POSTs with one key.
type samePosts struct {
	*tenant
	body string
}

// send sends all at once and counts how they are answered, 0 for those that are
// not. kill is called as soon as one is told that another is being done.
func (s samePosts) send(t *testing.T, kill func()) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var once sync.Once
	answers := map[int]int{}
	var all sync.WaitGroup
	var doing atomic.Bool
	for range sameAtOnce {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+s.tasks(), strings.NewReader(s.body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+s.token)
			req.Header.Set("Idempotency-Key", "the same")
			code := 0
			if a, err := http.DefaultClient.Do(req); err == nil {
				code = a.StatusCode
				_, _ = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
			}
			if code == http.StatusConflict {
				doing.Store(true)
				if kill != nil {
					once.Do(kill)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answers[code]++
		})
	}
	all.Wait()
	if kill != nil && !doing.Load() {
		t.Fatalf("nothing was killed: %v", answers)
	}
	return answers
}

// afterTheKill looks into the database that the dead process left, and ends its
// lease of the key. It returns how many tasks there are: none or all.
func (s samePosts) afterTheKill(t *testing.T, driver, source string) (made int) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The server may not have noticed yet that nobody is there.
	if err := await(patience, func() error {
		var keys, done int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*), count(done_at) FROM once_keys`).Scan(&keys, &done); err != nil {
			return err
		}
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM tasks`).Scan(&made); err != nil {
			return err
		}
		if keys != 1 || made != done*sameTasks {
			return fmt.Errorf("there are %d keys, %d of them done, and %d tasks", keys, done, made)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("the kill left %d tasks", made)
	ended := any(time.Now().Add(-time.Second))
	if driver == "sqlite" {
		ended = time.Now().Add(-time.Second).UnixMicro()
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE once_keys SET leased_until = $1`, ended); err != nil {
		t.Fatal(err)
	}
	return made
}

// count is how many tasks the queue has.
func (t *tenant) count(tb testing.TB) int {
	tb.Helper()
	n, after := 0, ""
	for {
		var page []wireTask
		if err := t.must(http.StatusOK, "GET", fmt.Sprintf("%s?per_page=1000%s", t.tasks(), after), nil, &page); err != nil {
			tb.Fatal(err)
		}
		if n += len(page); len(page) < 1000 {
			return n
		}
		after = fmt.Sprintf("&after_id=%d", page[len(page)-1].ID)
	}
}
