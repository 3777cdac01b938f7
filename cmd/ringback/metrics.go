package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringback/dialer"
	"ringback/scheduler"
	"ringback/webhooks"
)

// metrics is what the packages' observers tell, as Prometheus reads it. Times
// are in seconds.
type metrics struct {
	registry     *prometheus.Registry
	transitions  *prometheus.CounterVec
	finished     *prometheus.CounterVec
	claims       prometheus.Histogram
	lateness     prometheus.Histogram
	deliveries   *prometheus.CounterVec
	blocked      prometheus.Counter
	backlog      *prometheus.GaugeVec
	oldest       prometheus.Gauge
	destinations *prometheus.GaugeVec
	overtook     prometheus.Counter
	turned       *prometheus.CounterVec
	delivery     prometheus.Histogram
	requests     *prometheus.CounterVec
	request      *prometheus.HistogramVec
	legs         *prometheus.CounterVec
	pdd          *prometheus.HistogramVec
	runs         *prometheus.CounterVec
	mails        *prometheus.CounterVec
	oldestMail   prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_transitions_total", Help: "Steps of tasks that were stored."}, []string{"step"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_tasks_finished_total", Help: "Tasks that ended."}, []string{"result"}),
		claims: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ringback_claim_seconds", Help: "How long a claim of due tasks took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ringback_start_lateness_seconds", Help: "How long after their due time tasks started.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 14)}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_deliveries_total", Help: "Tries to deliver an event, by its kind and what became of it."}, []string{"kind", "outcome"}),
		blocked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ringback_deliveries_blocked_total", Help: "Tries that led to an inward address and were not made."}),
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ringback_deliveries_owed", Help: "Events that are to be delivered, over all nodes; no more than 100000 are counted."}, []string{"state"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ringback_delivery_overdue_seconds", Help: "For how long an event has been due whose destination is neither paused nor disabled, over all nodes."}),
		destinations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ringback_destinations", Help: "Destinations of events, over all nodes."}, []string{"state"}),
		overtook: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ringback_deliveries_overtook_total", Help: "Events that no longer waited for an earlier one of their task."}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_destinations_turned_total", Help: "Destinations of events that came into a state."}, []string{"state"}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ringback_delivery_seconds", Help: "How long a try to deliver an event took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12)}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_http_requests_total", Help: "Requests answered."}, []string{"method", "route", "code"}),
		request: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringback_http_seconds", Help: "How long requests took to answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12)}, []string{"method", "route"}),
		legs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_legs_total", Help: "Legs that ended, by how."}, []string{"trunk", "role", "disposition"}),
		pdd: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringback_leg_pdd_seconds", Help: "Post-dial delay: how long after a leg was dialled it rang.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 10)}, []string{"trunk"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_runs_total", Help: "Runs of recurring tasks, by what they do and how they ended; those that were missed or skipped, too."}, []string{"task", "outcome"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringback_mails_total", Help: "Tries to hand in an e-mail, by what became of it."}, []string{"outcome"}),
		oldestMail: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ringback_mail_waiting_seconds", Help: "For how long an e-mail has waited to be sent, over all nodes."}),
	}
	m.registry.MustRegister(m.transitions, m.finished, m.claims, m.lateness, m.deliveries, m.blocked, m.backlog, m.oldest, m.destinations,
		m.overtook, m.turned, m.delivery, m.requests, m.request, m.legs, m.pdd, m.runs, m.mails, m.oldestMail,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge shows a number that is asked for when the metrics are read.
func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// trunks shows how the engine's trunks are.
func (m *metrics) trunks(e *dialer.Engine) {
	for i, t := range e.Trunks() {
		labels := prometheus.Labels{"trunk": t.Name}
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "ringback_trunk_up", Help: "1 while calls may be placed on the trunk.", ConstLabels: labels},
				func() float64 {
					if e.Trunks()[i].Up {
						return 1
					}
					return 0
				}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "ringback_trunk_channels", Help: "Legs that are up on the trunk, or about to be.", ConstLabels: labels},
				func() float64 { return float64(e.Trunks()[i].Channels) }))
	}
}

// LegEnded counts a leg.
func (m *metrics) LegEnded(l scheduler.Leg) {
	m.legs.WithLabelValues(l.Trunk, string(l.Role), string(l.Disposition)).Inc()
	if pdd := l.PDD(); pdd > 0 {
		m.pdd.WithLabelValues(l.Trunk).Observe(pdd.Seconds())
	}
}

// handler answers /metrics.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Claimed counts a claim.
func (m *metrics) Claimed(_ int, took time.Duration, late []time.Duration) {
	m.claims.Observe(took.Seconds())
	for _, l := range late {
		m.lateness.Observe(max(l, 0).Seconds())
	}
}

// Wrote counts a transition that is stored.
func (m *metrics) Wrote(tr scheduler.Transition) {
	m.transitions.WithLabelValues(string(tr.Step)).Inc()
	if tr.Task.Status == scheduler.Finished {
		m.finished.WithLabelValues(string(tr.Task.Result)).Inc()
	}
}

// Tried counts a try to deliver an event.
func (m *metrics) Tried(kind scheduler.EventKind, state scheduler.DeliveryState, try webhooks.Try) {
	outcome := string(state)
	if state == scheduler.DeliveryReady {
		outcome = "retry"
	}
	m.deliveries.WithLabelValues(string(kind), outcome).Inc()
	m.delivery.Observe(try.Took.Seconds())
	if try.Error == webhooks.ErrBlocked {
		m.blocked.Inc()
	}
}

// owed shows what is owed to receivers.
func (m *metrics) owed(b webhooks.Backlog) {
	m.backlog.WithLabelValues(string(scheduler.DeliveryReady)).Set(float64(b.Ready))
	m.backlog.WithLabelValues(string(scheduler.DeliveryHeld)).Set(float64(b.Held))
	m.oldest.Set(b.Oldest.Seconds())
	m.oldestMail.Set(b.OldestMail.Seconds())
	for _, state := range webhooks.DestinationStates {
		m.destinations.WithLabelValues(string(state)).Set(float64(b.Destinations[state]))
	}
}

// Ran counts runs of recurring tasks that ended.
func (m *metrics) Ran(end scheduler.RunEnd) {
	job, _ := scheduler.JobByID(end.Job)
	m.runs.WithLabelValues(job.Name, string(end.State)).Add(float64(end.Times))
}

// Mailed counts a try to hand in an e-mail.
func (m *metrics) Mailed(state scheduler.MailState) {
	outcome := string(state)
	if state == scheduler.MailReady {
		outcome = "retry"
	}
	m.mails.WithLabelValues(outcome).Inc()
}

// Overtook counts events that went before an earlier one of their task.
func (m *metrics) Overtook(n int) { m.overtook.Add(float64(n)) }

// Turned counts a destination that is in another state now.
func (m *metrics) Turned(to webhooks.DestinationState) { m.turned.WithLabelValues(string(to)).Inc() }

// Answered counts a request; route is its pattern, not its path. Methods that
// nobody routes are one: callers must not make up labels.
func (m *metrics) Answered(method, route string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.request.WithLabelValues(method, route).Observe(took.Seconds())
}
