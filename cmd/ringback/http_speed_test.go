package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// What BenchmarkHTTP measures with.
const (
	postBatch  = 1000
	postCount  = 100 // POSTs, over postLines connections
	postLines  = 4
	watchers   = 200 // dashboards, and listeners
	watchFor   = 10 * time.Second
	readsASec  = 100
	drainTasks = 5_000
)

// BenchmarkHTTP measures the program as it is built over HTTP, with the load
// generator on the same cores: POSTs of 1,000 tasks, reads of a task while tasks
// are worked at half of what the program can, dashboards that poll, listeners,
// and the peak of memory of one POST of 50,000 tasks.
func BenchmarkHTTP(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "ringback")
	if out, err := exec.Command("go", "build", "-o", binary, "ringback/cmd/ringback").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for name, url := range map[string]func(dir string) string{
		"SQLite":     func(dir string) string { return "sqlite://" + filepath.Join(dir, "ringback.db") },
		"PostgreSQL": func(string) string { return storetest.PostgresURL(b) },
	} {
		b.Run(name, func(b *testing.B) {
			for what, run := range map[string]func(*wire){
				"Post": (*wire).posts, "Get": (*wire).gets, "Dashboards": (*wire).dashboards, "Listeners": (*wire).listeners, "Post50000": (*wire).big,
			} {
				b.Run(what, func(b *testing.B) {
					m := &memory{B: b, binary: binary, dir: b.TempDir()}
					m.url = url(m.dir)
					w := &wire{memory: m}
					w.start()
					defer func() { _, _ = w.program.stop(syscall.SIGKILL) }()
					var err error
					if w.client, err = newTenant(w.program.url, 0); err != nil {
						b.Fatal(err)
					}
					run(w)
					b.ReportMetric(0, "ns/op")
				})
			}
		})
	}
}

// wire is the program, and who talks to it.
type wire struct{ *memory }

// start starts the program with a carrier whose calls take no time.
func (w *wire) start() {
	w.Helper()
	var err error
	w.program, err = startProgram(w.binary, w.dir, []string{"serve"}, []string{
		"RINGBACK_DATABASE_URL=" + w.url, "RINGBACK_DIALER=sim", "RINGBACK_SECRET_KEY=" + testKey, "RINGBACK_GRACE=0s",
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword,
		"RINGBACK_SIM_ANSWER_PERCENT=100", "RINGBACK_SIM_RING_MS=0", "RINGBACK_SIM_TALK_MS=0",
	})
	if err != nil {
		w.Fatal(err)
	}
}

// batch is a POST of n tasks as operators send them; no two have an external id.
func (w *wire) batch(first, n int, start string) string {
	tasks := make([]string, n)
	for i := range tasks {
		tasks[i] = fmt.Sprintf(`{"name": "reminder %[1]d", "a_number": "+3933%07[1]d1", "b_number": "+442079460958", "extension_id": %[2]d, "try_count": 3,
	 "try_again_pause": "90", "start_time_utc": %[3]s, "variables": {"customer": "c-%[1]d"}, "external_id": "x-%[1]d",
	 "callback_params": {"caller_id_name": "Shop", "extended_a_numbers": ["+393331234567"]}}`, (first+i)%10_000_000, w.client.extension, start)
	}
	return `{"tasks": [` + strings.Join(tasks, ",\n") + `]}`
}

// ask sends a request and returns the answer's status and ETag.
func (w *wire) ask(method, path, body, tag string) (int, string) {
	req, err := http.NewRequestWithContext(context.Background(), method, w.program.url+path, strings.NewReader(body))
	if err != nil {
		w.Error(err)
		return 0, ""
	}
	req.Header.Set("Authorization", "Bearer "+w.client.token)
	req.Header.Set("Content-Type", "application/json")
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Error(err)
		return 0, ""
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get("ETag")
}

// spent is the processor time of the program, and of its PostgreSQL backends.
func (w *wire) spent() time.Duration {
	w.Helper()
	total := processorTime(w.program.cmd.Process.Pid)
	if !strings.HasPrefix(w.url, "postgres") {
		return total
	}
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, _ := conn.Query(context.Background(), "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	backends, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		w.Fatal(err)
	}
	for _, pid := range backends {
		total += processorTime(pid)
	}
	return total
}

// processorTime is fields 14 and 15 of /proc/PID/stat, hundredths of a second.
func processorTime(pid int) time.Duration {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	var total time.Duration
	if fields := strings.Fields(after); len(fields) > 12 {
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

func (w *wire) posts() {
	if code, _ := w.ask("POST", w.client.tasks(), w.batch(9_000_000, postBatch, `"2035-01-02 03:04:05"`), ""); code != http.StatusCreated {
		w.Fatal(code)
	}
	bodies := make(chan string, postCount) // made before: that is no part of a POST
	for n := range postCount {
		bodies <- w.batch((n+1)*postBatch, postBatch, `"2035-01-02 03:04:05"`)
	}
	close(bodies)
	var all sync.WaitGroup
	began, cpu := time.Now(), w.spent()
	program, ours := processorTime(w.program.cmd.Process.Pid), processorTime(os.Getpid())
	for range postLines {
		all.Go(func() {
			for body := range bodies {
				if code, _ := w.ask("POST", w.client.tasks(), body, ""); code != http.StatusCreated {
					w.Errorf("answered %d", code)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	a := func(total time.Duration) float64 { return float64(total.Microseconds()) / (postBatch * postCount) }
	w.ReportMetric(postBatch*postCount/took.Seconds(), "tasks/s")
	w.ReportMetric(a(w.spent()-cpu), "cpu-µs/task")
	w.ReportMetric(a(processorTime(w.program.cmd.Process.Pid)-program), "program-µs/task")
	w.ReportMetric(a(processorTime(os.Getpid())-ours), "client-µs/task")
}

// gets measures what tasks a second the program can work, then reads one of
// tasks that are worked at half of that.
func (w *wire) gets() {
	queue := w.client.path(fmt.Sprintf("/task_scheduler/%d", w.client.queue))
	w.ask("PUT", queue, `{"status":"off"}`, "")
	for n := range drainTasks / postBatch {
		w.ask("POST", w.client.tasks(), w.batch(n*postBatch, postBatch, "0"), "")
	}
	began := time.Now()
	w.ask("PUT", queue, `{"status":"on"}`, "")
	w.await("finished", drainTasks)
	rate := drainTasks / time.Since(began).Seconds()
	w.ReportMetric(rate, "drained/s")
	paced := int(rate / 2)
	// Ten batches a second, each due when the last one has been posted.
	tick := time.NewTicker(time.Second / 10)
	defer tick.Stop()
	for n := range int(watchFor.Seconds()) * 10 {
		<-tick.C
		w.ask("POST", w.client.tasks(), w.batch(1_000_000+n*(paced/10), paced/10, strconv.Itoa(int(watchFor.Seconds()))), "")
	}
	took := w.timed(readsASec, func() { w.ask("GET", w.client.tasks()+"1", "", "") })
	w.ReportMetric(took[len(took)/2], "p50-ms")
	w.ReportMetric(took[len(took)*99/100], "p99-ms")
	w.await("finished", drainTasks+paced/10*10*int(watchFor.Seconds()))
}

// timed does something so many times a second, however long it takes, and returns
// for how long each was not done, in milliseconds, ascending.
func (w *wire) timed(aSecond int, do func()) []float64 {
	var mu sync.Mutex
	var took []float64
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(aSecond))
	defer tick.Stop()
	for range int(watchFor.Seconds()) * aSecond {
		due := <-tick.C
		all.Go(func() {
			do()
			mu.Lock()
			defer mu.Unlock()
			took = append(took, float64(time.Since(due).Microseconds())/1000)
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

// watched runs something while a hundred tasks a second are added, and reports
// what it cost.
func (w *wire) watched(unit string, run func(until time.Time)) {
	for name, adding := range map[string]bool{"idle": false, "busy": true} {
		until := time.Now().Add(watchFor)
		began, cpu := time.Now(), w.spent()
		var all sync.WaitGroup
		if adding {
			all.Go(func() {
				for n := 0; time.Now().Before(until); n++ {
					w.ask("POST", w.client.tasks(), w.batch(2_000_000+n*10, 10, `"2035-01-02 03:04:05"`), "")
					<-time.After(100 * time.Millisecond)
				}
			})
		}
		run(until)
		all.Wait()
		w.ReportMetric(float64((w.spent()-cpu).Milliseconds())/time.Since(began).Seconds(), name+"-cpu-ms/s")
	}
	w.ReportMetric(float64(residentMemory(w, w.program))/1024, unit+"-MiB")
}

func (w *wire) dashboards() {
	w.ask("POST", w.client.tasks(), w.batch(0, postBatch, `"2035-01-02 03:04:05"`), "")
	var answers, unchanged atomic.Int64
	w.watched("resident", func(until time.Time) {
		var all sync.WaitGroup
		for i := range watchers {
			all.Go(func() {
				<-time.After(time.Second * time.Duration(i) / watchers)
				var tag string
				for time.Now().Before(until) {
					code, now := w.ask("GET", w.client.tasks()+"?order=desc", "", tag)
					switch tag = now; code {
					case http.StatusNotModified:
						unchanged.Add(1)
					case http.StatusOK:
					default:
						w.Errorf("answered %d", code)
					}
					answers.Add(1)
					<-time.After(time.Second)
				}
			})
		}
		all.Wait()
	})
	w.ReportMetric(float64(answers.Load()), "polls")
	w.ReportMetric(float64(unchanged.Load()), "polls-304")
}

func (w *wire) listeners() {
	var read atomic.Int64
	w.watched("resident", func(until time.Time) {
		ctx, cancel := context.WithDeadline(context.Background(), until)
		defer cancel()
		var all sync.WaitGroup
		for range watchers {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.program.url+strings.TrimSuffix(w.client.tasks(), "tasks/")+"events", nil)
				req.Header.Set("Authorization", "Bearer "+w.client.token)
				answer, err := http.DefaultClient.Do(req)
				if err != nil || answer.StatusCode != http.StatusOK {
					w.Errorf("%v %v", answer, err)
					return
				}
				n, _ := io.Copy(io.Discard, answer.Body)
				read.Add(n)
				_ = answer.Body.Close()
			})
		}
		all.Wait()
	})
	w.ReportMetric(float64(read.Load())/1024/1024, "MiB-sent")
}

func (w *wire) big() {
	before := residentMemory(w, w.program)
	began := time.Now()
	if code, _ := w.ask("POST", w.client.tasks(), w.batch(0, scheduler.MaxBatch, `"2035-01-02 03:04:05"`), ""); code != http.StatusCreated {
		w.Fatal(code)
	}
	w.ReportMetric(time.Since(began).Seconds(), "s")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.program.cmd.Process.Pid))
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if err != nil || peak == nil {
		w.Fatal(err)
	}
	kib, _ := strconv.Atoi(string(peak[1]))
	w.ReportMetric(float64(kib)/1024, "peak-MiB")
	w.ReportMetric(float64(before)/1024, "before-MiB")
}
