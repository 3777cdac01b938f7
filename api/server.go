// Package api is the HTTP service: one set of resources in two dialects, the
// callback API (snake_case) and the admin API (PascalCase in an envelope).
package api

import (
	"context"
	_ "embed"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/webhooks"

	"ringback/scheduler"
)

// Options are what a Server works with.
type Options struct {
	Store          Store
	Caller         Caller                 // makes calls that no task waits for
	CheckURL       func(url string) error // says why events can never be delivered to a URL
	Now            func() time.Time       // time.Now if nil
	Log            *slog.Logger           // slog.Default if nil
	Sound          func(id string) bool   // whether there is an announcement of this id; nil: there is none
	DefaultRegion  string                 // of national numbers (ISO 3166-1 alpha-2); "" takes none
	URIHosts       []string               // of SIP URIs that tasks may call: names in lower case and addresses
	Trunks         []string               // names of those that calls can go by
	TrustedProxies []netip.Prefix         // whose X-Forwarded-For is believed
	Observer       Observer               // nil: nobody
	Metrics        http.Handler           // answers /metrics; nil: there is none
	// SendEvent sends an event now, past the outbox.
	SendEvent func(ctx context.Context, w webhooks.Work) webhooks.Try
	// Ready says why the process cannot serve now; nil or nothing: it can.
	Ready func(ctx context.Context) []Reason
	// Holding says what keeps this node from starting anything; nil: nothing.
	Holding   func() []scheduler.Hold
	Mails     bool // there is a mail server, so that e-mails may be asked for
	Simulated bool // the dialer calls nobody: /readyz says so
}

// Reason is a part of the process that is not ready, and why.
type Reason struct {
	Part    string `json:"part"` // "database", "migrations", "dialer"
	Message string `json:"message"`
}

// Observer is told of every request that was answered. It must not block.
type Observer interface {
	// Answered gives the route's pattern, not its path; "" if there is none.
	Answered(method, route string, status int, took time.Duration)
}

// Server answers the API. It is an http.Handler.
type Server struct {
	o     Options
	echo  *echo.Echo
	hub   *hub
	meter *meter
	jobs  jobs
}

//go:embed openapi.yaml
var openAPI []byte

// New makes a server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{o: o, echo: echo.New(), hub: newHub(o.Store, o.Log), meter: newMeter(o.Now)}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.refuse
	s.echo.IPExtractor = addressOf(o.TrustedProxies)
	s.routes()
	return s
}

// Stream tells those who listen of what changes, until ctx ends; then it ends
// their answers. Without it they hear nothing. It is called once.
func (s *Server) Stream(ctx context.Context) { s.hub.run(ctx) }

// addressOf returns how the address of a caller is found: X-Forwarded-For is
// believed only from proxies that are named.
func addressOf(proxies []netip.Prefix) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		if _, network, err := net.ParseCIDR(p.Masked().String()); err == nil {
			trust = append(trust, echo.TrustIPRange(network))
		}
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// routes makes the table of routes. Every route but those of its first lines is
// bound to a caller by the guard.
func (s *Server) routes() {
	e, o := s.echo, s.o
	e.GET("/healthz", func(c echo.Context) error { return answer(c, http.StatusOK, map[string]string{"status": "ok"}) })
	e.GET("/readyz", s.ready)
	e.GET("/openapi.yaml", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/yaml", openAPI) })
	e.GET("/docs", showDocs)
	e.GET("/docs/:file", showDocs)
	if o.Metrics != nil {
		e.GET("/metrics", echo.WrapHandler(o.Metrics))
	}
	vault := newVault()
	tokens := tokens{identities: o.Store, tokens: o.Store, vault: vault, throttle: newThrottle(o.Now), now: o.Now}
	metered := func(handle echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := s.meter.meterAddress(c); err != nil {
				return tokens.refuse(c, overLimit(err))
			}
			return handle(c)
		}
	}
	e.POST("/oauth/token", metered(tokens.issue))
	e.POST("/Token", metered(tokens.issue))
	e.POST("/oauth/revoke", metered(tokens.revoke))

	guard := guard{tokens: o.Store, clients: o.Store, meter: s.meter, now: o.Now}
	stats := stats{reader: o.Store, now: o.Now}
	queues := queues{reader: o.Store, states: o.Store, writer: o.Store, intervals: o.Store, now: o.Now}
	tasks := tasks{
		reader: o.Store, adder: o.Store, writer: o.Store, queues: o.Store, outlooks: o.Store, extensions: o.Store,
		numbers: newNumbers(strings.ToUpper(o.DefaultRegion), o.URIHosts...), checkURL: o.CheckURL, sound: o.Sound, holding: o.Holding, now: o.Now,
	}
	onces := onces{keys: o.Store, now: o.Now}
	s.jobs = jobs{
		clients: o.Store, tasks: tasks, queues: o.Store, purger: o.Store, now: o.Now,
		report: reports{queues: o.Store, stats: o.Store, history: o.Store},
	}
	s.adminRoutes(guard, tokens, onces, tasks.numbers)
	extensions := extensions{reader: o.Store, writer: o.Store, numbers: tasks.numbers, trunks: o.Trunks, now: o.Now}
	intervals := intervals{reader: o.Store, writer: o.Store, now: o.Now}
	bulks := bulks{bulks: o.Store, queues: o.Store, now: o.Now}
	events := events{changes: o.Store, tasks: o.Store, queues: o.Store, hub: s.hub, guard: guard, now: o.Now}
	calls := calls{history: o.Store}
	limits := limits{reader: o.Store, meter: s.meter}
	live := live{calls: o.Store, now: o.Now}
	secrets := secrets{keys: o.Store, now: o.Now}
	deliveries := deliveries{reader: o.Store, writer: o.Store, now: o.Now}
	destinations := destinations{reader: o.Store, writer: o.Store, keys: o.Store, onces: o.Store, send: o.SendEvent, checkURL: o.CheckURL, now: o.Now}
	callbacks := callbacks{tasks: tasks, calls: o.Caller}
	for _, base := range []string{"", "/api/ver1.0"} {
		e.POST(base+"/extension/:extension_id/callback", guard.extension(onces.once(plain(callbacks.add), callbacks.again)))
		g := e.Group(base + "/client/:client_id")
		g.POST("/task_scheduler", guard.client(onces.once(plain(queues.add), queues.again)))
		g.GET("/task_scheduler", guard.client(queues.list))
		g.GET("/task_scheduler/:scheduler_id", guard.client(plain(queues.get)))
		g.PUT("/task_scheduler/:scheduler_id", guard.client(plain(queues.change)))
		g.DELETE("/task_scheduler/:scheduler_id", guard.client(queues.remove))
		g.GET("/task_scheduler/:scheduler_id/stats", guard.client(stats.get))
		g.POST("/task_scheduler/:scheduler_id/asr_reset", guard.client(onces.once(bare(queues.resetBrake), queues.resetAgain)))
		g.GET("/task_scheduler/:scheduler_id/events", guard.client(events.listen))
		for _, name := range []string{"task", "tasks"} {
			path := "/task_scheduler/:scheduler_id/" + name
			g.POST(path, guard.client(onces.once(tasks.add, tasks.again)))
			g.GET(path, guard.client(tasks.list))
			g.GET(path+"/:task_id", guard.client(plain(tasks.get)))
			g.PUT(path+"/:task_id", guard.client(plain(tasks.change)))
			g.DELETE(path+"/:task_id", guard.client(tasks.cancel))
			g.POST(path+"/bulk", guard.client(onces.once(bulks.add, bulks.again)))
			g.GET(path+"/bulk/:bulk_id", guard.client(bulks.get))
			g.GET(path+"/:task_id/timeline", guard.client(tasks.timeline))
		}
		g.POST("/interval", guard.client(onces.once(plain(intervals.add), intervals.again)))
		g.GET("/interval", guard.client(intervals.list))
		g.GET("/interval/:interval_id", guard.client(plain(intervals.get)))
		g.PUT("/interval/:interval_id", guard.client(plain(intervals.change)))
		g.DELETE("/interval/:interval_id", guard.client(plain(intervals.remove)))
		g.GET("/interval/:interval_id/preview", guard.client(intervals.preview))
		g.POST("/extension", guard.client(onces.once(plain(extensions.add), extensions.again)))
		g.GET("/extension", guard.client(extensions.list))
		g.GET("/extension/:extension_id", guard.client(plain(extensions.get)))
		g.PUT("/extension/:extension_id", guard.client(plain(extensions.change)))
		g.DELETE("/extension/:extension_id", guard.client(plain(extensions.remove)))
		g.GET("/limit", guard.client(limits.list))
		g.GET("/call", guard.client(live.list))
		g.GET("/call/:call_uuid", guard.client(plain(live.get)))
		g.DELETE("/call/:call_uuid", guard.client(plain(live.hangUp)))
		g.GET("/call_history", guard.client(calls.list))
		g.GET("/call_history/:call_uuid", guard.client(plain(calls.get)))
		g.GET("/webhooks/secrets", guard.client(plain(secrets.list)))
		g.POST("/webhooks/secrets", guard.client(bare(secrets.add)))
		g.GET("/webhooks/deliveries", guard.client(deliveries.list))
		g.GET("/webhooks/deliveries/:delivery_id", guard.client(plain(deliveries.get)))
		g.POST("/webhooks/deliveries/:delivery_id/resend", guard.client(onces.once(bare(deliveries.resend), deliveries.again)))
		g.POST("/webhooks/resend", guard.client(onces.once(plain(deliveries.resendAll), deliveries.allAgain)))
		g.GET("/webhooks/destinations", guard.client(destinations.list))
		g.GET("/webhooks/destinations/:destination_id", guard.client(plain(destinations.get)))
		g.PUT("/webhooks/destinations/:destination_id", guard.client(plain(destinations.change)))
		g.POST("/webhooks/destinations/:destination_id/test", guard.client(onces.once(plain(destinations.test), destinations.testAgain)))
	}
}

// adminRoutes makes the routes of the admin API, the same in both versions.
func (s *Server) adminRoutes(guard guard, tokens tokens, onces onces, numbers *numbers) {
	o := s.o
	accounts := accounts{accounts: o.Store, sessions: o.Store, tokens: tokens, now: o.Now}
	back := backOffice{clients: o.Store, vault: tokens.vault, now: o.Now}
	settings := settings{clients: o.Store, writer: o.Store, numbers: numbers}
	for _, version := range []string{"v1", "v2"} {
		g := s.echo.Group("/api/" + version + "/admin")
		g.GET("/accounts", guard.user(plain(accounts.own)))
		g.POST("/accounts/:id", guard.user(onces.once(plain(accounts.add), accounts.added)))
		g.GET("/accounts/:id", guard.user(plain(accounts.get)))
		g.PUT("/accounts/:id", guard.user(plain(accounts.change)))
		g.DELETE("/accounts/:id", guard.user(plain(accounts.disable)))
		g.GET("/accounts/:id/accounts", guard.user(accounts.below))
		g.PUT("/accounts/:id/password", guard.user(plain(accounts.setPassword)))
		g.GET("/accounts/:id/sessions", guard.user(accounts.listSessions))
		g.DELETE("/accounts/:id/sessions", guard.user(plain(accounts.endSessions)))
		g.DELETE("/accounts/:id/sessions/:session_id", guard.user(plain(accounts.endSession)))
		g.GET("/audit", guard.user(audit{entries: o.Store}.list))
		g.POST("/clients", guard.user(onces.once(plain(back.addClient), back.addedClient)))
		g.GET("/clients", guard.user(back.listClients))
		g.GET("/clients/:id", guard.user(plain(back.client)))
		g.PUT("/clients/:id", guard.user(plain(back.changeClient)))
		g.DELETE("/clients/:id", guard.user(plain(back.disableClient)))
		g.GET("/clients/:id/settings", guard.user(plain(settings.get)))
		g.PUT("/clients/:id/settings", guard.user(plain(settings.change)))
		accountTasks{keeper: o.Store, jobs: s.jobs, checkURL: o.CheckURL, mails: o.Mails, now: o.Now}.routes(g, guard, onces)
	}
}

// readiness is what /readyz tells.
type readiness struct {
	Status  string   `json:"status"` // "ready" or "unavailable"
	Dialer  string   `json:"dialer"` // "simulated" or "trunks"
	Reasons []Reason `json:"reasons"`
}

func (s *Server) ready(c echo.Context) error {
	body, code := readiness{Status: "ready", Dialer: "trunks", Reasons: []Reason{}}, http.StatusOK
	if s.o.Simulated {
		body.Dialer = "simulated"
	}
	if s.o.Ready != nil {
		body.Reasons = append(body.Reasons, s.o.Ready(c.Request().Context())...)
	}
	if len(body.Reasons) > 0 {
		body.Status, code = "unavailable", http.StatusServiceUnavailable
	}
	return answer(c, code, body)
}
