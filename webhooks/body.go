package webhooks

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strconv"

	"ringback/scheduler"
)

// idEncoding spells event ids: digits and lower-case letters.
var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewEventID makes the id of an event: evt_ and 128 random bits.
func NewEventID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	id := make([]byte, 0, 4+26)
	return string(idEncoding.AppendEncode(append(id, "evt_"...), raw[:]))
}

// timestampLayout is RFC 3339 with milliseconds.
const timestampLayout = "2006-01-02T15:04:05.000Z07:00"

// Body returns the event as it is sent: JSON, with the fields in the order of
// its documentation. It is written by hand because the transactions that start
// and end calls wait for it.
func Body(e scheduler.Event, id string) []byte {
	t := &e.Task
	size := 448 + len(t.ExternalID) + len(t.Name) + len(t.Comment) + len(t.ANumber) + len(t.BNumber)
	for k, v := range t.Variables {
		size += len(k) + len(v) + 6
	}
	b := make([]byte, 0, size)
	b = appendString(append(b, `{"id":`...), id)
	b = append(append(append(b, `,"type":"task.`...), e.Kind...), `","timestamp":"`...)
	b = e.At.UTC().AppendFormat(b, timestampLayout)
	b = strconv.AppendInt(append(b, `","sequence":`...), int64(e.Sequence), 10)
	b = appendString(append(b, `,"data":{"client_id":`...), string(t.ClientID))
	b = strconv.AppendInt(append(b, `,"scheduler_id":`...), int64(t.QueueID), 10)
	b = strconv.AppendInt(append(b, `,"task_id":`...), int64(t.ID), 10)
	b = appendString(append(b, `,"external_id":`...), t.ExternalID)
	b = appendString(append(b, `,"name":`...), t.Name)
	b = appendString(append(b, `,"status":`...), string(t.Status))
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(t.Attempts), 10)
	b = strconv.AppendInt(append(b, `,"try_count":`...), int64(t.TryCount), 10)
	b = appendString(append(b, `,"finish_result":`...), string(t.Result))
	b = appendString(append(b, `,"finish_comment":`...), t.Comment)
	b = appendString(append(b, `,"cdr":`...), string(t.CallID))
	b = appendString(append(b, `,"a_number":`...), t.ANumber)
	b = appendString(append(b, `,"b_number":`...), t.BNumber)
	b = strconv.AppendInt(append(b, `,"extension_id":`...), int64(t.ExtensionID), 10)
	b = appendVariables(append(b, `,"variables":`...), t.Variables)
	return append(b, "}}"...)
}

func appendVariables(b []byte, vars map[string]string) []byte {
	b = append(b, '{')
	if len(vars) > 0 {
		names := make([]string, 0, len(vars))
		for name := range vars {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, name), ':')
			b = appendString(b, vars[name])
		}
	}
	return append(b, '}')
}

// appendString appends s as a JSON string, spelled as encoding/json does.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // no string fails to encode
			return append(b, text...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}
