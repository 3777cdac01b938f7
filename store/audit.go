package store

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"

	"ringback/scheduler"
)

// secretNames are the fields that the audit leaves out.
var secretNames = regexp.MustCompile(`(?i)secret|password|hash|sealed|token`)

// saw notes what a transaction changes, for the audit: a resource before and
// after, nil where there is none.
func (t *tx) saw(before, after any) { t.before, t.after = before, after }

// audit writes who asked for what this transaction changes, with it. A request
// has one entry, however many transactions it takes.
func (t *tx) audit(actor *scheduler.Actor) (scheduler.AuditID, error) {
	if t.before == nil && t.after == nil && len(t.written) == 1 {
		t.saw(standing(t.written[0].From.Status, false), standing(t.written[0].Task.Status, t.written[0].Task.CancelRequested))
	}
	before, after, err := changes(t.before, t.after)
	if err != nil {
		return 0, err
	}
	if actor.Entry != 0 {
		if before == "" && after == "" {
			return actor.Entry, nil
		}
		return actor.Entry, t.db.Model(&scheduler.AuditEntry{}).Where("id = ? AND before = '' AND after = ''", actor.Entry).
			Updates(map[string]any{"before": before, "after": after}).Error
	}
	entry := scheduler.AuditEntry{
		At: t.now().UTC(), AccountID: actor.AccountID, UserID: actor.UserID, ByClient: actor.ByClient, ClientID: actor.ClientID,
		Method: actor.Method, Path: actor.Path, Address: actor.Address, RequestID: actor.RequestID, Before: before, After: after,
	}
	err = t.db.Create(&entry).Error
	return entry.ID, err
}

// standing is what a transition changes of a task, as the audit tells it.
func standing(status scheduler.Status, cancelled bool) any {
	return map[string]any{"Status": status, "CancelRequested": cancelled}
}

// changes spells what differs between two states of a resource, without
// secrets; all of it where there is but one.
func changes(before, after any) (was, is string, err error) {
	b, err := fields(before)
	if err != nil {
		return "", "", err
	}
	a, err := fields(after)
	if err != nil {
		return "", "", err
	}
	for name, value := range b {
		if other, both := a[name]; both && bytes.Equal(value, other) {
			delete(a, name)
			delete(b, name)
		}
	}
	if was, err = spellFields(b); err != nil {
		return "", "", err
	}
	is, err = spellFields(a)
	return was, is, err
}

func fields(v any) (map[string]json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	for name := range all {
		if secretNames.MatchString(name) {
			delete(all, name)
		}
	}
	return all, nil
}

func spellFields(all map[string]json.RawMessage) (string, error) {
	if all == nil {
		return "", nil
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// Audit returns the entries of the audit that a filter selects, by id.
func (s *Store) Audit(ctx context.Context, f scheduler.AuditFilter, p scheduler.Page) (scheduler.List[scheduler.AuditEntry], error) {
	q := s.reads.WithContext(ctx).Model(&scheduler.AuditEntry{})
	for _, equal := range []struct{ column, value string }{
		{"user_id", string(f.UserID)}, {"client_id", string(f.ClientID)}, {"request_id", f.RequestID},
	} {
		if equal.value != "" {
			q = q.Where(equal.column+" = ?", equal.value)
		}
	}
	if !f.From.IsZero() {
		q = q.Where("at >= ?", f.From.UTC())
	}
	if !f.To.IsZero() {
		q = q.Where("at < ?", f.To.UTC())
	}
	return list[scheduler.AuditEntry](q, p)
}

// firstAndLast tells of tasks that are added, for the audit.
func firstAndLast(added []scheduler.Task) any {
	return map[string]any{"Tasks": len(added), "First": added[0].ID, "Last": added[len(added)-1].ID}
}
