//! Assignment strategies, while two processes assign tasks at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::json;

use super::{SOON, with_approval};
use crate::support::{Program, eventually};

const TASKS: i64 = 40;

/// Opens many tasks in two processes at once, and counts the tasks of each person.
async fn given(strategy: &str) -> BTreeMap<String, i64> {
    let leveret = with_approval().await;
    let mut other = Program::start(&leveret.fresh, &["serve", "--roles", "worker,relay"], &[]);
    other.serves().await;
    leveret
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
    join_all(keys.iter().map(|key| leveret.post_instance("shared", key, json!({})))).await;
    eventually("all tasks are open", SOON, async || leveret.count("leveret.tasks WHERE open").await == TASKS).await;
    let rows = leveret.lines("assignee || ' ' || count(*)", "leveret.tasks GROUP BY assignee").await;
    other.terminate();
    other.wait_within(SOON).await;
    leveret.close_tasks().await;
    rows.iter().filter_map(|row| row.split_once(' ')).map(|(user, n)| (user.to_owned(), n.parse().unwrap())).collect()
}

fn evenly() -> BTreeMap<String, i64> {
    ["ann", "bob", "carl", "dora"].into_iter().map(|user| (user.to_owned(), TASKS / 4)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_is_kept_by_two_processes_at_once() {
    assert_eq!(given("round_robin").await, evenly());
}

#[tokio::test(flavor = "multi_thread")]
async fn least_loaded_is_kept_by_two_processes_at_once() {
    assert_eq!(given("least_loaded").await, evenly());
}
