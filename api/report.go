package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"ringback/scheduler"
)

// maxReportCSV is how long the list of calls that a report attaches is at most,
// in bytes: mail servers refuse long messages.
const maxReportCSV = 8 << 20

// reports tells what the calls of a client came to, by queue.
type reports struct {
	queues  QueueReader
	stats   StatsReader
	history History
}

// report is what the calls of a client came to in some time.
type report struct {
	From    string        `json:"from_utc"`
	To      string        `json:"to_utc"`
	Calls   int           `json:"calls"`
	Queues  []queueReport `json:"task_schedulers"`
	csv     bytes.Buffer
	dropped int // calls that are not in the list
}

// queueReport is what those of one queue came to: the figures of its stats, and
// how its calls ended.
type queueReport struct {
	ID      scheduler.QueueID            `json:"scheduler_id"`
	Name    string                       `json:"name"`
	Stats   statsAnswer                  `json:"stats"`
	Results map[scheduler.CallResult]int `json:"results"`
}

// callResults are the results in the order in which reports tell them.
var callResults = []scheduler.CallResult{
	scheduler.CallBridged, scheduler.CallAnswered, scheduler.CallNotAnswered, scheduler.CallBusy, scheduler.CallRejected, scheduler.CallFailed,
}

// period is what a run reports: whole minutes, so that the reports of a task
// neither overlap nor leave anything out.
func (j job) period() (from, to scheduler.Minute) {
	end := j.work.Run.ScheduledFor
	begin := j.work.Task.Grid(j.zone).Before(end)
	if hours := j.number("hours"); hours > 0 {
		begin = end.Add(-time.Duration(hours) * time.Hour)
	} else if j.work.Task.Frequency == scheduler.FrequencyNone {
		begin = end.Add(-24 * time.Hour)
	} else if begin.IsZero() { // the first run
		begin = j.before(end)
	}
	return scheduler.MinuteOf(begin), scheduler.MinuteOf(end)
}

// before is when the period before the first run begins.
func (j job) before(end time.Time) time.Time {
	local := end.In(j.zone)
	switch j.work.Task.Frequency {
	case scheduler.Hourly:
		return end.Add(-time.Hour)
	case scheduler.Weekly:
		return local.AddDate(0, 0, -7)
	case scheduler.Monthly:
		return local.AddDate(0, -1, 0)
	case scheduler.Quarterly:
		return local.AddDate(0, -3, 0)
	case scheduler.Yearly:
		return local.AddDate(-1, 0, 0)
	}
	return local.AddDate(0, 0, -1)
}

// make reads a report and has it told.
func (s reports) make(ctx context.Context, j job, o *scheduler.RunOutcome) error {
	r, err := s.read(ctx, j)
	if err != nil {
		return err
	}
	o.Detail = fmt.Sprintf("%d calls of %d task schedulers from %s to %s UTC", r.Calls, len(r.Queues), r.From, r.To)
	if o.Report, err = json.Marshal(r); err != nil {
		return err
	}
	o.Mail = func(run scheduler.AccountTaskRun) scheduler.Mail {
		m := newMail(j.work, run, "Calls from "+r.From+" to "+r.To+" UTC")
		m.TextBody, m.HTMLBody = r.text(), r.html()
		m.AttachedAs, m.Attachment = "calls.csv", r.csv.Bytes()
		return m
	}
	return nil
}

func (s reports) read(ctx context.Context, j job) (*report, error) {
	from, to := j.period()
	r := &report{From: date(from.Time()), To: date(to.Time()), Queues: []queueReport{}}
	queues, err := s.of(ctx, j)
	if err != nil {
		return nil, err
	}
	w := csv.NewWriter(&r.csv)
	if err := w.Write(callColumns); err != nil {
		return nil, err
	}
	for _, q := range queues {
		f, err := s.stats.Stats(ctx, q.ClientID, q.ID, from, to)
		if err != nil {
			return nil, err
		}
		told := queueReport{ID: q.ID, Name: q.Name, Stats: tellStats(f, from, to), Results: map[scheduler.CallResult]int{}}
		filter := scheduler.CallFilter{From: from.Time(), To: to.Time(), QueueID: q.ID}
		err = s.history.EachCall(ctx, q.ClientID, filter, false, func(rows []scheduler.Attempt) error {
			for _, row := range rows {
				call := tellCall(row)
				r.Calls++
				told.Results[call.Result]++
				if r.csv.Len() > maxReportCSV {
					r.dropped++
					continue
				}
				line, err := callLine(call)
				if err != nil {
					return err
				}
				if err := w.Write(line); err != nil {
					return err
				}
				w.Flush()
			}
			return w.Error()
		})
		if err != nil {
			return nil, err
		}
		r.Queues = append(r.Queues, told)
	}
	w.Flush()
	return r, w.Error()
}

// of returns the queues that a run reports.
func (s reports) of(ctx context.Context, j job) ([]scheduler.Queue, error) {
	client := j.work.Client.ID
	if named := j.queues(); len(named) > 0 {
		slices.Sort(named)
		var all []scheduler.Queue
		for _, id := range slices.Compact(named) {
			q, err := s.queues.Queue(ctx, client, id)
			if err != nil {
				return nil, err
			}
			all = append(all, q)
		}
		return all, nil
	}
	var all []scheduler.Queue
	for page := (scheduler.Page{Number: 1, Size: maxPage}); ; page.Number++ {
		found, err := s.queues.Queues(ctx, client, page)
		if err != nil {
			return nil, err
		}
		if all = append(all, found.Rows...); len(found.Rows) < page.Size {
			return all, nil
		}
	}
}

// reportFigure is one figure of a queue as reports show it.
type reportFigure struct{ Name, Value string }

func showRatio(r ratioAnswer) string {
	if r.Percent == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f %% of %d", *r.Percent, r.Sample)
}

func showOrNone[N int64 | float64](n *N, unit string) string {
	if n == nil {
		return "–"
	}
	return fmt.Sprint(*n) + unit
}

// Figures are those of a queue in their order.
func (q queueReport) Figures() []reportFigure {
	s := q.Stats
	all := []reportFigure{
		{"tasks finished", fmt.Sprint(s.Finished)}, {"attempts", fmt.Sprint(s.Attempts)}, {"connected", fmt.Sprint(s.Connected)},
		{"abandoned", fmt.Sprint(s.Abandoned)}, {"success", showRatio(s.SuccessRate)},
	}
	for _, leg := range []struct {
		name string
		legs legStats
	}{{"A", s.A}, {"B", s.B}} {
		all = append(all,
			reportFigure{"ASR " + leg.name, showRatio(leg.legs.ASR)}, reportFigure{"NER " + leg.name, showRatio(leg.legs.NER)},
			reportFigure{"ACD " + leg.name, showOrNone(leg.legs.ACD, " s")}, reportFigure{"PDD " + leg.name + ", median", showOrNone(leg.legs.PDD50, " ms")},
			reportFigure{"PDD " + leg.name + ", 95 %", showOrNone(leg.legs.PDD95, " ms")})
	}
	return all
}

// reportBar is a bar of the chart of a queue.
type reportBar struct {
	Name     string
	N, Y     int
	Width    int
	LabelX   int
	Baseline int
}

// The chart, in pixels.
const (
	chartBars, chartLine, chartLabels = 300, 22, 110
)

// Bars are how the calls of a queue ended.
func (q queueReport) Bars() []reportBar {
	most := 1
	for _, n := range q.Results {
		most = max(most, n)
	}
	bars := make([]reportBar, len(callResults))
	for i, result := range callResults {
		n := q.Results[result]
		width := n * chartBars / most
		bars[i] = reportBar{Name: string(result), N: n, Y: i * chartLine, Width: width, LabelX: chartLabels + width + 6, Baseline: i*chartLine + 15}
	}
	return bars
}

// Dropped is how many calls the attached list leaves out.
func (r *report) Dropped() int { return r.dropped }

// text tells the report in plain text.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Calls from %s to %s UTC\n", r.From, r.To)
	for _, q := range r.Queues {
		fmt.Fprintf(&b, "\nTask scheduler %d, %s\n", q.ID, q.Name)
		for _, f := range q.Figures() {
			fmt.Fprintf(&b, "  %-16s %s\n", f.Name, f.Value)
		}
		for _, bar := range q.Bars() {
			fmt.Fprintf(&b, "  %-16s %d\n", bar.Name, bar.N)
		}
	}
	if r.dropped > 0 {
		fmt.Fprintf(&b, "\nThe attached list leaves out the last %d calls: it is too long. The call history has all of them.\n", r.dropped)
	}
	return b.String()
}

var reportPage = template.Must(template.New("report").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Calls</title></head>
<body style="font-family:sans-serif;color:#222">
<h1 style="font-size:18px">Calls from {{.From}} to {{.To}} UTC</h1>
{{range .Queues}}<h2 style="font-size:15px">Task scheduler {{.ID}}, {{.Name}}</h2>
<table cellpadding="4" style="border-collapse:collapse;font-size:13px">{{range .Figures}}
<tr><td style="border-bottom:1px solid #ddd">{{.Name}}</td><td style="border-bottom:1px solid #ddd;text-align:right">{{.Value}}</td></tr>{{end}}
</table>
<svg xmlns="http://www.w3.org/2000/svg" width="480" height="132" role="img" aria-label="how the calls ended" font-family="sans-serif" font-size="12">{{range .Bars}}
<text x="0" y="{{.Baseline}}">{{.Name}}</text><rect x="110" y="{{.Y}}" width="{{.Width}}" height="18" fill="#2b6cb0"/><text x="{{.LabelX}}" y="{{.Baseline}}">{{.N}}</text>{{end}}
</svg>
{{end}}{{if .Dropped}}<p>The attached list leaves out the last {{.Dropped}} calls: it is too long. The call history has all of them.</p>{{end}}
</body></html>
`))

// html tells the report as a page.
func (r *report) html() string {
	var b strings.Builder
	if err := reportPage.Execute(&b, r); err != nil {
		panic(err) // the page fits the report
	}
	return b.String()
}

// newMail makes an e-mail about a run, without a body.
func newMail(work scheduler.RunWork, run scheduler.AccountTaskRun, subject string) scheduler.Mail {
	return scheduler.Mail{
		Subject: subject, MessageID: fmt.Sprintf("run-%d.%s@ringback", run.ID, work.Task.ID),
	}
}

var runPage = template.Must(template.New("run").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}</title></head>
<body style="font-family:sans-serif;color:#222"><p>{{.Name}} {{.State}}: {{.Detail}}</p>
<p>Task {{.ID}}, due {{.Due}}, ended {{.Ended}} UTC, run by {{.By}}.</p></body></html>
`))

// runMail tells how a run ended.
func runMail(work scheduler.RunWork) func(scheduler.AccountTaskRun) scheduler.Mail {
	return func(run scheduler.AccountTaskRun) scheduler.Mail {
		entry, _ := scheduler.JobByID(work.Task.Job)
		told := struct{ Name, State, Detail, ID, Due, Ended, By string }{
			entry.Name, string(run.State), run.Detail, string(work.Task.ID), date(run.ScheduledFor), date(run.EndedAt), run.RunBy,
		}
		m := newMail(work, run, entry.Name+" "+string(run.State))
		m.TextBody = fmt.Sprintf("%s %s: %s\n\nTask %s, due %s, ended %s UTC, run by %s.\n",
			told.Name, told.State, told.Detail, told.ID, told.Due, told.Ended, told.By)
		var page strings.Builder
		if err := runPage.Execute(&page, told); err != nil {
			panic(err) // the page fits
		}
		m.HTMLBody = page.String()
		return m
	}
}
