package scheduler

import "time"

// MailID is the row number of an e-mail.
type MailID int64

// MailState is where an e-mail stands.
type MailState string

// The states of an e-mail.
const (
	MailReady MailState = "ready" // to be tried at NextAt
	MailSent  MailState = "sent"  // the mail server took it
	MailDead  MailState = "dead"  // it refused it for good, or too often
)

// MailKeep is how long e-mails are kept that were sent, or never will be.
const MailKeep = 30 * 24 * time.Hour

// Mail is an e-mail that is owed. It is the row as it is stored; the zero time is
// NULL.
type Mail struct {
	ID         MailID `gorm:"primaryKey"`
	AccountID  AccountID
	MessageID  string // without its angle brackets; the same on every try
	Recipient  string
	Subject    string
	TextBody   string
	HTMLBody   string `gorm:"column:html_body"`
	AttachedAs string // the name of the attachment, a CSV file; "": none
	Attachment []byte
	State      MailState
	Tries      int
	LastError  string
	NextAt     time.Time `gorm:"serializer:instant"`
	LeaseToken string
	LeaseUntil time.Time `gorm:"serializer:instant"`
	CreatedAt  time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	EndedAt    time.Time `gorm:"serializer:instant"`
}
