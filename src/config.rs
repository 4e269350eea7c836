//! Every setting: its type, its unit, its default and why. Read once from file and environment, validated once.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
mod sections;
mod validate;

pub use network::Network;
pub use outgoing::{Breaker, Outgoing, Secrets};
pub use sections::{
    Broker, Calls, Database, Expressions, Http, Limits, Log, LogFormat, Messages, Outbox, Recovery, Retry, Shutdown,
    Tasks, Timeouts, Timers, Worker,
};

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
            .with_list_parse_key("worker.queues")
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

/// Settings that were renamed: the old name and the new one.
const RENAMED: [(&str, &str); 6] = [
    ("worker.lanes", "worker.queues"),
    ("worker.stride_max", "worker.steps_per_delivery_max"),
    ("worker.stride_for", "worker.hold_delivery_for"),
    ("database.duties_pool_max", "database.background_pool_max"),
    ("outbox.handed_over_max", "outbox.publish_queue_max"),
    ("outbox.handed_over_for", "outbox.publish_queue_for"),
];

/// A deserialization error; for an unknown name with the name that took its place, or the nearest known one.
fn explain(error: &serde_path_to_error::Error<config::ConfigError>) -> String {
    let text = error.inner().to_string();
    let path = error.path().to_string();
    if let Some((old, new)) = RENAMED.iter().find(|(old, _)| *old == path) {
        return format!("the setting `{old}` is now called `{new}`");
    }
    let mut quoted = text.split('`').skip(1).step_by(2);
    let hint = match (text.contains("unknown field"), quoted.next()) {
        (true, Some(unknown)) => quoted
            .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
            .min()
            .map(|(_, known)| format!("; did you mean `{known}`?"))
            .unwrap_or_default(),
        (true, None) | (false, _) => String::new(),
    };
    format!("the setting `{path}` cannot be used: {text}{hint}")
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
        let config = load("[worker]\nsteps_per_delivery_max = 1\n[recovery]\nafter = \"5s\"").unwrap();
        assert_eq!(config.worker.steps_per_delivery_max, 1);
        assert_eq!(config.recovery.after, Duration::from_secs(5));
        assert_eq!(config.worker.crash_max, 5);
    }

    #[test]
    fn an_unknown_setting_is_an_error_with_a_suggestion() {
        let error = load("[worker]\nsteps_per_delivery_mx = 1").unwrap_err();
        assert!(
            error.contains("steps_per_delivery_mx") && error.contains("did you mean `steps_per_delivery_max`?"),
            "{error}"
        );
    }

    #[test]
    fn an_old_name_is_an_error_that_names_the_new_one() {
        for (old, new) in RENAMED {
            let (section, name) = old.split_once('.').unwrap();
            let error = load(&format!("[{section}]\n{name} = 1")).unwrap_err();
            assert_eq!(error, format!("the setting `{old}` is now called `{new}`"));
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        let error = load("[recovery]\nafter = \"soon\"").unwrap_err();
        assert!(error.contains("recovery.after") && error.contains("soon"), "{error}");
        assert!(load("[timeouts]\ndatabase = \"51s\"").unwrap_err().contains("at most 50s"));
        assert!(load("[http]\nlisten = \"0.0.0.0:80\"").unwrap_err().contains("loopback"));
        // A filter that fell back to another one would let the broker's library log whole messages.
        assert!(load("[log]\nfilter = \"info,leveret=debgu,lapin=off\"").unwrap_err().contains("log.filter"));
    }

    #[test]
    fn a_time_of_zero_is_no_way_to_say_as_often_as_you_like() {
        for (section, name) in [("timers", "sweep_every"), ("database", "lock_timeout"), ("broker", "confirm_timeout")]
        {
            let error = load(&format!("[{section}]\n{name} = \"0s\"")).unwrap_err();
            assert!(error.contains(&format!("{section}.{name}")), "{error}");
        }
        assert!(load("[limits]\nsteps_max = 0").unwrap_err().contains("steps_max"));
        assert!(load("[outgoing]\nretry_after_max = \"2h\"").unwrap_err().contains("at most 1h"));
    }
}
