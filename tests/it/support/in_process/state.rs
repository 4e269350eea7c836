//! What the database says of the instances of the process under test.

use diesel_async::SimpleAsyncConnection;
use leveret::engine::{Branch, InstanceId, Phase};
use leveret::store::{Connection, instances};
use uuid::Uuid;

use super::InProcess;
use crate::support::{SOON, at_rest, eventually};

impl InProcess {
    pub(crate) async fn count(&self, from: &str) -> i64 {
        at_rest::count(&mut *self.conn().await, from).await
    }

    /// Waits until the query finds exactly this number of rows.
    pub(crate) async fn count_becomes(&self, expected: i64, from: &str) {
        let what = format!("{expected} of {from}");
        eventually(&what, SOON, async || self.count(from).await == expected).await;
    }

    pub(crate) async fn lines(&self, column: &str, from: &str) -> Vec<String> {
        at_rest::lines(&mut *self.conn().await, column, from).await
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

    /// The status of the newest instance with this key, and the activity of its first branch if it has one.
    pub(crate) async fn position(&self, key: &str) -> String {
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

    /// Waits until the newest instance with this key is there: `completed`, or `running at payment`.
    pub(crate) async fn reaches(&self, key: &str, position: &str) {
        let there = async || self.position(key).await == position;
        eventually(&format!("`{key}` is {position}"), SOON, there).await;
    }

    /// The reasons of the dead letters, oldest first.
    pub(crate) async fn dead_letters(&self) -> Vec<String> {
        self.lines("reason", "leveret.dead_letters ORDER BY id").await
    }

    /// How many rows an activity of the instance with this key has written into the ledger.
    pub(crate) async fn booked(&self, key: &str, activity: &str) -> i64 {
        let from = format!(
            "ledger JOIN leveret.instances AS i ON i.id::text = instance \
             WHERE i.key = '{key}' AND activity = '{activity}'"
        );
        self.count(&from).await
    }
}
