package api

import (
	"compress/gzip"
	"embed"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// docs is a page that shows openapi.yaml and tries its operations. Nothing of
// it comes from elsewhere.
//
//go:embed docs
var docs embed.FS

// docsTypes are the files of the page and what they are. Those that are kept
// packed have another name there.
var docsTypes = map[string]struct{ media, kept string }{
	"index.html":                       {"text/html; charset=utf-8", "index.html"},
	"start.js":                         {"text/javascript; charset=utf-8", "start.js"},
	"swagger-ui.css":                   {"text/css; charset=utf-8", "swagger-ui.css.gz"},
	"swagger-ui-bundle.js":             {"text/javascript; charset=utf-8", "swagger-ui-bundle.js.gz"},
	"swagger-ui-bundle.js.LICENSE.txt": {"text/plain; charset=utf-8", "swagger-ui-bundle.js.LICENSE.txt"},
	"LICENSE":                          {"text/plain; charset=utf-8", "LICENSE"},
	"NOTICE":                           {"text/plain; charset=utf-8", "NOTICE"},
}

// docsPolicy lets the page talk to nobody but us, and stand in no other page.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// showDocs answers /docs and the files of its page.
func showDocs(c echo.Context) error {
	name := c.Param("file")
	if name == "" {
		name = "index.html"
	}
	file, ok := docsTypes[name]
	if !ok {
		return &problem{code: http.StatusNotFound}
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentSecurityPolicy, docsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	content, err := docs.Open("docs/" + file.kept)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // never fails: it is a part of the program
	if !strings.HasSuffix(file.kept, ".gz") {
		return c.Stream(http.StatusOK, file.media, content)
	}
	h.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if strings.Contains(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
		h.Set(echo.HeaderContentEncoding, "gzip")
		return c.Stream(http.StatusOK, file.media, content)
	}
	unpacked, err := gzip.NewReader(content)
	if err != nil {
		return err
	}
	return c.Stream(http.StatusOK, file.media, unpacked)
}
