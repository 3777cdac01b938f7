package api

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

const headerLink = "Link"

// links tells where the other pages of a list are (RFC 8288): the first, the
// previous, the next and, if it was counted to its end, the last. last is the id
// of the last row for a list that is read by its cursor.
func links(c echo.Context, rows, total int, last string) {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return
	}
	var all []string
	add := func(rel, name, value string) {
		values.Set(name, value)
		all = append(all, "<"+strings.TrimRight(c.Request().URL.EscapedPath(), "/")+"/?"+values.Encode()+`>; rel="`+rel+`"`)
	}
	size := atLeast1(values.Get("per_page"), defaultPage)
	if values.Get("after_id") != "" {
		if rows == size && last != "" {
			add("next", "after_id", last)
		}
	} else {
		page := atLeast1(values.Get("page"), 1)
		pages := max((min(total, scheduler.CountLimit+1)+size-1)/size, 1)
		if page > 1 {
			add("first", "page", "1")
			add("prev", "page", strconv.Itoa(min(page-1, pages)))
		}
		if rows == size && (page < pages || total > scheduler.CountLimit) {
			add("next", "page", strconv.Itoa(page+1))
		}
		if total <= scheduler.CountLimit && page != pages {
			add("last", "page", strconv.Itoa(pages))
		}
	}
	if len(all) > 0 {
		c.Response().Header().Set(headerLink, strings.Join(all, ", "))
	}
}

// atLeast1 reads a number that was checked already.
func atLeast1(given string, fallback int) int {
	if n, err := strconv.Atoi(given); err == nil && n > 0 {
		return n
	}
	return fallback
}
