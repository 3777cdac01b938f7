package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// unchanged tags the answer to a GET with the hash of its body, and reports
// whether the caller has it already (RFC 9110, sections 8.8.3 and 13.1.2).
func unchanged(c echo.Context, body []byte) bool {
	if c.Request().Method != http.MethodGet {
		return false
	}
	hash := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(hash[:12]) + `"`
	c.Response().Header().Set("ETag", tag)
	for _, given := range c.Request().Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(given, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
