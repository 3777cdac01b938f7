package api

import (
	"encoding/json"
	"strconv"
	"time"

	"ringback/scheduler"
)

// taskAnswer is a task as it is told.
type taskAnswer struct {
	ID             scheduler.TaskID      `json:"id"`
	SchedulerID    scheduler.QueueID     `json:"scheduler_id"`
	Name           string                `json:"name"`
	ANumber        string                `json:"a_number"`
	ANumberE164    string                `json:"a_number_e164"`
	BNumber        string                `json:"b_number"`
	BNumberE164    string                `json:"b_number_e164"`
	ExtensionID    scheduler.ExtensionID `json:"extension_id"`
	TryCount       int                   `json:"try_count"`
	TryPause       string                `json:"try_again_pause"` // seconds, as the source tells them
	TryCountCaller int                   `json:"try_count_caller"`
	TryPauseCaller int                   `json:"try_again_pause_caller"`
	URLBefore      string                `json:"url_before"`
	URLBeforeAgain string                `json:"url_before_again"`
	URLSuccess     string                `json:"url_success"`
	URLAfter       string                `json:"url_after"`
	StartTime      string                `json:"start_time_utc"`
	Deadline       string                `json:"deadline_utc"`
	ExternalID     string                `json:"external_id"`
	Params         moreParams            `json:"callback_params"`
	Variables      map[string]string     `json:"variables"`
	AttemptSrcANI  []string              `json:"attempts_src_ani_numbers"`
	AttemptDstANI  []string              `json:"attempts_dst_ani_numbers"`
	Status         scheduler.Status      `json:"status"`
	Result         scheduler.Result      `json:"finish_result"`
	Comment        string                `json:"finish_comment"`
	CDR            scheduler.CallID      `json:"cdr"`
	Attempts       int                   `json:"attempts"`
	NextTry        string                `json:"next_try_utc"` // "" unless it waits
	BlockedBy      []*holdAnswer         `json:"blocked_by"`
	CreateDate     string                `json:"create_date_utc"`
	UpdateDate     string                `json:"update_date_utc"`
	RequeuedFrom   scheduler.TaskID      `json:"requeued_from"` // 0: from none
}

func (a taskAnswer) rowID() int64 { return int64(a.ID) }

// paramsAnswer is the callback parameters of a task as they are told.
type paramsAnswer struct {
	CallerIDName       string   `json:"caller_id_name"`
	CallerIDNumber     string   `json:"caller_id_number"`
	ExtendedA          []string `json:"extended_a_numbers"`
	SrcANI             string   `json:"src_ani"`
	DstANI             string   `json:"dst_ani"`
	WaitForPickup      int      `json:"wait_for_pickup"`
	CallDuration       int      `json:"call_duration"`
	AnnounceSoundID    string   `json:"announce_sound_id"`
	DstAnnounceSoundID string   `json:"dst_announce_sound_id"`
	DstDTMF            string   `json:"dst_dtmf"`
}

// moreParams are callback parameters with those that are kept and not acted on.
type moreParams struct {
	paramsAnswer
	ignored map[string]json.RawMessage
}

// tellTask tells a task of a queue as both are at now.
func tellTask(t scheduler.Task, q scheduler.Queue, r scheduler.Runtime, now time.Time) taskAnswer {
	a := taskAnswer{
		ID: t.ID, SchedulerID: t.QueueID, Name: t.Name, ExtensionID: t.ExtensionID, ExternalID: t.ExternalID,
		ANumber: t.ANumber, ANumberE164: t.ANumberE164, BNumber: t.BNumber, BNumberE164: t.BNumberE164,
		TryCount: t.TryCount, TryPause: strconv.Itoa(t.TryPause), TryCountCaller: t.TryCountCaller, TryPauseCaller: t.TryPauseCaller,
		URLBefore: t.URLBefore, URLBeforeAgain: t.URLBeforeAgain, URLSuccess: t.URLSuccess, URLAfter: t.URLAfter,
		StartTime: date(t.StartAt), Deadline: date(t.Deadline), Params: tellParams(t.Params), Variables: told(t.Variables),
		AttemptSrcANI: list(t.Params.AttemptSrcANI), AttemptDstANI: list(t.Params.AttemptDstANI),
		Status: t.Shown(q, r, now), Result: t.Result, Comment: t.Comment, CDR: t.CallID, Attempts: t.Attempts,
		NextTry: date(t.ReadyAt), BlockedBy: []*holdAnswer{}, CreateDate: date(t.CreatedAt), UpdateDate: date(t.UpdatedAt),
		RequeuedFrom: t.RequeuedFrom,
	}
	for _, h := range t.Gates(q, r, now) {
		a.BlockedBy = append(a.BlockedBy, tellHold(h))
	}
	return a
}

func tellParams(p scheduler.Params) moreParams {
	a := paramsAnswer{
		CallerIDName: p.CallerIDName, CallerIDNumber: p.CallerIDNumber, SrcANI: p.SrcANI, DstANI: p.DstANI,
		WaitForPickup: p.WaitForPickup, CallDuration: p.CallDuration,
		AnnounceSoundID: p.AnnounceSoundID, DstAnnounceSoundID: p.DstAnnounceSoundID, DstDTMF: p.DstDTMF,
		ExtendedA: make([]string, 0, len(p.ExtendedA)),
	}
	for _, n := range p.ExtendedA {
		a.ExtendedA = append(a.ExtendedA, n.Given)
	}
	return moreParams{a, p.Ignored}
}

// list returns a list of strings, also if there are none.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
