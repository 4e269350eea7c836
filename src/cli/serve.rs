//! `leveret serve`: roles against the configured servers, until SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use clap::Args;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::Config;
use crate::handlers::Handlers;
use crate::roles::{self, Role};
use crate::{http, store, telemetry};

#[derive(Args)]
pub(super) struct Arguments {
    /// Roles to play: worker, relay, timers, caller, cleaner, dead_letters, api. All of them when left out.
    #[arg(long, value_delimiter = ',', value_parser = Role::parse)]
    roles: Vec<Role>,
}

/// A process that plays its roles.
pub struct Running {
    /// Its handles.
    pub app: App,
    /// Where its HTTP API listens, if it has the role `api`.
    pub address: Option<SocketAddr>,
}

impl Running {
    /// Starts roles; the schema must be up to date.
    ///
    /// # Errors
    /// If the database cannot be reached, its schema is not this binary's, or the HTTP address is taken.
    pub async fn start(config: Config, handlers: Handlers, roles: &[Role]) -> Result<Self> {
        if config.database.url.is_empty() || config.broker.url.is_empty() {
            bail!("database and broker must be configured: DATABASE_URL and AMQP_URL, or leveret.toml");
        }
        store::migrate::fits(&config.database.url).await.context("the database cannot be used")?;
        let name = format!("leveret {}", std::process::id());
        let (app, publish_queue) = App::new(config, handlers, &name)?;
        app.store.probe().await.map(|now| app.clock.observe(now)).context("the database does not answer")?;
        if roles.contains(&Role::Worker) {
            let mut conn = app.store.steps().await?;
            app.handlers.start(&mut conn).await.context("the handlers' own preparation failed")?;
        }
        roles::start(&app, roles, publish_queue);
        let address = match roles.contains(&Role::Api) {
            true => {
                let listen = app.config.http.listen.clone();
                let started = http::start(&app, metrics()).await;
                Some(started.with_context(|| format!("`http.listen` {listen} cannot be opened"))?)
            }
            false => None,
        };
        Ok(Self { app, address })
    }

    /// Stops in order; see [`App::shut_down`].
    pub async fn stop(self) -> bool {
        self.app.shut_down().await
    }
}

/// The recorder of this process: one, however often roles are started in it.
fn metrics() -> Option<PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER.get_or_init(|| telemetry::start_metrics().ok()).clone()
}

pub(super) async fn run(config: Config, arguments: &Arguments, handlers: Handlers) -> Result<ExitCode> {
    telemetry::start_logs(&config.log);
    // Before anything counts.
    metrics();
    let roles = if arguments.roles.is_empty() { Role::ALL.to_vec() } else { arguments.roles.clone() };
    let signals = Signals::listen()?;
    let running = Running::start(config, handlers, &roles).await?;
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let address = running.address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!(roles = names.join(","), %address, "leveret runs");
    until_stopped(running, signals).await
}

/// The requests to stop. Listened for before anything runs: one that comes earlier than that would kill what has just begun.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on no SIGTERM and no Ctrl-C ends the process by itself.
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

/// Runs until SIGTERM or Ctrl-C, then drains; a second signal ends the process at once.
pub(super) async fn until_stopped(running: Running, mut signals: Signals) -> Result<ExitCode> {
    signals.next().await;
    tracing::info!("stopping: strides are finished first");
    let in_order = tokio::select! {
        in_order = running.stop() => in_order,
        () = signals.next() => false,
    };
    tracing::info!(in_order, "stopped");
    Ok(if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
