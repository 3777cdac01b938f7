package scheduler

import "time"

// Draft returns what was asked of a task, as it can be asked again.
func (t Task) Draft() Draft {
	p := t.Params
	d := Draft{
		Name: t.Name, ANumber: t.ANumber, BNumber: t.BNumber, ExtensionID: t.ExtensionID,
		TryCount: &t.TryCount, TryPause: &t.TryPause, TryCountCaller: &t.TryCountCaller, TryPauseCaller: &t.TryPauseCaller,
		URLBefore: t.URLBefore, URLBeforeAgain: t.URLBeforeAgain, URLSuccess: t.URLSuccess, URLAfter: t.URLAfter,
		StartAt: t.StartAt, Deadline: t.Deadline, ExternalID: t.ExternalID, Variables: t.Variables,
		Params: DraftParams{
			CallerIDName: p.CallerIDName, CallerIDNumber: p.CallerIDNumber, SrcANI: p.SrcANI, DstANI: p.DstANI,
			AttemptSrcANI: p.AttemptSrcANI, AttemptDstANI: p.AttemptDstANI, Ignored: p.Ignored,
			AnnounceSoundID: p.AnnounceSoundID, DstAnnounceSoundID: p.DstAnnounceSoundID, DstDTMF: p.DstDTMF,
		},
	}
	for _, n := range p.ExtendedA {
		d.Params.ExtendedA = append(d.Params.ExtendedA, n.Given)
	}
	if p.WaitForPickup != 0 {
		d.Params.WaitForPickup = &p.WaitForPickup
	}
	if p.CallDuration != 0 {
		d.Params.CallDuration = &p.CallDuration
	}
	return d
}

// Amend checks a draft as NewTask does and returns the waiting task t with
// what the draft asks; where it stands stays as it is. A start that moves, by
// a second or more, is when the task is due; one that stays, or a deadline that
// does, may be past; an extension, caller numbers and sounds that stay need not
// be allowed, or there, any more.
func (in Intake) Amend(t Task, d Draft, faults *Faults) Task {
	in.stored = &t
	if sameSecond(d.StartAt, t.StartAt) {
		d.StartAt = t.StartAt
	}
	if sameSecond(d.Deadline, t.Deadline) {
		d.Deadline = t.Deadline
	}
	asked := d
	if asked.Deadline.Equal(t.Deadline) && asked.StartAt.Equal(t.StartAt) {
		asked.Deadline = time.Time{} // judged when it was given
	}
	n := in.NewTask(asked, "", faults)
	n.Deadline = d.Deadline
	if n.TryCount <= t.TriesSpent {
		faults.Add("TryCount", "must be more than the %d tries spent", t.TriesSpent)
	}
	if t.CallerSpent > 0 && n.TryCountCaller <= t.CallerSpent {
		faults.Add("TryCountCaller", "must be more than the %d tries spent", t.CallerSpent)
	}
	start, ready := n.StartAt, n.ReadyAt
	if d.StartAt.Equal(t.StartAt) {
		start, ready = t.StartAt, t.ReadyAt
	}
	asking := n
	n = t
	n.ExtensionID, n.ExternalID, n.Name = asking.ExtensionID, asking.ExternalID, asking.Name
	n.ANumber, n.ANumberE164, n.BNumber, n.BNumberE164 = asking.ANumber, asking.ANumberE164, asking.BNumber, asking.BNumberE164
	n.TryCount, n.TryPause, n.TryCountCaller, n.TryPauseCaller = asking.TryCount, asking.TryPause, asking.TryCountCaller, asking.TryPauseCaller
	n.URLBefore, n.URLBeforeAgain, n.URLSuccess, n.URLAfter = asking.URLBefore, asking.URLBeforeAgain, asking.URLSuccess, asking.URLAfter
	n.StartAt, n.ReadyAt, n.Deadline = start, ready, asking.Deadline
	n.Params, n.Variables = asking.Params, asking.Variables
	n.UpdatedAt = in.Now
	return n
}

// sameSecond reports whether two times are told alike: dates have no
// fractions on the wire.
func sameSecond(a, b time.Time) bool {
	return a.Truncate(time.Second).Equal(b.Truncate(time.Second))
}
