-- +goose Up

-- A lease per process. A write that carries an epoch is fenced by this row.
CREATE TABLE nodes (
    id         text        PRIMARY KEY CHECK (id <> ''),
    epoch      integer      NOT NULL CHECK (epoch > 0),
    expires_at TIMESTAMP NOT NULL
);

CREATE TABLE accounts (
    id           text        PRIMARY KEY,
    parent_id    text        REFERENCES accounts (id),
    company_name text        NOT NULL DEFAULT '',
    email        text        NOT NULL DEFAULT '',
    address      text        NOT NULL DEFAULT '',
    firstname    text        NOT NULL DEFAULT '',
    lastname     text        NOT NULL DEFAULT '',
    language_id  text        NOT NULL DEFAULT '', -- a GUID, or ''
    mobile_phone text        NOT NULL DEFAULT '',
    web_site     text        NOT NULL DEFAULT '',
    time_zone    text        NOT NULL DEFAULT 'UTC',
    created_at   TIMESTAMP NOT NULL,
    disabled_at  TIMESTAMP -- NULL: it is enabled
);
CREATE INDEX accounts_parent ON accounts (parent_id);

CREATE TABLE users (
    id            text        PRIMARY KEY,
    account_id    text        NOT NULL REFERENCES accounts (id),
    username      text        NOT NULL UNIQUE CHECK (username <> ''),
    password_hash text        NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    UNIQUE (account_id, id)
);

CREATE TABLE clients (
    id          text        PRIMARY KEY,
    account_id  text        NOT NULL REFERENCES accounts (id),
    user_id     text        NOT NULL,
    name        text        NOT NULL CHECK (name <> ''),
    secret_hash text        NOT NULL,
    old_hash    text        NOT NULL DEFAULT '', -- of the secret before
    old_until   TIMESTAMP, -- NULL: no longer good
    default_region       text    NOT NULL DEFAULT '',
    default_extension_id integer,
    webhook_format       text    NOT NULL DEFAULT '' CHECK (webhook_format IN ('', 'form')),
    max_concurrent_calls integer NOT NULL DEFAULT 0 CHECK (max_concurrent_calls >= 0), -- 0: no limit
    requests_per_hour    integer NOT NULL DEFAULT 0 CHECK (requests_per_hour >= 0), -- 0: the default
    allowed_caller_ids   text, -- NULL: none
    created_at  TIMESTAMP NOT NULL,
    disabled_at TIMESTAMP, -- NULL: it is enabled
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id),
    FOREIGN KEY (id, default_extension_id) REFERENCES extensions (client_id, id)
);
CREATE INDEX clients_account ON clients (account_id, id);

CREATE TABLE tokens (
    hash       blob       PRIMARY KEY CHECK (length(hash) = 32),
    refresh    boolean     NOT NULL,
    client_id  text        REFERENCES clients (id),
    user_id    text        REFERENCES users (id),
    sign_in    text        NOT NULL, -- the same for those that followed by refreshing
    address    text        NOT NULL DEFAULT '', -- from where it was asked for
    expires_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    CHECK ((client_id IS NULL) <> (user_id IS NULL))
);
CREATE INDEX tokens_expiry ON tokens (expires_at);
CREATE INDEX tokens_sign_in ON tokens (sign_in);
CREATE INDEX tokens_user ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_client ON tokens (client_id) WHERE client_id IS NOT NULL;

-- Who changed what, written with the change. Ids are text: it outlives what it tells of.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         TIMESTAMP NOT NULL,
    account_id text        NOT NULL,
    user_id    text        NOT NULL,
    by_client  text        NOT NULL, -- whose token it was; '': the user's own
    client_id  text        NOT NULL, -- whose resources; '': the account's
    method     text        NOT NULL,
    path       text        NOT NULL,
    address    text        NOT NULL,
    request_id text        NOT NULL,
    before     text        NOT NULL DEFAULT '', -- JSON that nothing here looks into
    after      text        NOT NULL DEFAULT ''
);
CREATE INDEX audit_age ON audit (at);
CREATE INDEX audit_client ON audit (client_id, id);

CREATE TABLE webhook_secrets (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  text        NOT NULL REFERENCES clients (id),
    key_id     text        NOT NULL, -- of the key that seals it
    sealed     blob       NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP           -- NULL: the current one
);
CREATE INDEX webhook_secrets_client ON webhook_secrets (client_id, id);

CREATE TABLE extensions (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id      text        NOT NULL REFERENCES clients (id),
    name           text        NOT NULL DEFAULT '',
    label          text        NOT NULL DEFAULT '',
    blocked        boolean     NOT NULL DEFAULT false,
    caller_id_name text        NOT NULL DEFAULT '',
    ani            text        NOT NULL DEFAULT '',
    concurrent_limit integer   NOT NULL DEFAULT 0 CHECK (concurrent_limit >= 0), -- 0: no limit
    trunk          text        NOT NULL DEFAULT '',
    created_at     TIMESTAMP NOT NULL,
    deleted_at     TIMESTAMP,
    UNIQUE (client_id, id)
);

-- Calls under way of an extension, or of a client as a whole: a row only while
-- there is a limit. The limit stands here, too, to be read under the lock.
CREATE TABLE call_limits (
    client_id    text    NOT NULL REFERENCES clients (id),
    extension_id integer  NOT NULL, -- 0: the client as a whole
    most         integer NOT NULL CHECK (most > 0),
    running      integer NOT NULL DEFAULT 0 CHECK (running >= 0),
    PRIMARY KEY (client_id, extension_id)
);

CREATE TABLE intervals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  text        NOT NULL REFERENCES clients (id),
    name       text        NOT NULL CHECK (name <> ''),
    time_zone  text        NOT NULL CHECK (time_zone <> ''),
    conditions text        NOT NULL,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (client_id, id)
);

CREATE TABLE queues (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id        text        NOT NULL REFERENCES clients (id),
    name             text        NOT NULL CHECK (name <> ''),
    comment          text        NOT NULL DEFAULT '',
    is_on            boolean     NOT NULL DEFAULT false,
    concurrent_limit integer     NOT NULL DEFAULT 0 CHECK (concurrent_limit >= 0),
    interval_id      integer,
    start_rate       double precision NOT NULL DEFAULT 0 CHECK (start_rate BETWEEN 0 AND 100),
    priority         integer NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
    before_wait      integer NOT NULL DEFAULT 0 CHECK (before_wait BETWEEN 0 AND 3000), -- milliseconds
    asr_min_percent  real    NOT NULL DEFAULT 0 CHECK (asr_min_percent = 0 OR asr_min_percent BETWEEN 1 AND 100), -- 0: no brake
    asr_basis        text    NOT NULL DEFAULT 'ner',
    asr_window       integer NOT NULL DEFAULT 600, -- seconds
    asr_min_attempts integer NOT NULL DEFAULT 30,
    asr_pause        integer NOT NULL DEFAULT 300, -- seconds
    created_at       TIMESTAMP NOT NULL,
    deleted_at       TIMESTAMP,
    CHECK (asr_min_percent = 0 OR asr_basis IN ('ner', 'asr') AND asr_window >= 60 AND asr_min_attempts >= 1 AND asr_pause >= 1),
    UNIQUE (client_id, id),
    FOREIGN KEY (client_id, interval_id) REFERENCES intervals (client_id, id)
);
CREATE INDEX queues_interval ON queues (interval_id) WHERE interval_id IS NOT NULL;

-- The part of a queue that moves with its calls: hot and narrow.
CREATE TABLE queue_runtime (
    queue_id    integer      PRIMARY KEY REFERENCES queues (id),
    running     integer     NOT NULL DEFAULT 0 CHECK (running >= 0),
    next_start  TIMESTAMP,
    hold_gate   text        NOT NULL DEFAULT '',
    hold_until  TIMESTAMP,
    hold_detail text        NOT NULL DEFAULT '',
    wake_at     TIMESTAMP,
    brake       text    NOT NULL DEFAULT '{}', -- what it counts; JSON that nothing here looks into
    changes     integer      NOT NULL DEFAULT 0, -- the latest seq of queue_changes
    followed_until TIMESTAMP, -- while somebody listens: then its changes are kept
    tally       blob     NOT NULL DEFAULT x'', -- statistics of the minutes that are not in queue_minutes yet
    CHECK ((hold_until IS NULL) = (hold_gate = ''))
);
CREATE INDEX queue_runtime_wake ON queue_runtime (wake_at) WHERE wake_at IS NOT NULL;

-- What changed of a queue, numbered in the order of the commits: written with the
-- change, under the lock of its row of queue_runtime, by nobody else. Nobody listens:
-- the number alone moves, but for holds.
CREATE TABLE queue_changes (
    queue_id    integer      NOT NULL,
    seq         integer      NOT NULL CHECK (seq > 0),
    at          TIMESTAMP NOT NULL,
    tasks       text        NOT NULL DEFAULT '', -- ids, ascending, as runs: 1-3,7
    hold_gate   text,                            -- NULL: the hold is what it was; '': nothing holds
    hold_until  TIMESTAMP,
    hold_detail text        NOT NULL DEFAULT '',
    PRIMARY KEY (queue_id, seq)
);
CREATE INDEX queue_changes_age ON queue_changes (at) WHERE hold_gate IS NULL;
-- Holds are few, and kept as long as the tasks that they held.
CREATE INDEX queue_changes_holds ON queue_changes (queue_id, at) WHERE hold_gate IS NOT NULL;
CREATE INDEX queue_changes_held ON queue_changes (at) WHERE hold_gate IS NOT NULL;

-- The statistics of a queue, a row for each minute in which something ended.
CREATE TABLE queue_minutes (
    queue_id integer NOT NULL REFERENCES queues,
    minute   integer NOT NULL, -- of Unix time
    figures  blob NOT NULL,
    PRIMARY KEY (queue_id, minute)
) WITHOUT ROWID;
CREATE INDEX queue_minutes_age ON queue_minutes (minute);

CREATE TABLE tasks (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id        text        NOT NULL,
    queue_id         integer      NOT NULL,
    extension_id     integer      NOT NULL,
    external_id      text        NOT NULL DEFAULT '',
    requeued_from    integer      NOT NULL DEFAULT 0,
    name             text        NOT NULL DEFAULT '',
    a_number         text        NOT NULL CHECK (a_number <> ''),
    a_number_e164    text        NOT NULL DEFAULT '',
    b_number         text        NOT NULL CHECK (b_number <> ''),
    b_number_e164    text        NOT NULL DEFAULT '',
    try_count        integer    NOT NULL CHECK (try_count BETWEEN 1 AND 50),
    try_pause        integer     NOT NULL CHECK (try_pause BETWEEN 0 AND 864000),
    try_count_caller integer    NOT NULL CHECK (try_count_caller BETWEEN 0 AND 50),
    try_pause_caller integer     NOT NULL CHECK (try_pause_caller BETWEEN 0 AND 864000),
    url_before       text        NOT NULL DEFAULT '',
    url_before_again text        NOT NULL DEFAULT '',
    url_success      text        NOT NULL DEFAULT '',
    url_after        text        NOT NULL DEFAULT '',
    start_at         TIMESTAMP NOT NULL,
    deadline         TIMESTAMP,
    params           text        NOT NULL DEFAULT '{}',
    variables        text        NOT NULL DEFAULT '{}',
    status           text        NOT NULL CHECK (status IN ('scheduled', 'executed', 'delayed', 'finished')),
    result           text        NOT NULL DEFAULT '' CHECK (result IN ('', 'success', 'failed')),
    comment          text        NOT NULL DEFAULT '',
    ready_at         TIMESTAMP,
    attempts         integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    announced        integer     NOT NULL DEFAULT 0,
    tries_spent      integer     NOT NULL DEFAULT 0,
    caller_spent     integer     NOT NULL DEFAULT 0,
    reached          boolean     NOT NULL DEFAULT false,
    releases         integer     NOT NULL DEFAULT 0,
    free_since       TIMESTAMP,
    event_seq        integer     NOT NULL DEFAULT 0,
    call_id          text        NOT NULL DEFAULT '',
    prev_call_id     text        NOT NULL DEFAULT '',
    called_at        TIMESTAMP, -- when the attempt of call_id began, and by whom
    called_by        text        NOT NULL DEFAULT '',
    node             text        NOT NULL DEFAULT '',
    epoch            integer      NOT NULL DEFAULT 0,
    bridged_at       TIMESTAMP,
    cancel_requested boolean     NOT NULL DEFAULT false,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    CHECK ((status IN ('scheduled', 'delayed')) = (ready_at IS NOT NULL)),
    CHECK ((status = 'executed') = (node <> '')),
    CHECK ((status = 'finished') = (result <> '')),
    CHECK (status <> 'executed' OR call_id <> ''),
    FOREIGN KEY (client_id, queue_id) REFERENCES queues (client_id, id),
    FOREIGN KEY (client_id, extension_id) REFERENCES extensions (client_id, id)
);
CREATE INDEX tasks_ready ON tasks (queue_id, ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX tasks_executed ON tasks (node) WHERE status = 'executed';
CREATE INDEX tasks_deadline ON tasks (deadline) WHERE deadline IS NOT NULL AND ready_at IS NOT NULL;
CREATE INDEX tasks_queue ON tasks (queue_id, id);

-- Steps of tasks that no attempt tells of, one row for those of a kind in an attempt.
CREATE TABLE task_steps (
    queue_id integer      NOT NULL,
    task_id  integer      NOT NULL,
    attempt  integer     NOT NULL,
    step     text        NOT NULL CHECK (step <> ''),
    times    integer     NOT NULL,
    first_at TIMESTAMP NOT NULL,
    last_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (queue_id, task_id, attempt, step)
);

-- Actions on many tasks, a slice a transaction. Whoever holds the row works on it.
CREATE TABLE bulk_jobs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  text        NOT NULL,
    queue_id   integer      NOT NULL,
    action     text        NOT NULL CHECK (action IN ('cancel', 'run_now', 'requeue', 'move')),
    filter     text       NOT NULL,
    hang_up    boolean     NOT NULL DEFAULT false,
    target     integer      NOT NULL DEFAULT 0,
    state      text        NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    error      text        NOT NULL DEFAULT '',
    matched    integer     NOT NULL,
    eligible   integer     NOT NULL,
    changed    integer     NOT NULL DEFAULT 0,
    after      integer      NOT NULL DEFAULT 0,
    upto       integer      NOT NULL,
    failures   integer     NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    worked_at  TIMESTAMP NOT NULL,
    ended_at   TIMESTAMP,
    CHECK ((action = 'move') = (target <> 0)),
    CHECK ((state = 'running') = (ended_at IS NULL)),
    FOREIGN KEY (client_id, queue_id) REFERENCES queues (client_id, id)
);
CREATE INDEX bulk_jobs_running ON bulk_jobs (worked_at, id) WHERE state = 'running';
CREATE INDEX bulk_jobs_ended ON bulk_jobs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE external_ids (
    queue_id    integer      NOT NULL REFERENCES queues (id),
    external_id text        NOT NULL CHECK (external_id <> ''),
    task_id     integer      NOT NULL,
    created_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (queue_id, external_id)
);
CREATE INDEX external_ids_age ON external_ids (created_at);

-- One row per dialling that has ended, the CDR; of a call without a task (task 0) from
-- its beginning. It outlives its task, and only a transition of a task writes it, or of
-- such a call: their rows have the foreign keys.
CREATE TABLE attempts (
    call_id      text        PRIMARY KEY,
    client_id    text        NOT NULL,
    queue_id     integer      NOT NULL,
    task_id      integer      NOT NULL,
    extension_id integer      NOT NULL,
    number       integer     NOT NULL CHECK (number > 0),
    node         text        NOT NULL,
    a_number     text        NOT NULL,
    b_number     text        NOT NULL,
    b_number_e164 text       NOT NULL DEFAULT '', -- '' for a dial string
    started_at   TIMESTAMP NOT NULL,
    answered_at  TIMESTAMP,
    bridged_at   TIMESTAMP,
    ended_at     TIMESTAMP,
    result       text        NOT NULL DEFAULT '',
    hangup_cause text        NOT NULL DEFAULT '',
    hangup_by    text        NOT NULL DEFAULT '',
    simulated    boolean     NOT NULL DEFAULT false,
    legs         text        NOT NULL DEFAULT '[]',
    variables    text        NOT NULL DEFAULT '{}',
    CHECK ((ended_at IS NULL) = (result = ''))
);
CREATE INDEX attempts_history ON attempts (client_id, started_at);
CREATE INDEX attempts_task ON attempts (task_id, number);

-- What the rows of tasks that are under way say of their calls.
CREATE VIEW calls_of_tasks (call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
        started_at, answered_at, bridged_at, ended_at, result, hangup_cause, hangup_by, simulated, legs, variables) AS
    SELECT call_id, client_id, queue_id, id, extension_id, attempts, called_by, a_number, b_number, b_number_e164,
        called_at, NULL, bridged_at, NULL, '', '', '', false, '[]', variables
    FROM tasks WHERE status = 'executed';

-- Every call, ended or under way.
CREATE VIEW calls AS
    SELECT call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
        started_at, answered_at, bridged_at, ended_at, result, hangup_cause, hangup_by, simulated, legs, variables
    FROM attempts
    UNION ALL
    SELECT * FROM calls_of_tasks;

-- Answered legs of networks that do not end with the process: what it takes to
-- end them after it. epoch 0: the node took them over.
CREATE TABLE dialogs (
    leg_id  text    PRIMARY KEY,
    call_id text    NOT NULL,
    node    text    NOT NULL,
    epoch   integer  NOT NULL,
    trunk   text    NOT NULL,
    state   blob   NOT NULL
);
CREATE INDEX dialogs_node ON dialogs (node, epoch);

-- Where the events of a client go that share an origin: limits, pauses, the
-- breaker. What is careful is claimed for under this row's lock, from look_at on.
CREATE TABLE destinations (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id       text NOT NULL REFERENCES clients (id),
    origin          text NOT NULL CHECK (origin <> ''),
    created_at      TIMESTAMP NOT NULL,
    max_in_flight   integer NOT NULL DEFAULT 0 CHECK (max_in_flight >= 0),
    max_rate        double precision NOT NULL DEFAULT 0 CHECK (max_rate >= 0),
    paused_at       TIMESTAMP,
    disabled_at     TIMESTAMP,
    failures_in_row integer NOT NULL DEFAULT 0,
    window_from     TIMESTAMP,
    window_tries    integer NOT NULL DEFAULT 0,
    window_failures integer NOT NULL DEFAULT 0,
    open_until      TIMESTAMP,
    open_for        integer NOT NULL DEFAULT 0, -- nanoseconds
    probe_id        integer NOT NULL DEFAULT 0,
    probe_until     TIMESTAMP,
    probes          integer NOT NULL DEFAULT 0,
    ramp_from       TIMESTAMP,
    next_send       TIMESTAMP,
    succeeded_at    TIMESTAMP,
    failing_since   TIMESTAMP,
    failures        integer NOT NULL DEFAULT 0,
    slots           integer NOT NULL,
    careful         boolean NOT NULL,
    look_at         TIMESTAMP,
    UNIQUE (client_id, origin)
);
CREATE INDEX destinations_look ON destinations (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX destinations_disabled ON destinations (id) WHERE disabled_at IS NOT NULL;

-- Calls without a task, while they last.
CREATE TABLE callbacks (
    call_id          text PRIMARY KEY,
    client_id        text NOT NULL REFERENCES clients (id),
    extension_id     integer NOT NULL,
    node             text NOT NULL CHECK (node <> ''),
    epoch            integer NOT NULL,
    bridged_at       TIMESTAMP,
    cancel_requested boolean NOT NULL DEFAULT false,
    started_at       TIMESTAMP NOT NULL,
    FOREIGN KEY (client_id, extension_id) REFERENCES extensions (client_id, id)
);

-- Every call under way: of a task as its row tells, and without one.
CREATE VIEW calls_live AS
    SELECT call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
        started_at, answered_at, bridged_at, ended_at, result, hangup_cause, hangup_by, simulated, legs, variables
    FROM attempts WHERE ended_at IS NULL AND call_id IN (SELECT call_id FROM callbacks)
    UNION ALL
    SELECT * FROM calls_of_tasks;

-- How far calls under way have come, as their node tells it once a second.
CREATE TABLE live_calls (
    call_id   text PRIMARY KEY,
    client_id text NOT NULL,
    legs      text NOT NULL
);
CREATE INDEX live_calls_client ON live_calls (client_id, call_id);

-- The outbox: one row per event and URL, written with what makes it true.
CREATE TABLE deliveries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id   text        NOT NULL REFERENCES clients (id),
    task_id     integer      NOT NULL,
    event_id    text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('before', 'before_again', 'success', 'after', 'account_task')),
    attempt     integer     NOT NULL,
    sequence    integer     NOT NULL CHECK (sequence > 0),
    origin      text        NOT NULL, -- scheme, host and port: what order and isolation are kept for
    url         text        NOT NULL,
    body        blob       NOT NULL,
    state       text        NOT NULL CHECK (state IN ('ready', 'held', 'delivered', 'dead', 'expired')),
    tries       integer     NOT NULL DEFAULT 0,
    tries_before integer    NOT NULL DEFAULT 0, -- of them before it was sent again on demand
    last_error  text        NOT NULL DEFAULT '', -- of the last try
    next_at     TIMESTAMP NOT NULL, -- ready: when to try; held: when it waits no longer
    expires_at  TIMESTAMP,          -- before-events alone go stale
    lease_token text        NOT NULL DEFAULT '',
    lease_until TIMESTAMP,
    created_at  TIMESTAMP NOT NULL,
    ended_at    TIMESTAMP,
    UNIQUE (task_id, kind, attempt),
    CHECK ((state IN ('ready', 'held')) = (ended_at IS NULL)),
    CHECK ((lease_token = '') = (lease_until IS NULL))
);
-- By receiver, so that one with a long backlog is not walked through to reach
-- the others. Order within a task is read through its unique index.
CREATE INDEX deliveries_ready ON deliveries (client_id, origin, next_at, id) WHERE state = 'ready';
CREATE INDEX deliveries_log ON deliveries (client_id, id);
CREATE INDEX deliveries_held ON deliveries (next_at, id) WHERE state = 'held';
CREATE INDEX deliveries_stale ON deliveries (expires_at) WHERE expires_at IS NOT NULL AND state IN ('ready', 'held');

CREATE TABLE delivery_tries (
    delivery_id integer      NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      integer     NOT NULL CHECK (number > 0),
    at          TIMESTAMP NOT NULL,
    took_us     integer      NOT NULL,
    remote      text        NOT NULL DEFAULT '',
    status      integer     NOT NULL DEFAULT 0,
    error       text        NOT NULL DEFAULT '',
    response    blob       NOT NULL DEFAULT x'',
    PRIMARY KEY (delivery_id, number)
);

-- Recurring tasks of accounts. next_at is when one is claimed, as everything else is.
CREATE TABLE account_tasks (
    id               text PRIMARY KEY,
    account_id       text NOT NULL REFERENCES accounts (id),
    client_id        text NOT NULL REFERENCES clients (id), -- that it acts as
    job              text NOT NULL, -- of the catalogue
    enabled          boolean NOT NULL,
    frequency        integer NOT NULL CHECK (frequency BETWEEN 0 AND 6),
    start_at         TIMESTAMP,
    finish_at        TIMESTAMP,
    anchor           TIMESTAMP NOT NULL, -- of the grid
    parameters       text NOT NULL,
    content_type     text NOT NULL,
    notification     integer NOT NULL DEFAULT 0 CHECK (notification BETWEEN 0 AND 3),
    notification_url text NOT NULL DEFAULT '',
    next_at          TIMESTAMP,
    last_run_at      TIMESTAMP,
    last_run_by      text NOT NULL DEFAULT '',
    last_state       text NOT NULL DEFAULT '',
    created_at       TIMESTAMP NOT NULL,
    modified_at      TIMESTAMP NOT NULL,
    modified_by      text NOT NULL,
    CHECK (enabled OR next_at IS NULL),
    CHECK (notification < 2 OR notification_url <> '')
);
CREATE INDEX account_tasks_account ON account_tasks (account_id, id);
CREATE INDEX account_tasks_due ON account_tasks (next_at) WHERE next_at IS NOT NULL;

-- Their runs. One that runs is worked on by whoever has the lease, and ends in the
-- transaction that does what it is for.
CREATE TABLE account_task_runs (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    account_task_id text NOT NULL REFERENCES account_tasks (id) ON DELETE CASCADE,
    state           text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'skipped', 'missed')),
    scheduled_for   TIMESTAMP NOT NULL,
    times           integer NOT NULL CHECK (times > 0),
    started_at      TIMESTAMP NOT NULL,
    ended_at        TIMESTAMP,
    run_by          text NOT NULL,
    detail          text NOT NULL DEFAULT '',
    tries           integer NOT NULL DEFAULT 0,
    lease_token     text NOT NULL DEFAULT '',
    lease_until     TIMESTAMP,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK ((lease_token = '') = (lease_until IS NULL)),
    CHECK (state = 'running' OR lease_token = '')
);
CREATE UNIQUE INDEX account_task_runs_running ON account_task_runs (account_task_id) WHERE state = 'running';
CREATE INDEX account_task_runs_log ON account_task_runs (account_task_id, id);
CREATE INDEX account_task_runs_age ON account_task_runs (ended_at) WHERE ended_at IS NOT NULL;

-- E-mails on their way, one row each, written with what they tell.
CREATE TABLE mails (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  text NOT NULL REFERENCES accounts (id),
    message_id  text NOT NULL,
    recipient   text NOT NULL CHECK (recipient <> ''),
    subject     text NOT NULL,
    text_body   text NOT NULL,
    html_body   text NOT NULL,
    attached_as text NOT NULL DEFAULT '', -- the name of the attachment; '': none
    attachment  blob,
    state       text NOT NULL CHECK (state IN ('ready', 'sent', 'dead')),
    tries       integer NOT NULL DEFAULT 0,
    last_error  text NOT NULL DEFAULT '',
    next_at     TIMESTAMP NOT NULL,
    lease_token text NOT NULL DEFAULT '',
    lease_until TIMESTAMP,
    created_at  TIMESTAMP NOT NULL,
    ended_at    TIMESTAMP,
    CHECK ((state = 'ready') = (ended_at IS NULL)),
    CHECK ((lease_token = '') = (lease_until IS NULL))
);
CREATE INDEX mails_ready ON mails (next_at, id) WHERE state = 'ready';
CREATE INDEX mails_oldest ON mails (created_at) WHERE state = 'ready';
CREATE INDEX mails_age ON mails (ended_at) WHERE ended_at IS NOT NULL;

-- Requests that are to be done once, by the key that they were sent with.
CREATE TABLE once_keys (
    caller       text NOT NULL,
    key          text NOT NULL CHECK (key <> ''),
    hash         blob NOT NULL,           -- of the request, keyed
    token        text NOT NULL,             -- of who is doing it
    leased_until TIMESTAMP NOT NULL,
    done_at      TIMESTAMP,
    ids          text NOT NULL DEFAULT '',  -- of what it made, ascending, as runs: 1-3,7
    call_id      text NOT NULL DEFAULT '',  -- that it made
    answer       text NOT NULL DEFAULT '',  -- what is told again that rows cannot tell
    created_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX once_keys_age ON once_keys (created_at);

-- +goose Down
DROP VIEW calls;
DROP VIEW calls_live;
DROP VIEW calls_of_tasks;
DROP TABLE mails;
DROP TABLE account_task_runs;
DROP TABLE account_tasks;
DROP TABLE once_keys;
DROP TABLE live_calls;
DROP TABLE callbacks;
UPDATE clients SET default_extension_id = NULL;
DROP TABLE delivery_tries;
DROP TABLE deliveries;
DROP TABLE dialogs;
DROP TABLE destinations;
DROP TABLE attempts;
DROP TABLE external_ids;
DROP TABLE bulk_jobs;
DROP TABLE task_steps;
DROP TABLE tasks;
DROP TABLE queue_changes;
DROP TABLE queue_minutes;
DROP TABLE queue_runtime;
DROP TABLE queues;
DROP TABLE intervals;
DROP TABLE call_limits;
DROP TABLE extensions;
DROP TABLE webhook_secrets;
DROP TABLE audit;
DROP TABLE tokens;
DROP TABLE clients;
DROP TABLE users;
DROP TABLE accounts;
DROP TABLE nodes;
