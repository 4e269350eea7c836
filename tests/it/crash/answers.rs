//! Lost messages: a commit, a publish, an acknowledgement, or the answer to one of them. The process cannot tell
//! the two apart, only the database can.

use serde_json::json;

use super::{DIES_WITHIN, ENDS_WITHIN};
use crate::support::{Fault, Lost, Pooling, Processes, Proxy, eventually};

/// A worker whose connection to the database is cut; the other roles run in another process.
struct Severed {
    processes: Processes,
    wire: Proxy,
    worker: crate::support::Program,
    others: crate::support::Program,
}

impl Severed {
    async fn new() -> Self {
        let processes = Processes::new().await;
        let (wire, url) = Proxy::before(&processes.fresh.database_url).await;
        let worker = processes.serve_roles("worker", &[("DATABASE_URL", &url)]);
        let others = processes.serve_roles("relay,timers", &[]);
        Self { processes, wire, worker, others }
    }

    /// Cuts the wire where the fault has fired; the worker has to finish without being started anew.
    async fn finish(mut self, started: i64, mut fault: Fault) {
        fault.fired(started);
        self.wire.cut();
        self.processes.all_ended(started, ENDS_WITHIN).await;
        fault.recovered();
        self.processes.is_at_rest(started).await;
        for one in [&mut self.worker, &mut self.others] {
            one.stops_in_order().await;
        }
        self.processes.queues_are_empty().await;
        fault.held();
    }
}

/// A `COMMIT` of its own, after a handler has written.
async fn commit_of_a_handler(fault: Fault, lost: Lost, reserved: i64) {
    let severed = Severed::new().await;
    let processes = &severed.processes;
    processes.pay("unheard").await;
    eventually("the payment is kept", ENDS_WITHIN, async || processes.count("leveret.messages").await == 1).await;
    severed.wire.arm(b"COMMIT\0", lost);
    processes.order("unheard", "8s").await;
    tokio::time::timeout(DIES_WITHIN, severed.wire.fired()).await.expect("COMMIT was said");
    assert_eq!(processes.count("shop.reservations").await, reserved);
    severed.finish(1, fault).await;
}

#[tokio::test]
async fn the_commit_of_a_handler_is_lost() {
    let fault = Fault::new("the COMMIT of a handler is lost on its way", "F4", "I1 I2 I3 I4");
    commit_of_a_handler(fault, Lost::Request, 0).await;
}

#[tokio::test]
async fn the_answer_to_the_commit_of_a_handler_is_lost() {
    let fault = Fault::new("the answer to the COMMIT of a handler is lost", "F4", "I1 I2 I3 I4");
    // Behind a pooler single statements have a `COMMIT`, too, and the start is one: its answer is lost.
    commit_of_a_handler(fault, Lost::Answer, if is_pooled() { 0 } else { 1 }).await;
}

/// Whether a statement is in a transaction of its own, and is not committed when its answer comes.
fn is_pooled() -> bool {
    Pooling::from_environment().is_some()
}

/// A step that is one statement; its parameters hold these words. Then the instance must have this number of commits.
async fn single_statement(fault: Fault, words: &str, lost: Lost, standing: Option<&str>) {
    let severed = Severed::new().await;
    severed.wire.arm(words.as_bytes(), lost);
    severed.processes.start("line", "unheard", json!({})).await;
    tokio::time::timeout(DIES_WITHIN, severed.wire.fired()).await.expect("the statement was sent");
    assert_eq!(severed.processes.position("unheard").await.as_deref(), standing);
    severed.finish(1, fault).await;
}

/// What the variables of `line` are after its fifth step.
const FIFTH: &str = "{\"n\":15}";
/// The message id of the start, which its inbox row holds.
const START: &str = "start line unheard";

#[tokio::test]
async fn a_plain_step_is_lost() {
    let fault = Fault::new("a plain step is lost on its way to the database", "F4", "I1 I2 I3 I4");
    single_statement(fault, FIFTH, Lost::Request, Some("step-05")).await;
}

#[tokio::test]
async fn the_answer_to_a_plain_step_is_lost() {
    let fault = Fault::new("the answer to a plain step is lost", "F4", "I1 I2 I3 I4");
    single_statement(fault, FIFTH, Lost::Answer, Some(if is_pooled() { "step-05" } else { "step-06" })).await;
}

#[tokio::test]
async fn a_start_is_lost() {
    let fault = Fault::new("a start is lost on its way to the database", "F4", "I1 I2 I3 I4");
    single_statement(fault, START, Lost::Request, None).await;
}

#[tokio::test]
async fn the_answer_to_a_start_is_lost() {
    let fault = Fault::new("the answer to a start is lost", "F4", "I1 I2 I3 I4");
    single_statement(fault, START, Lost::Answer, (!is_pooled()).then_some("step-01")).await;
}

/// A request to the broker is lost, or its answer; the process keeps running.
async fn said_to_the_broker(mut fault: Fault, words: &[u8], lost: Lost) {
    let processes = Processes::new().await;
    let (wire, url) = Proxy::before(&processes.fresh.amqp_url).await;
    wire.arm(words, lost);
    let mut program = processes.serve(&[("AMQP_URL", &url)]);
    for number in 0..5 {
        let key = format!("unheard-{number}");
        tokio::join!(processes.pay(&key), processes.order(&key, "8s"));
    }
    tokio::time::timeout(DIES_WITHIN, wire.fired()).await.expect("it was said");
    fault.fired(processes.under_way().await);
    wire.cut();
    processes.all_ended(5, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(5).await;
    program.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}

/// The routing key of an event, which only its `basic.publish` holds.
const EVENT: &[u8] = b"order.shipped";
/// Class and method of `basic.ack`.
const ACK: &[u8] = &[0, 60, 0, 80];

#[tokio::test]
async fn a_publish_is_lost() {
    let fault = Fault::new("a publish is lost on its way to the broker", "F17", "I1 I2 I3 I4");
    said_to_the_broker(fault, EVENT, Lost::Request).await;
}

#[tokio::test]
async fn the_confirm_of_a_publish_is_lost() {
    let fault = Fault::new("the confirm of a publish is lost", "F17 F20", "I1 I2 I3 I4");
    said_to_the_broker(fault, EVENT, Lost::Answer).await;
}

#[tokio::test]
async fn an_acknowledgement_is_lost() {
    let fault = Fault::new("an acknowledgement is lost on its way, and the connection cut", "F6", "I1 I2 I3 I4");
    said_to_the_broker(fault, ACK, Lost::Request).await;
}

#[tokio::test]
async fn killed_between_publish_and_confirm() {
    let mut fault = Fault::new("kill -9 between publish and confirm", "F17", "I1 I2 I3 I4");
    let processes = Processes::new().await;
    let (wire, url) = Proxy::before(&processes.fresh.amqp_url).await;
    wire.arm(EVENT, Lost::Answer);
    let mut doomed = processes.serve(&[("AMQP_URL", &url)]);
    processes.pay("unheard").await;
    processes.order("unheard", "8s").await;
    tokio::time::timeout(DIES_WITHIN, wire.fired()).await.expect("it was published");
    doomed.kill().await;
    fault.fired(processes.under_way().await);
    // Events that were written since do not count: it is this one that has no confirm.
    let unheard = processes.count("leveret.outbox WHERE exchange = 'events' AND routing_key = 'order.shipped'").await;
    assert_eq!(unheard, 1, "it was deleted before its confirm");
    let mut next = processes.serve(&[]);
    processes.all_ended(1, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(1).await;
    next.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}
