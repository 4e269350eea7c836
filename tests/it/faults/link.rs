//! The connections to the broker, when it is killed, wiped, silent, or full.

use std::time::{Duration, Instant};

use leveret::broker::Error;
use tokio::time::timeout;

use crate::support::broker::{PATIENCE, connect, next, publish, queue, step};
use crate::support::{Fault, Private, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn publishers_and_consumers_continue_after_the_broker_was_killed_and_wiped() {
    let mut fault = Fault::new("the broker is killed and wiped under a publisher and a consumer", "F43 F44", "I3 I12");
    let servers = Private::start();
    let node = servers.rabbitmq().unwrap();
    let test = connect(&servers.amqp_url).await;
    let mut deliveries = test.broker.consume(queue("a"), 10);
    publish(&test.broker, step("a", "before")).await;
    let lost = next(&mut deliveries).await;
    node.stop_immediate().unwrap();
    fault.fired(0);
    node.wipe().unwrap();
    assert!(matches!(test.broker.publish(vec![step("a", "nowhere")]).await, Err(Error::Unavailable(_))));
    assert_eq!(lost.ack().await, Ok(false));
    node.start().unwrap();
    publish(&test.broker, step("a", "after")).await;
    assert_eq!(next(&mut deliveries).await.body, b"after");
    fault.recovered();
    assert!(test.broker.verify().await.unwrap().is_equal());
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_noticed_within_two_and_a_half_heartbeats() {
    let mut fault = Fault::new("the broker is frozen (SIGSTOP): noticed within 2.5 heartbeats", "F60", "I12");
    let servers = Private::start();
    let node = servers.rabbitmq().unwrap();
    let test = connect(&servers.amqp_url).await;
    publish(&test.broker, step("a", "before")).await;
    node.freeze().unwrap();
    fault.fired(0);
    let since = Instant::now();
    // Two heartbeats are 20 s. Whether they have passed is looked at every 5 s, so that it may take as much longer.
    eventually("the silence is noticed", Duration::from_secs(26), async || !test.broker.is_connected()).await;
    fault.recovered();
    assert!(since.elapsed() < Duration::from_secs(26));
    node.thaw().unwrap();
    publish(&test.broker, step("a", "after")).await;
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_broker_accepts_acknowledgements_and_refuses_messages() {
    let mut fault =
        Fault::new("memory alarm of the broker: publishers are refused, acknowledgements taken", "F46", "I3 I11");
    let servers = Private::start();
    let node = servers.rabbitmq().unwrap();
    let test = connect(&servers.amqp_url).await;
    test.broker.publish((0..10).map(|n| step("a", &n.to_string())).collect()).await.expect("published");
    let mut deliveries = test.broker.consume(queue("a"), 1);
    next(&mut deliveries).await.ack().await.expect("acknowledged");
    node.control(&["set_vm_memory_high_watermark", "0.0001"]).unwrap();
    let refused = async { while test.broker.publish(vec![step("a", "x")]).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("refused");
    fault.fired_times(1, 0);
    assert!(test.broker.is_blocked() && test.broker.is_connected());
    for _ in 0..5 {
        assert_eq!(next(&mut deliveries).await.ack().await, Ok(true));
    }
    node.control(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    publish(&test.broker, step("a", "after")).await;
    test.broker.close().await;
    fault.held();
}
