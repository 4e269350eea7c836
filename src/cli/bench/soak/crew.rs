//! The workers of a soak: processes of their own, that can be killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::super::arena::Arena;

/// Below the working directory. It stays when the soak is over.
const DIRECTORY: &str = ".leveret/soak";
/// A worker that is asked to stop ends within this time: its grace period, and what its connections take.
const STOPS_WITHIN: Duration = Duration::from_secs(40);
/// Words that a log must not hold.
const PANIC: &str = "panicked at";

/// With what workers are started.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where their logs are.
    pub(super) directory: PathBuf,
    file: PathBuf,
    url: String,
    amqp_url: String,
}

/// Writes the settings of all workers.
pub(super) fn settings(arena: &Arena, database: &str, url: &str) -> Result<Settings> {
    let directory = PathBuf::from(DIRECTORY);
    // Of the soak before.
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let file = directory.join("leveret.toml");
    let text = format!(
        "[broker]\nprefix = \"{database}\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [retention]\ninbox = \"1m\"\n\
         [statements.mark]\nsql = \"INSERT INTO bench.rows (instance) VALUES (:instance)\"\nparams = {{ instance = \"text\" }}\n"
    );
    fs::write(&file, text)?;
    Ok(Settings { directory, file, url: url.to_owned(), amqp_url: arena.sandbox.amqp_url.clone() })
}

/// A process with every role. Killed when it is dropped.
pub(super) struct Worker {
    child: Child,
    name: String,
}

impl Worker {
    pub(super) fn start(settings: &Settings, name: &str) -> Result<Self> {
        let log = File::options().create(true).append(true).open(settings.directory.join(format!("{name}.log")))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("--config")
            .arg(&settings.file)
            .arg("serve")
            .env("LEVERET_DATABASE__URL", &settings.url)
            .env("LEVERET_BROKER__URL", &settings.amqp_url)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, name: name.to_owned() })
    }

    pub(super) fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("the worker `{}` has ended; its log says why", self.name))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid()?)?), signal)?)
    }

    /// SIGKILL, and another one in its place.
    pub(super) async fn die(&mut self, settings: &Settings) -> Result<()> {
        self.child.kill().await?;
        *self = Self::start(settings, &self.name)?;
        Ok(())
    }

    /// SIGTERM, and another one in its place.
    pub(super) async fn retire(&mut self, settings: &Settings) -> Result<()> {
        self.stop().await?;
        *self = Self::start(settings, &self.name)?;
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        match tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => bail!("the worker `{}` did not stop in order", self.name),
            Err(_) => bail!("the worker `{}` did not stop within {} s", self.name, STOPS_WITHIN.as_secs()),
        }
    }
}

/// All that may be killed.
pub(super) struct Crew(pub(super) Vec<Worker>);

impl Crew {
    /// Stops all of them in order, verifies every history, and reads their logs; returns what is wrong.
    pub(super) async fn end(self, steady: Worker, settings: &Settings) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for mut worker in self.0.into_iter().chain([steady]) {
            if let Err(error) = worker.stop().await {
                problems.push(error.to_string());
            }
            let log = fs::read_to_string(settings.directory.join(format!("{}.log", worker.name)))?;
            if let Some(line) = log.lines().find(|line| line.contains(PANIC)) {
                problems.push(format!("the worker `{}` says: {line}", worker.name));
            }
        }
        let verified = Command::new(std::env::current_exe()?)
            .args(["history", "verify", "--all"])
            .env("LEVERET_DATABASE__URL", &settings.url)
            .env("LEVERET_BROKER__URL", &settings.amqp_url)
            .stdin(Stdio::null())
            .output()
            .await?;
        if !verified.status.success() {
            problems.push(format!("history verify: {}", String::from_utf8_lossy(&verified.stdout).trim()));
        }
        Ok(problems)
    }
}

/// The number of files and connections that a process has open.
pub(super) fn files(pid: u32) -> f64 {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).map_or(0.0, |open| open.count() as f64)
}
