package sipptest_test

import (
	"testing"
	"time"

	"ringback/dialer/sip/sipptest"
)

// judge notes what a test is told is wrong.
type judge struct {
	testing.TB
	faults int
}

func (j *judge) Errorf(string, ...any) { j.faults++ }

func TestASIPpThatHadToBeKilledIsNotContent(t *testing.T) {
	j := &judge{TB: t}
	sipptest.Start(j, sipptest.Options{
		Scenario: "../testdata/answer.xml", Limit: 100 * time.Millisecond,
	}).Wait()
	if j.faults != 1 {
		t.Errorf("%d faults, want one", j.faults)
	}
}

func TestASIPpThatGotWhatItDidNotExpectIsNotContent(t *testing.T) {
	j := &judge{TB: t}
	called := sipptest.Start(j, sipptest.Options{Scenario: "../testdata/answer.xml"})
	sipptest.Start(j, sipptest.Options{Scenario: "../testdata/stranger.xml", Target: called.Addr.String(), Limit: 300 * time.Millisecond}).Wait()
	called.Wait()
	if j.faults != 2 {
		t.Errorf("%d faults, want one of each side", j.faults)
	}
}

func TestASIPpThatNobodyCalledIsContentOnceItIsTold(t *testing.T) {
	sipptest.Start(t, sipptest.Options{Scenario: "../testdata/answer.xml", Calls: sipptest.Many}).Finish()
}
