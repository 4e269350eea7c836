//! Who is given a task, while two processes give tasks at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::json;

use super::{Office, SOON};
use crate::support::{Program, eventually};

const TASKS: i64 = 40;

/// Opens many tasks in two processes at once, and counts who was given how many.
async fn given(strategy: &str) -> BTreeMap<String, i64> {
    let office = Office::open().await;
    let mut other = Program::start(&office.leveret.fresh, &["serve", "--roles", "worker,relay"], &[]);
    eventually("the other process serves", SOON, async || other.output().contains("leveret runs")).await;
    office
        .leveret
        .apply(&format!(
            "
name: shared
activities:
  - id: pause
    wait: {{ for: 1s }}
  - id: do
    task: {{ assign: {{ strategy: {strategy}, users: [ann, bob, carl, dora] }} }}
"
        ))
        .await;
    let keys: Vec<String> = (0..TASKS).map(|number| number.to_string()).collect();
    join_all(keys.iter().map(|key| office.start("shared", key, json!({})))).await;
    eventually("all tasks are open", SOON, async || office.count("leveret.tasks WHERE open").await == TASKS).await;
    let rows = office.lines("assignee || ' ' || count(*)", "leveret.tasks GROUP BY assignee").await;
    other.terminate();
    other.wait_within(SOON).await;
    office.close().await;
    rows.iter().filter_map(|row| row.split_once(' ')).map(|(user, n)| (user.to_owned(), n.parse().unwrap())).collect()
}

fn evenly() -> BTreeMap<String, i64> {
    ["ann", "bob", "carl", "dora"].into_iter().map(|user| (user.to_owned(), TASKS / 4)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_are_kept_by_two_processes_at_once() {
    assert_eq!(given("round_robin").await, evenly());
}

#[tokio::test(flavor = "multi_thread")]
async fn load_is_shared_evenly_by_two_processes_at_once() {
    assert_eq!(given("least_loaded").await, evenly());
}
