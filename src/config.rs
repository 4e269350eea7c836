//! Every setting, with type, unit, default and reason. Read from file and environment and validated once, at the start.

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

mod access;
mod export;
mod network;
mod outgoing;
mod profile;
mod sections;
mod shown;
mod validate;
mod worker;

pub use access::{Access, Authentication, Oidc, Openness};
pub use export::{Export, ExportPlace};
pub use network::Network;
pub use outgoing::{Breaker, Outgoing, Secrets};
pub use sections::{
    Broker, Calls, Database, Expressions, Http, Limits, Log, LogFormat, Messages, Outbox, PreparedStatements, Recovery,
    Retention, Retry, RoutingKeys, Shutdown, Tasks, Timeouts, Timers, Worker,
};
pub use shown::{Shown, Source};

section! {
    /// All settings.
    Config {
        /// PostgreSQL, which holds the state.
        database: Database = Database::default(),
        /// RabbitMQ, which carries the work.
        broker: Broker = Broker::default(),
        /// The worker role.
        worker: Worker = Worker::default(),
        /// Publishing outbox rows.
        outbox: Outbox = Outbox::default(),
        /// The timers role.
        timers: Timers = Timers::default(),
        /// The recovery of silent branches.
        recovery: Recovery = Recovery::default(),
        /// The retry policy of activities without `retry`.
        retry: Retry = Retry::default(),
        /// The time limits of activities without `timeout`.
        timeouts: Timeouts = Timeouts::default(),
        /// Limits of sizes and counts.
        limits: Limits = Limits::default(),
        /// Messages that arrive before an instance waits for them.
        messages: Messages = Messages::default(),
        /// How long what has ended is kept.
        retention: Retention = Retention::default(),
        /// History that is written elsewhere before it is deleted.
        export: Export = Export::default(),
        /// The HTTP API.
        http: Http = Http::default(),
        /// Access to the HTTP API.
        access: Access = Access::default(),
        /// Tokens of an issuer of OpenID Connect.
        oidc: Oidc = Oidc::default(),
        /// Logs.
        log: Log = Log::default(),
        /// The shutdown of a process.
        shutdown: Shutdown = Shutdown::default(),
        /// The environment that expressions may read.
        expressions: Expressions = Expressions::default(),
        /// Tasks of people.
        tasks: Tasks = Tasks::default(),
        /// The caller role.
        calls: Calls = Calls::default(),
        /// Outgoing HTTP requests.
        outgoing: Outgoing = Outgoing::default(),
        /// Secrets that outgoing requests may carry.
        secrets: Secrets = Secrets::default(),
        /// The circuit breakers of targets.
        breaker: Breaker = Breaker::default(),
        /// SQL statements that definitions may run by name.
        statements: BTreeMap<String, statement::StatementSource> = BTreeMap::new(),
    }
}

/// An invalid setting; the text names it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The upper limit of a handler's time: below the minute after which the database ends a session that is idle in a transaction.
pub const HANDLER_FOR_MAX: Duration = Duration::from_secs(50);
/// The default settings file.
const FILE: &str = "leveret.toml";
/// The prefix of environment variables: `LEVERET_DATABASE__URL` is `database.url`.
const PREFIX: &str = "LEVERET";
/// The variable that names a profile.
const PROFILE: &str = "LEVERET_PROFILE";

impl Config {
    /// Reads the file (default: `leveret.toml`, if it exists), then the environment, which takes precedence.
    ///
    /// # Errors
    /// If a setting is unknown or invalid; the text names it.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        Self::load_profile(file, None)
    }

    /// The same with a profile: the values of `[profiles.NAME]` of the file take precedence over its others, and the environment over both.
    /// Without a name it is that of `LEVERET_PROFILE`.
    ///
    /// # Errors
    /// As for [`Config::load`], and if the file has no such profile.
    pub fn load_profile(file: Option<&Path>, profile: Option<&str>) -> Result<Self, Error> {
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
            .with_list_parse_key("http.hosts")
            .with_list_parse_key("expressions.env")
            .with_list_parse_key("outgoing.allow_hosts")
            .with_list_parse_key("outgoing.allow_addresses")
            .with_list_parse_key("secrets.names");
        let unreadable = |error| Error(format!("cannot read the settings: {error}"));
        let file = config::Config::builder().add_source(source).build().map_err(unreadable)?;
        let profile = profile.map(str::to_owned).or_else(|| variable(PROFILE));
        let chosen = profile.as_deref().map(|name| profile::find(&file, name)).transpose().map_err(Error)?;
        let mut builder = config::Config::builder().add_source(file);
        if let Some(chosen) = chosen {
            builder = builder.add_source(chosen);
        }
        let read = builder.add_source(environment).build().map_err(unreadable)?;
        let settings = profile::settings(read.cache).map_err(unreadable)?;
        let mut config: Config = serde_path_to_error::deserialize(settings).map_err(|error| Error(explain(&error)))?;
        for (setting, name) in [
            (&mut config.database.url, "DATABASE_URL"),
            (&mut config.database.password_file, "DATABASE_PASSWORD_FILE"),
            (&mut config.broker.url, "AMQP_URL"),
            (&mut config.broker.password_file, "AMQP_PASSWORD_FILE"),
        ] {
            if setting.is_empty() {
                *setting = variable(name).unwrap_or_default();
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// The allowed environment variables: `env` in expressions.
    pub fn env(&self) -> Map<String, Value> {
        let values = self.expressions.env.iter().filter_map(|name| Some((name.clone(), variable(name)?.into())));
        values.collect()
    }
}

/// One environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the environment")]
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

/// The text of a deserialization error; for an unknown name with its new name, or with the nearest known one.
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
    format!("the setting `{path}` is invalid: {text}{hint}")
}

/// URLs of configured servers; a private server replaces a missing one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerUrls {
    /// `LEVERET_DATABASE__URL`, or `DATABASE_URL`.
    pub database: Option<String>,
    /// `LEVERET_BROKER__URL`, or `AMQP_URL`.
    pub broker: Option<String>,
}

impl Config {
    /// The URLs in the environment; an empty value counts as absent.
    pub fn urls_from_environment() -> ServerUrls {
        let first = |names: [&str; 2]| names.into_iter().find_map(variable);
        ServerUrls {
            database: first(["LEVERET_DATABASE__URL", "DATABASE_URL"]),
            broker: first(["LEVERET_BROKER__URL", "AMQP_URL"]),
        }
    }

    /// `SERVERS_ROOT`: the root of another Debian whose servers the private ones are.
    pub fn servers_root() -> Option<std::path::PathBuf> {
        variable("SERVERS_ROOT").map(Into::into)
    }

    /// The directories of `PATH`.
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
    fn a_missing_setting_has_its_default() {
        let config = load("[worker]\nsteps_per_delivery_max = 1\n[recovery]\nafter = \"5s\"").unwrap();
        assert_eq!(config.worker.steps_per_delivery_max, 1);
        assert_eq!(config.recovery.after, Duration::from_secs(5));
        assert_eq!(config.worker.crash_max, 5);
    }

    #[test]
    fn the_values_of_a_profile_take_precedence_and_the_others_stay() {
        let text =
            "[worker]\ncrash_max = 3\nconcurrency = 5\n[profiles.small.worker]\nconcurrency = 2\n[profiles.large]\n";
        let path = std::env::temp_dir().join(format!("leveret-{}-{}.toml", std::process::id(), fastrand::u64(..)));
        std::fs::write(&path, text).unwrap();
        let load = |profile| Config::load_profile(Some(&path), profile).map_err(|error| error.to_string());
        let numbers = |config: Config| (config.worker.crash_max, config.worker.concurrency);
        assert_eq!(load(None).map(numbers), Ok((3, 5)));
        assert_eq!(load(Some("small")).map(numbers), Ok((3, 2)));
        assert_eq!(load(Some("large")).map(numbers), Ok((3, 5)));
        let missing = load(Some("huge")).map(numbers);
        assert_eq!(missing, Err("the settings file has no profile `huge`: it has `large` and `small`".into()));
        std::fs::write(&path, "[profiles.small.worker]\nconcurency = 2\n").unwrap();
        let wrong = Config::load_profile(Some(&path), Some("small")).map(numbers).map_err(|error| error.to_string());
        assert!(wrong.unwrap_err().contains("did you mean `concurrency`?"));
        std::fs::remove_file(path).unwrap();
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
    fn an_invalid_value_is_reported_with_its_setting() {
        let error = load("[recovery]\nafter = \"soon\"").unwrap_err();
        assert!(error.contains("recovery.after") && error.contains("soon"), "{error}");
        assert!(load("[timeouts]\ndatabase = \"51s\"").unwrap_err().contains("at most 50s"));
        assert!(load("[http]\nlisten = \"0.0.0.0:80\"").unwrap_err().contains("`access.open_on_network`"));
        assert!(load("[http]\nlisten = \"0.0.0.0:80\"\n[access]\nauthentication = \"required\"").is_ok());
        assert!(load("[access]\nauthentication = \"on\"").unwrap_err().contains("access.authentication"));
        for host in
            ["https://flows.example.org", "*.example.org", "a b", "", "flows.example.org:x", "flows.example.org/api"]
        {
            let error = load(&format!("[http]\nhosts = [\"{host}\"]")).unwrap_err();
            assert!(error.contains("http.hosts"), "{host}: {error}");
        }
        assert!(load("[http]\nhosts = [\"flows.example.org\", \"a-b.test:8443\", \"[::1]:80\", \"[::1]\"]").is_ok());
        assert!(load("[http]\nwaits_max = 1100").unwrap_err().contains("half"));
        assert!(load("[http]\nconnections_max = 1000001").unwrap_err().contains("from 1 to 1000000"));
        // With a fallback filter the RabbitMQ client would log whole messages.
        assert!(load("[log]\nfilter = \"info,leveret=debgu,lapin=off\"").unwrap_err().contains("log.filter"));
    }

    #[test]
    fn times_and_counts_of_zero_are_refused() {
        for (section, name) in [("timers", "sweep_every"), ("database", "lock_timeout"), ("broker", "confirm_timeout")]
        {
            let error = load(&format!("[{section}]\n{name} = \"0s\"")).unwrap_err();
            assert!(error.contains(&format!("{section}.{name}")), "{error}");
        }
        assert!(load("[limits]\nsteps_max = 0").unwrap_err().contains("steps_max"));
        assert!(load("[outgoing]\nretry_after_max = \"2h\"").unwrap_err().contains("at most 1h"));
    }
}
