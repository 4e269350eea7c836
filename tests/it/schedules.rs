//! Schedules: each tick starts one instance, whatever is stopped, paused, overlapping, wrong or running twice. A test sets the moment a
//! schedule waits for instead of waiting itself.

mod interfaces;
mod report;
mod ticks;

use jiff::Timestamp;
use leveret::app::App;
use leveret::command::audit::{Actor, Door};
use leveret::command::schedule::{self, Expect};
use leveret::contract::schedule::{ScheduleRequest, ScheduleView};
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::timers;
use serde_json::{Value, json};

use crate::support::{Fresh, InProcess, SOON, eventually};

fn operator() -> Actor {
    Actor { who: "ann".into(), door: Door::Http, via: None }
}

/// Waits for a message with the key of its instance.
const REPORT: &str = "
name: report
input:
  type: object
  required: [at]
  properties: { at: { type: string }, by: { type: string, default: nobody } }
output: ${ at }
activities:
  - { id: figures, receive: { name: figures } }
";
/// Every role but the one that runs schedules: a test runs them itself.
async fn with_report() -> InProcess {
    let fresh = Fresh::new().await;
    let config = InProcess::config(&fresh);
    let leveret = InProcess::on(fresh, config, Handlers::new(), &[Role::Worker, Role::Relay, Role::Api]).await;
    leveret.apply(REPORT).await;
    leveret
}

/// Calls of the functions of schedules.
impl InProcess {
    /// The handles of one more process on the same database.
    fn another(&self) -> App {
        App::without_publisher(Self::config(&self.fresh), Handlers::new(), "another").unwrap()
    }

    /// A schedule that starts reports, with these fields and else the defaults.
    async fn plan(&self, name: &str, said: Value) -> ScheduleView {
        let mut whole = json!({ "definition": "report", "cron": "0 * * * *", "input": { "at": "${ scheduled_at }" } });
        whole.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let said: ScheduleRequest = serde_json::from_value(whole).unwrap();
        schedule::put(self.app(), name, said, Expect::Either, &operator()).await.unwrap().0
    }

    async fn schedule(&self, name: &str) -> ScheduleView {
        schedule::get(self.app(), name).await.unwrap()
    }

    /// Makes a schedule wait for the tick of that time ago by the database's clock, and says which that is.
    async fn misses_tick(&self, name: &str, ago: &str) -> Timestamp {
        let hour = format!("date_trunc('hour', clock_timestamp() - interval '{ago}')");
        self.waits_for(name, &hour).await
    }

    /// Makes a schedule wait for a time, an expression of SQL.
    async fn waits_for(&self, name: &str, moment: &str) -> Timestamp {
        let statement =
            format!("UPDATE leveret.schedules SET next_at = {moment}, wake_at = {moment} WHERE name = '{name}'");
        self.execute(&statement).await;
        self.schedule(name).await.next_at.unwrap()
    }

    /// Runs what is due; says how many ticks that was.
    async fn run_due(&self) -> usize {
        timers::schedule::run_once(self.app()).await.unwrap()
    }

    /// The same, after the waiting ticks are made due.
    async fn run_due_later(&self) {
        self.execute("UPDATE leveret.schedules SET wake_at = clock_timestamp() WHERE wake_at IS NOT NULL").await;
        self.run_due().await;
    }

    /// Key and status of every instance, the oldest first.
    async fn instances(&self) -> Vec<String> {
        self.lines("key || ' ' || status", "leveret.instances ORDER BY id").await
    }

    /// Waits until every live instance waits for its figures.
    async fn all_wait(&self) {
        let moving = "leveret.instances WHERE ready";
        eventually("every live instance waits", SOON, async || self.count(moving).await == 0).await;
    }

    /// Ends the instance with this key.
    async fn figures(&self, key: &str) {
        self.all_wait().await;
        self.post("/messages", &json!({ "name": "figures", "key": key })).await.ok(200);
        let live = format!("leveret.instances WHERE key = '{key}' AND ended_at IS NULL");
        eventually("it has ended", SOON, async || self.count(&live).await == 0).await;
    }

    async fn close_schedules(self) {
        self.all_wait().await;
        self.close().await;
    }
}
