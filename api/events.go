package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

const (
	headerLastEvent = "Last-Event-ID"
	headerRetry     = "Retry-After"
	eventStream     = "text/event-stream"

	// heartbeatEvery is the pause after which a comment shows that both ends live.
	heartbeatEvery = 15 * time.Second
	// beatsAToken is how many heartbeats a listener may go on before its token is
	// looked at again.
	beatsAToken = 4
	// sendMost is how long a listener may take to take what it is sent; then it
	// is cut off and may come back for the rest.
	sendMost = 10 * time.Second
	// retryAfter is what a listener is told to wait before it comes back, in
	// milliseconds.
	retryAfter = 2000

	// excerptTasks and excerptChanges are how much is read at one time.
	excerptTasks   = 100
	excerptChanges = 100
)

// events answers …/task_scheduler/{scheduler_id}/events.
type events struct {
	changes Changes
	tasks   TaskReader
	queues  QueueStates
	hub     *hub
	guard   guard
	now     func() time.Time
}

// cursor is a place in the changes of a queue, as the id of an event says it:
// "17" is after change 17, "17.4711" within it, after task 4711.
type cursor struct {
	seq  int64
	task scheduler.TaskID // 0: all of seq is told
}

func (c cursor) String() string {
	if c.task == 0 {
		return strconv.FormatInt(c.seq, 10)
	}
	return strconv.FormatInt(c.seq, 10) + "." + strconv.FormatInt(int64(c.task), 10)
}

func parseCursor(text string) (cursor, bool) {
	seq, task, within := strings.Cut(text, ".")
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil || n < 0 {
		return cursor{}, false
	}
	c := cursor{seq: n}
	if within {
		id, err := strconv.ParseInt(task, 10, 64)
		if err != nil || id < 1 {
			return cursor{}, false
		}
		c.task = scheduler.TaskID(id)
	}
	return c, true
}

// excerpt is the changes from one place to another, as they are sent.
type excerpt struct {
	from, to cursor
	more     bool // there is more after to
	frames   []byte
}

func (s events) listen(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	if err := newQuery(c).err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	l, err := s.hub.join(me.client, id)
	if err != nil {
		c.Response().Header().Set(headerRetry, "10")
		return err
	}
	defer s.hub.leave(l)
	if err := s.changes.Follow(ctx, me.client, id); err != nil {
		return err
	}
	queue, runtime, err := s.queues.QueueNow(ctx, me.client, id)
	if err != nil {
		return err
	}
	at := cursor{seq: runtime.Changes}
	first := "id: " + at.String() + "\n"
	if given := c.Request().Header.Get(headerLastEvent); given != "" {
		last, ok := parseCursor(given)
		if !ok {
			return scheduler.Errorf(scheduler.Invalid, "%s must be the id of an event of this scheduler", headerLastEvent)
		}
		at, first = last, "" // what it missed comes before anything new
	}
	w := newStream(c)
	frame := &bytes.Buffer{}
	fmt.Fprintf(frame, "retry: %d\n%s", retryAfter, first)
	hold := runtime.Holds(queue, s.now())
	if err := tellHeld(frame, &hold); err != nil {
		return err
	}
	if w.send(frame.Bytes()) != nil {
		return nil // it is gone
	}
	return s.follow(c, me, l, w, at)
}

// follow sends what changes until the listener, its token, its queue or the
// node is gone. Whoever is cut off comes back for the rest.
func (s events) follow(c echo.Context, me caller, l *listener, w *stream, at cursor) error {
	ctx := c.Request().Context()
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for beats := 0; ; {
		for more := true; more; {
			e, err := s.hub.excerpt(ctx, l.feed, at, func(ctx context.Context) (*excerpt, error) {
				return s.read(ctx, me.client, l.feed.queue, at)
			})
			switch {
			case ctx.Err() != nil || isNotFound(err):
				return nil
			case err != nil:
				return err
			case len(e.frames) > 0 && w.send(e.frames) != nil:
				return nil
			}
			at, more = e.to, e.more
		}
		select {
		case <-l.moved:
		case <-beat.C:
			if w.send([]byte(":\n\n")) != nil {
				return nil
			}
			if beats++; beats%beatsAToken == 0 {
				if _, err := s.guard.caller(c); err != nil {
					return nil
				}
				if err := s.changes.Follow(ctx, me.client, l.feed.queue); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		case <-l.feed.gone:
			return nil
		case <-s.hub.over:
			return nil
		}
	}
}

// read reads what follows a place. Of a task that changed several times it
// tells once, as the task is now. Where changes are forgotten already it tells
// the listener to begin anew.
func (s events) read(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, from cursor) (*excerpt, error) {
	after := from.seq
	if from.task != 0 {
		after--
	}
	queue, runtime, err := s.queues.QueueNow(ctx, client, id)
	if err != nil {
		return nil, err
	}
	changes, err := s.changes.Changes(ctx, client, id, after, excerptChanges)
	if err != nil {
		return nil, err
	}
	if lost(changes, after) || from.seq > runtime.Changes || len(changes) == 0 && after < runtime.Changes {
		to := cursor{seq: runtime.Changes}
		return &excerpt{from: from, to: to, more: true, frames: fmt.Appendf(nil, "id: %s\nevent: reset\ndata: {}\n\n", to)}, nil
	}
	part := cut(changes, from)
	tasks, err := s.tasks.TasksByID(ctx, client, id, part.ids())
	if err != nil {
		return nil, err
	}
	now := s.now()
	told := make(map[scheduler.TaskID]any, len(tasks))
	for _, task := range tasks {
		told[task.ID] = tellTask(task, queue, runtime, now)
	}
	e := &excerpt{from: from, to: part.to, more: part.to.task != 0 || len(changes) == excerptChanges || len(part.changes) < len(changes)}
	e.frames, err = part.frames(told)
	return e, err
}

// lost reports whether some change after a number is forgotten.
func lost(changes []scheduler.Change, after int64) bool {
	for i, c := range changes {
		if c.Seq != after+1+int64(i) {
			return true
		}
	}
	return false
}

// part is so many changes as are told at one time.
type part struct {
	changes []scheduler.Change // the first and the last one perhaps not whole
	to      cursor
}

// cut takes from changes what comes after a cursor, as much as an excerpt has.
func cut(changes []scheduler.Change, from cursor) part {
	p := part{to: from}
	room := excerptTasks
	for _, c := range changes {
		if c.Seq == from.seq {
			for len(c.Tasks) > 0 && c.Tasks[0] <= from.task {
				c.Tasks = c.Tasks[1:]
			}
		}
		if len(c.Tasks) > room {
			if room > 0 {
				c.Tasks, c.Hold = c.Tasks[:room], nil
				p.to = cursor{seq: c.Seq, task: c.Tasks[room-1]}
				p.changes = append(p.changes, c)
			}
			return p
		}
		room -= len(c.Tasks)
		p.to = cursor{seq: c.Seq}
		p.changes = append(p.changes, c)
	}
	return p
}

// ids returns the tasks that changed.
func (p part) ids() []scheduler.TaskID {
	var ids []scheduler.TaskID
	for _, c := range p.changes {
		ids = append(ids, c.Tasks...)
	}
	return ids
}

// goneAnswer is a task that its queue has no longer.
type goneAnswer struct {
	ID scheduler.TaskID `json:"id"`
}

// frames spells the part. The id of each event is the place after it.
func (p part) frames(told map[scheduler.TaskID]any) ([]byte, error) {
	last := map[scheduler.TaskID]int64{}
	for _, c := range p.changes {
		for _, id := range c.Tasks {
			last[id] = c.Seq
		}
	}
	var b bytes.Buffer
	for i, c := range p.changes {
		whole := i < len(p.changes)-1 || p.to.task == 0
		for n, id := range c.Tasks {
			if last[id] != c.Seq {
				continue
			}
			name, data := "task", told[id]
			if data == nil {
				name, data = "gone", goneAnswer{id}
			}
			at := cursor{seq: c.Seq, task: id}
			if whole && n == len(c.Tasks)-1 && c.Hold == nil {
				at.task = 0
			}
			if err := event(&b, at, name, data); err != nil {
				return nil, err
			}
		}
		if c.Hold != nil {
			fmt.Fprintf(&b, "id: %s\n", cursor{seq: c.Seq})
			if err := tellHeld(&b, c.Hold); err != nil {
				return nil, err
			}
		}
	}
	return b.Bytes(), nil
}

func event(b *bytes.Buffer, at cursor, name string, data any) error {
	encoded, err := encode(data)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "id: %s\nevent: %s\ndata: %s\n", at, name, encoded) // which ends with a line feed
	return nil
}

// tellHeld spells what holds a queue; an empty gate says that nothing does.
func tellHeld(b *bytes.Buffer, h *scheduler.Hold) error {
	encoded, err := encode(holdAnswer{Gate: h.Gate, Until: date(h.Until), Detail: h.Detail})
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "event: hold\ndata: %s\n", encoded)
	return nil
}

// stream is an answer that goes on.
type stream struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

// newStream begins an answer that goes on.
func newStream(c echo.Context) *stream {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, eventStream)
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx sends at once
	w := &stream{to: c.Response(), control: http.NewResponseController(c.Response().Writer)}
	// The server's own limit is for requests that end; not every writer has one.
	_ = w.control.SetReadDeadline(time.Time{})
	c.Response().WriteHeader(http.StatusOK)
	return w
}

// send sends frames; an error says that the listener is gone, or too slow.
func (w *stream) send(frames []byte) error {
	_ = w.control.SetWriteDeadline(time.Now().Add(sendMost))
	if _, err := w.to.Write(frames); err != nil {
		return err
	}
	return w.control.Flush()
}
