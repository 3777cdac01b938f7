package scheduler

// Settings are what an operator lets a client do. The zero Settings are the
// defaults.
type Settings struct {
	// DefaultRegion is whose national numbers the client writes (ISO 3166-1
	// alpha-2); "": those of the system's region.
	DefaultRegion string
	// DefaultExtensionID calls for tasks that name no extension; nil: none does.
	DefaultExtensionID *ExtensionID
	WebhookFormat      WebhookFormat
	MaxConcurrentCalls int // calls under way at one time over all nodes; 0: no limit
	RequestsPerHour    int // 0: DefaultRequestsPerHour
	// AllowedCallerIDs are the caller numbers that the client may show beside
	// those of its extensions.
	AllowedCallerIDs []string `gorm:"column:allowed_caller_ids;serializer:json"`
}

// Requests returns how many requests an hour the client may make on a node.
func (s Settings) Requests() int {
	if s.RequestsPerHour == 0 {
		return DefaultRequestsPerHour
	}
	return s.RequestsPerHour
}

// WebhookFormat is how the events of a client are encoded.
type WebhookFormat string

// The formats of events.
const (
	WebhookJSON WebhookFormat = ""
	WebhookForm WebhookFormat = "form" // application/x-www-form-urlencoded
)

// Limits of a client's settings.
const (
	DefaultRequestsPerHour = 36_000
	MaxRequestsPerHour     = 100_000_000
	MaxCalls               = 1_000_000 // of a limit of calls at one time
	MaxAllowedCallerIDs    = 1000
)
