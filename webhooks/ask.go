package webhooks

import (
	"context"
	"encoding/json"
	"time"

	"ringback/scheduler"
)

// asked is a question on its way to the notifier's loop.
type asked struct {
	question scheduler.Question
	answer   chan<- scheduler.Answer // takes one without waiting
}

// Ask sends a before-event at once and returns what its receiver wants; the
// zero Answer if ctx ends first. The request then goes on like every other.
func (n *Notifier) Ask(ctx context.Context, q scheduler.Question) scheduler.Answer {
	answer := make(chan scheduler.Answer, 1)
	select {
	case n.asked <- asked{q, answer}:
	case <-ctx.Done():
		return scheduler.Answer{}
	}
	select {
	case a := <-answer:
		return a
	case <-ctx.Done():
		return scheduler.Answer{}
	}
}

// ask claims the event of a question, if there is a slot for it, and sends it.
func (r *round) ask(ctx context.Context, q asked) {
	if r.o.Questions == nil || r.flying+len(r.settled) >= r.o.Slots {
		q.answer <- scheduler.Answer{}
		return
	}
	work, ok, err := r.o.Questions.ClaimQuestion(ctx, q.question, Claim{Now: r.o.Now(), PerOrigin: r.o.PerOrigin, Owner: r.o.Owner()})
	if err != nil && ctx.Err() == nil {
		r.o.Log.ErrorContext(ctx, "a before-event could not be claimed", "task", q.question.Task, "err", err)
	}
	if !ok || err != nil {
		q.answer <- scheduler.Answer{}
		return
	}
	r.flying++
	r.workers.Go(func() {
		s := r.deliver(work)
		if s.Try != nil && s.Try.Error == "" {
			q.answer <- parseAnswer(s.Try.Response)
		} else {
			q.answer <- scheduler.Answer{}
		}
		r.done <- s
	})
}

// untilLayouts are how an answer may spell a moment; the first is in UTC.
var untilLayouts = []string{time.DateTime, time.RFC3339}

// parseAnswer reads what a receiver of a before-event said. What it does not
// say in full is to dial.
func parseAnswer(body []byte) scheduler.Answer {
	var said struct {
		Action string `json:"action"`
		Until  string `json:"until_utc"`
	}
	if json.Unmarshal(body, &said) != nil {
		return scheduler.Answer{}
	}
	switch action := scheduler.Action(said.Action); action {
	case scheduler.ActionSkip:
		return scheduler.Answer{Action: action}
	case scheduler.ActionPostpone:
		for _, layout := range untilLayouts {
			if until, err := time.Parse(layout, said.Until); err == nil {
				return scheduler.Answer{Action: action, Until: until}
			}
		}
	case scheduler.ActionDial:
	}
	return scheduler.Answer{}
}
