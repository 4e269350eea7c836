//! The environment of a measurement: private servers with fsync on, and a separate database and queue prefix for each run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::command::{self, Applied, Follow, Origin, Started};
use crate::config::Config;
use crate::contract::Start;
use crate::definition::Definition;
use crate::engine::InstanceId;
use crate::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use crate::roles::Role;
use crate::sandbox::{Profile, Sandbox};
use crate::server::Server;
use crate::store::{Connection, bench, definitions, migrate};

/// Below the working directory, apart from the data of `leveret dev`.
const DIRECTORY: &str = ".leveret/bench";
/// An instance that is to be copied comes to a rest within this time.
const RESTS_WITHIN: Duration = Duration::from_secs(30);
/// The pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The private servers.
pub(super) struct Arena {
    pub(super) sandbox: Sandbox,
    directory: PathBuf,
}

/// One run: a database, queues, and a server inside this process.
pub(super) struct Run {
    pub(super) server: Server,
    database: String,
}

impl Run {
    /// Starts an instance, and waits until it has ended or waits: one to be copied.
    pub(super) async fn rested(&self, definition: &str) -> Result<InstanceId> {
        let app = &self.server.app;
        let start = Start { definition: definition.into(), input: json!({}), ..Start::default() };
        let origin = Origin::new("bench", &app.new_id().to_string(), b"", Follow::Always);
        let Applied::New(Started::New(committed)) = command::start(app, start, &origin).await? else {
            bail!("the instance to copy was not started")
        };
        let id = committed.instance.id;
        let until = Instant::now() + RESTS_WITHIN;
        while command::find(app, id).await?.is_some_and(|found| found.instance.is_ready()) {
            ensure!(Instant::now() < until, "the instance to copy does not come to a rest");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(id)
    }
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

    /// Creates and migrates a database; returns its name and URL.
    pub(super) async fn database(&self) -> Result<(String, String)> {
        let name = format!("bench_{:012x}", fastrand::u64(..1 << 48));
        let url = self.sandbox.create_database(&name, None)?;
        migrate::run(&url).await?;
        Ok((name, url))
    }

    /// Settings for a database and its queues.
    pub(super) fn config(&self, database: &str, url: &str) -> Config {
        let mut config = Config::default();
        config.database.url = url.to_owned();
        config.broker.url = self.sandbox.amqp_url.clone();
        config.broker.prefix = database.to_owned();
        config.http.listen = "127.0.0.1:0".into();
        config
    }

    /// Starts a server with default settings, changed by `adjust`, and applies these documents.
    pub(super) async fn start(&self, documents: &[String], adjust: impl Fn(&mut Config)) -> Result<Run> {
        self.start_roles(Role::ALL, documents, adjust).await
    }

    /// The same with these roles.
    pub(super) async fn start_roles(
        &self,
        roles: &[Role],
        documents: &[String],
        adjust: impl Fn(&mut Config),
    ) -> Result<Run> {
        let (database, url) = self.database().await?;
        let mut config = self.config(&database, &url);
        adjust(&mut config);
        let server = Server::start(config, handlers(), roles).await?;
        let mut conn = server.app.store.background().await?;
        for document in documents {
            let parsed = Definition::parse(document).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
            definitions::apply(&mut conn, &parsed).await?;
        }
        bench::settle(&mut conn).await?;
        drop(conn);
        Ok(Run { server, database })
    }

    /// Stops the server of a run and starts it again on the same database and queues.
    pub(super) async fn restart(&self, run: Run) -> Result<Run> {
        let config = run.server.app.config.clone();
        run.server.stop().await;
        let server = Server::start(config, handlers(), Role::ALL).await?;
        Ok(Run { server, database: run.database })
    }

    /// Starts another server on the database and the queues of a run, with these roles.
    pub(super) async fn beside(&self, run: &Run, roles: &[Role]) -> Result<Server> {
        Ok(Server::start(run.server.app.config.clone(), handlers(), roles).await?)
    }

    pub(super) async fn finish(&self, run: Run) -> Result<()> {
        run.server.stop().await;
        self.sandbox.drop_database(&run.database).context("cannot drop the database of a run")
    }
}

fn handlers() -> Handlers {
    Handlers::new().on_start(create_rows).register("insert-row", insert_row)
}

async fn create_rows(conn: &mut Connection) -> Result<(), Error> {
    Ok(bench::create_rows(conn).await?)
}

async fn insert_row(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    bench::insert_row(conn, &input.instance.to_string()).await?;
    Ok(serde_json::Value::Null)
}
