package api

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

const headerRequestID = "X-Request-Id"

// statusCallerGone is what a request is counted with whose caller did not wait
// for the answer.
const statusCallerGone = 499

var errPanic = errors.New("panic")

// ServeHTTP answers a request. Paths may end with a slash; those of the admin
// API come in any case. A panic is a 500.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.o.Now()
	r = r.Clone(r.Context()) // the caller's URL stays as it is
	if r.Method == http.MethodHead {
		r.Method = http.MethodGet // net/http leaves out the body
	}
	r.URL.Path, r.URL.RawPath = tidyPath(r.URL.Path), ""
	id := r.Header.Get(headerRequestID)
	if !plainID(id) {
		id = string(scheduler.NewCallID(began))
	}
	r.Header.Set(headerRequestID, id)
	w.Header().Set(headerRequestID, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")

	c := s.echo.AcquireContext()
	defer s.echo.ReleaseContext(c)
	c.Reset(r, w)
	s.meter.count(address(c), scheduler.DefaultRequestsPerHour, 0).tell(w.Header()) // who asks with a token is told of that
	s.handle(c)
	if s.o.Observer != nil {
		s.o.Observer.Answered(r.Method, c.Path(), c.Response().Status, s.o.Now().Sub(began))
	}
}

// handle finds the handler of a request and runs it.
func (s *Server) handle(c echo.Context) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.refuse(fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack()), c)
		}
	}()
	s.echo.Router().Find(c.Request().Method, c.Request().URL.Path, c)
	if err := c.Handler()(c); err != nil {
		s.refuse(err, c)
	}
}

// tidyPath takes the slash from the end of a path, and writes the admin API's
// in lower case.
func tidyPath(path string) string {
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		path = trimmed
	}
	if lower := strings.ToLower(path); isAdmin(lower) {
		return lower
	}
	return path
}

// isAdmin reports whether a path in lower case is one of the admin API.
func isAdmin(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/admin")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/api/v2/admin")
	}
	return ok && (rest == "" || rest[0] == '/')
}

// plainID reports whether a request's own id can be used.
func plainID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// refuse answers an error in the dialect of the path. An internal one is
// logged in full and told as nothing.
func (s *Server) refuse(err error, c echo.Context) {
	r := c.Request()
	p := problemOf(err)
	gone := r.Context().Err() != nil && !errors.Is(err, errPanic)
	if p.code == http.StatusInternalServerError && !gone {
		s.o.Log.Error(fmt.Sprintf("%s %s failed, request %s", r.Method, c.Path(), r.Header.Get(headerRequestID)), "err", err)
	}
	if c.Response().Committed {
		return
	}
	if gone {
		c.Response().WriteHeader(statusCallerGone)
		return
	}
	if p.code == http.StatusUnauthorized && c.Response().Header().Get(echo.HeaderWWWAuthenticate) == "" {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="ringback"`)
	}
	d := callback
	if isAdmin(r.URL.Path) {
		d = admin
	}
	user, _ := c.Get(keyUser).(scheduler.UserID)
	if err := answer(c, p.code, d.refuse(user, p, d.spell)); err != nil && !errors.Is(err, http.ErrHandlerTimeout) {
		s.o.Log.Debug("an answer did not reach its caller", "err", err)
	}
}
