//! The broker is restarted or wiped: PostgreSQL alone says what has to move, and it moves.

use leveret::broker::Queue;

use std::time::Duration;

use super::load::Load;
use crate::support::{Fresh, Private, Processes, SOON, eventually};

/// A command that was confirmed and is not handled is published again after 30 s.
const AGAIN_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_broker_loses_no_instance_and_doubles_none() {
    let servers = Private::start();
    let mut load = Load::on(&servers).await;
    load.start_slow(0..50).await;
    load.start(50..200).await;
    load.is_under_way(200).await;
    let broker = servers.rabbitmq().unwrap();
    broker.stop_immediate().unwrap();
    let travelling = load.travelling().await;
    assert!(travelling > 100, "only {travelling} of 200 were under way");
    broker.wipe().unwrap();
    broker.start().unwrap();
    load.serve_slow().await;
    let took = load.all_arrive(200).await;
    println!("{travelling} were under way; all have arrived {took:?} after the broker was back");
}

/// Starts are sent while it is down. It is stopped in order: after SIGKILL a quorum queue of RabbitMQ 3.10 sometimes does
/// not answer again, and then only wiping helps, as above.
#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_a_broker_restart() {
    let servers = Private::start();
    let load = Load::on(&servers).await;
    load.start(0..100).await;
    load.is_under_way(100).await;
    let broker = servers.rabbitmq().unwrap();
    broker.stop().unwrap();
    let travelling = load.travelling().await;
    assert!(travelling > 50, "only {travelling} of 100 were under way");
    let lost = async || !load.leveret.app().broker.is_connected();
    eventually("the loss is noticed", SOON, lost).await;
    assert!(load.leveret.app().broker.depth(&Queue::Commands).await.is_err());
    let restart = tokio::task::spawn_blocking(move || broker.start());
    let (restarted, ()) = tokio::join!(restart, load.start(100..150));
    restarted.unwrap().unwrap();
    let took = load.all_arrive(150).await;
    println!("{travelling} were under way; all have arrived {took:?} after the last start was confirmed");
}

/// Their sender has committed, and sends nothing again.
#[tokio::test(flavor = "multi_thread")]
async fn commands_from_sql_are_handled_although_the_broker_has_lost_them() {
    const COUNT: i64 = 20;
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
    let mut worker = processes.serve(&[]);
    processes.all_ended(COUNT, AGAIN_WITHIN).await;
    let forgotten = async || processes.count("leveret.outbox").await == 0;
    eventually("what is handled is not published again", SOON, forgotten).await;
    assert_eq!(processes.count("leveret.inbox").await, COUNT, "each was handled once");
    assert_eq!(processes.count("leveret.instances").await, COUNT);
    relay.stops_in_order().await;
    worker.stops_in_order().await;
}
