//! A worker killed before a commit, between commit and acknowledgement, after the acknowledgement, and in the middle of many.

use super::{DIES_WITHIN, ENDS_WITHIN, MOVES_WITHIN};
use crate::support::{Fault, Processes, Program, eventually};
use serde_json::json;

/// Sooner than the timers role recovers silent branches (30 s); about 5 s on a machine with nothing else to do.
const REDELIVERED_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// What is left when the process dies at a commit: the activity of the order, and the number of rows of the shop.
type Left = (Option<&'static str>, i64, i64);

/// Kills the process of a paid order at the n-th pass of a fail point, for each n, and ends the order in a new process.
async fn killed_at_each(mut fault: Fault, point: &str, left: &[Left]) {
    let processes = Processes::new().await;
    for (passed, (standing, reserved, shipped)) in left.iter().enumerate() {
        let key = format!("order-{passed}");
        let mut doomed = processes.serve(&[("FAILPOINTS", &format!("{point}={passed}*off->1*return"))]);
        processes.pay(&key).await;
        eventually("the payment is kept", ENDS_WITHIN, async || processes.count("leveret.messages").await == 1).await;
        processes.order(&key, "8s").await;
        doomed.dies_at(point, DIES_WITHIN).await;

        assert_eq!(processes.position(&key).await.as_deref(), *standing, "after {passed} passes");
        for (table, rows) in [("reservations", reserved), ("shipments", shipped)] {
            let count = processes.count(&format!("shop.{table} WHERE order_key = '{key}'")).await;
            assert_eq!(count, *rows, "{table} after {passed} passes");
        }
        fault.fired(1);
        let mut next = processes.serve(&[]);
        processes.all_ended(i64::try_from(passed).unwrap() + 1, MOVES_WITHIN).await;
        fault.recovered();
        if passed + 1 == left.len() {
            processes.is_at_rest(i64::try_from(left.len()).unwrap()).await;
        }
        next.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn killed_before_any_commit_of_an_order() {
    let left = [
        (None, 0, 0),
        (Some("reserve"), 0, 0),
        (Some("payment"), 1, 0),
        (Some("enough"), 1, 0),
        (Some("ship"), 1, 0),
        (Some("tell"), 1, 1),
        (Some("shipped"), 1, 1),
    ];
    let fault = Fault::new("kill -9 before the commit", "F3", "I1 I2 I3 I4 I12");
    killed_at_each(fault, "step::before_commit", &left).await;
}

#[tokio::test]
async fn killed_after_any_commit_of_an_order() {
    let left = [
        (Some("reserve"), 0, 0),
        (Some("payment"), 1, 0),
        (Some("enough"), 1, 0),
        (Some("ship"), 1, 0),
        (Some("tell"), 1, 1),
        (Some("shipped"), 1, 1),
        (None, 1, 1),
    ];
    let fault = Fault::new("kill -9 after the commit, before what it publishes", "F5", "I1 I2 I3 I4 I12");
    killed_at_each(fault, "step::after_commit", &left).await;
}

#[tokio::test]
async fn killed_when_a_handler_has_done_its_work_and_nothing_is_committed() {
    let fault = Fault::new("kill -9 when a handler has written and nothing is committed", "F3", "I1 I2 I3 I4 I12");
    killed_at_each(fault, "step::handler_done", &[(Some("reserve"), 0, 0), (Some("ship"), 1, 0)]).await;
}

#[tokio::test]
async fn killed_before_the_acknowledgement_of_the_payment_and_of_the_order() {
    let fault = Fault::new("kill -9 before the acknowledgement", "F5", "I1 I2 I3 I4 I12");
    killed_at_each(fault, "worker::before_ack", &[(None, 0, 0), (None, 1, 1)]).await;
}

#[tokio::test]
async fn killed_after_the_acknowledgement_of_the_payment_and_of_the_order() {
    let fault = Fault::new("kill -9 after the acknowledgement", "F6", "I1 I2 I3 I4 I12");
    killed_at_each(fault, "worker::after_ack", &[(None, 0, 0), (None, 1, 1)]).await;
}

#[tokio::test]
async fn after_a_kill_between_two_steps_another_worker_continues_from_the_last_commit() {
    let mut fault = Fault::new("kill -9 between two steps of one delivery", "F5", "I1 I2 I3 I4 I12");
    let processes = Processes::new().await;
    let mut doomed = processes.serve(&[("FAILPOINTS", "step::after_commit=10*off->1*return")]);
    processes.start("line", "long", json!({})).await;
    doomed.dies_at("step::after_commit", DIES_WITHIN).await;
    assert_eq!(processes.position("long").await.as_deref(), Some("step-11"), "the start and ten steps were committed");
    fault.fired(1);
    let mut next = processes.serve(&[]);
    processes.all_ended(1, MOVES_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(1).await;
    next.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn processes_that_die_after_a_step_each_still_bring_an_order_to_its_end() {
    let mut fault = Fault::new("kill -9 of each process after one step", "F5", "I1 I2 I3 I4");
    let processes = Processes::new().await;
    let mut deaths = 0;
    processes.pay("tough").await;
    processes.order("tough", "8s").await;
    while processes.ended().await == 0 {
        assert!(deaths < 20, "it does not get on");
        // The first commit is the start, and later the count of the crash; the second is a step.
        let mut doomed = processes.serve(&[("FAILPOINTS", "step::after_commit=1*off->1*return")]);
        doomed.dies_at("step::after_commit", DIES_WITHIN).await;
        deaths += 1;
    }
    assert!(deaths >= 4, "only {deaths} deaths");
    fault.fired_times(deaths, 1);
    let mut last = processes.serve(&[]);
    processes.is_at_rest(1).await;
    last.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn with_default_settings_redelivery_alone_recovers_many_instances() {
    let mut fault = Fault::new(
        "kill -9 of one of two workers with default settings, in the middle of many",
        "F5",
        "I1 I2 I3 I4 I12",
    );
    let processes = Processes::new().await;
    let fail_points = [("FAILPOINTS", "step::after_commit=60*off->1*return")];
    let mut doomed = Program::start(&processes.fresh, &["serve"], &fail_points);
    let mut survivor = Program::start(&processes.fresh, &["serve"], &[]);
    for number in 0..15 {
        let key = format!("order-{number}");
        tokio::join!(processes.pay(&key), processes.order(&key, "8s"), processes.start("line", &key, json!({})));
    }
    doomed.dies_at("step::after_commit", DIES_WITHIN).await;
    fault.fired(processes.under_way().await);
    processes.all_ended(30, REDELIVERED_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(30).await;
    survivor.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}
