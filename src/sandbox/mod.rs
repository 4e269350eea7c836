//! Private PostgreSQL and RabbitMQ servers for `leveret dev`, tests and benchmarks, from whatever is installed.
//!
//! They listen on free loopback ports, share nothing with servers that the machine runs already, and go on running until they are
//! stopped, so that later processes find them. Linux only: `/proc` tells whether a recorded process is still ours.

mod place;
mod postgres;
mod process;
mod programs;
mod rabbitmq;
mod servers;
mod sql;
mod state;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::config::ServerUrls;
pub use servers::{Postgres, RabbitMq};
use state::State;

/// Where each profile's servers live, unless somebody asks for another place.
pub const DIRECTORY: &str = ".leveret";

/// What the servers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Development and benchmarks: what is committed survives a power cut.
    Durable,
    /// Tests: what is committed survives a killed server, not a power cut.
    Test,
}

impl Profile {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Test => "test",
        }
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Durable, Self::Test].into_iter().find(|profile| profile.name() == name)
    }

    /// `<parent>/.leveret/<profile>`; the parent is the directory that holds `.leveret`, usually the working directory.
    pub fn directory(self, parent: &Path) -> PathBuf {
        parent.join(DIRECTORY).join(self.name())
    }
}

/// Servers that run.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The database `leveret`, as superuser.
    pub database_url: String,
    /// The default vhost.
    pub amqp_url: String,
    directory: PathBuf,
    /// Kept out of sight of `ps` when `psql` is called; none for a server that somebody else runs.
    password: Option<String>,
}

/// What is known about a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What the servers are for.
    pub profile: Profile,
    /// Where the data lies: usually the directory itself.
    pub root: PathBuf,
    /// The database's address, if it runs.
    pub database_url: Option<String>,
    /// The broker's address, if it runs.
    pub amqp_url: Option<String>,
}

impl Sandbox {
    /// Starts both servers, or finds them running. Of many processes that call this at once, one starts them.
    ///
    /// # Errors
    /// If a server is not installed (the message says what to install), does not start (the message quotes its log), or runs with
    /// another profile.
    pub fn start(directory: &Path, profile: Profile) -> Result<Self> {
        Self::start_missing(directory, profile, &ServerUrls::default())
    }

    /// The same, but only what has no address yet.
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

    /// What runs in a directory; none if nothing was ever started there.
    ///
    /// # Errors
    /// If what was remembered cannot be read.
    pub fn status(directory: &Path) -> Result<Option<Status>> {
        Ok(State::load(directory)?.map(|state| Status {
            profile: state.profile,
            root: state.root.clone(),
            database_url: state.postgres.filter(|process| process.is_alive()).map(|_| database_url(&state)),
            amqp_url: state.rabbitmq.filter(|process| process.is_alive()).map(|_| amqp_url(&state)),
        }))
    }

    /// Stops what was started there, and only that; the data stays.
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

    /// Stops it and deletes the data and the directory.
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
        let root = State::load(&directory)?.map_or_else(|| directory.clone(), |state| state.root);
        place::remove(&directory, &root)
    }

    /// The ids of all processes of both servers, workers and connections included.
    pub fn server_processes(&self) -> Vec<u32> {
        let Ok(Some(state)) = State::load(&self.directory) else { return Vec::new() };
        let servers = [state.postgres, state.rabbitmq, state.epmd].into_iter().flatten();
        process::families(servers.map(|process| process.pid.unsigned_abs()).collect())
    }

    /// The path of a program of PostgreSQL's own, as `pgbench`.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    pub fn postgres_program(name: &str) -> Result<PathBuf> {
        Ok(programs::postgres_directory()?.join(name))
    }

    /// The private PostgreSQL, to be stopped and started by tests of faults.
    ///
    /// # Errors
    /// If somebody else runs it.
    pub fn postgres(&self) -> Result<Postgres> {
        self.password.as_ref().context("PostgreSQL is not ours: DATABASE_URL is set")?;
        Ok(Postgres::new(self.directory.clone()))
    }

    /// The private RabbitMQ, to be stopped, wiped and started by tests of faults.
    ///
    /// # Errors
    /// If somebody else runs it.
    pub fn rabbitmq(&self) -> Result<RabbitMq> {
        let ours = State::load(&self.directory)?.is_some_and(|state| amqp_url(&state) == self.amqp_url);
        ours.then(|| RabbitMq::new(self.directory.clone())).context("RabbitMQ is not ours: AMQP_URL is set")
    }

    /// Where the servers' state, and files of those who share them, may lie.
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
