package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFormFields is how many fields a form may have.
const maxFormFields = 1000

// jsonOfForm returns the JSON that a form means, and what is wrong with it: a
// field is a string, one without a value null, and one that is there several
// times, or as name[], a list. What stands in the URL is not of the form.
func jsonOfForm(text string) (string, string) {
	var names []string
	values := map[string][]string{}
	for pair := range strings.SplitSeq(strings.TrimSpace(text), "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		value, bad := url.QueryUnescape(rawValue)
		if err != nil || bad != nil {
			return "", "is not a valid form"
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return "", "is not valid UTF-8"
		}
		if bracket := strings.IndexByte(name, '['); bracket > 0 && strings.HasSuffix(name, "]") {
			name = name[:bracket]
		}
		if len(names) == maxFormFields {
			return "", "must have at most " + strconv.Itoa(maxFormFields) + " fields"
		}
		names = append(names, name)
		values[name] = append(values[name], value)
	}
	var out strings.Builder
	out.WriteByte('{')
	for i, name := range names {
		if slices.Index(names, name) < i {
			continue
		}
		if i > 0 {
			out.WriteByte(',')
		}
		quoteJSON(&out, name)
		out.WriteByte(':')
		switch given := values[name]; {
		case len(given) > 1:
			for i, value := range given {
				out.WriteByte("[,"[min(i, 1)])
				quoteJSON(&out, value)
			}
			out.WriteByte(']')
		case given[0] == "":
			out.WriteString("null")
		default:
			quoteJSON(&out, given[0])
		}
	}
	out.WriteByte('}')
	return out.String(), ""
}
