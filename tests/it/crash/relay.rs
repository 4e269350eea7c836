//! A relay killed with claimed rows: before it publishes, before it deletes what was confirmed, and after.

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Fault, Processes};

/// Orders, each with its payment: two rows.
const ORDERS: i64 = 10;

/// Orders and payments written by a caller's own transaction: rows in no process's memory, so the sweep has to find them.
async fn ask_by_sql(processes: &Processes) {
    let asked = processes
        .lines(&format!(
            "SELECT leveret.start('order', jsonb_build_object('order_id', 'sql-' || n, 'article', 'rug', 'quantity', 1, \
                 'amount', 100, 'patience', '8s'), key => 'sql-' || n) \
             || leveret.message('paid', 'sql-' || n, '{{\"amount\": 100}}') AS line FROM generate_series(1, {ORDERS}) AS n"
        ))
        .await;
    assert_eq!(i64::try_from(asked.len()).unwrap(), ORDERS);
}

/// Kills the sweep at a point; this number of rows must be left. After their claim has expired, everything must happen once.
async fn sweep_killed_at(mut fault: Fault, point: &str, rows_left: i64) {
    let processes = Processes::new().await;
    ask_by_sql(&processes).await;
    let mut doomed = processes.serve_roles("relay", &[("FAILPOINTS", &format!("{point}=1*return"))]);
    doomed.dies_at(point, DIES_WITHIN).await;
    assert_eq!(processes.count("leveret.outbox").await, rows_left, "rows after the death");
    // Its orders are not begun: they are rows that nobody else publishes.
    fault.fired(ORDERS);
    // Instead of the 30 s for which a claim holds.
    processes
        .lines("UPDATE leveret.outbox SET claimable_at = claimable_at - interval '30 s' RETURNING NULL AS line")
        .await;
    finish(processes, ORDERS, fault).await;
}

async fn finish(processes: Processes, started: i64, mut fault: Fault) {
    let mut next = processes.serve(&[]);
    processes.all_ended(started, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(started).await;
    next.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn sweep_killed_with_claimed_rows() {
    let fault = Fault::new("kill -9 of the sweep between claim and publish", "F16", "I1 I2 I3 I4");
    sweep_killed_at(fault, "relay::claimed", 2 * ORDERS).await;
}

#[tokio::test]
async fn sweep_killed_between_confirm_and_delete_sends_twice_and_nothing_happens_twice() {
    let fault = Fault::new("kill -9 of the sweep between confirm and delete", "F18", "I1 I2 I3 I4");
    sweep_killed_at(fault, "relay::confirmed", 2 * ORDERS).await;
}

#[tokio::test]
async fn sweep_killed_after_the_delete() {
    let fault = Fault::new("kill -9 of the sweep after the delete", "F19", "I1 I2 I3 I4");
    // Nobody would send commands from SQL again: they stay until they are handled.
    sweep_killed_at(fault, "relay::deleted", 2 * ORDERS).await;
}

/// Kills a process that plays every role while it publishes what it has just committed itself.
async fn publisher_killed_at(mut fault: Fault, point: &str) {
    let processes = Processes::new().await;
    let mut doomed = processes.serve(&[("FAILPOINTS", &format!("{point}=3*off->1*return"))]);
    for number in 0..ORDERS {
        let key = format!("order-{number}");
        tokio::join!(
            processes.pay(&key),
            processes.order(&key, "8s"),
            processes.start("retry", &key, serde_json::json!({}))
        );
    }
    doomed.dies_at(point, DIES_WITHIN).await;
    fault.fired(processes.under_way().await);
    assert!(processes.count("leveret.instances").await > 0, "it died too early to have begun anything");
    finish(processes, 2 * ORDERS, fault).await;
}

#[tokio::test]
async fn publisher_killed_before_it_publishes() {
    let fault = Fault::new("kill -9 of the publisher before it publishes what was committed", "F16", "I1 I2 I3 I4");
    publisher_killed_at(fault, "relay::before_publish").await;
}

#[tokio::test]
async fn publisher_killed_between_confirm_and_delete() {
    let fault = Fault::new("kill -9 of the publisher between confirm and delete", "F18", "I1 I2 I3 I4");
    publisher_killed_at(fault, "relay::confirmed").await;
}

#[tokio::test]
async fn publisher_killed_after_the_delete() {
    let fault = Fault::new("kill -9 of the publisher after the delete", "F19", "I1 I2 I3 I4");
    publisher_killed_at(fault, "relay::deleted").await;
}
