package api

import (
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// stats answers …/task_scheduler/{scheduler_id}/stats.
type stats struct {
	reader StatsReader
	now    func() time.Time
}

// maxStats is the longest time that statistics are told of.
const maxStats = 366 * 24 * time.Hour

// statsAnswer is what a queue's calls came to. What is not known is null.
type statsAnswer struct {
	From          string      `json:"from_utc"`
	To            string      `json:"to_utc"`
	Attempts      int         `json:"attempts"`
	Connected     int         `json:"connected"`
	ConnectRate   ratioAnswer `json:"connect_rate"`
	Abandoned     int         `json:"abandoned"`
	Finished      int         `json:"tasks_finished"`
	Succeeded     int         `json:"tasks_succeeded"`
	SuccessRate   ratioAnswer `json:"success_rate"`
	A             legStats    `json:"leg_a"`
	B             legStats    `json:"leg_b"`
	PDDResolution float64     `json:"pdd_resolution_percent"`
}

// legStats are those of one side.
type legStats struct {
	Bids        int         `json:"bids"`
	Seizures    int         `json:"seizures"`
	Answers     int         `json:"answers"`
	LosingForks int         `json:"losing_forks"` // in nothing else
	ASR         ratioAnswer `json:"asr"`
	ABR         ratioAnswer `json:"abr"`
	NER         ratioAnswer `json:"ner"`
	ACD         *float64    `json:"acd_s"`
	PDD50       *int64      `json:"pdd_ms_p50"`
	PDD95       *int64      `json:"pdd_ms_p95"`
	PDDSample   int         `json:"pdd_sample"`
}

// ratioAnswer is a ratio in per cent with its 95 % interval.
type ratioAnswer struct {
	Percent *float64 `json:"percent"` // null without a sample
	Low     float64  `json:"low_percent"`
	High    float64  `json:"high_percent"`
	Sample  int      `json:"sample"`
}

func tellRatio(good, of int) ratioAnswer {
	low, high := scheduler.Ratio{Good: good, Of: of}.Wilson()
	a := ratioAnswer{Low: percent(low), High: percent(high), Sample: of}
	if of > 0 {
		a.Percent = new(percent(float64(good) / float64(of)))
	}
	return a
}

// percent rounds a fraction to hundredths of a per cent.
func percent(fraction float64) float64 { return math.Round(fraction*10_000) / 100 }

func tellLegs(f scheduler.LegFigures) legStats {
	a := legStats{
		Bids: f.Bids, Seizures: f.Seizures, Answers: f.Answers, LosingForks: f.Losing,
		ASR: tellRatio(f.Answers, f.Seizures), ABR: tellRatio(f.Answers, f.Bids), NER: tellRatio(f.Effective, f.Judged),
		PDDSample: f.PDD.N(),
	}
	if f.Answers > 0 {
		a.ACD = new(math.Round(f.ACD().Seconds()*1000) / 1000)
	}
	if a.PDDSample > 0 {
		a.PDD50, a.PDD95 = new(f.PDD.Quantile(0.5).Milliseconds()), new(f.PDD.Quantile(0.95).Milliseconds())
	}
	return a
}

func (s stats) get(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	q := newQuery(c)
	from, to := q.date("from"), q.date("to")
	if to.IsZero() {
		to = s.now()
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	switch {
	case len(q.faults) > 0:
	case !from.Before(to):
		q.fault("from", "must be before \"to\"")
	case to.Sub(from) > maxStats:
		q.fault("from", "must be at most 366 days before \"to\"")
	}
	if err := q.err(); err != nil {
		return err
	}
	// Whole minutes: the one that from lies in, and the one before to ends.
	first, last := scheduler.MinuteOf(from), scheduler.MinuteOf(to.Add(time.Minute-time.Nanosecond))
	f, err := s.reader.Stats(c.Request().Context(), me.client, id, first, last)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellStats(f, first, last))
}

func tellStats(f scheduler.Figures, first, last scheduler.Minute) statsAnswer {
	return statsAnswer{
		From: date(first.Time()), To: date(last.Time()),
		Attempts: f.Attempts, Connected: f.Connected, ConnectRate: tellRatio(f.Connected, f.Attempts), Abandoned: f.Abandoned,
		Finished: f.Finished, Succeeded: f.Succeeded, SuccessRate: tellRatio(f.Succeeded, f.Finished),
		A: tellLegs(f.A), B: tellLegs(f.B), PDDResolution: scheduler.HistogramResolution,
	}
}
