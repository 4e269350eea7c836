//! The broker's room alone in the process of the test, under a prefix of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use leveret::broker::{Broker, Deliveries, Delivery, Error, Exchange, Options, Outgoing, Queue, Sent, Topology};
use leveret::time::clock::Clock;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::eventually;

/// What is awaited comes within this, a restart of the broker included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A handle on the broker and the task that keeps it connected.
pub(crate) struct TestBroker {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) prefix: String,
    pub(crate) supervisor: JoinSet<()>,
}

pub(crate) async fn connect(url: &str) -> TestBroker {
    connect_with(url, format!("t{}", Uuid::now_v7().simple())).await
}

pub(crate) async fn connect_with(url: &str, prefix: String) -> TestBroker {
    let options = Options {
        url: url.into(),
        prefix: prefix.clone(),
        publishers: 2,
        confirm_timeout: Duration::from_secs(5),
        name: "broker test".into(),
        topology: Topology::Declared,
    };
    let clock = Clock::default();
    let (broker, supervisor) = Broker::start(options, clock.clone(), CancellationToken::new());
    let mut supervisors = JoinSet::new();
    supervisors.spawn(supervisor);
    timeout(PATIENCE, broker.connected()).await.expect("connected");
    TestBroker { broker, clock, prefix, supervisor: supervisors }
}

pub(crate) fn step(queue: &str, body: &str) -> Outgoing {
    Outgoing {
        id: Uuid::now_v7(),
        exchange: Exchange::Steps,
        routing_key: queue.into(),
        kind: "continue".into(),
        app_id: None,
        headers: BTreeMap::from([("traceparent".into(), "00-1".into())]),
        body: body.into(),
        due_at: None,
        reply_to: None,
        correlation_id: None,
        priority: None,
        message_id: None,
    }
}

pub(crate) fn queue(name: &str) -> Queue {
    Queue::Steps(name.into())
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Delivery {
    timeout(PATIENCE, deliveries.next()).await.expect("a delivery in time").expect("a delivery")
}

/// Publishes until it is confirmed, as the relay does.
pub(crate) async fn publish(broker: &Broker, message: Outgoing) {
    let trying = async {
        loop {
            broker.connected().await;
            match broker.publish(vec![message.clone()]).await {
                Ok(sent) if sent == [Sent::Confirmed] => return,
                Ok(_) | Err(Error::Unavailable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("published in time");
}

pub(crate) async fn depth_becomes(broker: &Broker, queue: &Queue, expected: u64) {
    let there = async || broker.depth(queue).await.expect("a depth") == expected;
    eventually(&format!("{expected} messages in the queue"), PATIENCE, there).await;
}

/// A channel of the client library alone.
pub(crate) async fn raw(url: &str) -> lapin::Channel {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    // It lives as long as the test.
    std::mem::forget(connection);
    channel
}
