package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/store/storetest"
)

// massacre is a run of many tasks through processes of which one is killed,
// and started again, every second.
type massacre struct {
	binary   string // "": the program as it is
	dir      string
	database string
	nodes    int
	tasks    int
	limit    int
	freeze   bool // also stop a process for longer than its lease, and let it go on
	tillOver bool // end as soon as more calls were up than the limit allows
	limitFor time.Duration

	posted   int // tasks so far
	fenced   int // processes that found out and ended
	running  []*program
	gone     map[int][]time.Time // when a process ceased to carry calls
	receiver *receiver
	client   *tenant
}

const massacreTryCount = 10

func (m *massacre) start(i int) error {
	node := fmt.Sprintf("n%d", i)
	p, err := startProgram(m.binary, m.dir, []string{"serve"}, []string{
		"RINGBACK_NODE=" + node, "RINGBACK_DIALER=sim", "RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "RINGBACK_SECRET_KEY=" + testKey,
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword,
		"RINGBACK_SIM_ANSWER_PERCENT=90", "RINGBACK_SIM_RING_MS=50", "RINGBACK_SIM_TALK_MS=200", "RINGBACK_LEASE=1s",
		"RINGBACK_DATABASE_URL=" + m.database, "RINGBACK_SIM_JOURNAL=" + m.journal(),
	})
	if err != nil {
		return err
	}
	m.running[i] = p
	if m.client != nil {
		m.client.base = p.url
	}
	return nil
}

func (m *massacre) journal() string { return filepath.Join(m.dir, "journal") }

// kill kills a process and starts it again.
func (m *massacre) kill(i int) error {
	p := m.running[i]
	if _, err := p.stop(syscall.SIGKILL); err != nil {
		return err
	}
	m.gone[p.cmd.Process.Pid] = append(m.gone[p.cmd.Process.Pid], time.Now())
	return m.start(i)
}

// suspend stops a process for longer than its lease: the others take over what
// it does, and then it wakes and believes that it still does it.
func (m *massacre) suspend(i int) error {
	p := m.running[i]
	p.signal(syscall.SIGSTOP)
	m.gone[p.cmd.Process.Pid] = append(m.gone[p.cmd.Process.Pid], time.Now())
	<-time.After(3 * time.Second)
	p.signal(syscall.SIGCONT)
	select { // fenced, it ends by itself; if it had nothing to be taken over, it goes on
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(p.out.String(), errFenced.Error()) {
			return fmt.Errorf("a fenced process ended with %d:\n%s", code, p.out.String())
		}
		m.fenced++
		return m.start(i)
	case <-time.After(2 * time.Second):
		return nil
	}
}

// run runs it and returns what is wrong with the outcome, "" if nothing is.
func (m *massacre) run(t *testing.T) string {
	t.Helper()
	m.running, m.gone, m.receiver = make([]*program, m.nodes), map[int][]time.Time{}, newReceiver()
	defer m.receiver.Close()
	defer func() {
		for _, p := range m.running {
			if p != nil {
				_, _ = p.stop(syscall.SIGKILL)
			}
		}
	}()
	for i := range m.nodes {
		if err := m.start(i); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.client, err = newTenant(m.running[0].url, m.limit); err != nil {
		t.Fatal(err)
	}
	ids, err := m.post()
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(m.limitFor)
	for round := 0; ; round++ {
		left, err := m.unfinished()
		switch {
		case err == nil && left == 0 && (!m.freeze || m.fenced > 0):
			return m.judge(ids)
		case err == nil && left == 0: // who was frozen had nothing to be taken over: once more
			more, err := m.post()
			if err != nil {
				return err.Error()
			}
			ids = append(ids, more...)
		}
		if m.tillOver && m.over() {
			return strings.Join(m.judgeCalls(), "\n")
		}
		if time.Now().After(end) {
			unfinished := fmt.Sprintf("%d tasks are unfinished after %s, %v", left, m.limitFor, err)
			return strings.Join(append(m.judgeCalls(), unfinished), "\n")
		}
		<-time.After(time.Second)
		victim := round % m.nodes
		do := m.kill
		if m.freeze && round%4 == 3 {
			do = m.suspend
		}
		if err := do(victim); err != nil {
			return err.Error()
		}
	}
}

// post posts the tasks and returns their ids.
func (m *massacre) post() ([]int64, error) {
	tasks := make([]map[string]any, m.tasks)
	for i := range tasks {
		tasks[i] = map[string]any{
			"a_number": fmt.Sprintf("+39061234%04d", 1000+i%400), "b_number": "+390612349999", "extension_id": m.client.extension,
			"try_count": massacreTryCount, "try_again_pause": 0, "url_after": m.receiver.URL + "/after",
		}
	}
	var made []wireTask
	if err := m.client.must(http.StatusCreated, "POST", m.client.tasks(), map[string]any{"tasks": tasks}, &made); err != nil {
		return nil, err
	}
	m.posted += len(made)
	ids := make([]int64, len(made))
	for i, task := range made {
		ids[i] = task.ID
	}
	return ids, nil
}

// unfinished returns how many tasks are not finished.
func (m *massacre) unfinished() (int, error) {
	var queue struct{ Counts map[string]int }
	path := m.client.path(fmt.Sprintf("/task_scheduler/%d", m.client.queue))
	if err := m.client.must(http.StatusOK, "GET", path, nil, &queue); err != nil {
		return m.posted, err
	}
	return m.posted - queue.Counts["finished"], nil
}

// judge looks at the carrier's journal, the events, and the slots.
func (m *massacre) judge(ids []int64) string {
	faults := m.judgeCalls()
	if m.freeze && m.fenced == 0 {
		faults = append(faults, "no process was fenced: nothing is known about that")
	}
	if fault := m.probeSlots(); fault != "" {
		faults = append(faults, fault)
	}
	for _, id := range ids {
		err := await(eventPatience, func() error {
			if got := m.receiver.of(id); len(got) != 1 || got[0] != "after" {
				return fmt.Errorf("task %d sent the events %q, want one after", id, got)
			}
			return nil
		})
		if err != nil {
			faults = append(faults, err.Error())
			break
		}
	}
	return strings.Join(faults, "\n")
}

// over reports whether more calls were up than the limit allows.
func (m *massacre) over() bool {
	v, err := judgement(m.journal(), m.gone)
	return err == nil && v.peak > m.limit
}

// judgeCalls looks at the carrier's journal alone.
func (m *massacre) judgeCalls() []string {
	v, err := judgement(m.journal(), m.gone)
	if err != nil {
		return []string{err.Error()}
	}
	faults := v.faults
	if len(faults) > 10 {
		faults = append(faults[:10], fmt.Sprintf("and %d more", len(faults)-10))
	}
	if v.peak != m.limit {
		faults = append(faults, fmt.Sprintf("at most %d calls were up at one time, the limit is %d", v.peak, m.limit))
	}
	for task, attempts := range v.tasks {
		if attempts > massacreTryCount {
			faults = append(faults, fmt.Sprintf("task %d was tried %d times", task, attempts))
		}
	}
	return faults
}

// probeSlots fills the queue again, to the limit: a slot that did not come
// back, or came back twice, shows in how many tasks are executed at one time.
func (m *massacre) probeSlots() string {
	tasks := make([]map[string]any, m.limit*2)
	for i := range tasks {
		tasks[i] = map[string]any{ // rings until its time-out
			"a_number": "+390612340480", "b_number": "+390612349999", "extension_id": m.client.extension,
			"callback_params": map[string]any{"wait_for_pickup": 5},
		}
	}
	if err := m.client.must(http.StatusCreated, "POST", m.client.tasks(), map[string]any{"tasks": tasks}, nil); err != nil {
		return err.Error()
	}
	var queue struct{ Counts map[string]json.Number }
	path := m.client.path(fmt.Sprintf("/task_scheduler/%d", m.client.queue))
	err := await(4*time.Second, func() error {
		if err := m.client.must(http.StatusOK, "GET", path, nil, &queue); err != nil {
			return err
		}
		if n := queue.Counts["executed"].String(); n != fmt.Sprint(m.limit) {
			return fmt.Errorf("%s tasks are executed of a queue with the limit %d", n, m.limit)
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return ""
}

// tasksToKill is fewer where everything is slower.
func tasksToKill() int {
	if testing.Short() {
		return 100
	}
	return 300
}

func TestNodesAreKilled(t *testing.T) {
	m := &massacre{dir: t.TempDir(), database: storetest.PostgresURL(t), nodes: 3, tasks: tasksToKill(), limit: 10, freeze: true, limitFor: 3 * time.Minute}
	if fault := m.run(t); fault != "" {
		t.Error(fault)
	}
}

func TestTheNodeIsKilled(t *testing.T) {
	dir := t.TempDir()
	m := &massacre{dir: dir, database: "sqlite://" + filepath.Join(dir, "ringback.db"), nodes: 1, tasks: tasksToKill(), limit: 10, limitFor: 3 * time.Minute}
	if fault := m.run(t); fault != "" {
		t.Error(fault)
	}
}
