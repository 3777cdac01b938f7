package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// What BenchmarkMemory measures a process with.
const (
	memoryCalls   = 1000
	memoryTasks   = 1_000_000
	memorySettles = 5 * time.Second
)

// BenchmarkMemory tells what is resident of the program as it is built, without
// anything to do, with calls in progress, and with tasks that wait.
func BenchmarkMemory(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "ringback")
	if out, err := exec.Command("go", "build", "-o", binary, "ringback/cmd/ringback").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for name, url := range map[string]func(dir string) string{
		"SQLite":     func(dir string) string { return "sqlite://" + filepath.Join(dir, "ringback.db") },
		"PostgreSQL": func(string) string { return storetest.PostgresURL(b) },
	} {
		b.Run(name, func(b *testing.B) {
			m := &memory{B: b, binary: binary, dir: b.TempDir()}
			m.url = url(m.dir)
			m.run()
		})
	}
}

type memory struct {
	*testing.B
	binary, dir, url string
	program          *program
	client           *tenant
}

func (m *memory) run() {
	m.start()
	defer func() { _, _ = m.program.stop(syscall.SIGKILL) }()
	var err error
	if m.client, err = newTenant(m.program.url, 0); err != nil {
		m.Fatal(err)
	}
	m.tell("idle")
	m.post(memoryCalls, 0)
	m.await("executed", memoryCalls)
	m.tell("calls")
	m.restart() // it leaves nothing of them
	for _, batch := range []int{1000, scheduler.MaxBatch} {
		for range memoryTasks / 2 / batch {
			m.post(batch, int(24*time.Hour/time.Second))
		}
		m.tell(fmt.Sprint("POSTs-of-", batch))
	}
	m.restart()
	m.await("scheduled", memoryTasks)
	m.tell("waiting")
	m.ReportMetric(0, "ns/op")
}

// start starts the program. Its calls last until it is stopped.
func (m *memory) start() {
	m.Helper()
	var err error
	m.program, err = startProgram(m.binary, m.dir, []string{"serve"}, []string{
		"RINGBACK_DATABASE_URL=" + m.url, "RINGBACK_DIALER=sim", "RINGBACK_SECRET_KEY=" + testKey, "RINGBACK_GRACE=0s",
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword,
		"RINGBACK_SIM_ANSWER_PERCENT=100", "RINGBACK_SIM_RING_MS=100", "RINGBACK_SIM_TALK_MS=3600000",
	})
	if err != nil {
		m.Fatal(err)
	}
}

func (m *memory) restart() {
	m.Helper()
	if _, err := m.program.stop(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	m.start()
	m.client.base = m.program.url
}

// post posts tasks that are due in some seconds.
func (m *memory) post(n, due int) {
	m.Helper()
	tasks := make([]map[string]any, n)
	for i := range tasks {
		tasks[i] = map[string]any{
			"name": fmt.Sprint("order ", i), "a_number": fmt.Sprintf("+3906%07d1", i), "b_number": "+390612349999",
			"extension_id": m.client.extension, "start_time_utc": due, "url_after": "https://crm.example.com/after",
			"variables": map[string]string{"order": fmt.Sprint(i)},
		}
	}
	if err := m.client.must(http.StatusCreated, "POST", m.client.tasks(), map[string]any{"tasks": tasks}, nil); err != nil {
		m.Fatal(err)
	}
}

// await waits until as many tasks as wanted, at least, show a status.
func (m *memory) await(status string, want int) {
	m.Helper()
	path := m.client.path(fmt.Sprintf("/task_scheduler/%d", m.client.queue))
	err := await(patience, func() error {
		var queue struct{ Counts map[string]int }
		err := m.client.must(http.StatusOK, "GET", path, nil, &queue)
		if n := queue.Counts[status]; err == nil && n < want {
			err = fmt.Errorf("%d tasks are %s, want %d", n, status, want)
		}
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
}

// tell reports what is resident, after a while.
func (m *memory) tell(what string) {
	m.Helper()
	<-time.After(memorySettles)
	m.ReportMetric(float64(residentMemory(m, m.program))/1024, what+"-MiB")
}
