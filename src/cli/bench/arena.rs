//! Where it is measured: private servers with fsync on, and a database and a queue prefix of its own for each run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::config::Config;
use crate::definition::Definition;
use crate::handlers::{Call, Error, Handlers, Outcome};
use crate::roles::Role;
use crate::sandbox::{Profile, Sandbox};
use crate::server::Server;
use crate::store::{Connection, bench, definitions, migrate};

/// Below the working directory, away from what `leveret dev` keeps.
const DIRECTORY: &str = ".leveret/bench";

/// The servers.
pub(super) struct Arena {
    pub(super) sandbox: Sandbox,
    directory: PathBuf,
}

/// One run's own database, queues and process of Leveret (in this process).
pub(super) struct Ring {
    pub(super) running: Server,
    database: String,
}

impl Arena {
    pub(super) async fn open() -> Result<Self> {
        let directory = PathBuf::from(DIRECTORY);
        let at = directory.clone();
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::start(&at, Profile::Durable)).await??;
        Ok(Self { sandbox, directory })
    }

    pub(super) async fn close(self) -> Result<()> {
        tokio::task::spawn_blocking(move || Sandbox::remove(&self.directory)).await?
    }

    /// A migrated database of its own; its name and URL.
    pub(super) async fn database(&self) -> Result<(String, String)> {
        let name = format!("bench_{:012x}", fastrand::u64(..1 << 48));
        let url = self.sandbox.create_database(&name, None)?;
        migrate::run(&url).await?;
        Ok((name, url))
    }

    /// Settings for a database and queues of its own.
    pub(super) fn config(&self, database: &str, url: &str) -> Config {
        let mut config = Config::default();
        config.database.url = url.to_owned();
        config.broker.url = self.sandbox.amqp_url.clone();
        config.broker.prefix = database.to_owned();
        config.http.listen = "127.0.0.1:0".into();
        config
    }

    /// Leveret with default settings but for what `adjust` changes, and these documents applied.
    pub(super) async fn ring(&self, documents: &[String], adjust: impl Fn(&mut Config)) -> Result<Ring> {
        let (database, url) = self.database().await?;
        let mut config = self.config(&database, &url);
        adjust(&mut config);
        let running = Server::start(config, handlers(), &Role::ALL).await?;
        let mut conn = running.app.store.background().await?;
        for document in documents {
            let parsed = Definition::parse(document).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
            definitions::apply(&mut conn, &parsed).await?;
        }
        bench::settle(&mut conn).await?;
        drop(conn);
        Ok(Ring { running, database })
    }

    /// Stops what runs in a ring and starts it again on what it left.
    pub(super) async fn restart(&self, ring: Ring) -> Result<Ring> {
        let config = ring.running.app.config.clone();
        ring.running.stop().await;
        let running = Server::start(config, handlers(), &Role::ALL).await?;
        Ok(Ring { running, database: ring.database })
    }

    pub(super) async fn leave(&self, ring: Ring) -> Result<()> {
        ring.running.stop().await;
        self.sandbox.drop_database(&ring.database).context("the database of a run is left behind")
    }
}

fn handlers() -> Handlers {
    Handlers::new().on_start(create_rows).register("insert-row", insert_row)
}

async fn create_rows(conn: &mut Connection) -> Result<(), Error> {
    Ok(bench::create_rows(conn).await?)
}

async fn insert_row(conn: &mut Connection, call: Call) -> Outcome {
    bench::insert_row(conn, &call.instance.to_string()).await?;
    Ok(serde_json::Value::Null)
}
