//! The connections to both servers: several hosts, silent and frozen ones, TLS, and passwords from files.

pub(crate) mod certificates;
mod hosts;
mod nodes;
mod tls_broker;
mod tls_database;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::config::ServerUrls;
use leveret::sandbox::{Profile, Sandbox};
use leveret::store::Connection;
use serde_json::Value;

use crate::support::CommandOutput;

/// A PostgreSQL of the test's own, with a user and a database `twin` that each of them has.
struct Twin {
    sandbox: Sandbox,
}

impl Twin {
    async fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("leveret-test-{:016x}", fastrand::u64(..)));
        // Any broker will do: none is started.
        let given = ServerUrls { database: None, broker: Some("amqp://127.0.0.1:1".into()) };
        let sandbox = Sandbox::start_missing(&directory, Profile::Test, &given).unwrap();
        let mut conn = Connection::establish(&sandbox.database_url).await.unwrap();
        conn.batch_execute("CREATE ROLE twin LOGIN SUPERUSER PASSWORD 'twin'").await.unwrap();
        conn.batch_execute("CREATE DATABASE twin OWNER twin").await.unwrap();
        Self { sandbox }
    }

    /// Host and port.
    fn place(&self) -> String {
        leveret::link::address::hosts(&self.sandbox.database_url)[0].to_owned()
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.sandbox.postgres().and_then(|server| server.thaw());
        if let Err(error) = Sandbox::remove(self.sandbox.directory()) {
            eprintln!("a server is left behind: {error:#}");
        }
    }
}

/// What the doctor says of one thing.
fn finding(ran: &CommandOutput, what: &str) -> String {
    let all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let found = all.as_array().unwrap().iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("nothing of {what}: {all}"))["says"].as_str().unwrap().to_owned()
}
