//! Schedules: each tick starts one instance, whatever is stopped, paused, overlapping, wrong or running twice. Time is turned by
//! setting the moment a schedule waits for.

mod doors;
mod report;
mod ticks;

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use jiff::Timestamp;
use leveret::app::App;
use leveret::contract::schedule::{ScheduleRequest, ScheduleView};
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::timers;
use leveret::step::schedule::{self, Expect};
use serde_json::{Value, json};

use crate::support::{Fresh, InProcess, assert_at_rest, count, eventually, lines};

/// Waits for a message that bears the key of its instance.
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
/// Whatever is not about speed is there within this.
const SOON: Duration = Duration::from_secs(20);

/// Every role but the one that looks at schedules: a test takes its turns itself.
struct Desk {
    process: InProcess,
}

impl Desk {
    async fn open() -> Self {
        let fresh = Fresh::new().await;
        let config = InProcess::config(&fresh);
        leveret::telemetry::start_logs(&config.log);
        let process = InProcess::on(fresh, config, Handlers::new(), &[Role::Worker, Role::Relay, Role::Api]).await;
        process.apply(REPORT).await;
        Self { process }
    }

    fn app(&self) -> &App {
        self.process.app()
    }

    /// The handles of one more process on the same database.
    fn another(&self) -> App {
        App::without_publisher(InProcess::config(&self.process.fresh), Handlers::new(), "another").unwrap()
    }

    /// A schedule that starts reports; what is not said is as by default.
    async fn plan(&self, name: &str, said: Value) -> ScheduleView {
        let mut whole = json!({ "definition": "report", "cron": "0 * * * *", "input": { "at": "${ scheduled_at }" } });
        whole.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let said: ScheduleRequest = serde_json::from_value(whole).unwrap();
        schedule::put(self.app(), name, said, Expect::Either).await.unwrap().0
    }

    async fn see(&self, name: &str) -> ScheduleView {
        schedule::get(self.app(), name).await.unwrap()
    }

    /// Lets a schedule wait for the tick that was so long ago by the database's clock, and says which that is.
    async fn missed(&self, name: &str, ago: &str) -> Timestamp {
        let hour = format!("date_trunc('hour', clock_timestamp() - interval '{ago}')");
        self.waits_for(name, &hour).await
    }

    /// Lets a schedule wait for a moment, an expression of SQL.
    async fn waits_for(&self, name: &str, moment: &str) -> Timestamp {
        let statement =
            format!("UPDATE leveret.schedules SET next_at = {moment}, wake_at = {moment} WHERE name = '{name}'");
        self.execute(&statement).await;
        self.see(name).await.next_at.unwrap()
    }

    /// Takes turns until nothing is due.
    async fn turn(&self) -> usize {
        timers::schedule::run_once(self.app()).await.unwrap()
    }

    /// The same, after whatever waits has come to be looked at.
    async fn turn_later(&self) {
        self.execute("UPDATE leveret.schedules SET wake_at = clock_timestamp() WHERE wake_at IS NOT NULL").await;
        self.turn().await;
    }

    async fn execute(&self, statement: &str) {
        self.app().store.background().await.unwrap().batch_execute(statement).await.unwrap();
    }

    async fn count(&self, from: &str) -> i64 {
        count(&mut self.app().store.background().await.unwrap(), from).await
    }

    async fn lines(&self, column: &str, from: &str) -> Vec<String> {
        lines(&mut self.app().store.background().await.unwrap(), column, from).await
    }

    /// Key and status of every instance, the oldest first.
    async fn instances(&self) -> Vec<String> {
        self.lines("key || ' ' || status", "leveret.instances ORDER BY id").await
    }

    /// Waits until every instance that lives waits for its figures.
    async fn settled(&self) {
        let moving = "leveret.instances WHERE ready";
        eventually("everybody waits", SOON, async || self.count(moving).await == 0).await;
    }

    /// Ends the instance with this key.
    async fn figures(&self, key: &str) {
        self.settled().await;
        self.process.post("/messages", &json!({ "name": "figures", "key": key })).await.ok(200);
        let live = format!("leveret.instances WHERE key = '{key}' AND ended_at IS NULL");
        eventually("it has ended", SOON, async || self.count(&live).await == 0).await;
    }

    async fn close(self) {
        self.settled().await;
        assert_at_rest(&mut self.app().store.background().await.unwrap()).await;
        self.process.stop().await;
    }
}
