package main

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"ringback/config"
)

// TestLongHeaders: what stands before a body is not read without end.
func TestLongHeaders(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := serveHTTP(config.Config{}, listener, http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	defer w.close()
	for claim, tc := range map[string]struct{ length, want int }{
		"half of the limit is read": {maxHeader / 2, http.StatusNotFound},
		"twice the limit is not":    {2 * maxHeader, http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(claim, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", strings.Repeat("a/b,", tc.length/4))
			a, err := asker.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if a.StatusCode != tc.want {
				t.Errorf("answered %s", a.Status)
			}
		})
	}
}
