package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// BenchmarkListeners measures what 200 listeners of 20 queues cost a node: while
// nothing changes, and while ten tasks a second are added to each queue. The
// listeners are in the process, too; PostgreSQL's own processor time is not
// counted.
func BenchmarkListeners(b *testing.B) {
	for name, rate := range map[string]int{"idle": 0, "busy": 10} {
		b.Run(name, func(b *testing.B) {
			s := storetest.Open(b, storetest.PostgresURL(b))
			client := storetest.Client(b, s)
			ext := storetest.Extension(b, s, client)
			issued, err := tokens{tokens: s, now: time.Now}.hand(b.Context(), scheduler.Token{ClientID: &client.ID})
			if err != nil {
				b.Fatal(err)
			}
			server := New(Options{Store: s})
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { server.Stream(ctx) })
			web := httptest.NewServer(server)
			before := heap()
			var events atomic.Int64
			queues := make([]scheduler.Queue, 20)
			for i := range queues {
				queues[i] = storetest.Queue(b, s, client, 1)
				for range 10 {
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/client/%s/task_scheduler/%d/events", web.URL, client.ID, queues[i].ID), nil)
					if err != nil {
						b.Fatal(err)
					}
					req.Header.Set("Authorization", "Bearer "+issued.AccessToken)
					answer, err := http.DefaultClient.Do(req)
					if err != nil || answer.StatusCode != http.StatusOK {
						b.Fatal(answer, err)
					}
					running.Go(func() {
						defer answer.Body.Close()
						_, _ = io.Copy(counter{&events}, answer.Body)
					})
				}
			}
			memory := heap() - before
			for b.Loop() {
				events.Store(0)
				began, cpu := time.Now(), processorTime()
				second := time.NewTicker(time.Second)
				for range 10 {
					for _, q := range queues {
						if rate > 0 {
							batch := slices.Repeat([]scheduler.Task{storetest.Task(ext, time.Now().UTC())}, rate)
							if _, err := s.AddTasks(b.Context(), client.ID, q.ID, batch); err != nil {
								b.Fatal(err)
							}
						}
					}
					<-second.C
				}
				second.Stop()
				took := time.Since(began).Seconds()
				b.ReportMetric(float64((processorTime()-cpu).Milliseconds())/took, "cpu-ms/s")
				b.ReportMetric(float64(events.Load())/1024/took, "KiB/s")
				b.ReportMetric(float64(memory)/200/1024, "KiB/listener")
			}
			cancel()
			running.Wait()
			web.Close()
		})
	}
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// heap is what lives on the heap and on stacks, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var self syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &self)
	return time.Duration(self.Utime.Nano() + self.Stime.Nano())
}
