//! The second of two stages: Leveret as real processes, to be stopped, killed and cut off; a client, and the database and broker
//! they share.

mod books;
mod command_line;
mod output;
mod program;

use std::path::Path;
use std::time::Duration;

use leveret::client::Client;
use leveret::config;
use leveret::contract::{Message, Start};
use leveret::definition::Definition;
use leveret::store::{Store, definitions};
use serde_json::{Value, json};

pub(crate) use command_line::{CommandLine, CommandOutput, finish};
pub(crate) use output::Output;
pub(crate) use program::Program;

use super::{Fresh, Queues, at_rest, eventually};

/// Settings under which what was committed and not published is found after a second, not after fifteen. Silent branches
/// are still looked for every 30 s only: what is to be proven is that redelivery suffices.
const QUICK: [(&str, &str); 3] = [
    ("LEVERET_OUTBOX__PUBLISH_QUEUE_FOR", "1s"),
    ("LEVERET_OUTBOX__SWEEP_EVERY", "200ms"),
    ("LEVERET_TIMERS__SWEEP_EVERY", "200ms"),
];
/// The sender of everything a test sends.
const APP_ID: &str = "shop";
/// A database, a prefix, and a client of the shop. `store` and `client` come first: the database is dropped last.
pub(crate) struct Processes {
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) queues: Queues,
    pub(crate) fresh: Fresh,
}

impl Processes {
    /// With all examples applied.
    pub(crate) async fn new() -> Self {
        Self::on(Fresh::new().await).await
    }

    /// The same with a database and a prefix that are there already.
    pub(crate) async fn on(fresh: Fresh) -> Self {
        let database = config::Database { url: fresh.database_url.clone(), ..config::Database::default() };
        let store = Store::connect(&database, "the test").unwrap();
        let client = Client::connect(&fresh.amqp_url, &fresh.prefix, APP_ID).await.unwrap();
        let queues = Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
        let processes = Self { store, client, queues, fresh };
        for name in ["order", "line", "countdown", "retry"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
            processes.apply(&std::fs::read_to_string(file).unwrap()).await;
        }
        processes
    }

    /// Stores a document.
    pub(crate) async fn apply(&self, document: &str) {
        let parsed = Definition::parse(document).unwrap();
        definitions::apply(&mut self.store.background().await.unwrap(), &parsed).await.unwrap();
    }

    /// The program, with settings that find what was left behind soon.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Program {
        self.serve_roles("worker,relay,timers,cleaner,dead_letters,api", settings)
    }

    /// The same with these roles only.
    pub(crate) fn serve_roles(&self, roles: &str, settings: &[(&str, &str)]) -> Program {
        let settings: Vec<_> = QUICK.iter().chain(settings).copied().collect();
        Program::start(&self.fresh, &["serve", "--roles", roles], &settings)
    }
}

/// What is asked for. Message ids follow from the key, so that asking twice is a repetition.
impl Processes {
    pub(crate) async fn start(&self, definition: &str, key: &str, input: Value) {
        let start = Start { definition: definition.into(), key: Some(key.into()), input, ..Start::default() };
        self.client.start(&format!("start {definition} {key}"), &start).await.unwrap();
    }

    /// An order; what is not paid within `patience` expires.
    pub(crate) async fn order(&self, key: &str, patience: &str) {
        let input = json!({ "order_id": key, "article": "lamp", "quantity": 1, "amount": 100, "patience": patience });
        self.start("order", key, input).await;
    }

    pub(crate) async fn pay(&self, key: &str) {
        let paid = Message {
            name: "paid".into(),
            key: key.into(),
            data: json!({ "amount": 100 }),
            ttl: None,
            broadcast: false,
        };
        self.client.message(&format!("paid {key}"), &paid).await.unwrap();
    }
}

/// What the database says.
impl Processes {
    /// One number from the database.
    pub(crate) async fn count(&self, what: &str) -> i64 {
        at_rest::count(&mut self.store.background().await.unwrap(), what).await
    }

    /// One column of texts from the database.
    pub(crate) async fn lines(&self, query: &str) -> Vec<String> {
        at_rest::asked(&mut self.store.background().await.unwrap(), query).await
    }

    /// The activity of the live instance with this key; none if there is no such instance.
    pub(crate) async fn position(&self, key: &str) -> Option<String> {
        let query =
            format!("SELECT branches->'branches'->0->>'activity' AS line FROM leveret.instances WHERE key = '{key}'");
        self.lines(&query).await.pop()
    }

    /// The number of instances that have not ended.
    pub(crate) async fn under_way(&self) -> i64 {
        self.count("leveret.instances WHERE ended_at IS NULL").await
    }

    pub(crate) async fn ended(&self) -> i64 {
        self.count("leveret.instances WHERE ended_at IS NOT NULL").await
    }

    /// Waits until this number of instances has ended.
    pub(crate) async fn all_ended(&self, count: i64, within: Duration) {
        eventually("every instance has ended", within, async || self.ended().await >= count).await;
    }
}
