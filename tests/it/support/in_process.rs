//! The first of two stages: Leveret in the process of the test, its roles, its HTTP API, and the database and broker they share.

pub(crate) mod broker;
mod http;
pub(crate) mod ledger;
mod state;

use std::path::Path;
use std::time::Duration;

use leveret::app::App;
use leveret::config::Config;
use leveret::definition::Definition;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::server::Server;
use leveret::store::{Lease, definitions};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

pub(crate) use http::Reply;

use super::{Fresh, Queues, SOON, Sender, at_rest, eventually};

/// One handler, once.
const STEP: &str = "
name: step
activities:
  - { id: only, run: { handler: book } }
";
/// A handler, a message, and another handler.
const PAID: &str = "
name: paid
variables: { amount: 0 }
output: ${ amount }
activities:
  - { id: before, run: { handler: book } }
  - { id: payment, receive: { name: paid }, output: { amount: result.data.amount } }
  - { id: after, run: { handler: book } }
";

/// Roles that run here, against a database and a queue prefix of their own.
pub(crate) struct InProcess {
    running: Server,
    http: Client,
    /// A client that sends what the test says, in order or not.
    pub(crate) sender: Sender,
    pub(crate) fresh: Fresh,
}

/// Starting and stopping.
impl InProcess {
    /// Every role, without handlers.
    pub(crate) async fn new() -> Self {
        Self::with_handlers(Handlers::new()).await
    }

    /// Every role, with these handlers.
    pub(crate) async fn with_handlers(handlers: Handlers) -> Self {
        let fresh = Fresh::new().await;
        let config = Self::config(&fresh);
        Self::on(fresh, config, handlers, Role::ALL).await
    }

    /// Every role, with the handlers of [`ledger`] and the definitions `step` and `paid`.
    pub(crate) async fn with_ledger() -> Self {
        Self::with_ledger_on(Fresh::new().await, |_| {}).await
    }

    /// The same with other settings, or on other servers. What a dead process left is found sooner than by default.
    pub(crate) async fn with_ledger_on(fresh: Fresh, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(&fresh);
        config.outbox.publish_queue_for = Duration::from_secs(5);
        config.recovery.after = Duration::from_secs(5);
        change(&mut config);
        let leveret = Self::on(fresh, config, ledger::handlers(), Role::ALL).await;
        leveret.apply(STEP).await;
        leveret.apply(PAID).await;
        leveret
    }

    /// The settings of a process on a database and a prefix of the test's own.
    pub(crate) fn config(fresh: &Fresh) -> Config {
        let mut config = Config::default();
        config.database.url = fresh.database_url.clone();
        config.broker.url = fresh.amqp_url.clone();
        config.broker.prefix = fresh.prefix.clone();
        config.http.listen = "127.0.0.1:0".into();
        // What other processes commit is found soon.
        config.outbox.sweep_every = Duration::from_millis(100);
        config
    }

    /// These roles, `api` among them, with these settings and handlers.
    pub(crate) async fn on(fresh: Fresh, config: Config, handlers: Handlers, roles: &[Role]) -> Self {
        // What it logs is shown if the test fails.
        leveret::telemetry::start_logs(&config.log);
        let sender = Sender::connect(&fresh.amqp_url, &fresh.prefix).await;
        // The settings are large, and every test holds this future.
        let running = Box::pin(Server::start(config, handlers, roles)).await.unwrap();
        let started = Self { running, http: http::client(), sender, fresh };
        let ready = async || started.get("/readyz").await.status == StatusCode::OK;
        eventually("it is ready", SOON, ready).await;
        started
    }

    pub(crate) fn app(&self) -> &App {
        &self.running.app
    }

    pub(crate) async fn conn(&self) -> Lease {
        self.app().store.background().await.unwrap()
    }

    /// The queues, read over another connection.
    pub(crate) async fn queues(&self) -> Queues {
        Queues::connect(&self.fresh.amqp_url, &self.fresh.prefix).await
    }

    /// Stops in order; the database and the queues exist until what is returned is dropped.
    pub(crate) async fn stop(self) -> Fresh {
        assert!(self.running.stop().await, "it did not stop in time");
        self.fresh
    }

    /// Stops in order, after proving that nothing is stuck, unsent, open or broken; then the queues must be empty: what was not
    /// acknowledged would be back.
    pub(crate) async fn close(self) {
        at_rest::assert_at_rest(&mut *self.conn().await).await;
        let queues = self.queues().await;
        let fresh = self.stop().await;
        queues.assert_work_done(SOON).await;
        drop(fresh);
    }
}

/// What is asked of it.
impl InProcess {
    /// Stores a document.
    pub(crate) async fn apply(&self, document: &str) {
        let parsed = Definition::parse(document).unwrap();
        definitions::apply(&mut *self.conn().await, &parsed).await.unwrap();
    }

    /// Stores one of the examples.
    pub(crate) async fn apply_example(&self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
        self.apply(&std::fs::read_to_string(file).unwrap()).await;
    }

    /// Starts an instance with a key; its message id follows from both.
    pub(crate) async fn start(&self, definition: &str, key: &str) {
        self.start_with(definition, key, json!({})).await;
    }

    pub(crate) async fn start_with(&self, definition: &str, key: &str, input: Value) {
        let body = json!({ "definition": definition, "key": key, "input": input });
        self.sender.command("start", &format!("start {definition} {key}"), &body).await;
    }

    /// Sends the message `paid` to the instance that waits for it under this key.
    pub(crate) async fn pay(&self, message_id: &str, key: &str, amount: i64) {
        let body = json!({ "name": "paid", "key": key, "data": { "amount": amount } });
        self.sender.command("message", message_id, &body).await;
    }
}
