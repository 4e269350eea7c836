//! Private PostgreSQL and RabbitMQ servers for `leveret dev`, tests and benchmarks, from the installed programs.
//!
//! They come from this machine, or from the root of another Debian that `SERVERS_ROOT` names (`scripts/newer-servers`).
//!
//! They listen on free loopback ports, share nothing with servers that already run on the machine, and run until they are
//! stopped, so that later processes find them. Linux only: `/proc` shows whether a recorded process is still the same.

mod changes;
mod place;
mod postgres;
mod process;
mod programs;
mod rabbitmq;
mod servers;
mod sql;
mod state;
mod system;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::config::ServerUrls;
pub use servers::{Postgres, RabbitMq};
use state::State;
use system::System;

/// The default parent directory of the servers, one subdirectory per profile.
pub const DIRECTORY: &str = ".leveret";

/// The purpose of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Profile {
    /// Development and benchmarks: commits survive a power cut.
    Durable,
    /// Tests: commits survive a killed server, but not a power cut.
    Test,
}

impl Profile {
    /// Its name in the state file and in paths.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The profile of this name.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// `<parent>/.leveret/<profile>`; the parent is the directory that holds `.leveret`, usually the working directory.
    pub fn directory(self, parent: &Path) -> PathBuf {
        parent.join(DIRECTORY).join(self.name())
    }
}

/// Running servers.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// URL of the database `leveret`, as superuser.
    pub database_url: String,
    /// URL of the default vhost.
    pub amqp_url: String,
    directory: PathBuf,
    /// Passed to `psql` in the environment, so that `ps` does not show it; none for a configured server.
    password: Option<String>,
}

/// The state of the servers of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The purpose of the servers.
    pub profile: Profile,
    /// The data directory: usually the directory itself.
    pub root: PathBuf,
    /// URL of the database, if it runs.
    pub database_url: Option<String>,
    /// URL of the broker, if it runs.
    pub amqp_url: Option<String>,
}

impl Sandbox {
    /// Starts both servers unless they run. If many processes call this at once, one of them starts the servers.
    ///
    /// # Errors
    /// If a server is not installed (the message names the packages), does not start (the message quotes its log), or runs with
    /// another profile.
    pub fn start(directory: &Path, profile: Profile) -> Result<Self> {
        Self::start_missing(directory, profile, &ServerUrls::default())
    }

    /// Starts only the servers without a given URL.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub fn start_missing(directory: &Path, profile: Profile, given: &ServerUrls) -> Result<Self> {
        if let ServerUrls { database: Some(database), broker: Some(broker) } = given {
            return Ok(Self {
                database_url: database.clone(),
                amqp_url: broker.clone(),
                directory: directory.to_owned(),
                password: None,
            });
        }
        let _lock = state::lock(directory)?;
        let directory = std::fs::canonicalize(directory)?;
        let state = servers::start(&directory, profile, given)?;
        Ok(Self {
            database_url: given.database.clone().unwrap_or_else(|| database_url(&state)),
            amqp_url: given.broker.clone().unwrap_or_else(|| amqp_url(&state)),
            password: given.database.is_none().then(|| state.password.clone()),
            directory,
        })
    }

    /// The servers of a directory; none if none was ever started there.
    ///
    /// # Errors
    /// If the state file cannot be read.
    pub fn status(directory: &Path) -> Result<Option<Status>> {
        Ok(State::load(directory)?.map(|state| Status {
            profile: state.profile,
            root: state.root.clone(),
            database_url: state.postgres.filter(|process| process.is_alive()).map(|_| database_url(&state)),
            amqp_url: state.rabbitmq.filter(|process| process.is_alive()).map(|_| amqp_url(&state)),
        }))
    }

    /// Stops the servers of a directory and keeps their data.
    ///
    /// # Errors
    /// If a server does not end.
    pub fn stop(directory: &Path) -> Result<()> {
        if !directory.exists() {
            return Ok(());
        }
        let _lock = state::lock(directory)?;
        servers::stop(directory)
    }

    /// Stops the servers and deletes their data and the directory.
    ///
    /// # Errors
    /// If a server does not end or something cannot be deleted.
    pub fn remove(directory: &Path) -> Result<()> {
        if !directory.exists() {
            return Ok(());
        }
        let _lock = state::lock(directory)?;
        servers::stop(directory)?;
        let directory = std::fs::canonicalize(directory)?;
        let state = State::load(&directory)?;
        let root = state.as_ref().map_or_else(|| directory.clone(), |state| state.root.clone());
        place::remove(&directory, &root)?;
        state.map_or(System::Host, |state| state.system).forget(&root);
        Ok(())
    }

    /// The pids of all processes of both servers, including those of connections.
    pub fn server_processes(&self) -> Vec<u32> {
        let Ok(Some(state)) = State::load(&self.directory) else { return Vec::new() };
        let servers = [state.postgres, state.rabbitmq, state.epmd].into_iter().flatten();
        process::families(servers.map(|process| process.pid.unsigned_abs()).collect())
    }

    /// The path of a program of this machine's PostgreSQL, such as `pgbench`.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    pub fn postgres_program(name: &str) -> Result<PathBuf> {
        Ok(programs::postgres_directory(&System::Host)?.join(name))
    }

    /// Controls the private PostgreSQL, for tests of faults.
    ///
    /// # Errors
    /// If PostgreSQL is a configured server.
    pub fn postgres(&self) -> Result<Postgres> {
        self.password.as_ref().context("PostgreSQL is not a private server: DATABASE_URL is set")?;
        Ok(Postgres::new(self.directory.clone()))
    }

    /// Controls the private RabbitMQ, for tests of faults.
    ///
    /// # Errors
    /// If RabbitMQ is a configured server.
    pub fn rabbitmq(&self) -> Result<RabbitMq> {
        let is_private = State::load(&self.directory)?.is_some_and(|state| amqp_url(&state) == self.amqp_url);
        is_private
            .then(|| RabbitMq::new(self.directory.clone()))
            .context("RabbitMQ is not a private server: AMQP_URL is set")
    }

    /// The directory of the state file; processes that share the servers may keep files here.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn database_url(state: &State) -> String {
    let name = postgres::NAME;
    format!("postgres://{name}:{}@127.0.0.1:{}/{name}", state.password, state.ports.postgres)
}

fn amqp_url(state: &State) -> String {
    format!("amqp://{}:{}@127.0.0.1:{}/%2f", rabbitmq::NAME, state.password, state.ports.amqp)
}
