//! Starts and stops both servers, and injects faults. Callers of the functions hold the lock of the directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::state::{Ports, State, lock};
use super::{Profile, place, postgres, rabbitmq};
use crate::config::ServerUrls;
use crate::sandbox::process::Process;
use crate::sandbox::programs::Account;
use crate::sandbox::system::System;

/// The most attempts to start: another process may take a port between the choice and the start.
const STARTS_MAX: usize = 3;
const PASSWORD_BYTES: usize = 16;

/// Starts the servers that neither run nor have a URL, and writes the state file.
pub(super) fn start(directory: &Path, profile: Profile, given: &ServerUrls) -> Result<State> {
    let system = System::from_environment()?;
    let mut state = match State::load(directory)? {
        Some(state) if state.profile == profile && state.system == system => state,
        Some(state) if state.profile == profile => bail!(
            "{} contains servers of {}, and not of {}: use another directory, or remove them (`leveret sandbox remove`)",
            directory.display(),
            state.system.name(),
            system.name()
        ),
        Some(state) => {
            bail!(
                "{} contains servers of the profile `{}`: use another directory",
                directory.display(),
                state.profile.name()
            )
        }
        None => first_state(directory, profile, system)?,
    };
    for attempt in 1..=STARTS_MAX {
        let nothing_runs = running(state.postgres).is_none() && running(state.rabbitmq).is_none();
        if nothing_runs && (attempt > 1 || !state.ports.are_free()) {
            state.epmd = None;
            state.ports = Ports::choose()?;
        }
        match start_missing(directory, &mut state, given) {
            Err(error) if attempt < STARTS_MAX && is_port_taken(&error) => {
                tracing::warn!("a port was taken in the meantime; trying other ports");
                stop(directory)?;
                (state.postgres, state.rabbitmq, state.epmd) = (None, None, None);
            }
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    Ok(state)
}

fn first_state(directory: &Path, profile: Profile, system: System) -> Result<State> {
    let accounts = [Account::for_server(&system, postgres::USER)?, Account::for_server(&system, rabbitmq::USER)?];
    let accounts: Vec<Account> = accounts.into_iter().flatten().collect();
    Ok(State {
        profile,
        system,
        root: place::choose_root(directory, &accounts)?,
        password: password()?,
        ports: Ports::choose()?,
        postgres: None,
        rabbitmq: None,
        epmd: None,
        is_booting: false,
    })
}

fn password() -> Result<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Starts the broker first, so that it boots while the database is created: both take seconds.
fn start_missing(directory: &Path, state: &mut State, given: &ServerUrls) -> Result<()> {
    if given.broker.is_none() && running(state.rabbitmq).is_none() {
        boot(directory, state)?;
    }
    if given.database.is_none() {
        postgres::initialize(state)?;
        let server = match running(state.postgres) {
            Some(server) => server,
            None => postgres::launch(state)?,
        };
        state.postgres = Some(server);
        state.save(directory)?;
        postgres::await_ready(state, server)?;
    }
    if given.broker.is_none() { await_broker(directory, state) } else { Ok(()) }
}

/// Starts the broker and writes its state, so that it can be found even if this process is killed now.
fn boot(directory: &Path, state: &mut State) -> Result<()> {
    let started = rabbitmq::launch(state)?;
    (state.rabbitmq, state.epmd, state.is_booting) = (Some(started.server), Some(started.epmd), true);
    state.save(directory)
}

/// Waits until the broker is ready, whichever process started it.
fn await_broker(directory: &Path, state: &mut State) -> Result<()> {
    if let (true, Some(server)) = (state.is_booting, state.rabbitmq) {
        rabbitmq::await_ready(state, server)?;
        state.is_booting = false;
    }
    state.save(directory)
}

fn running(process: Option<Process>) -> Option<Process> {
    process.filter(|process| process.is_alive())
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    ["eaddrinuse", "already in use", "address in use"].iter().any(|sign| text.contains(sign))
}

/// Stops both servers, if they run, and writes the state file.
pub(super) fn stop(directory: &Path) -> Result<()> {
    let Some(mut state) = State::load(directory)? else { return Ok(()) };
    // The broker first: it deregisters from its name server.
    for process in [running(state.rabbitmq), running(state.epmd)].into_iter().flatten() {
        rabbitmq::stop(process)?;
    }
    if let Some(server) = running(state.postgres) {
        postgres::stop(server)?;
    }
    (state.postgres, state.rabbitmq, state.epmd) = (None, None, None);
    state.save(directory)
}

/// The private PostgreSQL of a directory.
#[derive(Debug, Clone)]
pub struct Postgres {
    directory: PathBuf,
}

impl Postgres {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops it as a crash would; the next start recovers its commits.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop_immediate(&self) -> Result<()> {
        change(&self.directory, |state| {
            running(state.postgres).map_or(Ok(()), postgres::stop_immediate)?;
            state.postgres = None;
            Ok(())
        })
    }

    /// Starts it on the same port, and returns when it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self) -> Result<()> {
        change(&self.directory, |state| {
            if running(state.postgres).is_none() {
                let server = postgres::launch(state)?;
                state.postgres = Some(server);
                postgres::await_ready(state, server)?;
            }
            Ok(())
        })
    }
}

/// The private RabbitMQ of a directory.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    directory: PathBuf,
}

impl RabbitMq {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops it in order; confirmed messages are there after the next start.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> Result<()> {
        change(&self.directory, |state| {
            running(state.rabbitmq).map_or(Ok(()), rabbitmq::stop)?;
            state.rabbitmq = None;
            Ok(())
        })
    }

    /// Stops it as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop_immediate(&self) -> Result<()> {
        change(&self.directory, |state| {
            running(state.rabbitmq).map_or(Ok(()), rabbitmq::kill)?;
            state.rabbitmq = None;
            Ok(())
        })
    }

    /// Suspends its process (SIGSTOP): connections stay open but do not answer.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Continues its process (SIGCONT).
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        change(&self.directory, |state| match running(state.rabbitmq) {
            Some(server) => server.signal(signal),
            None => bail!("RabbitMQ is not running"),
        })
    }

    /// Runs `rabbitmqctl`, for example `["set_vm_memory_high_watermark", "0.4"]`.
    ///
    /// # Errors
    /// If it fails, with its output.
    pub fn control(&self, arguments: &[&str]) -> Result<()> {
        change(&self.directory, |state| rabbitmq::control(state, arguments))
    }

    /// Deletes all its data: queues, messages, users. It must be stopped.
    ///
    /// # Errors
    /// If it runs, or its data cannot be deleted.
    pub fn wipe(&self) -> Result<()> {
        change(&self.directory, |state| {
            if running(state.rabbitmq).is_some() {
                bail!("RabbitMQ is running: stop it before deleting its data");
            }
            rabbitmq::wipe(state)
        })
    }

    /// Starts it on the same port, and returns when it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self) -> Result<()> {
        change(&self.directory, |state| {
            if running(state.rabbitmq).is_none() {
                boot(&self.directory, state)?;
                await_broker(&self.directory, state)?;
            }
            Ok(())
        })
    }
}

/// Changes the state file under its lock.
pub(super) fn change<T>(directory: &Path, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
    let _lock = lock(directory)?;
    let Some(mut state) = State::load(directory)? else { bail!("no servers were started in {}", directory.display()) };
    let outcome = change(&mut state);
    state.save(directory)?;
    outcome
}
