package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"ringback/config"
)

// requestsEnd is how long requests under way may go on when the node stops.
const requestsEnd = 5 * time.Second

// maxHeader is how long the line and the header of a request may be, about: 431
// beyond.
const maxHeader = 64 << 10

// web is the HTTP servers of a node.
type web struct {
	base    string     // http://host:port of the API
	failed  chan error // of a server that stopped by itself
	servers []*http.Server
	running sync.WaitGroup
	log     *slog.Logger
}

// serveHTTP serves the API and, if they have a listener of their own, the
// metrics.
func serveHTTP(cfg config.Config, listener net.Listener, api http.Handler, observed *metrics, log *slog.Logger) *web {
	w := &web{base: "http://" + listener.Addr().String(), failed: make(chan error, 2), log: log}
	w.start(listener, api)
	if cfg.MetricsListen == "" {
		return w
	}
	own, err := new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.MetricsListen)
	if err != nil {
		w.failed <- fmt.Errorf("metrics: %w", err)
		return w
	}
	log.Info("metrics on http://" + own.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", observed.handler())
	w.start(own, mux)
	return w
}

func (w *web) start(listener net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute, // 32 MiB over a slow line
		WriteTimeout:      3 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(w.log.Handler(), slog.LevelDebug), // what peers do wrong
	}
	w.servers = append(w.servers, server)
	w.running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.failed <- err
		}
	})
}

// close lets requests under way end, for a while.
func (w *web) close() {
	ctx, cancel := context.WithTimeout(context.Background(), requestsEnd)
	defer cancel()
	for _, s := range w.servers {
		if err := s.Shutdown(ctx); err != nil {
			s.Close()
		}
	}
	w.running.Wait()
}
