package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/wneessen/go-mail"

	"ringback/scheduler"
)

// MailOutbox keeps the e-mails that are owed.
type MailOutbox interface {
	// ClaimMails leases those that are due until a time, at most limit.
	ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]scheduler.Mail, error)
	// SettleMail writes what became of one.
	SettleMail(ctx context.Context, m scheduler.Mail) error
}

// MailServer is where e-mails are handed in.
type MailServer struct {
	Host     string
	Port     int
	Username string // "": it asks for none
	Password string
	From     string
	// TLS is "tls" from the start, "starttls" if it must be offered, "offered" if it
	// is taken when it is, and "off".
	TLS    string
	Config *tls.Config // nil: the system's authorities vouch for the server
}

// How e-mails are sent.
const (
	mailTimeout = 30 * time.Second // of one, whatever the server does
	mailLease   = 2 * time.Minute
	mailsAtOnce = 1 // claimed at a time: each has its lease
)

// mailSchedule is how long after a try that failed the next one is made.
var mailSchedule = []time.Duration{
	time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// mailRefusals is how often a server may refuse one for good: some of them take
// back what they said.
const mailRefusals = 3

// MailerOptions are what a Mailer works with.
type MailerOptions struct {
	Outbox MailOutbox
	Server MailServer
	Now    func() time.Time
	Log    *slog.Logger
	// Observer is told what became of each try, ready: it will be tried again. It may
	// be nil, and must not block.
	Observer interface{ Mailed(scheduler.MailState) }
}

// Mailer sends the e-mails that are owed.
type Mailer struct{ o MailerOptions }

// NewMailer makes a mailer.
func NewMailer(o MailerOptions) *Mailer { return &Mailer{o} }

// Tick sends what is due, one after the other, until nothing is left or the
// server does not take one: what comes after that would wait as long.
func (m *Mailer) Tick(ctx context.Context) {
	for ctx.Err() == nil {
		now := m.o.Now()
		due, err := m.o.Outbox.ClaimMails(ctx, now, now.Add(mailLease), mailsAtOnce)
		if err != nil && ctx.Err() == nil {
			m.o.Log.Error("e-mails cannot be read; the next tick tries again", "err", err)
		}
		if err != nil || len(due) == 0 {
			return
		}
		failed := false
		for _, mail := range due {
			err := m.o.Server.send(ctx, mail)
			if err != nil && ctx.Err() != nil {
				return // it is sent again when its lease is over
			}
			failed = failed || err != nil
			settled := judgeMail(mail, err, m.o.Now())
			if settled.State == scheduler.MailDead {
				m.o.Log.Error("an e-mail was not taken and is given up", "err", err)
			}
			if err := m.o.Outbox.SettleMail(context.WithoutCancel(ctx), settled); err != nil {
				m.o.Log.Error("what became of an e-mail cannot be written; it is sent again", "err", err)
			}
			if m.o.Observer != nil {
				m.o.Observer.Mailed(settled.State)
			}
		}
		if failed {
			return
		}
	}
}

// judgeMail returns the e-mail after a try.
func judgeMail(m scheduler.Mail, err error, now time.Time) scheduler.Mail {
	m.Tries++
	if err == nil {
		m.State, m.EndedAt, m.LastError = scheduler.MailSent, now, ""
		return m
	}
	m.LastError = err.Error()
	const kept = 500 // characters
	if r := []rune(m.LastError); len(r) > kept {
		m.LastError = string(r[:kept])
	}
	refused, ok := errors.AsType[*mail.SendError](err)
	if m.Tries > len(mailSchedule) || ok && refused.ErrorCode() >= 500 && m.Tries >= mailRefusals {
		m.State, m.EndedAt = scheduler.MailDead, now
		return m
	}
	m.NextAt = now.Add(mailSchedule[m.Tries-1])
	return m
}

// send hands in an e-mail.
func (s MailServer) send(ctx context.Context, m scheduler.Mail) error {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(s.From), msg.To(m.Recipient)); err != nil {
		return err
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.MessageID)
	msg.SetDateWithValue(m.CreatedAt)
	msg.SetBodyString(mail.TypeTextPlain, m.TextBody)
	msg.AddAlternativeString(mail.TypeTextHTML, m.HTMLBody)
	if m.AttachedAs != "" {
		err := msg.AttachReader(m.AttachedAs, bytes.NewReader(m.Attachment), mail.WithFileContentType("text/csv; charset=utf-8"))
		if err != nil {
			return err
		}
	}
	options := []mail.Option{mail.WithPort(s.Port), mail.WithTimeout(mailTimeout)}
	switch s.TLS {
	case "tls":
		options = append(options, mail.WithSSL())
	case "starttls":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "off":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if s.Config != nil {
		options = append(options, mail.WithTLSConfig(s.Config))
	}
	if s.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.Username), mail.WithPassword(s.Password))
		if s.TLS == "off" {
			options = append(options, mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc))
		}
	}
	client, err := mail.NewClient(s.Host, options...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*mailTimeout)
	defer cancel()
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // what the server says after it took the message changes nothing
	}
	return err
}
