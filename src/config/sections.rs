//! The sections of the settings: each value with its unit, its default and its reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::link::address::with_parameters;
use crate::time::duration::serde_text;
use crate::time::retention::Retention as Keep;

section! {
    /// PostgreSQL.
    Database {
        /// `postgres://user:password@host:port/database`; several hosts with commas. Also from `DATABASE_URL`.
        url: String = String::new(),
        /// A file with the password, read for each connection. Also from `DATABASE_PASSWORD_FILE`.
        password_file: String = String::new(),
        /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, as libpq defines them; empty means `prefer`.
        sslmode: String = String::new(),
        /// A PEM file with the CAs that may sign the server's certificate; `system` means those of this machine.
        ca_file: String = String::new(),
        /// A PEM file with the client certificate.
        cert_file: String = String::new(),
        /// A PEM file with the key of the client certificate.
        key_file: String = String::new(),
        /// Connections for steps: one per step in a transaction.
        pool_max: usize = 16,
        /// Connections for relay, timers, caller, cleaner and HTTP, which steps cannot starve.
        background_pool_max: usize = 6,
        /// The time limit of a statement.
        #[serde(with = "serde_text")] statement_timeout: Duration = Duration::from_secs(15),
        /// The time limit of waiting for a lock; the command is retried later.
        #[serde(with = "serde_text")] lock_timeout: Duration = Duration::from_secs(2),
        /// Whether statements stay prepared: `auto` looks after connecting, `off` is for poolers that lose their names.
        prepared_statements: PreparedStatements = PreparedStatements::Auto,
    }
}

section! {
    /// RabbitMQ.
    Broker {
        /// `amqp://user:password@host:port/vhost`, or `amqps://`; several hosts with commas. Also from `AMQP_URL`.
        url: String = String::new(),
        /// A file with the password, read for each connection. Also from `AMQP_PASSWORD_FILE`.
        password_file: String = String::new(),
        /// A PEM file with the CAs that may sign the certificate of a server of `amqps://`; empty means those of this machine.
        ca_file: String = String::new(),
        /// A PEM file with the client certificate.
        cert_file: String = String::new(),
        /// A PEM file with the key of the client certificate.
        key_file: String = String::new(),
        /// The prefix of exchanges and queues.
        prefix: String = "leveret".into(),
        /// Channels with publisher confirms.
        publishers: usize = 2,
        /// The time limit of a publisher confirm; after it the row is published again.
        #[serde(with = "serde_text")] confirm_timeout: Duration = Duration::from_secs(10),
        /// Whether the routing key of a command has to begin with its `type`: `checked`, or `any` for senders that do not do so.
        routing_keys: RoutingKeys = RoutingKeys::Checked,
    }
}

section! {
    /// The worker role.
    Worker {
        /// Deliveries handled at once.
        concurrency: usize = 16,
        /// Steps taken under one delivery; then the branch returns to the queue, so that other branches make progress.
        steps_per_delivery_max: u32 = 32,
        /// The time for which a delivery is held for further steps, for the same reason.
        #[serde(with = "serde_text")] hold_delivery_for: Duration = Duration::from_millis(500),
        /// Crashes of workers at one activity, after which it becomes an incident, or at one command, after which it is a dead letter.
        crash_max: u32 = 5,
        /// The queues this worker consumes.
        queues: Vec<String> = vec!["default".into()],
    }
}

section! {
    /// Publishing outbox rows.
    Outbox {
        /// Returns by the broker (no queue is bound to the routing key) after which a row is dead.
        attempts_max: i32 = 20,
        /// The pause between two sweeps for unpublished rows.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
        /// Rows in the publish queue of a process; more are left to the sweep.
        publish_queue_max: usize = 10_000,
        /// The time for which the sweep leaves a row to the process that committed it.
        #[serde(with = "serde_text")] publish_queue_for: Duration = Duration::from_secs(15),
    }
}

section! {
    /// The timers role.
    Timers {
        /// The longest pause between two sweeps for due timers and due schedules.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
        /// A timer due sooner also gets a delayed message, which makes it punctual.
        #[serde(with = "serde_text")] broker_horizon: Duration = Duration::from_secs(15 * 60),
    }
}

section! {
    /// The recovery of silent branches.
    Recovery {
        /// A ready branch without progress for this long gets its step command again.
        #[serde(with = "serde_text")] after: Duration = Duration::from_secs(30),
        /// The longest time between two such attempts at one instance.
        #[serde(with = "serde_text")] after_max: Duration = Duration::from_secs(15 * 60),
    }
}

section! {
    /// The default retry policy.
    Retry {
        /// Attempts, including the first.
        attempts: u32 = 3,
        /// The pause before the second attempt.
        #[serde(with = "serde_text")] base: Duration = Duration::from_secs(2),
        /// The longest pause.
        #[serde(with = "serde_text")] max: Duration = Duration::from_secs(30),
    }
}

section! {
    /// Default time limits.
    Timeouts {
        /// A handler, inside the transaction of the step; at most 50 s.
        #[serde(with = "serde_text")] database: Duration = Duration::from_secs(30),
        /// One attempt of an `http`.
        #[serde(with = "serde_text")] http: Duration = Duration::from_secs(2 * 60),
        /// One attempt of a `call`.
        #[serde(with = "serde_text")] activity: Duration = Duration::from_secs(5 * 60),
    }
}

section! {
    /// Limits of sizes and counts.
    Limits {
        /// Steps of a branch without a wait; then an incident.
        steps_max: u32 = 10_000,
        /// Bytes of the variables of an instance as JSON.
        variables_max: usize = 1024 * 1024,
        /// Bytes of a message from outside.
        message_max: usize = crate::contract::BODY_MAX,
        /// Rows of a registered statement without `rows_max`.
        rows_max: usize = 1_000,
        /// Bytes of the rows of one statement as JSON.
        rows_bytes_max: usize = 1024 * 1024,
        /// Starts of one sender per second; 0 for no limit.
        starts_per_sender: u32 = 0,
        /// Live instances that one sender has started; 0 for no limit.
        live_per_sender: u64 = 0,
        /// Requests of one caller of the API per second, in each process; 0 for no limit.
        requests_per_caller: u32 = 0,
    }
}

section! {
    /// Kept messages.
    Messages {
        /// How long a message is kept if no instance waits for it.
        #[serde(with = "serde_text")] ttl: Duration = Duration::from_secs(24 * 3_600),
        /// The longest `ttl` of a message.
        #[serde(with = "serde_text")] ttl_max: Duration = Duration::from_secs(90 * 24 * 3_600),
        /// Messages that are kept of one name and key; a wait that opens looks through as many.
        per_key_max: u64 = 10_000,
        /// Messages of one sender that are kept.
        per_sender_max: u64 = 100_000,
    }
}

section! {
    /// How long what has ended is kept: a duration, or `forever`.
    Retention {
        /// Ended instances with everything that belongs to them, unless their definition has `retention`.
        instances: Keep = Keep::For(Duration::from_secs(90 * 86_400)),
        /// Consumed bookmarks, closed tasks and ended calls of instances that still live.
        closed: Keep = Keep::For(Duration::from_secs(90 * 86_400)),
        /// Commands by their id, so that one that comes again is known.
        inbox: Keep = Keep::For(Duration::from_secs(30 * 86_400)),
        /// Dead letters, redriven or not.
        dead_letters: Keep = Keep::For(Duration::from_secs(90 * 86_400)),
        /// What operators have done.
        audit: Keep = Keep::For(Duration::from_secs(730 * 86_400)),
    }
}

section! {
    /// The HTTP API.
    Http {
        /// Address and port. Another address than loopback needs `access.authentication`.
        listen: String = "127.0.0.1:8420".into(),
        /// Names under which it is asked, besides `localhost` and its address: those of a proxy in front of it, with their ports if these
        /// are not the usual ones.
        hosts: Vec<String> = Vec::new(),
        /// A PEM file with the certificate of this server and those between it and its CA; with it the API speaks TLS only.
        cert_file: String = String::new(),
        /// A PEM file with the key of the certificate.
        key_file: String = String::new(),
        /// Connections at once, and never more than half of the files that the process may open: the others are for the servers.
        connections_max: usize = 2_048,
        /// Requests that wait with `?wait=` at once.
        waits_max: usize = 256,
        /// Clients that listen to events at once; each takes a connection.
        listeners_max: usize = 1_024,
    }
}

section! {
    /// Logs.
    Log {
        /// `pretty` for people, `json` for machines.
        format: LogFormat = LogFormat::Pretty,
        /// A filter such as `info,leveret=debug,lapin=off`. Keep `lapin=off`: that library logs whole messages, including bodies.
        filter: String = "info,lapin=off".into(),
    }
}

section! {
    /// The shutdown of a process.
    Shutdown {
        /// How long steps and requests in progress may take to finish after SIGTERM.
        #[serde(with = "serde_text")] grace: Duration = Duration::from_secs(25),
    }
}

section! {
    /// The environment that expressions may read.
    Expressions {
        /// Names of environment variables; all others are hidden.
        env: Vec<String> = Vec::new(),
    }
}

section! {
    /// Tasks of people.
    Tasks {
        /// The lease of a claim without a time.
        #[serde(with = "serde_text")] lease_for: Duration = Duration::from_secs(1_800),
        /// The longest lease.
        #[serde(with = "serde_text")] lease_max: Duration = Duration::from_secs(86_400),
    }
}

section! {
    /// The caller role.
    Calls {
        /// HTTP requests at once in this process.
        concurrency: usize = 64,
        /// Of these, requests to one target, so that a slow or dead one leaves slots for the others.
        per_target: usize = 16,
        /// The longest pause between two sweeps for due calls and for attempts past their deadline.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
    }
}

impl Database {
    /// The URL, with the settings that it does not state itself as parameters.
    pub fn address(&self) -> String {
        let settings = [
            ("password_file", self.password_file.as_str()),
            ("sslmode", &self.sslmode),
            ("sslrootcert", &self.ca_file),
            ("sslcert", &self.cert_file),
            ("sslkey", &self.key_file),
        ];
        with_parameters(&self.url, &settings)
    }
}

impl Broker {
    /// The URL, with the settings that it does not state itself as parameters.
    pub fn address(&self) -> String {
        let settings = [
            ("password_file", self.password_file.as_str()),
            ("cacertfile", &self.ca_file),
            ("certfile", &self.cert_file),
            ("keyfile", &self.key_file),
        ];
        with_parameters(&self.url, &settings)
    }
}

impl Tasks {
    /// The lease for a requested time, within the limits.
    pub fn lease(&self, requested: Option<Duration>) -> Duration {
        requested.unwrap_or(self.lease_for).clamp(Duration::from_secs(1).min(self.lease_max), self.lease_max)
    }
}

/// Which routing keys a command may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingKeys {
    /// Those that begin with its `type`, so that topic permissions of RabbitMQ can limit a sender.
    Checked,
    /// Every one.
    Any,
}

/// Whether statements stay prepared on their connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreparedStatements {
    /// As seen after connecting: unless a pooler is in between that does not keep them for each client.
    Auto,
    /// As long as the connection.
    On,
    /// For one transaction.
    Off,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}
