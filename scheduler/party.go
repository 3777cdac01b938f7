package scheduler

import (
	"strings"
	"time"
)

// Account is a paying party. The master has no Parent.
type Account struct {
	ID          AccountID `gorm:"primaryKey"`
	ParentID    *AccountID
	CompanyName string
	Address     string // for bills
	Email       string
	Firstname   string
	Lastname    string
	LanguageID  string // GUID; "": none
	MobilePhone string
	WebSite     string
	TimeZone    string    // IANA
	CreatedAt   time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	DisabledAt  time.Time `gorm:"serializer:instant"` // zero: enabled; those below it are disabled with it
}

// Holder is an account with the user who signs in for it.
type Holder struct {
	Account Account
	User    User
}

// User is a person of an account who may sign in.
type User struct {
	ID           UserID `gorm:"primaryKey"`
	AccountID    AccountID
	Username     string    // unique, case-sensitive
	PasswordHash string    // argon2id, PHC string format
	CreatedAt    time.Time `gorm:"serializer:instant;autoCreateTime:false"`
}

// ErrWrongPassword says that what was shown is not the current password.
var ErrWrongPassword = Faults{{Field: "CurrentPassword", Message: "is wrong"}}.Err()

// Client is an API consumer of an account.
type Client struct {
	ID         ClientID `gorm:"primaryKey"`
	AccountID  AccountID
	UserID     UserID // for whom it acts on the admin API
	Name       string
	SecretHash string    // argon2id, PHC string format
	OldHash    string    // of the secret before
	OldUntil   time.Time `gorm:"serializer:instant"` // from when on that is no longer good
	Settings   Settings  `gorm:"embedded"`
	CreatedAt  time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	DisabledAt time.Time `gorm:"serializer:instant"` // zero: enabled
}

// Extension is the originator of record and payer of calls; not a number that
// rings.
type Extension struct {
	ID           ExtensionID `gorm:"primaryKey"`
	ClientID     ClientID
	Name         string
	Label        string
	Blocked      bool
	CallerIDName string
	ANI          string    `gorm:"column:ani"`              // default caller number
	Limit        int       `gorm:"column:concurrent_limit"` // calls under way at one time over all nodes; 0: no limit
	Trunk        string    // the only trunk that its calls go by; "": as their numbers say
	CreatedAt    time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	DeletedAt    time.Time `gorm:"serializer:instant"` // zero: live
}

// Token is an access token or a refresh token (RFC 6749), kept only as the
// SHA-256 of what was handed out. It acts for a client, or for a user.
type Token struct {
	Hash      []byte    `gorm:"primaryKey"`
	Refresh   bool      // a refresh token
	ClientID  *ClientID // acts as that client
	UserID    *UserID   // acts as that user
	SignIn    string    // that it came of, the same for all that followed: a GUID
	Address   string    // from where it was asked for
	Shown     string    `gorm:"-"` // the hash of what was shown for it, which must still be good when it is kept
	ExpiresAt time.Time `gorm:"serializer:instant"`
	CreatedAt time.Time `gorm:"serializer:instant;autoCreateTime:false"`
}

// Session is a sign-in, with what was refreshed since.
type Session struct {
	ID        string    // of its tokens' SignIn
	UserID    *UserID   // who signed in,
	ClientID  *ClientID // or which client
	Address   string    // the latest one
	LatestAt  time.Time // when tokens were handed out last
	ExpiresAt time.Time
}

// BeganAt is when somebody signed in, to the millisecond.
func (s Session) BeganAt() time.Time { return CallID(strings.ReplaceAll(s.ID, "-", "")).Began() }

// Principal is whom a request acts for.
type Principal struct {
	User    User    // the user, or the client's user
	Account Account // of that user
	Client  *Client // nil for a user's token
	SignIn  string  // of the token
}

// Hashes returns what a secret of the client may be checked against.
func (c Client) Hashes(now time.Time) []string {
	if c.OldHash != "" && now.Before(c.OldUntil) {
		return []string{c.SecretHash, c.OldHash}
	}
	return []string{c.SecretHash}
}
