//! Every setting: its type, its unit, its default and why. Read once from file and environment, validated once.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resilience::duration::serde_text;

pub mod statement;

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
        impl Default for $name {
            fn default() -> Self { Self { $($field: $default),* } }
        }
    };
}

mod network;
mod outgoing;

pub use network::Network;
pub use outgoing::{Breaker, Outgoing, Secrets};

section! {
    /// All settings.
    Config {
        /// Where the truth is.
        database: Database = Database::default(),
        /// What carries the work.
        broker: Broker = Broker::default(),
        /// Taking steps.
        worker: Worker = Worker::default(),
        /// Publishing what was committed.
        outbox: Outbox = Outbox::default(),
        /// Waking what waits for a moment.
        timers: Timers = Timers::default(),
        /// Waking what was forgotten.
        recovery: Recovery = Recovery::default(),
        /// The retry policy of activities that write none.
        retry: Retry = Retry::default(),
        /// The time limits of activities that write none.
        timeouts: Timeouts = Timeouts::default(),
        /// Bounds.
        limits: Limits = Limits::default(),
        /// Messages that come before anybody waits.
        messages: Messages = Messages::default(),
        /// The door for programs.
        http: Http = Http::default(),
        /// Logs.
        log: Log = Log::default(),
        /// Stopping.
        shutdown: Shutdown = Shutdown::default(),
        /// What expressions may read.
        expressions: Expressions = Expressions::default(),
        /// What waits for people.
        tasks: Tasks = Tasks::default(),
        /// Making calls.
        calls: Calls = Calls::default(),
        /// Requests to other servers.
        outgoing: Outgoing = Outgoing::default(),
        /// What requests may carry and nobody may see.
        secrets: Secrets = Secrets::default(),
        /// Leaving alone who fails.
        breaker: Breaker = Breaker::default(),
        /// SQL that definitions may run by name.
        statements: BTreeMap<String, statement::Written> = BTreeMap::new(),
    }
}

section! {
    /// PostgreSQL.
    Database {
        /// `postgres://user:password@host:port/database`. Also from `DATABASE_URL`.
        url: String = String::new(),
        /// Connections for steps: one per stride that is in a transaction.
        pool_max: usize = 16,
        /// Connections for relay, timekeeper and HTTP, which steps cannot starve.
        duties_pool_max: usize = 6,
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
        stride_max: u32 = 32,
        /// Time of a stride, for the same reason.
        #[serde(with = "serde_text")] stride_for: Duration = Duration::from_millis(500),
        /// A branch that killed more workers than this becomes an incident.
        crash_max: u32 = 5,
        /// The lanes served here.
        lanes: Vec<String> = vec!["default".into()],
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
        handed_over_max: usize = 10_000,
        /// For this long a row that was handed over is left to the process that has it.
        #[serde(with = "serde_text")] handed_over_for: Duration = Duration::from_secs(15),
    }
}

section! {
    /// The timekeeper role.
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

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The longest a handler is given: less than the minute after which the database ends a session that is idle in a transaction.
pub const HANDLER_FOR_MAX: Duration = Duration::from_secs(50);
/// The file that is read when none is named.
const FILE: &str = "leveret.toml";
/// What environment variables of settings begin with: `LEVERET_DATABASE__URL` is `database.url`.
const PREFIX: &str = "LEVERET";

impl Config {
    /// Reads the file (`leveret.toml` if it is there and none is named), then the environment, which wins.
    ///
    /// # Errors
    /// A sentence that names the setting and where it was read.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let source = match file {
            Some(path) => config::File::from(path).required(true),
            None => config::File::with_name(FILE).format(config::FileFormat::Toml).required(false),
        };
        let environment = config::Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("worker.lanes")
            .with_list_parse_key("expressions.env")
            .with_list_parse_key("outgoing.allow_hosts")
            .with_list_parse_key("outgoing.allow_addresses")
            .with_list_parse_key("secrets.names");
        let read = config::Config::builder()
            .add_source(source)
            .add_source(environment)
            .build()
            .map_err(|error| Error(format!("the settings cannot be read: {error}")))?;
        let mut config: Config = serde_path_to_error::deserialize(read).map_err(|error| Error(explain(&error)))?;
        for (url, name) in [(&mut config.database.url, "DATABASE_URL"), (&mut config.broker.url, "AMQP_URL")] {
            if url.is_empty() {
                *url = variable(name).unwrap_or_default();
            }
        }
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error(what.to_owned()));
        if self.worker.concurrency == 0 || self.worker.concurrency > 1_000 {
            return wrong("`worker.concurrency` must be from 1 to 1000");
        }
        if self.worker.stride_max == 0 {
            return wrong("`worker.stride_max` must be at least 1; 1 means one step per delivery");
        }
        if self.worker.lanes.is_empty() {
            return wrong("`worker.lanes` must name at least one lane");
        }
        if self.database.pool_max == 0 || self.database.duties_pool_max < 2 {
            return wrong("`database.pool_max` must be at least 1 and `database.duties_pool_max` at least 2");
        }
        if self.calls.concurrency == 0 || self.calls.per_target == 0 {
            return wrong("`calls.concurrency` and `calls.per_target` must be at least 1");
        }
        if self.broker.publishers == 0 || self.outbox.handed_over_max == 0 {
            return wrong("`broker.publishers` and `outbox.handed_over_max` must be at least 1");
        }
        if self.timeouts.database > HANDLER_FOR_MAX {
            return wrong(
                "`timeouts.database` must be at most 50s: the database ends a session that is idle in a transaction for 60s",
            );
        }
        let prefix = &self.broker.prefix;
        if prefix.is_empty()
            || prefix.len() > 100
            || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return wrong("`broker.prefix` must be letters, digits, `-`, `_` and `.`, at most 100 of them");
        }
        let listen = self.http.listen.parse::<std::net::SocketAddr>();
        if !listen.is_ok_and(|address| address.ip().is_loopback()) {
            return wrong(
                "`http.listen` must be a loopback address with a port, as in 127.0.0.1:8420: there is no access control yet",
            );
        }
        self.outgoing.validate()?;
        self.secrets.validate()?;
        self.breaker.validate()?;
        self.registered().map(drop)
    }

    /// The allowed environment variables, as `env` of expressions.
    pub fn env(&self) -> Map<String, Value> {
        let values = self.expressions.env.iter().filter_map(|name| Some((name.clone(), variable(name)?.into())));
        values.collect()
    }
}

/// One environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A deserialization error with the nearest known name, if a name was unknown.
fn explain(error: &serde_path_to_error::Error<config::ConfigError>) -> String {
    let text = error.inner().to_string();
    let mut quoted = text.split('`').skip(1).step_by(2);
    let hint = match (text.contains("unknown field"), quoted.next()) {
        (true, Some(unknown)) => quoted
            .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
            .min()
            .map(|(_, known)| format!("; did you mean `{known}`?"))
            .unwrap_or_default(),
        (true, None) | (false, _) => String::new(),
    };
    format!("the setting `{}` cannot be used: {text}{hint}", error.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let path = std::env::temp_dir().join(format!("leveret-{}-{}.toml", std::process::id(), fastrand::u64(..)));
        std::fs::write(&path, text).unwrap();
        let loaded = Config::load(Some(&path)).map_err(|error| error.to_string());
        std::fs::remove_file(path).unwrap();
        loaded
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let config = load("[worker]\nstride_max = 1\n[recovery]\nafter = \"5s\"").unwrap();
        assert_eq!(config.worker.stride_max, 1);
        assert_eq!(config.recovery.after, Duration::from_secs(5));
        assert_eq!(config.worker.crash_max, 5);
    }

    #[test]
    fn an_unknown_setting_is_an_error_with_a_suggestion() {
        let error = load("[worker]\nstride_mx = 1").unwrap_err();
        assert!(error.contains("stride_mx") && error.contains("did you mean `stride_max`?"), "{error}");
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        let error = load("[recovery]\nafter = \"soon\"").unwrap_err();
        assert!(error.contains("recovery.after") && error.contains("soon"), "{error}");
        assert!(load("[timeouts]\ndatabase = \"51s\"").unwrap_err().contains("at most 50s"));
        assert!(load("[http]\nlisten = \"0.0.0.0:80\"").unwrap_err().contains("loopback"));
    }
}

/// Addresses of servers that somebody else runs; where one is missing, a private server takes its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerUrls {
    /// `LEVERET_DATABASE__URL`, or `DATABASE_URL`.
    pub database: Option<String>,
    /// `LEVERET_BROKER__URL`, or `AMQP_URL`.
    pub broker: Option<String>,
}

impl Config {
    /// The servers named in the environment; an empty text counts as absent.
    pub fn urls_from_environment() -> ServerUrls {
        let first = |names: [&str; 2]| names.into_iter().find_map(variable);
        ServerUrls {
            database: first(["LEVERET_DATABASE__URL", "DATABASE_URL"]),
            broker: first(["LEVERET_BROKER__URL", "AMQP_URL"]),
        }
    }

    /// The directories in which the shell would look for a program (`PATH`).
    pub fn program_directories() -> Vec<std::path::PathBuf> {
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
    }
}
