package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

func TestTheMetricsOfEventsAndRuns(t *testing.T) {
	m := newMetrics()
	m.Tried(scheduler.EventAfter, scheduler.DeliveryReady, webhooks.Try{Error: webhooks.ErrBlocked})
	m.Tried(scheduler.EventBefore, scheduler.DeliveryDelivered, webhooks.Try{Took: time.Second})
	m.owed(webhooks.Backlog{Ready: 3, Held: 2, Oldest: time.Minute, Destinations: map[webhooks.DestinationState]int{webhooks.DestinationOpen: 4}})
	m.owed(webhooks.Backlog{Ready: 5, Held: 2, Oldest: time.Minute, Destinations: map[webhooks.DestinationState]int{webhooks.DestinationHalfOpen: 4}})
	m.Ran(scheduler.RunEnd{Job: scheduler.JobPostTasks, State: scheduler.RunMissed, Times: 3})
	m.Ran(scheduler.RunEnd{Job: scheduler.JobCallReport, State: scheduler.RunSucceeded, Times: 1})
	for _, state := range []scheduler.MailState{scheduler.MailReady, scheduler.MailSent, scheduler.MailSent, scheduler.MailDead} {
		m.Mailed(state)
	}
	m.owed(webhooks.Backlog{Ready: 5, Held: 2, Oldest: time.Minute, OldestMail: time.Hour, Destinations: map[webhooks.DestinationState]int{webhooks.DestinationHalfOpen: 4}})
	told := httptest.NewRecorder()
	m.handler().ServeHTTP(told, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`ringback_deliveries_total{kind="after",outcome="retry"} 1`, `ringback_deliveries_total{kind="before",outcome="delivered"} 1`,
		`ringback_deliveries_blocked_total 1`, `ringback_deliveries_owed{state="ready"} 5`, `ringback_deliveries_owed{state="held"} 2`,
		`ringback_delivery_overdue_seconds 60`, `ringback_destinations{state="open"} 0`, `ringback_destinations{state="half_open"} 4`,
		`ringback_runs_total{outcome="missed",task="POST_TASKS"} 3`, `ringback_runs_total{outcome="succeeded",task="CALL_REPORT"} 1`,
		`ringback_mails_total{outcome="retry"} 1`, `ringback_mails_total{outcome="sent"} 2`, `ringback_mails_total{outcome="dead"} 1`, `ringback_mail_waiting_seconds 3600`,
	} {
		if !strings.Contains(told.Body.String(), "\n"+want+"\n") {
			t.Errorf("no line says %s", want)
		}
	}
}
