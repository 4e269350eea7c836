//! Faults of the catalogue that belong to no other theme: each test is a row of docs/reliability.md.

mod cleanup;
mod database;
mod dropped;
mod migrations;
mod network;
mod orphans;
mod queues;
mod relays;
mod requests;

use std::time::Duration;

use serde_json::json;

use crate::support::Processes;

/// A fail point that is passed must have killed within this.
const DIES_WITHIN: Duration = Duration::from_secs(20);
/// The bound of what is not about speed.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Lines and countdowns, half of each: steps and timers, without handlers, whose attempts an error of the database would cost.
async fn ask(processes: &Processes, count: i64) {
    for number in 0..count / 2 {
        let key = format!("asked-{number}");
        tokio::join!(
            processes.start("line", &key, json!({})),
            processes.start("countdown", &key, json!({ "from": 3, "pause": "300ms" })),
        );
    }
}
