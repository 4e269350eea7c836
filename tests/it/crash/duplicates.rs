//! The same command twice, and to two workers at once.

use leveret::contract::Continue;
use serde_json::json;
use uuid::Uuid;

use super::ENDS_WITHIN;
use crate::support::{Fault, Processes, eventually};

#[tokio::test]
async fn the_same_start_and_the_same_payment_three_times_to_two_workers_at_once() {
    let mut fault = Fault::new("starts and messages come four times, to two workers at once", "F12", "I1 I2 I3 I4 I8");
    let processes = Processes::new().await;
    let mut both = [processes.serve(&[]), processes.serve(&[])];
    for number in 0..20 {
        let key = format!("order-{number}");
        let one = async || tokio::join!(processes.order(&key, "8s"), processes.pay(&key));
        tokio::join!(one(), one(), one());
    }
    processes.all_ended(20, ENDS_WITHIN).await;
    fault.fired_times(3 * 20, 20);
    // Once more, after everything has ended.
    for number in 0..20 {
        let key = format!("order-{number}");
        tokio::join!(processes.order(&key, "8s"), processes.pay(&key));
    }
    processes.is_at_rest(20).await;
    for one in &mut both {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}

/// One hop per step: every step has its own command on the broker, and each of them is delivered four times.
#[tokio::test]
async fn every_step_command_four_times_to_two_workers_at_once() {
    let mut fault = Fault::new(
        "every step command comes four times, early and late, to two workers at once",
        "F12 F49",
        "I1 I2 I3 I4 I5",
    );
    let processes = Processes::new().await;
    let hop = [("LEVERET_WORKER__STEPS_PER_DELIVERY_MAX", "1")];
    let mut both = [processes.serve(&hop), processes.serve(&hop)];
    for number in 0..5 {
        processes.start("line", &format!("line-{number}"), json!({})).await;
    }
    eventually("all have begun", ENDS_WITHIN, async || processes.count("leveret.instances").await == 5).await;
    let ids = processes.lines("SELECT id::text AS line FROM leveret.instances").await;
    for sequence in 0..25 {
        for id in &ids {
            let command = Continue { instance: id.parse::<Uuid>().unwrap(), branch: 0, sequence };
            let publish = || processes.queues.publish_continue(&command);
            tokio::join!(publish(), publish(), publish());
        }
    }
    fault.fired_times(3 * 25 * ids.len(), 5);
    processes.all_ended(5, ENDS_WITHIN).await;
    processes.is_at_rest(5).await;
    for one in &mut both {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}
