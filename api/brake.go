package api

import (
	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// brakeRequest is what a client asks of the brake of a queue.
type brakeRequest struct {
	percent                 *float64 // 0: no brake
	basis                   scheduler.Basis
	window, attempts, pause *int
}

// readPercent reads the ratio that a queue needs; null is no brake.
func (r *brakeRequest) readPercent(d *decoder) { r.percent = new(d.float(1, 100)) }

// readBasis reads which ratio that is; null leaves it out.
func (r *brakeRequest) readBasis(d *decoder) {
	if asr := d.either(string(scheduler.BasisASR), string(scheduler.BasisNER)); asr != nil {
		r.basis = scheduler.BasisNER
		if *asr {
			r.basis = scheduler.BasisASR
		}
	}
}

// apply changes the settings of a brake to what is asked.
func (r brakeRequest) apply(s *scheduler.BrakeSettings) {
	if r.percent != nil {
		s.MinPercent = *r.percent
	}
	if r.basis != "" {
		s.Basis = r.basis
	}
	for _, asked := range []struct{ from, into *int }{{r.window, &s.Window}, {r.attempts, &s.MinAttempts}, {r.pause, &s.Pause}} {
		if asked.from != nil {
			*asked.into = *asked.from
		}
	}
}

// resetBrake closes the brake of a queue. It takes no body.
func (s queues) resetBrake(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if err := s.writer.ResetBrake(ctx, me.client, id); err != nil {
		return err
	}
	return s.tell(c, me, id)
}

// resetAgain answers a reset that was done before.
func (s queues) resetAgain(c echo.Context, me caller, _ scheduler.Once) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	return s.tell(c, me, id)
}
