package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// dialect is one of the two ways in which the same resources are told: how
// bodies are read, how fields are spelt, what stands round an answer.
type dialect struct {
	lenient bool // in requests: names in any case, unknown ones ignored
	spell   func(field string) string
	wrap    func(userID scheduler.UserID, detail any) any
	refuse  func(userID scheduler.UserID, p *problem, spell func(string) string) any
}

// The two dialects.
var (
	callback = dialect{
		spell: func(field string) string { return spell(field, callbackNames) },
		wrap:  func(_ scheduler.UserID, detail any) any { return detail },
		refuse: func(_ scheduler.UserID, p *problem, spell func(string) string) any {
			body := refusal{Message: p.text(spell), Status: p.status, Errors: []fieldRefusal{}}
			for _, f := range p.faults {
				body.Errors = append(body.Errors, fieldRefusal{Field: spell(f.Field), Message: f.Message})
			}
			return body
		},
	}
	admin = dialect{
		lenient: true,
		spell:   func(field string) string { return spell(field, adminNames) },
		wrap: func(user scheduler.UserID, detail any) any {
			return envelope{ResponseData: responseData{Identification: identification{user}, Result: "Success", Detail: detail}}
		},
		refuse: func(user scheduler.UserID, p *problem, spell func(string) string) any {
			e := envelope{ResponseData: responseData{Identification: identification{user}, Result: "Failure"}}
			e.Error.ErrorCode = strings.ToUpper(p.status)
			if p.status == "validation_error" {
				e.Error.ErrorCode = "VALIDATION_FAILED"
			}
			e.Error.ErrorReason = p.message
			if p.message == "" {
				reasons := make([]string, len(p.faults))
				for i, f := range p.faults {
					reasons[i] = spell(f.Field) + " " + f.Message
				}
				e.Error.ErrorReason = strings.Join(reasons, "; ")
			}
			return e
		},
	}
)

// refusal is an error of the callback API.
type refusal struct {
	Message string         `json:"message"`
	Status  string         `json:"status"`
	Errors  []fieldRefusal `json:"errors"`
}

type fieldRefusal struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// envelope stands round every answer of the admin API.
type envelope struct {
	Error struct {
		ErrorCode   string
		ErrorReason string
	}
	ResponseData responseData
}

type responseData struct {
	Identification identification
	Result         string
	Detail         any
}

type identification struct {
	UserID scheduler.UserID `json:"UserId"`
}

// adminNames are the names of the admin API that are not the Go ones.
var adminNames = map[string]string{"Body": "the body", "Query": "the query"}

// callbackNames are the Go names of fields and what the callback API calls
// them; its shapes say most of them.
var callbackNames = namesOf(map[string]string{"Body": "the body", "Query": "the query"})

func namesOf(names map[string]string) map[string]string {
	addNames(names, queueShape)
	addNames(names, extensionShape)
	addNames(names, batchShape)
	addNames(names, taskShape)
	addNames(names, paramsShape)
	addNames(names, bulkShape)
	addNames(names, filterShape)
	addNames(names, callbackShape)
	addNames(names, intervalShape)
	addNames(names, conditionShape)
	addNames(names, destinationShape)
	addNames(names, testShape)
	addNames(names, resendShape)
	addNames(names, resendFilterShape)
	return names
}

func addNames[T any](names map[string]string, s shape[T]) {
	for _, m := range s.members {
		if m.field != "" {
			names[m.field] = m.name
		}
	}
}

// spell spells a path of Go names: each by names where they have it; what
// stands in quotes is the client's own.
func spell(path string, names map[string]string) string {
	var b strings.Builder
	for path != "" {
		if quoted, err := strconv.QuotedPrefix(path); err == nil {
			own, _ := strconv.Unquote(quoted)
			b.WriteString(clip(own))
			path = path[len(quoted):]
			continue
		}
		n := strings.IndexAny(path, `."[]`)
		switch {
		case n < 0:
			n = len(path)
		case n == 0:
			b.WriteByte(path[0])
			path = path[1:]
			continue
		}
		if name, ok := names[path[:n]]; ok {
			b.WriteString(name)
		} else {
			b.WriteString(path[:n])
		}
		path = path[n:]
	}
	return b.String()
}

// answer sends a body: an envelope in the format that its caller accepts, any
// other in JSON. It is encoded before anything is sent.
func answer(c echo.Context, code int, body any) error {
	media := mediaJSON
	e, enveloped := body.(envelope)
	if enveloped {
		media = acceptable(c)
		c.Response().Header().Set(echo.HeaderVary, echo.HeaderAccept)
	}
	var encoded []byte
	if formats[media] == formatXML {
		encoded = encodeXML(e)
		media += "; charset=utf-8"
	} else {
		var err error
		if encoded, err = encode(body); err != nil {
			return err
		}
	}
	if code == http.StatusOK && unchanged(c, encoded) {
		return c.NoContent(http.StatusNotModified)
	}
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(encoded)))
	return c.Blob(code, media, encoded)
}

// succeed answers in the envelope: every success is a 200.
func succeed(c echo.Context, me caller, detail any) error {
	return answer(c, http.StatusOK, admin.wrap(me.User.ID, detail))
}

func encode(body any) ([]byte, error) {
	if a, ok := body.(appender); ok {
		return append(a.appendJSON(nil), '\n'), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // URLs stay readable
	if err := e.Encode(body); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
