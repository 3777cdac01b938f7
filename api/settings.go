package api

import (
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/nyaruka/phonenumbers"

	"ringback/scheduler"
)

// settings answers …/clients/{id}/settings of the admin API.
type settings struct {
	clients Clients
	writer  SettingsWriter
	numbers *numbers
}

// settingsRequest is what is asked of a client's settings; what it does not
// name stays, and null is the default.
type settingsRequest struct {
	change []func(*scheduler.Settings)
	region *string
	ids    []string
}

// sets notes a change that the request asks for.
func (r *settingsRequest) sets(change func(*scheduler.Settings)) {
	r.change = append(r.change, change)
}

// settingsShape is the settings of a client in requests.
var settingsShape = newShape(
	member[settingsRequest]{"DefaultRegion", "DefaultRegion", func(d *decoder, r *settingsRequest) { r.readRegion(d) }},
	member[settingsRequest]{"DefaultExtensionID", "DefaultExtensionID", func(d *decoder, r *settingsRequest) { r.readExtension(d) }},
	member[settingsRequest]{"WebhookFormat", "WebhookFormat", func(d *decoder, r *settingsRequest) { r.readFormat(d) }},
	member[settingsRequest]{"MaxConcurrentCalls", "MaxConcurrentCalls", func(d *decoder, r *settingsRequest) { r.readLimit(d) }},
	member[settingsRequest]{"RequestsPerHour", "RequestsPerHour", func(d *decoder, r *settingsRequest) { r.readRequests(d) }},
	member[settingsRequest]{"AllowedCallerIDs", "AllowedCallerIDs", func(d *decoder, r *settingsRequest) { r.readCallerIDs(d) }},
)

func (r *settingsRequest) readRegion(d *decoder) {
	given := ""
	d.text(&given)
	region := strings.ToUpper(given)
	if region != "" && !phonenumbers.GetSupportedRegions()[region] {
		d.fault("must be a region of ISO 3166-1, such as GB")
	}
	r.region = &region
	r.sets(func(s *scheduler.Settings) { s.DefaultRegion = region })
}

// readExtension reads the id of an extension; null and 0 are none.
func (r *settingsRequest) readExtension(d *decoder) {
	var id *scheduler.ExtensionID
	if n, ok := d.integer(); ok && n != 0 {
		id = new(scheduler.ExtensionID(n))
	}
	r.sets(func(s *scheduler.Settings) { s.DefaultExtensionID = id })
}

// readFormat reads how events are encoded; null and "" are JSON.
func (r *settingsRequest) readFormat(d *decoder) {
	given, format := "", scheduler.WebhookJSON
	switch d.text(&given); strings.ToLower(given) {
	case "", "json":
	case "form":
		format = scheduler.WebhookForm
	default:
		d.fault("must be json or form")
	}
	r.sets(func(s *scheduler.Settings) { s.WebhookFormat = format })
}

func (r *settingsRequest) readLimit(d *decoder) {
	limit := d.limit("to start nothing, switch the schedulers off")
	r.sets(func(s *scheduler.Settings) { s.MaxConcurrentCalls = limit })
}

// readRequests reads requests an hour; null is the default.
func (r *settingsRequest) readRequests(d *decoder) {
	var n *int
	if d.between(&n, 1, scheduler.MaxRequestsPerHour); n == nil {
		n = new(int)
	}
	r.sets(func(s *scheduler.Settings) { s.RequestsPerHour = *n })
}

func (r *settingsRequest) readCallerIDs(d *decoder) {
	d.texts(&r.ids)
	if len(r.ids) > scheduler.MaxAllowedCallerIDs {
		d.fault(fmt.Sprintf("must be at most %d numbers", scheduler.MaxAllowedCallerIDs))
	}
	r.sets(func(s *scheduler.Settings) { s.AllowedCallerIDs = r.ids })
}

// checkCallerIDs finds caller numbers that are none.
func (r *settingsRequest) checkCallerIDs(d *decoder, numbers *numbers) {
	for i, id := range r.ids {
		if _, err := numbers.parse(id); err != nil {
			d.faults.Add(fmt.Sprintf("AllowedCallerIDs[%d]", i), "%s", err)
		}
	}
}

// settingsAnswer is the settings of a client as they are told.
type settingsAnswer struct {
	DefaultRegion      string
	DefaultExtensionID *scheduler.ExtensionID
	WebhookFormat      string
	MaxConcurrentCalls *int
	RequestsPerHour    int
	AllowedCallerIDs   []string
}

func (settingsAnswer) xmlName() string { return "SettingsResponse" }

func tellSettings(s scheduler.Settings) settingsAnswer {
	a := settingsAnswer{
		DefaultRegion: s.DefaultRegion, DefaultExtensionID: s.DefaultExtensionID, WebhookFormat: "json",
		MaxConcurrentCalls: positive(s.MaxConcurrentCalls), RequestsPerHour: s.Requests(), AllowedCallerIDs: list(s.AllowedCallerIDs),
	}
	if s.WebhookFormat == scheduler.WebhookForm {
		a.WebhookFormat = "form"
	}
	return a
}

// of reads the client of the path, which only a user's token may look into.
func (s settings) of(c echo.Context, me caller) (scheduler.Client, error) {
	if me.byClient() {
		return scheduler.Client{}, scheduler.Errorf(scheduler.Forbidden, "the settings of a client need a user's token")
	}
	guid, ok := scheduler.ParseGUID(c.Param("id"))
	if !ok {
		return scheduler.Client{}, errNoClient
	}
	client, err := s.clients.ClientOf(c.Request().Context(), me.Account.ID, scheduler.ClientID(guid))
	if isNotFound(err) {
		return client, errNoClient
	}
	return client, err
}

func (s settings) get(c echo.Context, me caller) error {
	client, err := s.of(c, me)
	if err != nil {
		return err
	}
	return succeed(c, me, tellSettings(client.Settings))
}

func (s settings) change(c echo.Context, me caller) error {
	client, err := s.of(c, me)
	if err != nil {
		return err
	}
	d, err := ask(c, me, "SettingsRequest")
	if err != nil {
		return err
	}
	var r settingsRequest
	settingsShape.read(d, &r)
	region := client.Settings.DefaultRegion
	if r.region != nil {
		region = *r.region
	}
	r.checkCallerIDs(d, s.numbers.in(region))
	if err := d.err(); err != nil {
		return err
	}
	changed, err := s.writer.UpdateSettings(c.Request().Context(), me.Account.ID, client.ID, func(to *scheduler.Settings) error {
		for _, change := range r.change {
			change(to)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return succeed(c, me, tellSettings(changed))
}
