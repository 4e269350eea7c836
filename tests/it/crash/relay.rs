//! A relay killed with claimed rows in its hands: before it publishes, before it deletes what was confirmed, and after.

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::Scene;

/// Orders, each with its payment: two rows.
const ORDERS: i64 = 10;

/// Orders and payments written by a caller's own transaction: rows that nobody hands over, so the sweep has to find them.
async fn ask_by_sql(scene: &Scene) {
    let asked = scene
        .lines(&format!(
            "SELECT leveret.start('order', jsonb_build_object('order_id', 'sql-' || n, 'article', 'rug', 'quantity', 1, \
                 'amount', 100, 'patience', '8s'), key => 'sql-' || n) \
             || leveret.message('paid', 'sql-' || n, '{{\"amount\": 100}}') AS line FROM generate_series(1, {ORDERS}) AS n"
        ))
        .await;
    assert_eq!(i64::try_from(asked.len()).unwrap(), ORDERS);
}

/// Kills the sweep at a point; so many rows must be left. Then lets their claim run out, and everything must happen once.
async fn sweep_killed_at(point: &str, rows_left: i64) {
    let scene = Scene::new().await;
    ask_by_sql(&scene).await;
    let mut doomed = scene.serve_roles("relay", &[("FAILPOINTS", &format!("{point}=1*return"))]);
    doomed.dies_at(point, DIES_WITHIN).await;
    assert_eq!(scene.count("leveret.outbox").await, rows_left, "rows after the death");
    // Instead of the 30 s for which a claim holds.
    scene.lines("UPDATE leveret.outbox SET claimable_at = claimable_at - interval '30 s' RETURNING NULL AS line").await;
    finish(scene, ORDERS).await;
}

async fn finish(scene: Scene, started: i64) {
    let mut next = scene.serve(&[]);
    scene.all_ended(started, ENDS_WITHIN).await;
    scene.is_at_rest(started).await;
    next.stops_in_order().await;
    scene.queues_are_empty().await;
}

#[tokio::test]
async fn sweep_killed_with_claimed_rows() {
    sweep_killed_at("relay::claimed", 2 * ORDERS).await;
}

#[tokio::test]
async fn sweep_killed_between_confirm_and_delete_sends_twice_and_nothing_happens_twice() {
    sweep_killed_at("relay::confirmed", 2 * ORDERS).await;
}

#[tokio::test]
async fn sweep_killed_after_the_delete() {
    sweep_killed_at("relay::deleted", 0).await;
}

/// Kills a process that plays every role while it publishes what it has just committed itself.
async fn publisher_killed_at(point: &str) {
    let scene = Scene::new().await;
    let mut doomed = scene.serve(&[("FAILPOINTS", &format!("{point}=3*off->1*return"))]);
    for number in 0..ORDERS {
        let key = format!("order-{number}");
        tokio::join!(scene.pay(&key), scene.order(&key, "8s"), scene.start("retry", &key, serde_json::json!({})));
    }
    doomed.dies_at(point, DIES_WITHIN).await;
    assert!(scene.count("leveret.instances").await > 0, "it died too early to have begun anything");
    finish(scene, 2 * ORDERS).await;
}

#[tokio::test]
async fn publisher_killed_before_it_publishes() {
    publisher_killed_at("relay::before_publish").await;
}

#[tokio::test]
async fn publisher_killed_between_confirm_and_delete() {
    publisher_killed_at("relay::confirmed").await;
}

#[tokio::test]
async fn publisher_killed_after_the_delete() {
    publisher_killed_at("relay::deleted").await;
}
