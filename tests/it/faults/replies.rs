//! What RabbitMQ answers when something is wrong, raised by real brokers: a user who is refused, a connection that an operator closes, an
//! alarm of the disk.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::time::Duration;

use lapin::{ConnectionProperties, ErrorKind};
use leveret::broker::{Broker, Error, Options, Topology};
use leveret::fault::{Class, of_reply};
use leveret::time::clock::Clock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::broker::{PATIENCE, connect, next, publish, queue, step};
use crate::support::{Fault, Private, eventually};

/// The number of the reply with which the broker ends a connection.
async fn reply(url: &str) -> u16 {
    let error = lapin::Connection::connect(url, ConnectionProperties::default()).await.map(drop).unwrap_err();
    match error.kind() {
        ErrorKind::ProtocolError(amqp) => amqp.get_id(),
        other => panic!("not a reply: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_refused_is_told_and_served_once_it_is_allowed() {
    let mut fault = Fault::new("the password of the broker is wrong, then right", "F47", "I12 I16");
    let servers = Private::start();
    let node = servers.rabbitmq().unwrap();
    node.control(&["add_user", "late", "before"]).unwrap();
    node.control(&["set_permissions", "late", ".*", ".*", ".*"]).unwrap();
    let (_, place) = servers.amqp_url.split_once('@').unwrap();
    let url = format!("amqp://late:after@{place}");
    assert_eq!(of_reply(reply(&url).await).reply, Some(403));
    let options = Options {
        url,
        prefix: "late".into(),
        publishers: 1,
        confirm_timeout: Duration::from_secs(5),
        name: "late".into(),
        topology: Topology::Declared,
    };
    let (broker, supervisor) = Broker::start(options, Clock::default(), CancellationToken::new());
    let supervising = tokio::spawn(supervisor);
    let refused = broker.publish(vec![step("a", "x")]).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)) && refused.class() == Class::Transient, "{refused:?}");
    fault.fired(0);
    assert!(!broker.is_connected());
    node.control(&["change_password", "late", "after"]).unwrap();
    timeout(PATIENCE, broker.connected()).await.expect("connected");
    publish(&broker, step("a", "x")).await;
    fault.recovered();
    broker.close().await;
    supervising.await.unwrap();
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_an_operator_closes_is_opened_again() {
    let mut fault = Fault::new("every connection of the broker is closed by an operator", "F43", "I3 I12");
    let servers = Private::start();
    let test = connect(&servers.amqp_url).await;
    let bystander = lapin::Connection::connect(&servers.amqp_url, ConnectionProperties::default()).await.unwrap();
    let mut deliveries = test.broker.consume(queue("a"), 1);
    publish(&test.broker, step("a", "held")).await;
    let held = next(&mut deliveries).await;
    servers.rabbitmq().unwrap().control(&["close_all_connections", "maintenance"]).unwrap();
    fault.fired(0);
    eventually("the connection is closed", PATIENCE, async || !bystander.status().connected()).await;
    assert_eq!(of_reply(320).class, Class::Transient);
    let again = next(&mut deliveries).await;
    fault.recovered();
    assert!(again.redelivered && again.body == held.body, "{again:?}");
    assert_eq!(held.ack().await, Ok(false), "its connection is gone");
    assert_eq!(again.ack().await, Ok(true));
    publish(&test.broker, step("a", "after")).await;
    assert_eq!(next(&mut deliveries).await.body, b"after");
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_the_disk_blocks_publishers_and_ends() {
    let mut fault = Fault::new("disk alarm of the broker", "F46", "I3 I11 I12");
    let servers = Private::start();
    let node = servers.rabbitmq().unwrap();
    let test = connect(&servers.amqp_url).await;
    publish(&test.broker, step("a", "before")).await;
    // More than any disk has.
    node.control(&["set_disk_free_limit", "1000000000000000"]).unwrap();
    let refused = async { while test.broker.publish(vec![step("a", "x")]).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("refused");
    fault.fired_times(1, 0);
    assert!(test.broker.is_blocked() && test.broker.is_connected());
    node.control(&["set_disk_free_limit", "50000000"]).unwrap();
    publish(&test.broker, step("a", "after")).await;
    assert!(!test.broker.is_blocked());
    test.broker.close().await;
    fault.held();
}
