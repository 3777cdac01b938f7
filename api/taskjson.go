package api

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appender is an answer that writes its own JSON, byte for byte as encoding/json
// does without HTML escapes. Tasks are told by the thousand, and reflection over
// their fields takes five times as long.
type appender interface{ appendJSON(b []byte) []byte }

// appendJSON appends the task; the order is the struct's.
func (a taskAnswer) appendJSON(b []byte) []byte {
	b = appendInt(b, `{"id":`, a.ID)
	b = appendInt(b, `,"scheduler_id":`, a.SchedulerID)
	b = appendText(b, `,"name":`, a.Name)
	b = appendText(b, `,"a_number":`, a.ANumber)
	b = appendText(b, `,"a_number_e164":`, a.ANumberE164)
	b = appendText(b, `,"b_number":`, a.BNumber)
	b = appendText(b, `,"b_number_e164":`, a.BNumberE164)
	b = appendInt(b, `,"extension_id":`, a.ExtensionID)
	b = appendInt(b, `,"try_count":`, a.TryCount)
	b = appendText(b, `,"try_again_pause":`, a.TryPause)
	b = appendInt(b, `,"try_count_caller":`, a.TryCountCaller)
	b = appendInt(b, `,"try_again_pause_caller":`, a.TryPauseCaller)
	b = appendText(b, `,"url_before":`, a.URLBefore)
	b = appendText(b, `,"url_before_again":`, a.URLBeforeAgain)
	b = appendText(b, `,"url_success":`, a.URLSuccess)
	b = appendText(b, `,"url_after":`, a.URLAfter)
	b = appendText(b, `,"start_time_utc":`, a.StartTime)
	b = appendText(b, `,"deadline_utc":`, a.Deadline)
	b = appendText(b, `,"external_id":`, a.ExternalID)
	b = a.Params.appendJSON(append(b, `,"callback_params":`...))
	b = appendTextMap(append(b, `,"variables":`...), a.Variables)
	b = appendTexts(b, `,"attempts_src_ani_numbers":`, a.AttemptSrcANI)
	b = appendTexts(b, `,"attempts_dst_ani_numbers":`, a.AttemptDstANI)
	b = appendText(b, `,"status":`, string(a.Status))
	b = appendText(b, `,"finish_result":`, string(a.Result))
	b = appendText(b, `,"finish_comment":`, a.Comment)
	b = appendText(b, `,"cdr":`, string(a.CDR))
	b = appendInt(b, `,"attempts":`, a.Attempts)
	b = appendText(b, `,"next_try_utc":`, a.NextTry)
	b = append(b, `,"blocked_by":[`...)
	for i, h := range a.BlockedBy {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, `{"gate":`, string(h.Gate))
		b = appendText(b, `,"until_utc":`, h.Until)
		b = append(appendText(b, `,"detail":`, h.Detail), '}')
	}
	b = appendText(b, `],"create_date_utc":`, a.CreateDate)
	b = appendText(b, `,"update_date_utc":`, a.UpdateDate)
	return append(appendInt(b, `,"requeued_from":`, a.RequeuedFrom), '}')
}

// MarshalJSON is for answers that have tasks within other things.
func (a taskAnswer) MarshalJSON() ([]byte, error) { return a.appendJSON(nil), nil }

// listed is a list of answers, each of which writes its own JSON.
type listed[W any] []W

func (l listed[W]) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = any(&l[i]).(appender).appendJSON(b)
	}
	return append(b, ']')
}

// appendJSON appends the parameters, and after them those that are kept and not
// acted on.
func (a moreParams) appendJSON(b []byte) []byte {
	b = appendText(b, `{"caller_id_name":`, a.CallerIDName)
	b = appendText(b, `,"caller_id_number":`, a.CallerIDNumber)
	b = appendTexts(b, `,"extended_a_numbers":`, a.ExtendedA)
	b = appendText(b, `,"src_ani":`, a.SrcANI)
	b = appendText(b, `,"dst_ani":`, a.DstANI)
	b = appendInt(b, `,"wait_for_pickup":`, a.WaitForPickup)
	b = appendInt(b, `,"call_duration":`, a.CallDuration)
	b = appendText(b, `,"announce_sound_id":`, a.AnnounceSoundID)
	b = appendText(b, `,"dst_announce_sound_id":`, a.DstAnnounceSoundID)
	b = appendText(b, `,"dst_dtmf":`, a.DstDTMF)
	for _, name := range slices.Sorted(maps.Keys(a.ignored)) {
		b = append(b, ',')
		b = append(appendQuoted(b, name), ':')
		b = append(b, a.ignored[name]...)
	}
	return append(b, '}')
}

func appendInt[T ~int | ~int64](b []byte, before string, n T) []byte {
	return strconv.AppendInt(append(b, before...), int64(n), 10)
}

func appendText(b []byte, before, text string) []byte {
	return appendQuoted(append(b, before...), text)
}

func appendTexts(b []byte, before string, texts []string) []byte {
	b = append(append(b, before...), '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, text)
	}
	return append(b, ']')
}

func appendTextMap(b []byte, texts map[string]string) []byte {
	b = append(b, '{')
	if len(texts) == 1 {
		for name, text := range texts {
			b = appendText(appendQuoted(b, name), ":", text)
		}
		return append(b, '}')
	}
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(appendQuoted(b, name), ":", texts[name])
	}
	return append(b, '}')
}

// appendQuoted appends a string. One that needs an escape is left to
// encoding/json.
func appendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c, size := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(s[i:])
		}
		if c < ' ' || c == '"' || c == '\\' || c == '\u2028' || c == '\u2029' || c == utf8.RuneError {
			quoted, err := encode(s)
			if err != nil {
				panic(err) // every string has an encoding
			}
			return append(b, quoted[:len(quoted)-1]...) // without the line feed
		}
		i += size
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}
