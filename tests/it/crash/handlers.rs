//! Handlers that kill their process.

use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Program, Scene, eventually};

/// Every handler kills its process, always.
const POISON: [(&str, &str); 2] = [("FAILPOINTS", "step::handler_done=return"), ("LEVERET_WORKER__CRASH_MAX", "2")];

#[tokio::test]
async fn a_handler_that_kills_its_process_each_time_becomes_an_incident_and_others_are_not_affected() {
    let scene = Scene::new().await;
    scene.pay("poison").await;
    scene.order("poison", "8s").await;
    // The first time, and twice again; the fourth process finds that it was too often.
    for death in 1..=3 {
        let mut doomed = scene.serve(&POISON);
        scene.start("line", &format!("innocent-{death}"), json!({})).await;
        doomed.dies_at("step::handler_done", DIES_WITHIN).await;
    }
    let mut survivor = scene.serve(&POISON);
    let suspended = async || scene.count("leveret.instances WHERE status = 'suspended'").await == 1;
    eventually("the order is an incident", DIES_WITHIN, suspended).await;
    scene.start("line", "innocent-4", json!({})).await;
    scene.start("countdown", "innocent-5", json!({ "from": 2, "pause": "100ms" })).await;
    scene.all_ended(5, ENDS_WITHIN).await;
    assert_eq!(scene.count("shop.reservations").await, 0, "nothing of what the handler did is left");
    let crashes = scene.count("leveret.history WHERE kind = 'WorkerCrashed'").await;
    assert!(crashes >= 2, "the crashes are in the history: {crashes}");
    survivor.stops_in_order().await;

    let mut cured = scene.serve(&[]);
    let id = scene.lines("SELECT id::text AS line FROM leveret.instances WHERE status = 'suspended'").await.remove(0);
    let mut retry = Program::start(&scene.fresh, &["instance", "retry", &id], &[]);
    assert!(retry.wait_within(DIES_WITHIN).await.success(), "{}", retry.output());
    scene.all_ended(6, ENDS_WITHIN).await;
    scene.is_at_rest(6).await;
    cured.stops_in_order().await;
    scene.queues_are_empty().await;
}
