//! The composition root: a process of Leveret, from its settings to its roles and its HTTP API, and its orderly stop.

use std::net::SocketAddr;
use std::sync::OnceLock;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::app::App;
use crate::config::{self, Config};
use crate::handlers::{self, Handlers};
use crate::roles::{self, Role};
use crate::{broker, http, store, telemetry};

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL is missing.
    #[error("database and broker are not configured: set DATABASE_URL and AMQP_URL, or write leveret.toml")]
    NotConfigured,
    /// Nobody would be asked for a key, although the network can reach the API.
    #[error(transparent)]
    Open(#[from] config::Error),
    /// The database is unreachable, or its schema does not match this binary.
    #[error("the database cannot be used")]
    Database(#[from] store::Error),
    /// The URL of the broker is invalid.
    #[error("the broker cannot be used")]
    Broker(#[from] broker::Error),
    /// [`Handlers::on_start`] failed.
    #[error("the handlers' `on_start` failed")]
    OnStart(#[source] handlers::Error),
    /// The address of the HTTP API is taken.
    #[error("cannot listen on `http.listen` {listen}")]
    Listen {
        /// The configured address.
        listen: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// A running process of Leveret.
pub struct Server {
    /// The handles its roles share.
    pub app: App,
    /// The address of its HTTP API, if it has the role `api`.
    pub address: Option<SocketAddr>,
}

impl Server {
    /// Starts these roles. The schema must be up to date.
    ///
    /// # Errors
    /// See [`enum@Error`]; nothing runs then.
    pub async fn start(config: Config, handlers: Handlers, roles: &[Role]) -> Result<Self, Error> {
        if config.database.url.is_empty() || config.broker.url.is_empty() {
            return Err(Error::NotConfigured);
        }
        config.refuse_open_network()?;
        broker::check(&config.broker.address())?;
        store::migrate::fits(&config.database.address()).await?;
        let name = format!("leveret {}", std::process::id());
        let (app, publish_queue) = App::new(config, handlers, &name)?;
        app.clock.observe(app.store.probe().await?.now);
        if roles.contains(&Role::Worker) {
            let mut conn = app.store.steps().await?;
            app.handlers.start(&mut conn).await.map_err(Error::OnStart)?;
        }
        roles::start(&app, roles, publish_queue);
        let address = match roles.contains(&Role::Api) {
            true => Some(http::start(&app, metrics()).await.map_err(|source| {
                let listen = app.config.http.listen.clone();
                Error::Listen { listen, source }
            })?),
            false => None,
        };
        Ok(Self { app, address })
    }

    /// Stops in order; see [`App::shut_down`]. False if something did not end in time.
    pub async fn stop(self) -> bool {
        self.app.shut_down().await
    }
}

/// The metrics recorder of this process: installed once, however many servers start in it.
pub fn metrics() -> Option<PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER.get_or_init(|| telemetry::start_metrics().ok()).clone()
}
