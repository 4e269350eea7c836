//! `leveret serve`: roles against the configured servers, until SIGTERM.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::handlers::Handlers;
use crate::roles::Role;
use crate::server::{self, Server};
use crate::telemetry;

#[derive(Args)]
pub(super) struct Arguments {
    /// Roles, separated by commas: worker, relay, timers, caller, cleaner, dead_letters, api. Default: all.
    #[arg(long, value_delimiter = ',', value_parser = Role::parse)]
    roles: Vec<Role>,
}

pub(super) async fn run(config: Config, arguments: &Arguments, handlers: Handlers) -> Result<ExitCode> {
    telemetry::start_logs(&config.log);
    // Before the first metric is counted.
    server::metrics();
    let roles = if arguments.roles.is_empty() { Role::ALL.to_vec() } else { arguments.roles.clone() };
    let signals = Signals::listen()?;
    let server = Server::start(config, handlers, &roles).await?;
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let address = server.address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!(roles = names.join(","), %address, "leveret runs");
    until_stopped(server, signals).await
}

/// SIGTERM and Ctrl-C. Listened for before anything starts: an earlier signal would kill the process half-started.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on SIGTERM and Ctrl-C no longer end the process by themselves.
    pub(super) fn listen() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until SIGTERM or Ctrl-C, then shuts down; a second signal ends the process at once.
pub(super) async fn until_stopped(server: Server, mut signals: Signals) -> Result<ExitCode> {
    signals.next().await;
    tracing::info!("stopping: finishing the steps in progress");
    let in_order = tokio::select! {
        in_order = server.stop() => in_order,
        () = signals.next() => false,
    };
    tracing::info!(in_order, "stopped");
    Ok(if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
