//! The broker takes deliveries back from a consumer that has not acknowledged them within the consumer timeout. RabbitMQ 3.10 and 4.0
//! close the channel; RabbitMQ 4.3 cancels the consumer, and keeps it until its client answers.

use serde_json::json;

use crate::support::broker::{connect, next, publish, queue, step};
use crate::support::{Fault, Fresh, Private};
use crate::workers::{self, Language, SHIPS, Worker};

/// The consumer timeout, and how often older versions look for it.
const IMPATIENT: &str =
    "application:set_env(rabbit, consumer_timeout, 4000), application:set_env(rabbit, channel_tick_interval, 1000).";
/// Longer than the consumer timeout, and shorter than two.
const SLOW_S: f64 = 6.0;

fn impatient() -> Private {
    let servers = Private::start();
    servers.rabbitmq().unwrap().control(&["eval", IMPATIENT]).unwrap();
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_too_slow_for_the_broker_receives_what_comes_next() {
    let mut fault =
        Fault::new("the broker ends a channel or consumer that was too slow (406, consumer timeout)", "F43", "I3");
    let servers = impatient();
    let test = connect(&servers.amqp_url).await;
    let mut deliveries = test.broker.consume(queue("a"), 1);
    publish(&test.broker, step("a", "slow")).await;
    let slow = next(&mut deliveries).await;
    let again = next(&mut deliveries).await;
    fault.fired_times(1, 0);
    assert!(again.redelivered && again.body == slow.body, "{again:?}");
    slow.ack().await.expect("a late acknowledgement does no harm");
    assert_eq!(again.ack().await, Ok(true), "the first one has not finished the message");
    for number in 0..3 {
        let body = number.to_string();
        publish(&test.broker, step("a", &body)).await;
        let after = next(&mut deliveries).await;
        assert_eq!((&after.body, after.redelivered), (&body.into_bytes(), false));
        assert_eq!(after.ack().await, Ok(true));
    }
    deliveries.cancel().await;
    assert_eq!(test.broker.depth(&queue("a")).await, Ok(0));
    test.broker.close().await;
    fault.held();
}

async fn is_too_slow_once(servers: &Private, language: Language) {
    let leveret = workers::leveret_on(Fresh::on(servers).await).await;
    leveret.apply(&SHIPS.replace("heartbeat: 1s", "heartbeat: 20s")).await;
    let kept = workers::journal();
    let Some(mut worker) = Worker::start(language, &leveret.fresh, &kept).await else { return leveret.close().await };
    let slow = json!({ "parcel": "A-1", "items": 1, "seconds_per_item": SLOW_S });
    workers::ships(&leveret, "slow", slow).await;
    assert_eq!(workers::got(&leveret, "slow").await["parcel"], "A-1");
    for key in ["A-2", "A-3"] {
        workers::ships(&leveret, key, json!({ "parcel": key, "items": 1 })).await;
        assert_eq!(workers::got(&leveret, key).await["parcel"], key);
    }
    let done = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(done.lines().count(), 3, "each once: {done}");
    assert_eq!(leveret.lines("attempt", "leveret.calls").await, ["1"; 3], "no attempt more");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    worker.stops_in_order().await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_in_every_language_that_were_too_slow_for_the_broker_take_the_next_request() {
    let servers = impatient();
    tokio::join!(
        is_too_slow_once(&servers, Language::Python),
        is_too_slow_once(&servers, Language::Node),
        is_too_slow_once(&servers, Language::Rust),
    );
}
