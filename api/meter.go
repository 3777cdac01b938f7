package api

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"ringback/scheduler"
)

// Headers of the limit of requests.
const (
	headerLimit      = "X-RateLimit-Limit"
	headerRemaining  = "X-RateLimit-Remaining"
	headerReset      = "X-RateLimit-Reset" // seconds until the whole limit is there again
	headerRetryAfter = "Retry-After"
)

// maxMetered is how many callers are remembered before those are forgotten who
// have their whole limit.
const maxMetered = 10_000

// limitRequests is the name of the limit that a 429 tells.
const limitRequests = "requests_per_hour"

// meter counts the requests of callers on this node: a token bucket each, an
// hour's requests deep.
type meter struct {
	now     func() time.Time
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

func newMeter(now func() time.Time) *meter {
	return &meter{now: now, buckets: map[string]*rate.Limiter{}}
}

// usage is where a caller stands after a request.
type usage struct {
	limit, remaining int
	reset            time.Duration // until nothing of it is used
	wait             time.Duration // until the next request is heard; 0: this one is
}

// count counts n requests (0 only looks) of a caller that may make perHour.
func (m *meter) count(caller string, perHour, n int) usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	b, known := m.buckets[caller]
	if !known {
		b = rate.NewLimiter(perSecond(perHour), perHour)
		if len(m.buckets) >= maxMetered {
			m.forget(now)
		}
		if n > 0 {
			m.buckets[caller] = b
		}
	}
	if b.Burst() != perHour {
		b.SetLimitAt(now, perSecond(perHour))
		b.SetBurstAt(now, perHour)
	}
	u := usage{limit: perHour}
	if !b.AllowN(now, n) {
		u.wait = seconds((1 - b.TokensAt(now)) / float64(b.Limit()))
	}
	left := b.TokensAt(now)
	u.remaining = max(int(left), 0)
	u.reset = seconds((float64(perHour) - left) / float64(b.Limit()))
	return u
}

// forget drops the callers who have their whole limit: they begin anew the same.
func (m *meter) forget(now time.Time) {
	for caller, b := range m.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(m.buckets, caller)
		}
	}
}

func perSecond(perHour int) rate.Limit { return rate.Limit(float64(perHour) / 3600) }

// seconds rounds up to whole ones.
func seconds(s float64) time.Duration { return time.Duration(math.Ceil(max(s, 0))) * time.Second }

// tell says in the headers of the answer where the caller stands.
func (u usage) tell(h http.Header) {
	h.Set(headerLimit, strconv.Itoa(u.limit))
	h.Set(headerRemaining, strconv.Itoa(u.remaining))
	h.Set(headerReset, strconv.Itoa(int(u.reset.Seconds())))
}

// meterCaller counts the request of whoever a token acts for: a client by its
// own limit, a user by the default one.
func (m *meter) meterCaller(c echo.Context, who scheduler.Principal) error {
	caller, perHour := "user "+string(who.User.ID), scheduler.DefaultRequestsPerHour
	if who.Client != nil {
		caller, perHour = "client "+string(who.Client.ID), who.Client.Settings.Requests()
	}
	return m.admit(c, caller, perHour)
}

// meterAddress counts a request that shows no good token, by where it comes from.
func (m *meter) meterAddress(c echo.Context) error {
	return m.admit(c, address(c), scheduler.DefaultRequestsPerHour)
}

func address(c echo.Context) string { return "address " + networkOf(c.RealIP()) }

// networkOf is what an address is counted as: who has one of IPv6 has at least
// the 2⁶⁴ of its network.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

func (m *meter) admit(c echo.Context, caller string, perHour int) error {
	u := m.count(caller, perHour, 1)
	h := c.Response().Header()
	u.tell(h)
	if u.wait == 0 {
		return nil
	}
	h.Set(headerRetryAfter, strconv.Itoa(int(u.wait.Seconds())))
	return &problem{code: http.StatusTooManyRequests, message: fmt.Sprintf("%s: at most %d requests an hour", limitRequests, perHour)}
}
