package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

const headerIgnored = "X-Ringback-Ignored"

// tasks answers …/task_scheduler/{scheduler_id}/tasks.
type tasks struct {
	reader     TaskReader
	adder      TaskAdder
	writer     TaskWriter
	queues     QueueStates
	outlooks   OutlookReader
	extensions ExtensionReader
	numbers    *numbers
	checkURL   func(string) error
	sound      func(id string) bool
	holding    func() []scheduler.Hold // nil: nothing holds the node
	now        func() time.Time
}

// statuses are what a task can show.
var statuses = []scheduler.Status{
	scheduler.Scheduled, scheduler.Executed, scheduler.Delayed, scheduler.Finished,
	scheduler.DelayedInterval, scheduler.DelayedASR, scheduler.DelayedConcurrent,
}

// intake is what the tasks of one request are checked against. Extensions are
// read once, and the URLs of a batch are mostly the same few.
type intake struct {
	scheduler.Intake
	known map[scheduler.ExtensionID]scheduler.Extension
	urls  map[string]error
	err   error // why extensions cannot be read
}

func (s tasks) intake(ctx context.Context, me caller, queue scheduler.QueueID, now time.Time) *intake {
	in := &intake{known: map[scheduler.ExtensionID]scheduler.Extension{}, urls: map[string]error{}}
	in.Intake = scheduler.Intake{
		Client: me.client, Queue: queue, Now: now, Settings: me.settings, Number: s.numbers.in(me.settings.DefaultRegion).destination, Sound: s.sound,
		URL: func(url string) error {
			err, known := in.urls[url]
			if !known {
				err = s.checkURL(url)
				in.urls[url] = err
			}
			return err
		},
		Extension: func(id scheduler.ExtensionID) (scheduler.Extension, bool) {
			ext, known := in.known[id]
			if !known && in.err == nil {
				var err error
				if ext, err = s.extensions.Extension(ctx, me.client, id); err != nil && !isNotFound(err) {
					in.err = err
				}
				in.known[id] = ext
			}
			return ext, ext.ID != 0
		},
	}
	return in
}

// of reads the queue of the path as it is now.
func (s tasks) of(c echo.Context, me caller) (scheduler.Queue, scheduler.Runtime, error) {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return scheduler.Queue{}, scheduler.Runtime{}, err
	}
	queue, runtime, err := s.queues.QueueNow(c.Request().Context(), me.client, id)
	if s.holding != nil && err == nil {
		runtime.Node = s.holding()
	}
	return queue, runtime, err
}

func (s tasks) add(c echo.Context, me caller) error {
	queue, runtime, err := s.of(c, me)
	if err != nil {
		return err
	}
	q := newQuery(c)
	dry, add := q.flag("dry_run"), s.adder.AddTasks
	if q.choice("on_duplicate", "skip") != "" {
		add = s.adder.AddNewTasks
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, now := c.Request().Context(), s.now()
	in := s.intake(ctx, me, queue.ID, now)
	made, err := readTasks(c, in)
	if err != nil {
		return err
	}
	if dry {
		return s.rehearse(c, me, queue.ID, made, now)
	}
	if made, err = add(ctx, me.client, queue.ID, made); err != nil {
		return err
	}
	return answerRows(c, http.StatusCreated, made, func(t *scheduler.Task) taskAnswer { return tellTask(*t, queue, runtime, now) })
}

// again answers what a POST made before, as it is now; what was forgotten
// meanwhile is left out.
func (s tasks) again(c echo.Context, me caller, kept scheduler.Once) error {
	queue, runtime, err := s.of(c, me)
	if err != nil {
		return err
	}
	made, now := make([]scheduler.Task, 0, len(kept.IDs)), s.now()
	for some := range slices.Chunk(kept.IDs, maxPage) {
		wanted := make([]scheduler.TaskID, len(some))
		for i, id := range some {
			wanted[i] = scheduler.TaskID(id)
		}
		found, err := s.reader.TasksByID(c.Request().Context(), me.client, queue.ID, wanted)
		if err != nil {
			return err
		}
		made = append(made, found...)
	}
	return answerRows(c, http.StatusCreated, made, func(t *scheduler.Task) taskAnswer { return tellTask(*t, queue, runtime, now) })
}

// readTasks reads and checks the tasks of a POST.
func readTasks(c echo.Context, in *intake) ([]scheduler.Task, error) {
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return nil, err
	}
	made, err := d.tasks(in)
	if err != nil {
		return nil, err
	}
	tellIgnored(c, d)
	return made, nil
}

// tasks reads and checks a batch of tasks.
func (d *decoder) tasks(in *intake) ([]scheduler.Task, error) {
	var made []scheduler.Task
	b := batch{now: in.Now, check: func(d *decoder, r *taskRequest, path string) {
		if len(made) == cap(made) {
			// As many as there are, if they are as long as those before.
			rest := len(d.reader.text) / (d.at/(len(made)+1) + 1)
			made = slices.Grow(made, min(rest, max(1024, len(made))))
		}
		made = append(made, in.NewTask(r.Draft, path, &d.faults))
	}}
	batchShape.read(d, &b)
	if d.wrong == "" && !d.faulty("Tasks") {
		switch {
		case b.full:
			return nil, scheduler.Errorf(scheduler.TooLarge, "one request must have at most %d tasks", scheduler.MaxBatch)
		case !b.given:
			d.faults.Add("Tasks", "is required")
		case len(made) == 0 && len(d.faults) == 0:
			d.faults.Add("Tasks", "must have 1 to %d tasks", scheduler.MaxBatch)
		}
	}
	if in.err != nil {
		return nil, in.err
	}
	return made, d.err()
}

// tellIgnored names the parameters that are kept and not acted on.
func tellIgnored(c echo.Context, d *decoder) {
	if len(d.ignored) > 0 {
		slices.Sort(d.ignored)
		c.Response().Header().Set(headerIgnored, strings.Join(d.ignored, ", "))
	}
}

func (s tasks) list(c echo.Context, me caller) error {
	queue, runtime, err := s.of(c, me)
	if err != nil {
		return err
	}
	q := newQuery(c)
	page := q.cursor(q.page(false))
	f := scheduler.TaskFilter{
		Result: scheduler.Result(q.choice("finish_result", string(scheduler.Success), string(scheduler.Failure))),
		Name:   q.text("name"), A: q.text("a_number"), B: q.text("b_number"), ExternalID: q.text("external_id"),
		CreatedFrom: q.date("created_from"), CreatedTo: q.date("created_to"),
		StartFrom: q.date("start_from"), StartTo: q.date("start_to"), UpdatedSince: q.date("updated_since"),
	}
	for _, status := range q.all("status") {
		if !slices.Contains(statuses, scheduler.Status(status)) {
			q.fault("status", "must be a status of tasks")
		}
		f.Statuses = append(f.Statuses, scheduler.Status(status))
	}
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.reader.Tasks(c.Request().Context(), me.client, queue.ID, f, page)
	if err != nil {
		return err
	}
	now := s.now()
	return answerList(c, found, func(t scheduler.Task) taskAnswer { return tellTask(t, queue, runtime, now) })
}

// one reads the task of the path, and its queue.
func (s tasks) one(c echo.Context, me caller) (scheduler.Task, scheduler.Queue, scheduler.Runtime, error) {
	queue, runtime, err := s.of(c, me)
	if err != nil {
		return scheduler.Task{}, queue, runtime, err
	}
	id, err := rowID[scheduler.TaskID](c, "task_id")
	if err != nil {
		return scheduler.Task{}, queue, runtime, err
	}
	task, err := s.reader.Task(c.Request().Context(), me.client, queue.ID, id)
	return task, queue, runtime, err
}

func (s tasks) get(c echo.Context, me caller) error {
	task, queue, runtime, err := s.one(c, me)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellTask(task, queue, runtime, s.now()))
}

// change writes what the body names over what was asked of a waiting task.
func (s tasks) change(c echo.Context, me caller) error {
	is, queue, runtime, err := s.one(c, me)
	if err != nil {
		return err
	}
	if !is.Status.Waiting() {
		return scheduler.Errorf(scheduler.Conflict, "task %d is %s", is.ID, is.Status)
	}
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return err
	}
	ctx, now, text := c.Request().Context(), s.now(), d.reader
	in := s.intake(ctx, me, queue.ID, now)
	r := taskRequest{Draft: is.Draft(), now: now}
	taskShape.read(d, &r)
	in.Amend(is, r.Draft, &d.faults) // reads the extension, too
	if in.err != nil {
		return in.err
	}
	if err := d.err(); err != nil {
		return err
	}
	changed, err := s.writer.UpdateTask(ctx, me.client, queue.ID, is.ID, func(t *scheduler.Task) error {
		// The task as it is now may not be as it was read.
		again := decoder{reader: text}
		r := taskRequest{Draft: t.Draft(), now: now}
		taskShape.read(&again, &r)
		if _, known := in.known[r.ExtensionID]; !known {
			return scheduler.Errorf(scheduler.Conflict, "task %d was changed meanwhile", t.ID)
		}
		*t = in.Amend(*t, r.Draft, &again.faults)
		return again.err()
	})
	if err != nil {
		return err
	}
	tellIgnored(c, d)
	return answer(c, http.StatusOK, tellTask(changed, queue, runtime, now))
}

func (s tasks) cancel(c echo.Context, me caller) error {
	queue, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	id, err := rowID[scheduler.TaskID](c, "task_id")
	if err != nil {
		return err
	}
	q := newQuery(c)
	hangup := q.flag("hangup")
	if err := q.err(); err != nil {
		return err
	}
	if err := s.writer.CancelTask(c.Request().Context(), me.client, queue, id, hangup, s.now()); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
