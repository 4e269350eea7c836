//! A process killed with due timers claimed; and two processes with every role at once.

use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Fault, Processes};

/// No wake-ups on the broker: only the sweep fires timers.
const NO_HINTS: (&str, &str) = ("LEVERET_TIMERS__BROKER_HORIZON", "0s");

#[tokio::test]
async fn killed_with_due_timers_claimed_they_fire_once() {
    let mut fault = Fault::new("kill -9 of the timers between claim and fire command", "F34", "I1 I2 I3 I4 I7");
    let processes = Processes::new().await;
    let mut worker = processes.serve_roles("worker,relay", &[NO_HINTS]);
    for number in 0..5 {
        processes.start("countdown", &format!("countdown-{number}"), json!({ "from": 3, "pause": "100ms" })).await;
    }
    let mut doomed = processes.serve_roles("timers", &[NO_HINTS, ("FAILPOINTS", "timers::claimed=1*off->1*return")]);
    doomed.dies_at("timers::claimed", DIES_WITHIN).await;
    assert!(processes.ended().await < 5, "timers were fired without a process with the role `timers`");
    fault.fired(processes.under_way().await);
    let mut next = processes.serve_roles("timers", &[NO_HINTS]);
    processes.all_ended(5, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(5).await;
    next.stops_in_order().await;
    worker.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test]
async fn two_processes_with_every_role_double_nothing() {
    let mut fault = Fault::new("two processes play every role at once", "F21 F33", "I1 I2 I3 I4 I7");
    let processes = Processes::new().await;
    let mut both = [processes.serve(&[]), processes.serve(&[])];
    for number in 0..75 {
        let key = format!("mixed-{number}");
        // Two in three are paid, before or after their order is there; the others expire.
        let is_paid = number % 3 != 0;
        let pay = async {
            if is_paid {
                processes.pay(&key).await;
            }
        };
        tokio::join!(
            pay,
            processes.order(&key, if is_paid { "15s" } else { "2s" }),
            processes.start("countdown", &key, json!({ "from": 3, "pause": "150ms" })),
            processes.start("retry", &key, json!({})),
            processes.start("line", &key, json!({})),
        );
    }
    fault.fired_times(1, processes.under_way().await);
    processes.all_ended(300, ENDS_WITHIN).await;
    processes.is_at_rest(300).await;
    assert_eq!(processes.count("shop.reservations WHERE released").await, 25, "the unpaid third has expired");
    for one in &mut both {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}
