//! Leveret in the test's own process, with the ledger's handlers, and everything a test asks of it.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use leveret::app::App;
use leveret::config::Config;
use leveret::engine::{Branch, InstanceId, Phase};
use leveret::roles::Role;
use leveret::store::{Connection, Lease, instances};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Fresh, InProcess, Sender, eventually, ledger, rest};

/// Whatever is not about speed ends within this.
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Does one thing, once.
const STEP: &str = "
name: step
activities:
  - { id: only, run: { handler: book } }
";
/// Does something, waits for a message, and does something else.
const PAID: &str = "
name: paid
variables: { amount: 0 }
output: ${ amount }
activities:
  - { id: before, run: { handler: book } }
  - { id: payment, receive: { name: paid }, output: { amount: result.data.amount } }
  - { id: after, run: { handler: book } }
";

/// Roles, a sender, and the world they share.
pub(crate) struct House {
    pub(crate) sender: Sender,
    pub(crate) process: InProcess,
}

impl House {
    /// Every role on the servers all tests share, with the definitions `step` and `paid`.
    pub(crate) async fn open() -> Self {
        Self::on(Fresh::new().await, |_| {}).await
    }

    /// The same with other settings, or on other servers. What a dead process left is found sooner than by default.
    pub(crate) async fn on(fresh: Fresh, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = InProcess::config(&fresh);
        config.outbox.publish_queue_for = Duration::from_secs(5);
        config.recovery.after = Duration::from_secs(5);
        change(&mut config);
        // What it says is shown if the test fails.
        leveret::telemetry::start_logs(&config.log);
        let sender = Sender::connect(&fresh.amqp_url, &fresh.prefix).await;
        let process = InProcess::on(fresh, config, ledger::handlers(), &Role::ALL).await;
        let house = Self { sender, process };
        house.apply(STEP).await;
        house.apply(PAID).await;
        house
    }

    pub(crate) fn app(&self) -> &App {
        self.process.app()
    }

    pub(crate) async fn conn(&self) -> Lease {
        self.app().store.background().await.unwrap()
    }

    /// Stores a document.
    pub(crate) async fn apply(&self, document: &str) {
        self.process.apply(document).await;
    }

    /// Nothing is stuck, unsent, open or broken, and the queues are empty once everybody has stopped: had anything not been
    /// acknowledged, it would be back.
    pub(crate) async fn close(self) {
        rest::assert_at_rest(&mut *self.conn().await).await;
        let Self { sender, process } = self;
        let queues = super::Queues::connect(&process.fresh.amqp_url, &process.fresh.prefix).await;
        let fresh = process.stop().await;
        queues.are_worked_off(ENDS_WITHIN).await;
        drop((sender, fresh));
    }
}

/// Asking.
impl House {
    /// Starts an instance with a key; its message id is its key.
    pub(crate) async fn start(&self, definition: &str, key: &str) {
        self.start_with(definition, key, json!({})).await;
    }

    pub(crate) async fn start_with(&self, definition: &str, key: &str, input: Value) {
        let body = json!({ "definition": definition, "key": key, "input": input });
        self.sender.command("start", &format!("start {definition} {key}"), &body).await;
    }

    /// Pays an amount to whoever waits for it under this key.
    pub(crate) async fn pay(&self, message_id: &str, key: &str, amount: i64) {
        let body = json!({ "name": "paid", "key": key, "data": { "amount": amount } });
        self.sender.command("message", message_id, &body).await;
    }
}

/// Looking.
impl House {
    pub(crate) async fn count(&self, from: &str) -> i64 {
        rest::count(&mut *self.conn().await, from).await
    }

    pub(crate) async fn lines(&self, column: &str, from: &str) -> Vec<String> {
        rest::lines(&mut *self.conn().await, column, from).await
    }

    /// Does something to the database that no program of ours would do.
    pub(crate) async fn execute(&self, statement: &str) {
        self.conn().await.batch_execute(statement).await.unwrap();
    }

    /// The newest instance with this key.
    pub(crate) async fn id(&self, key: &str) -> Option<InstanceId> {
        let ids = self.lines("id", &format!("leveret.instances WHERE key = '{key}' ORDER BY id DESC LIMIT 1")).await;
        ids.first().map(|id| InstanceId(id.parse::<Uuid>().unwrap()))
    }

    /// The status of the newest instance with this key, and where it waits if it lives.
    pub(crate) async fn standing(&self, key: &str) -> String {
        let Some(id) = self.id(key).await else { return "nowhere".into() };
        let mut conn = self.conn().await;
        let instance = instances::find(&mut conn as &mut Connection, id).await.unwrap().unwrap().instance;
        let status = instance.status.name();
        match instance.state.branches.first() {
            Some(Branch { phase: Phase::Waiting(_), activity, .. }) => format!("{status} at {activity}"),
            Some(Branch { phase: Phase::Ready, activity, .. }) => format!("{status} before {activity}"),
            Some(Branch { phase: Phase::Concluded(_), activity, .. }) => format!("{status} after {activity}"),
            None => status.to_owned(),
        }
    }

    /// Waits until the newest instance with this key stands there: `completed`, or `running at payment`.
    pub(crate) async fn stands(&self, key: &str, where_: &str) {
        let mut seen = String::new();
        let holds = async || {
            seen = self.standing(key).await;
            seen == where_
        };
        eventually(&format!("`{key}` is {where_}"), ENDS_WITHIN, holds).await;
    }

    /// Waits until so many rows are there, and no more.
    pub(crate) async fn becomes(&self, expected: i64, from: &str) {
        let what = format!("{expected} of {from}");
        eventually(&what, ENDS_WITHIN, async || self.count(from).await == expected).await;
    }

    /// The reasons of the dead letters, oldest first.
    pub(crate) async fn letters(&self) -> Vec<String> {
        self.lines("reason", "leveret.dead_letters ORDER BY id").await
    }

    /// How many rows an activity of the instance with this key has written.
    pub(crate) async fn booked(&self, key: &str, activity: &str) -> i64 {
        let from = format!(
            "ledger JOIN leveret.instances AS i ON i.id::text = instance \
             WHERE i.key = '{key}' AND activity = '{activity}'"
        );
        self.count(&from).await
    }
}
