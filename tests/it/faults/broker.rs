//! The broker is restarted or wiped: PostgreSQL alone says what has to move, and it moves.

use std::time::Duration;

use leveret::broker::Queue;

use super::load::Load;
use crate::support::{Fault, Fresh, Private, Processes, SOON, eventually};

/// A command that was confirmed and is not handled is published again after 30 s.
const AGAIN_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_broker_loses_no_instance_and_doubles_none() {
    let mut fault = Fault::new("all state of the broker is deleted under load", "F44", "I1 I2 I3 I4 I7 I12 I20");
    let servers = Private::start();
    let mut load = Load::on(&servers).await;
    load.start_slow(0..50).await;
    load.start(50..200).await;
    load.is_under_way(200).await;
    let broker = servers.rabbitmq().unwrap();
    broker.stop_immediate().unwrap();
    let travelling = load.travelling().await;
    assert!(travelling > 100, "only {travelling} of 200 were under way");
    fault.fired_times(1, travelling);
    broker.wipe().unwrap();
    broker.start().unwrap();
    load.serve_slow().await;
    let took = load.all_arrive(200).await;
    fault.recovered_in(took);
    println!("{travelling} were under way; all have arrived {took:?} after the broker was back");
    fault.held();
}

/// Starts are sent while it is down. It is stopped in order: after SIGKILL a quorum queue of RabbitMQ 3.10 sometimes does
/// not answer again, and then only wiping helps, as above.
#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_a_broker_restart() {
    let mut fault = Fault::new("the broker is restarted in order under load", "F43", "I1 I2 I3 I4 I7 I12");
    let servers = Private::start();
    let load = Load::on(&servers).await;
    load.start(0..100).await;
    load.is_under_way(100).await;
    let broker = servers.rabbitmq().unwrap();
    broker.stop().unwrap();
    let travelling = load.travelling().await;
    assert!(travelling > 50, "only {travelling} of 100 were under way");
    fault.fired_times(1, travelling);
    let lost = async || !load.leveret.app().broker.is_connected();
    eventually("the loss is noticed", SOON, lost).await;
    assert!(load.leveret.app().broker.depth(&Queue::Commands).await.is_err());
    let restart = tokio::task::spawn_blocking(move || broker.start());
    let (restarted, ()) = tokio::join!(restart, load.start(100..150));
    restarted.unwrap().unwrap();
    let took = load.all_arrive(150).await;
    fault.recovered_in(took);
    println!("{travelling} were under way; all have arrived {took:?} after the last start was confirmed");
    fault.held();
}

/// What a broker suffers while journeys are under way, and its end. Half of them wait for a worker, so that none ends before, however
/// long the command takes.
async fn meanwhile(fault: Fault, begin: &[&str], lasts: Duration, end: &[&str]) {
    let servers = Private::start();
    let load = half_waiting(&servers).await;
    let broker = servers.rabbitmq().unwrap();
    let travelling = load.travelling().await;
    broker.control(begin).unwrap();
    tokio::time::sleep(lasts).await;
    broker.control(end).unwrap();
    arrives(fault, load, travelling).await;
}

async fn half_waiting(servers: &Private) -> Load {
    let load = Load::on(servers).await;
    load.start_slow(0..50).await;
    load.start(50..100).await;
    load.is_under_way(100).await;
    load
}

async fn arrives(mut fault: Fault, mut load: Load, travelling: i64) {
    assert!(travelling >= 50, "only {travelling} of 100 were under way");
    fault.fired_times(1, travelling);
    load.serve_slow().await;
    fault.recovered_in(load.all_arrive(100).await);
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_a_memory_alarm() {
    let fault = Fault::new("memory alarm of the broker under load, for 5 s", "F46", "I1 I2 I3 I4 I7 I11 I12");
    let seconds = Duration::from_secs(5);
    meanwhile(fault, &["set_vm_memory_high_watermark", "0.0001"], seconds, &["set_vm_memory_high_watermark", "0.4"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_the_broker_was_stopped_inside_its_node() {
    let fault =
        Fault::new("the broker is stopped inside its node (stop_app) under load, for 3 s", "F43", "I1 I2 I3 I4 I7 I12");
    meanwhile(fault, &["stop_app"], Duration::from_secs(3), &["start_app"]).await;
}

/// Longer than two heartbeats: connections are given up on both sides, and no publish is confirmed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_a_broker_that_was_frozen() {
    let fault = Fault::new("the broker is frozen (SIGSTOP) under load, for 15 s", "F20 F60", "I1 I2 I3 I4 I7 I12");
    let servers = Private::start();
    let load = half_waiting(&servers).await;
    let broker = servers.rabbitmq().unwrap();
    let travelling = load.travelling().await;
    broker.freeze().unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    broker.thaw().unwrap();
    arrives(fault, load, travelling).await;
}

/// Their sender has committed, and sends nothing again.
#[tokio::test(flavor = "multi_thread")]
async fn commands_from_sql_are_handled_although_the_broker_has_lost_them() {
    const COUNT: i64 = 20;
    let mut fault = Fault::new("the broker wiped after it has confirmed commands from SQL", "F44", "I1 I2 I3 I12");
    let servers = Private::start();
    let processes = Processes::on(Fresh::on(&servers).await).await;
    let mut relay = processes.serve_roles("relay", &[]);
    let starts =
        format!("SELECT leveret.start('line', key => 'sql-' || n) AS line FROM generate_series(1, {COUNT}) AS n");
    assert_eq!(processes.lines(&starts).await.len(), 20);
    let confirmed = async || processes.count("leveret.outbox WHERE confirmed_at IS NOT NULL").await == COUNT;
    eventually("the broker has taken all of them", SOON, confirmed).await;
    let broker = servers.rabbitmq().unwrap();
    broker.stop_immediate().unwrap();
    broker.wipe().unwrap();
    broker.start().unwrap();
    fault.fired_times(1, COUNT);
    let back = std::time::Instant::now();
    let mut worker = processes.serve(&[]);
    processes.all_ended(COUNT, AGAIN_WITHIN).await;
    fault.recovered_in(back.elapsed());
    let forgotten = async || processes.count("leveret.outbox").await == 0;
    eventually("what is handled is not published again", SOON, forgotten).await;
    assert_eq!(processes.count("leveret.inbox").await, COUNT, "each was handled once");
    assert_eq!(processes.count("leveret.instances").await, COUNT);
    relay.stops_in_order().await;
    worker.stops_in_order().await;
    fault.held();
}
