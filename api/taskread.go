package api

import (
	"strconv"
	"strings"
	"time"

	"ringback/scheduler"
)

// taskRequest is a task in a request: what it names is written over the draft.
type taskRequest struct {
	scheduler.Draft
	now time.Time
}

// reads makes the member of a task that is read into a field of it.
func reads[F any](name, field string, read func(*decoder, *F), of func(*taskRequest) *F) member[taskRequest] {
	return member[taskRequest]{name, field, func(d *decoder, r *taskRequest) { read(d, of(r)) }}
}

// taskShape is a task in requests.
var taskShape = newShape(
	reads("name", "Name", (*decoder).text, func(r *taskRequest) *string { return &r.Name }),
	reads("a_number", "ANumber", (*decoder).text, func(r *taskRequest) *string { return &r.ANumber }),
	reads("b_number", "BNumber", (*decoder).text, func(r *taskRequest) *string { return &r.BNumber }),
	member[taskRequest]{"extension_id", "ExtensionID", func(d *decoder, r *taskRequest) { r.readExtension(d) }},
	reads("try_count", "TryCount", (*decoder).count, func(r *taskRequest) **int { return &r.TryCount }),
	reads("try_again_pause", "TryPause", (*decoder).count, func(r *taskRequest) **int { return &r.TryPause }),
	reads("try_count_caller", "TryCountCaller", (*decoder).count, func(r *taskRequest) **int { return &r.TryCountCaller }),
	reads("try_again_pause_caller", "TryPauseCaller", (*decoder).count, func(r *taskRequest) **int { return &r.TryPauseCaller }),
	reads("url_before", "URLBefore", (*decoder).text, func(r *taskRequest) *string { return &r.URLBefore }),
	reads("url_before_again", "URLBeforeAgain", (*decoder).text, func(r *taskRequest) *string { return &r.URLBeforeAgain }),
	reads("url_success", "URLSuccess", (*decoder).text, func(r *taskRequest) *string { return &r.URLSuccess }),
	reads("url_after", "URLAfter", (*decoder).text, func(r *taskRequest) *string { return &r.URLAfter }),
	member[taskRequest]{"start_time_utc", "StartAt", func(d *decoder, r *taskRequest) { d.start(r.now, &r.StartAt) }},
	reads("deadline_utc", "Deadline", (*decoder).date, func(r *taskRequest) *time.Time { return &r.Deadline }),
	reads("external_id", "ExternalID", (*decoder).text, func(r *taskRequest) *string { return &r.ExternalID }),
	reads("variables", "Variables", (*decoder).scalars, func(r *taskRequest) *map[string]string { return &r.Variables }),
	reads("callback_params", "Params", (*decoder).params, func(r *taskRequest) *scheduler.DraftParams { return &r.Params }),
	reads("attempts_src_ani_numbers", "AttemptSrcANI", (*decoder).texts, func(r *taskRequest) *[]string { return &r.Params.AttemptSrcANI }),
	reads("attempts_dst_ani_numbers", "AttemptDstANI", (*decoder).texts, func(r *taskRequest) *[]string { return &r.Params.AttemptDstANI }),
	member[taskRequest]{name: "id"},
	member[taskRequest]{name: "scheduler_id"},
	member[taskRequest]{name: "a_number_e164"},
	member[taskRequest]{name: "b_number_e164"},
	member[taskRequest]{name: "status"},
	member[taskRequest]{name: "finish_result"},
	member[taskRequest]{name: "finish_comment"},
	member[taskRequest]{name: "cdr"},
	member[taskRequest]{name: "attempts"},
	member[taskRequest]{name: "next_try_utc"},
	member[taskRequest]{name: "blocked_by"},
	member[taskRequest]{name: "create_date_utc"},
	member[taskRequest]{name: "update_date_utc"},
	member[taskRequest]{name: "requeued_from"},
)

func (r *taskRequest) readExtension(d *decoder) {
	n, ok := d.integer()
	r.ExtensionID = scheduler.ExtensionID(n)
	if ok && n < 1 {
		d.fault("must be a positive integer")
	}
}

// tells makes the member of the callback parameters that is read into a field.
func tells[F any](name, field string, read func(*decoder, *F), of func(*scheduler.DraftParams) *F) member[scheduler.DraftParams] {
	return member[scheduler.DraftParams]{name, field, func(d *decoder, p *scheduler.DraftParams) { read(d, of(p)) }}
}

// ignores makes a member of the callback parameters that is kept and not acted
// on.
func ignores(name string) member[scheduler.DraftParams] {
	return member[scheduler.DraftParams]{name, strconv.Quote(name), func(d *decoder, p *scheduler.DraftParams) { d.keep(name, &p.Ignored) }}
}

// paramsShape is the callback parameters of a task in requests.
var paramsShape = newShape(
	tells("caller_id_name", "CallerIDName", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.CallerIDName }),
	tells("caller_id_number", "CallerIDNumber", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.CallerIDNumber }),
	tells("extended_a_numbers", "ExtendedA", (*decoder).texts, func(p *scheduler.DraftParams) *[]string { return &p.ExtendedA }),
	tells("src_ani", "SrcANI", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.SrcANI }),
	tells("dst_ani", "DstANI", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.DstANI }),
	tells("wait_for_pickup", "WaitForPickup", (*decoder).count, func(p *scheduler.DraftParams) **int { return &p.WaitForPickup }),
	tells("call_duration", "CallDuration", (*decoder).count, func(p *scheduler.DraftParams) **int { return &p.CallDuration }),
	tells("announce_sound_id", "AnnounceSoundID", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.AnnounceSoundID }),
	tells("dst_announce_sound_id", "DstAnnounceSoundID", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.DstAnnounceSoundID }),
	tells("dst_dtmf", "DstDTMF", (*decoder).text, func(p *scheduler.DraftParams) *string { return &p.DstDTMF }),
	ignores("allow_public_transfer"),
	ignores("src_caller_id_name"),
	ignores("src_caller_id_number"),
	ignores("transfer_after_src_hangup"),
	ignores("transfer_after_dst_hangup"),
)

// params reads the callback parameters. They are one value: what they do not
// name is unset, but for the lists that stand beside them in a task.
func (d *decoder) params(into *scheduler.DraftParams) {
	*into = scheduler.DraftParams{AttemptSrcANI: into.AttemptSrcANI, AttemptDstANI: into.AttemptDstANI}
	if d.expect(kindObject, "an object") {
		d.inside(func() { paramsShape.read(d, into) })
	}
}

// batch is the tasks of one POST, as far as they were read.
type batch struct {
	given bool
	full  bool // there are more than one POST may have
	check func(d *decoder, r *taskRequest, path string)
	now   time.Time
}

// batchShape is the body of a POST of tasks.
var batchShape = newShape(
	member[batch]{"tasks", "Tasks", func(d *decoder, b *batch) { b.read(d) }},
)

// read reads the list of tasks; each is checked as soon as it is read, so that
// faults come in the order of the body.
func (b *batch) read(d *decoder) {
	b.given = true
	if d.kind() == kindNull {
		b.given = false
	}
	if !d.expect(kindArray, "a list of tasks") {
		return
	}
	r := new(taskRequest) // of one after the other
	d.array(func(i int) {
		if i >= scheduler.MaxBatch {
			b.full = true
			d.skip()
			return
		}
		if len(d.faults) >= maxFaults {
			d.skip()
			return
		}
		path := "Tasks[" + strconv.Itoa(i) + "]."
		if d.kind() != kindObject {
			d.field = strings.TrimSuffix(path, ".")
			d.fault("must be an object")
			d.skip()
			return
		}
		*r = taskRequest{now: b.now}
		d.path = path
		taskShape.read(d, r)
		if d.wrong == "" {
			b.check(d, r, path)
		}
		d.path, d.field = "", "Tasks"
	})
	d.field = "Tasks"
}
