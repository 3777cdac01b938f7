package api

import (
	"context"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// Store is everything that the service keeps its resources in. A resource that
// does not exist, or is another client's, is an error of kind NotFound; every
// other error without a kind is internal.
type Store interface {
	Identities
	Tokens
	Accounts
	Sessions
	Clients
	SettingsWriter
	Keys
	QueueReader
	QueueStates
	QueueWriter
	StatsReader
	OutlookReader
	IntervalReader
	IntervalWriter
	ExtensionReader
	ExtensionWriter
	TaskReader
	TaskAdder
	TaskWriter
	Changes
	Bulks
	Audit
	History
	Live
	LimitReader
	DeliveryReader
	DeliveryWriter
	DestinationReader
	DestinationWriter
	OnceKeys
	AccountTasks
	Purger
}

// AccountTasks keeps the recurring tasks of accounts.
type AccountTasks interface {
	// Account returns an account.
	Account(ctx context.Context, id scheduler.AccountID) (scheduler.Account, error)
	// AccountTasks lists those of an account, by id.
	AccountTasks(ctx context.Context, account scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.AccountTask], error)
	// AccountTask returns one of an account, or of an account below it.
	AccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID) (scheduler.AccountTask, error)
	// AccountTaskRuns lists the runs of one, by id.
	AccountTaskRuns(ctx context.Context, id scheduler.AccountTaskID, p scheduler.Page) (scheduler.List[scheduler.AccountTaskRun], error)
	// AddAccountTask keeps one, with the run that it missed already.
	AddAccountTask(ctx context.Context, t scheduler.AccountTask, missed *scheduler.AccountTaskRun) error
	// UpdateAccountTask lets change alter one under its lock, and keeps the run that
	// it returns; an error of change is returned and nothing is altered.
	UpdateAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID, change func(*scheduler.AccountTask) (*scheduler.AccountTaskRun, error)) (scheduler.AccountTask, error)
	// DeleteAccountTask forgets one with its runs.
	DeleteAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID) error
	// RunAccountTask has one run now; while it runs that is a Conflict.
	RunAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID, by string, now time.Time) (scheduler.AccountTaskRun, error)
}

// Purger forgets what is over.
type Purger interface {
	// PurgeHistory forgets the calls and finished tasks of a client that ended before
	// a time, and returns how many there were.
	PurgeHistory(ctx context.Context, client scheduler.ClientID, before time.Time) (calls, tasks int, err error)
}

// Identities finds who may ask for a token.
type Identities interface {
	// UserByName finds a user of an enabled account; the name is case-sensitive.
	UserByName(ctx context.Context, username string) (scheduler.User, error)
	// ClientByID finds an enabled client of any enabled account.
	ClientByID(ctx context.Context, id scheduler.ClientID) (scheduler.Client, error)
}

// Tokens keeps what was handed out, by its hash.
type Tokens interface {
	// AddTokens keeps the tokens of one who signed in, all or none: NotFound if
	// what was Shown for them is no longer good, or who showed it disabled.
	AddTokens(ctx context.Context, tokens ...scheduler.Token) error
	// Principal returns whom an access token acts for; NotFound if it is
	// unknown or has expired.
	Principal(ctx context.Context, hash []byte, now time.Time) (scheduler.Principal, error)
	// UseRefreshToken keeps what follows a refresh token, which from then on is
	// good for grace at most; NotFound if it is unknown, has expired or was
	// revoked.
	UseRefreshToken(ctx context.Context, hash []byte, now time.Time, grace time.Duration, follow func(scheduler.Token) []scheduler.Token) error
	// RevokeToken forgets a token and all that came of the same sign-in. An
	// unknown one is fine; one that acts for another than by, if by is given, is
	// Forbidden.
	RevokeToken(ctx context.Context, hash []byte, by *scheduler.ClientID) error
}

// Accounts finds, makes and changes the accounts within an account's reach:
// itself and those below it. Any other is NotFound, account_not_found.
type Accounts interface {
	// AccountOf finds one, with its user.
	AccountOf(ctx context.Context, account, id scheduler.AccountID) (scheduler.Holder, error)
	// AccountsBelow lists those below one, at any depth.
	AccountsBelow(ctx context.Context, account, id scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.Holder], error)
	// AddAccount keeps one below its parent, with its user; a user's name that is
	// taken is a fault of Username.
	AddAccount(ctx context.Context, account scheduler.AccountID, h scheduler.Holder) error
	// UpdateAccount lets change alter one and its user, under its lock; an error
	// of change is returned and nothing is altered. What is disabled loses its
	// tokens, its queues stop, and so do those of all accounts below.
	UpdateAccount(ctx context.Context, account, id scheduler.AccountID, change func(*scheduler.Holder) error) (scheduler.Holder, error)
}

// Sessions are the sign-ins of an account's users and clients.
type Sessions interface {
	// Sessions lists those of an account itself, by when tokens were handed out
	// last.
	Sessions(ctx context.Context, account scheduler.AccountID, now time.Time, p scheduler.Page) (scheduler.List[scheduler.Session], error)
	// EndSession ends one of them.
	EndSession(ctx context.Context, account scheduler.AccountID, id string) error
	// EndSessions ends all of them but one.
	EndSessions(ctx context.Context, account scheduler.AccountID, but string) error
	// SetPassword gives a user another password, and ends its sessions but one;
	// ErrWrongPassword if what was shown for it, "" for nothing, is good no more.
	SetPassword(ctx context.Context, user scheduler.UserID, shown, hash string, but string) error
}

// Clients finds and makes API consumers.
type Clients interface {
	// Clients lists those of an account and of the accounts below it.
	Clients(ctx context.Context, account scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.Client], error)
	// ClientOf finds one of them.
	ClientOf(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID) (scheduler.Client, error)
	// ClientOfExtension finds the one of them that has an extension.
	ClientOfExtension(ctx context.Context, account scheduler.AccountID, id scheduler.ExtensionID) (scheduler.Client, error)
	// AddClient keeps a client with the first secret of its events. A user that
	// is not of its account is a fault of UserID.
	AddClient(ctx context.Context, c scheduler.Client, first webhooks.Secret) error
	// UpdateClient lets change alter one of them, under its lock; an error of
	// change is returned and nothing is altered. One that is disabled loses its
	// tokens, and its queues stop.
	UpdateClient(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID, change func(*scheduler.Client) error) (scheduler.Client, error)
}

// SettingsWriter changes what clients may do.
type SettingsWriter interface {
	// UpdateSettings lets change alter the settings of a client of an account or
	// of one below it, under its lock; an error of change is returned and
	// nothing is altered.
	UpdateSettings(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID, change func(*scheduler.Settings) error) (scheduler.Settings, error)
}

// Keys keeps the secrets that sign a client's events.
type Keys interface {
	// Secrets returns the live ones, newest first.
	Secrets(ctx context.Context, client scheduler.ClientID) ([]webhooks.Secret, error)
	// AddSecret makes a secret the current one and gives the others an end.
	AddSecret(ctx context.Context, client scheduler.ClientID, secret webhooks.Secret, now time.Time) error
}

// QueueReader reads the queues of a client.
type QueueReader interface {
	// Queues lists them by id.
	Queues(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Queue], error)
	// Queue returns one.
	Queue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, error)
}

// QueueStates reads what moves of a client's queues.
type QueueStates interface {
	// Runtimes returns it of those of some queues that exist.
	Runtimes(ctx context.Context, client scheduler.ClientID, ids []scheduler.QueueID) (map[scheduler.QueueID]scheduler.Runtime, error)
	// QueueNow returns it with the queue.
	QueueNow(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, scheduler.Runtime, error)
	// QueueState returns it with the queue's tasks counted by the status they
	// show.
	QueueState(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Runtime, map[scheduler.Status]int, error)
}

// QueueWriter changes the queues of a client.
type QueueWriter interface {
	// AddQueue keeps a queue and returns it with its id.
	AddQueue(ctx context.Context, q scheduler.Queue) (scheduler.Queue, error)
	// UpdateQueue lets change alter the settings of a queue under its lock; an
	// error of change is returned and nothing is altered.
	UpdateQueue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, change func(*scheduler.Queue) error) (scheduler.Queue, error)
	// ResetBrake closes the brake of a queue and forgets what it counted.
	ResetBrake(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) error
	// DeleteQueue cancels what waits in a queue; while calls are up it is a
	// Conflict unless forced.
	DeleteQueue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, force bool, now time.Time) error
}

// StatsReader reads what the calls of a client's queues came to.
type StatsReader interface {
	// Stats sums up the minutes from one up to another, which is left out.
	Stats(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, from, to scheduler.Minute) (scheduler.Figures, error)
}

// OutlookReader reads how a client's queue stands.
type OutlookReader interface {
	// Outlook returns it for a forecast of tasks that are not stored. An external
	// id that another task has is a Conflict that names it.
	Outlook(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, tasks []scheduler.Task) (scheduler.Outlook, error)
}

// IntervalReader reads the calling windows of a client.
type IntervalReader interface {
	// Intervals lists them by id.
	Intervals(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Interval], error)
	// Interval returns one.
	Interval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID) (scheduler.Interval, error)
}

// IntervalWriter changes the calling windows of a client.
type IntervalWriter interface {
	// AddInterval keeps an interval and returns it with its id.
	AddInterval(ctx context.Context, i scheduler.Interval) (scheduler.Interval, error)
	// UpdateInterval lets change alter an interval under its lock; the queues
	// that use it are looked at anew.
	UpdateInterval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID, change func(*scheduler.Interval) error) (scheduler.Interval, error)
	// DeleteInterval forgets an interval; while a queue uses it it is a Conflict.
	DeleteInterval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID) error
}

// ExtensionReader reads the extensions of a client.
type ExtensionReader interface {
	// Extensions lists them by id.
	Extensions(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Extension], error)
	// Extension returns one.
	Extension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID) (scheduler.Extension, error)
}

// ExtensionWriter changes the extensions of a client.
type ExtensionWriter interface {
	// AddExtension keeps an extension and returns it with its id.
	AddExtension(ctx context.Context, e scheduler.Extension) (scheduler.Extension, error)
	// UpdateExtension lets change alter an extension under its lock; an error of
	// change is returned and nothing is altered.
	UpdateExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, change func(*scheduler.Extension) error) (scheduler.Extension, error)
	// DeleteExtension ends one: nothing is called for it from now on.
	DeleteExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, now time.Time) error
}

// TaskReader reads the tasks of a client's queue, with their stored status.
type TaskReader interface {
	// Tasks lists those that a filter selects, by id.
	Tasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, f scheduler.TaskFilter, p scheduler.Page) (scheduler.List[scheduler.Task], error)
	// Trace returns everything that is stored of one.
	Trace(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) (scheduler.Trace, error)
	// Task returns one.
	Task(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) (scheduler.Task, error)
	// TasksByID returns those of some tasks that are there, by id.
	TasksByID(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, ids []scheduler.TaskID) ([]scheduler.Task, error)
}

// TaskAdder adds tasks to a client's queue.
type TaskAdder interface {
	// AddTasks keeps tasks, all or none, and returns them with their ids, in
	// order. An external id that another task has is a Conflict that names it.
	AddTasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task) ([]scheduler.Task, error)
	// AddNewTasks keeps those of some tasks whose external id is new, all or none,
	// and returns the others as they are kept already, in their place.
	AddNewTasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task) ([]scheduler.Task, error)
}

// TaskWriter changes the tasks of a client's queue.
type TaskWriter interface {
	// UpdateTask lets change alter what was asked of a waiting task, under its
	// lock; a task that does not wait is a Conflict.
	UpdateTask(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID, change func(*scheduler.Task) error) (scheduler.Task, error)
	// CancelTask ends a waiting task, or asks for the hang-up of an executed
	// one; without hangup that is a Conflict.
	CancelTask(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID, hangup bool, now time.Time) error
}

// Audit reads who changed what. The store writes it with each change that is
// made in a context with an actor.
type Audit interface {
	// Audit lists the entries that a filter selects, by id.
	Audit(ctx context.Context, f scheduler.AuditFilter, p scheduler.Page) (scheduler.List[scheduler.AuditEntry], error)
}

// Bulks does things to many tasks of a client's queue at once.
type Bulks interface {
	// PreviewBulk counts the tasks that an action would change, and changes none.
	PreviewBulk(ctx context.Context, b scheduler.Bulk) (scheduler.Bulk, error)
	// AddBulk keeps an action, to be done by and by on any node.
	AddBulk(ctx context.Context, b scheduler.Bulk) (scheduler.Bulk, error)
	// WorkBulk does the next slice of an action now, and returns it as it is then.
	WorkBulk(ctx context.Context, id scheduler.BulkID) (scheduler.Bulk, error)
	// Bulk returns one.
	Bulk(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.BulkID) (scheduler.Bulk, error)
}

// Changes reads what changed of queues, for those who listen.
type Changes interface {
	// Heads returns the Seq of the latest change of each of some queues, whose
	// ever they are; those that are deleted are left out.
	Heads(ctx context.Context, ids []scheduler.QueueID) (map[scheduler.QueueID]int64, error)
	// Follow has those of a client's queue kept from now on, for
	// scheduler.ChangesKeep.
	Follow(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID) error
	// Changes returns those of a client's queue after a Seq, in order, at most
	// limit. If the first is not the next one, those between are forgotten.
	Changes(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, after int64, limit int) ([]scheduler.Change, error)
}

// History reads the calls of a client, live ones included.
type History interface {
	// Calls lists those that a filter selects, by when they began.
	Calls(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter, p scheduler.Page) (scheduler.List[scheduler.Attempt], error)
	// EachCall hands all that a filter selects to tell, some at a time.
	EachCall(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter, descending bool, tell func([]scheduler.Attempt) error) error
	// CallByID returns one.
	CallByID(ctx context.Context, client scheduler.ClientID, id scheduler.CallID) (scheduler.Attempt, error)
}

// DeliveryReader reads the events owed to a client's URLs.
type DeliveryReader interface {
	// Deliveries lists those that a filter selects, by id.
	Deliveries(ctx context.Context, client scheduler.ClientID, f webhooks.Filter, p scheduler.Page) (scheduler.List[scheduler.Delivery], error)
	// Delivery returns one with its tries, in order.
	Delivery(ctx context.Context, client scheduler.ClientID, id scheduler.DeliveryID) (scheduler.Delivery, []webhooks.Try, error)
}

// DeliveryWriter sends events of a client once more.
type DeliveryWriter interface {
	// Resend sends one; while it is being sent, or waits for an earlier one, it
	// is a Conflict.
	Resend(ctx context.Context, client scheduler.ClientID, id scheduler.DeliveryID, now time.Time) (scheduler.Delivery, error)
	// ResendAll sends those that a filter selects and that ended, as far as one
	// demand goes, and returns how many they are; dry, it only counts them.
	ResendAll(ctx context.Context, client scheduler.ClientID, f webhooks.Filter, now time.Time, dry bool) (int, error)
}

// DestinationReader reads where the events of a client go.
type DestinationReader interface {
	// Destinations lists them by id.
	Destinations(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[webhooks.Destination], error)
	// Destination returns one.
	Destination(ctx context.Context, client scheduler.ClientID, id webhooks.DestinationID) (webhooks.Destination, error)
}

// DestinationWriter changes where the events of a client go.
type DestinationWriter interface {
	// UpdateDestination lets change alter a destination under its lock; an error
	// of change is returned and nothing is altered.
	UpdateDestination(ctx context.Context, client scheduler.ClientID, id webhooks.DestinationID, change func(*webhooks.Destination) error) (webhooks.Destination, error)
}

// Caller makes calls that no task waits for.
type Caller interface {
	// CallNow makes a call as a task and its extension describe it, and returns
	// its id once it is on its way. Over a limit it is Busy and names it; while
	// this node cannot call it is a Conflict.
	CallNow(ctx context.Context, task scheduler.Task, ext scheduler.Extension) (scheduler.CallID, error)
}

// Live reads and ends the calls of a client that are under way.
type Live interface {
	// LiveCalls lists them in the order in which they began.
	LiveCalls(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Attempt], error)
	// LiveCall returns one.
	LiveCall(ctx context.Context, client scheduler.ClientID, id scheduler.CallID) (scheduler.Attempt, error)
	// HangUp asks whoever makes one to end it, and ends its task with it.
	HangUp(ctx context.Context, client scheduler.ClientID, id scheduler.CallID, now time.Time) error
}

// LimitReader reads the limits of calls of a client, and how far they are used.
type LimitReader interface {
	// CallLimits returns its own and those of its extensions.
	CallLimits(ctx context.Context, client scheduler.ClientID) ([]scheduler.CallLimit, error)
	// QueueLimits returns those of its queues.
	QueueLimits(ctx context.Context, client scheduler.ClientID) ([]scheduler.QueueLimit, error)
}

// OnceKeys keeps the Idempotency-Keys of requests.
type OnceKeys interface {
	// BeginOnce reserves a key for a while; ok is false if another has it, or had
	// it: then what is kept of that one is returned.
	BeginOnce(ctx context.Context, o scheduler.Once, now time.Time) (kept scheduler.Once, ok bool, err error)
	// FinishOnce says of a request that changes nothing here that it was done.
	FinishOnce(ctx context.Context, o *scheduler.Once) error
	// DropOnce gives up a key whose request was not done.
	DropOnce(ctx context.Context, o scheduler.Once) error
}
