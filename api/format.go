package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// format is how a body of the admin API is written.
type format int

const (
	formatJSON format = iota
	formatXML
	formatForm // requests only
)

// The media types of bodies.
const (
	mediaJSON     = "application/json"
	mediaTextJSON = "text/json"
	mediaXML      = "application/xml"
	mediaTextXML  = "text/xml"
	mediaForm     = "application/x-www-form-urlencoded"
)

// formats are the media types that requests of the admin API may have.
var formats = map[string]format{
	mediaJSON: formatJSON, mediaTextJSON: formatJSON, mediaXML: formatXML, mediaTextXML: formatXML, mediaForm: formatForm,
}

// tellable are the media types of answers.
var tellable = []string{mediaJSON, mediaTextJSON, mediaXML, mediaTextXML}

// mediaOf returns the media type of a request, JSON without one.
func mediaOf(c echo.Context) (string, error) {
	given := c.Request().Header.Get(echo.HeaderContentType)
	if given == "" {
		return mediaJSON, nil
	}
	media, _, err := mime.ParseMediaType(given)
	return media, err
}

// ask takes the body of a request of the admin API in any of its formats, of
// which XML has one of roots as its outermost element. Dates without an offset
// are in the zone of the caller's account.
func ask(c echo.Context, me caller, roots ...string) (*decoder, error) {
	media, err := mediaOf(c)
	form, known := formats[media]
	if err != nil || !known {
		return nil, &problem{code: http.StatusUnsupportedMediaType, message: "the body must be JSON, XML or a form: " +
			strings.Join(append(slices.Clone(tellable), mediaForm), ", ")}
	}
	text, err := openBody(c)
	if err != nil {
		return nil, err
	}
	text, wrong := toUTF8(text)
	if wrong == "" && strings.TrimSpace(text) != "" {
		switch form {
		case formatXML:
			text, wrong = jsonOfXML(text, roots)
		case formatForm:
			text, wrong = jsonOfForm(text)
		}
	}
	if wrong != "" {
		return nil, scheduler.Faults{{Field: "Body", Message: wrong}}.Err()
	}
	d, err := decode(text)
	if err != nil {
		return nil, err
	}
	d.lenient, d.untyped = admin.lenient, form != formatJSON
	if d.zone, err = time.LoadLocation(me.Account.TimeZone); err != nil {
		d.zone = time.UTC
	}
	return d, nil
}

// acceptable returns the media type of the answer to a request: what its
// Accept likes best, else the format of its own body, JSON for a form.
func acceptable(c echo.Context) string {
	own, _ := mediaOf(c)
	if !slices.Contains(tellable, own) {
		own = mediaJSON
	}
	best, liked := own, 0.0
	ranges := acceptedRanges(strings.Join(c.Request().Header.Values(echo.HeaderAccept), ","))
	qualities := map[string]float64{}
	for _, media := range tellable {
		qualities[media] = quality(ranges, media)
	}
	for _, wanted := range ranges {
		for _, media := range append([]string{own}, tellable...) {
			// Of two that are liked the same, the first range wins.
			if q := qualities[media]; wanted.takes(media) && q > liked {
				best, liked = media, q
			}
		}
	}
	return best
}

// maxRanges is how much of an Accept is read: a browser sends some eight.
const maxRanges = 50

// mediaRange is a part of an Accept header (RFC 9110, section 12.5.1).
type mediaRange struct {
	media string // "text/*" and "*/*", too
	q     float64
}

func acceptedRanges(header string) []mediaRange {
	var ranges []mediaRange
	read := 0
	for part := range strings.SplitSeq(header, ",") {
		if read++; read > maxRanges {
			break
		}
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if given, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(given, 64); err != nil || !(q >= 0 && q <= 1) {
				continue
			}
		}
		ranges = append(ranges, mediaRange{media, q})
	}
	return ranges
}

// takes reports whether a range has a media type in it.
func (r mediaRange) takes(media string) bool {
	kind, _, _ := strings.Cut(media, "/")
	return r.media == media || r.media == kind+"/*" || r.media == "*/*"
}

// quality returns how much a media type is liked: what the range says that
// tells most about it.
func quality(ranges []mediaRange, media string) float64 {
	q, closest := 0.0, 0
	for _, r := range ranges {
		near := 3 - strings.Count(r.media, "*")
		if r.takes(media) && near > closest {
			q, closest = r.q, near
		}
	}
	return q
}
