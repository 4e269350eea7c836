//! The sections of the settings: each value with its unit, its default and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::duration::serde_text;

section! {
    /// PostgreSQL.
    Database {
        /// `postgres://user:password@host:port/database`. Also from `DATABASE_URL`.
        url: String = String::new(),
        /// Connections for steps: one per stride that is in a transaction.
        pool_max: usize = 16,
        /// Connections for relay, timers and HTTP, which steps cannot starve.
        background_pool_max: usize = 6,
        /// No statement may take longer.
        #[serde(with = "serde_text")] statement_timeout: Duration = Duration::from_secs(15),
        /// No lock is waited for longer; the command is tried again later.
        #[serde(with = "serde_text")] lock_timeout: Duration = Duration::from_secs(2),
    }
}

section! {
    /// RabbitMQ.
    Broker {
        /// `amqp://user:password@host:port/vhost`. Also from `AMQP_URL`.
        url: String = String::new(),
        /// What the names of exchanges and queues begin with.
        prefix: String = "leveret".into(),
        /// Confirm channels, each with a task of its own.
        publishers: usize = 2,
        /// After this a publish is given up; its row stays and is published again.
        #[serde(with = "serde_text")] confirm_timeout: Duration = Duration::from_secs(10),
    }
}

section! {
    /// The worker role.
    Worker {
        /// Strides at once; also the prefetch of each queue.
        concurrency: usize = 16,
        /// Steps of a stride: after these the branch goes back to the queue, so that others get a turn.
        steps_per_delivery_max: u32 = 32,
        /// Time of a stride, for the same reason.
        #[serde(with = "serde_text")] hold_delivery_for: Duration = Duration::from_millis(500),
        /// A branch that killed more workers than this becomes an incident.
        crash_max: u32 = 5,
        /// The queues served here.
        queues: Vec<String> = vec!["default".into()],
    }
}

section! {
    /// The relay role.
    Outbox {
        /// Returns (nobody is bound to the routing key) after which a row is dead.
        attempts_max: i32 = 20,
        /// How often rows nobody handed over are looked for.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
        /// Rows handed over in memory and not yet published; more are left to the sweep.
        publish_queue_max: usize = 10_000,
        /// For this long a row that was handed over is left to the process that has it.
        #[serde(with = "serde_text")] publish_queue_for: Duration = Duration::from_secs(15),
    }
}

section! {
    /// The timers role role.
    Timers {
        /// The longest rest between two looks for due timers.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
        /// A timer due sooner than this also gets a delayed message, which makes it punctual.
        #[serde(with = "serde_text")] broker_horizon: Duration = Duration::from_secs(15 * 60),
    }
}

section! {
    /// Looking after what does not move.
    Recovery {
        /// A branch that could move and has not for this long gets its step command again.
        #[serde(with = "serde_text")] after: Duration = Duration::from_secs(30),
        /// The longest time between two such looks at one instance.
        #[serde(with = "serde_text")] after_max: Duration = Duration::from_secs(15 * 60),
    }
}

section! {
    /// The default retry policy.
    Retry {
        /// Attempts in all.
        attempts: u32 = 3,
        /// The wait before the second.
        #[serde(with = "serde_text")] base: Duration = Duration::from_secs(2),
        /// No wait is longer.
        #[serde(with = "serde_text")] max: Duration = Duration::from_secs(30),
    }
}

section! {
    /// Default time limits.
    Timeouts {
        /// A handler in the step's transaction; at most 50 s.
        #[serde(with = "serde_text")] database: Duration = Duration::from_secs(30),
        /// One attempt of an `http`.
        #[serde(with = "serde_text")] http: Duration = Duration::from_secs(2 * 60),
        /// One attempt of a `call`.
        #[serde(with = "serde_text")] activity: Duration = Duration::from_secs(5 * 60),
    }
}

section! {
    /// Bounds.
    Limits {
        /// Steps of a branch without a wait; then an incident.
        steps_max: u32 = 10_000,
        /// Bytes of all variables of an instance as JSON.
        variables_max: usize = 1024 * 1024,
        /// Bytes of a message from outside.
        message_max: usize = crate::contract::BODY_MAX,
        /// Rows of a registered statement that names no bound of its own.
        rows_max: usize = 1_000,
        /// Bytes of the rows of one statement as JSON.
        rows_bytes_max: usize = 1024 * 1024,
    }
}

section! {
    /// Kept messages.
    Messages {
        /// How long a message is kept that nobody waits for.
        #[serde(with = "serde_text")] ttl: Duration = Duration::from_secs(24 * 3_600),
    }
}

section! {
    /// The HTTP API.
    Http {
        /// Address and port. Loopback only until access control is there.
        listen: String = "127.0.0.1:8420".into(),
    }
}

section! {
    /// Logs.
    Log {
        /// `pretty` for people, `json` for machines.
        format: LogFormat = LogFormat::Pretty,
        /// A filter as in `info,leveret=debug`. `lapin=off` belongs to it: that library logs whole messages, bodies included.
        filter: String = "info,lapin=off".into(),
    }
}

section! {
    /// Stopping.
    Shutdown {
        /// For this long strides may finish after SIGTERM.
        #[serde(with = "serde_text")] grace: Duration = Duration::from_secs(25),
    }
}

section! {
    /// What expressions may read.
    Expressions {
        /// Environment variables by name; all others are hidden.
        env: Vec<String> = Vec::new(),
    }
}

section! {
    /// What waits for people.
    Tasks {
        /// A claim that names no time lasts for this long.
        #[serde(with = "serde_text")] lease_for: Duration = Duration::from_secs(1_800),
        /// No claim lasts longer.
        #[serde(with = "serde_text")] lease_max: Duration = Duration::from_secs(86_400),
    }
}

section! {
    /// The caller role.
    Calls {
        /// Requests over HTTP under way at once in this process.
        concurrency: usize = 64,
        /// Of these, to any one target: what is slow or dead leaves room for the others.
        per_target: usize = 16,
        /// The longest rest between two looks for calls that are due, and for attempts of which nothing is heard.
        #[serde(with = "serde_text")] sweep_every: Duration = Duration::from_secs(1),
    }
}

impl Tasks {
    /// How long a claim lasts for which this was asked.
    pub fn lease(&self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(self.lease_for).clamp(Duration::from_secs(1).min(self.lease_max), self.lease_max)
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}
