//! Our programs as commands that end by themselves: what they print, and their exit code.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::Fresh;

/// Variables that a command does not get from the environment of the test.
const INHERITED: [&str; 7] = [
    "FAILPOINTS",
    "DATABASE_URL",
    "DATABASE_PASSWORD_FILE",
    "AMQP_URL",
    "AMQP_PASSWORD_FILE",
    "LEVERET_DATABASE__URL",
    "LEVERET_BROKER__URL",
];
/// No command takes longer.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The stock binary, in a directory without settings and without private servers.
pub(crate) struct CommandLine {
    program: PathBuf,
    directory: PathBuf,
    settings: Vec<(String, String)>,
}

impl CommandLine {
    /// Against nothing.
    pub(crate) fn nowhere() -> Self {
        let directory = std::env::temp_dir().join(format!("leveret-nowhere-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&directory).unwrap();
        Self { program: env!("CARGO_BIN_EXE_leveret").into(), directory, settings: Vec::new() }
    }

    /// Against a test's own database and prefix.
    pub(crate) fn on(fresh: &Fresh) -> Self {
        Self::nowhere()
            .with("DATABASE_URL", &fresh.database_url)
            .with("AMQP_URL", &fresh.amqp_url)
            .with("LEVERET_BROKER__PREFIX", &fresh.prefix)
    }

    /// The same for the program with the handlers of the shop.
    pub(crate) fn orders_on(fresh: &Fresh) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_leveret")).with_file_name("examples").join("orders");
        let mut this = Self::on(fresh);
        this.program = program;
        this
    }

    /// With one more environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The directory it runs in.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs it to its end.
    pub(crate) async fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> CommandOutput {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.directory).stdin(Stdio::null()).kill_on_drop(true);
        for inherited in INHERITED {
            command.env_remove(inherited);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        finish(&mut command).await
    }

    /// Runs it with words separated by blanks.
    pub(crate) async fn say(&self, words: &str) -> CommandOutput {
        self.run(words.split_whitespace()).await
    }

    /// The same with `-o json`.
    pub(crate) async fn json(&self, words: &str) -> Value {
        let ran = self.say(&format!("{words} -o json")).await;
        serde_json::from_str(&ran.good()).unwrap_or_else(|error| panic!("`{words}`: {error}"))
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl CommandOutput {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Everything it printed, if it failed.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        self.out + &self.err
    }
}

/// Runs any command to its end.
pub(crate) async fn finish(command: &mut Command) -> CommandOutput {
    let output = timeout(ENDS_WITHIN, command.output()).await.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran =
        CommandOutput { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "colours, but not for a terminal: {ran:?}");
    ran
}

/// Where a process says that its HTTP API listens.
pub(crate) fn listens(output: &str) -> Option<String> {
    let line = output.lines().find(|line| line.contains("leveret runs"))?;
    let (_, rest) = line.split_once("address")?.1.split_once("127.0.0.1:")?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}
