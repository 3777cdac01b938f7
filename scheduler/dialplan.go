package scheduler

import "time"

// Call returns the attempt under way as a dialer is given it.
func (t Task) Call(ext Extension) Call {
	p := t.Params
	name := first(p.CallerIDName, ext.CallerIDName)
	number := first(p.CallerIDNumber, ext.ANI)
	return Call{
		ID: t.CallID, Client: t.ClientID, Queue: t.QueueID, Task: t.ID, Attempt: t.Attempts,
		A: append([]Number{t.A()}, p.ExtendedA...), B: t.B(), Trunk: ext.Trunk,
		CallerA:     CallerID{Name: name, Number: first(nth(p.AttemptSrcANI, t.Attempts), p.SrcANI, number)},
		CallerB:     CallerID{Name: name, Number: first(nth(p.AttemptDstANI, t.Attempts), p.DstANI, number)},
		Ring:        seconds(p.WaitForPickup, DefaultRing),
		MaxDuration: seconds(p.CallDuration, DefaultDuration),
		Variables:   t.Variables,
		AnnounceA:   p.AnnounceSoundID, AnnounceBoth: p.DstAnnounceSoundID, DigitsB: p.DstDTMF,
	}
}

func seconds(n, fallback int) time.Duration {
	if n == 0 {
		n = fallback
	}
	return time.Duration(n) * time.Second
}

// nth returns the n-th number of a list, from 1; the last one stays.
func nth(list []string, n int) string {
	if len(list) == 0 {
		return ""
	}
	return list[min(max(n, 1), len(list))-1]
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
