//! RabbitMQ as the broker's room uses it: publishing, consuming, delay queues, and queues that are deleted.

use jiff::SignedDuration;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicRejectOptions};
use leveret::broker::topology::DELIVERY_LIMIT;
use leveret::broker::{Broker, Deliveries, Delivery, Exchange, Outgoing, Queue, Sent};
use uuid::Uuid;

use crate::support::broker::{PATIENCE, connect, connect_with, depth_becomes, next, publish, queue, raw, step};
use crate::support::{Fault, broker_version, eventually, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_published_message_is_delivered_unchanged_and_removed_by_its_acknowledgement() {
    let mut test = connect(&shared().amqp_url).await;
    let message = Outgoing { app_id: Some("shop".into()), ..step("a", "{}") };
    assert_eq!(test.broker.publish(vec![message.clone()]).await, Ok(vec![Sent::Confirmed]));
    assert_eq!(test.broker.depth(&queue("a")).await, Ok(1));
    let mut deliveries = test.broker.consume(queue("a"), 10);
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.body, b"{}");
    assert_eq!(delivery.kind.as_deref(), Some("continue"));
    assert_eq!(delivery.app_id.as_deref(), Some("shop"));
    assert_eq!(delivery.message_id, Some(message.id.to_string()));
    assert_eq!(delivery.schema.as_deref(), Some("1"));
    assert_eq!(delivery.headers.get("traceparent").map(String::as_str), Some("00-1"));
    assert!(!delivery.redelivered);
    assert_eq!(delivery.ack().await, Ok(true));
    deliveries.cancel().await;
    assert_eq!(test.broker.depth(&queue("a")).await, Ok(0));
    assert!(test.broker.verify().await.expect("compared").is_equal());
    test.broker.close().await;
    test.supervisor.join_next().await.expect("a supervisor").expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_consumer_returns_prefetched_messages() {
    let test = connect(&shared().amqp_url).await;
    let mut deliveries = test.broker.consume(queue("a"), 10);
    publish(&test.broker, step("a", "0")).await;
    let taken = next(&mut deliveries).await;
    test.broker.publish((1..=5).map(|n| step("a", &n.to_string())).collect()).await.expect("published");
    deliveries.cancel().await;
    assert!(deliveries.next().await.is_none());
    depth_becomes(&test.broker, &queue("a"), 5).await;
    assert_eq!(taken.ack().await, Ok(true), "what was taken before stays good");
    test.broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_or_requeued_delivery_is_redelivered() {
    let test = connect(&shared().amqp_url).await;
    publish(&test.broker, step("a", "0")).await;
    let mut deliveries = test.broker.consume(queue("a"), 1);
    drop(next(&mut deliveries).await);
    let second = next(&mut deliveries).await;
    assert!(second.redelivered);
    second.requeue().await.expect("given back");
    assert_eq!(next(&mut deliveries).await.ack().await, Ok(true));
    test.broker.close().await;
}

/// How often a message arrives before it is a dead letter.
async fn arrivals(deliveries: &mut Deliveries, dead: &mut Deliveries, mut again: impl AsyncFnMut(Delivery)) -> i64 {
    let mut times = 0;
    loop {
        tokio::select! {
            delivery = next(deliveries) => {
                times += 1;
                assert!(times < 3 * DELIVERY_LIMIT, "it would never end");
                again(delivery).await;
            }
            delivery = next(dead) => {
                delivery.ack().await.expect("acknowledged");
                return times;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_begun_again_and_again_is_a_dead_letter() {
    let test = connect(&shared().amqp_url).await;
    let mut dead = test.broker.consume(Queue::Dead, 1);
    let mut deliveries = test.broker.consume(queue("a"), 1);
    publish(&test.broker, step("a", "given back")).await;
    let given_back = async |delivery: Delivery| delivery.give_back().await.expect("given back");
    assert_eq!(arrivals(&mut deliveries, &mut dead, given_back).await, DELIVERY_LIMIT + 1);
    publish(&test.broker, step("a", "a panic, or an aborted task")).await;
    let dropped = async |delivery: Delivery| drop(delivery);
    assert_eq!(arrivals(&mut deliveries, &mut dead, dropped).await, DELIVERY_LIMIT + 1);
    test.broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_what_was_not_begun_costs_nothing() {
    let url = &shared().amqp_url;
    if broker_version(url).await < (4, 3) {
        println!("skipped: before RabbitMQ 4.3 every return counts");
        return;
    }
    let test = connect(url).await;
    let mut deliveries = test.broker.consume(queue("a"), 1);
    publish(&test.broker, step("a", "{}")).await;
    for _ in 0..2 * DELIVERY_LIMIT {
        next(&mut deliveries).await.requeue().await.expect("returned");
    }
    assert_eq!(next(&mut deliveries).await.ack().await, Ok(true));
    assert_eq!(test.broker.depth(&Queue::Dead).await, Ok(0));
    test.broker.close().await;
}

/// As the management interface does, and others.
#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_parked_message_does_not_cost_it() {
    let url = &shared().amqp_url;
    let test = connect(url).await;
    let raw = raw(url).await;
    let parked = format!("{}.parked", test.prefix);
    let parked = || parked.as_str().into();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
    raw.basic_publish(parked(), "".into(), options, b"{}", properties).await.expect("published");
    depth_of_parked_becomes(&test.broker, 1).await;
    for look in 0..60 {
        let got = raw.basic_get(parked(), BasicGetOptions::default()).await.expect("answered");
        let tag = got.unwrap_or_else(|| panic!("it is gone after {look} looks")).delivery.delivery_tag;
        if look % 2 == 0 {
            raw.basic_reject(tag, BasicRejectOptions { requeue: true }).await.expect("returned");
        } else {
            raw.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await.expect("returned");
        }
        depth_of_parked_becomes(&test.broker, 1).await;
    }
    test.broker.close().await;
}

async fn depth_of_parked_becomes(broker: &Broker, expected: u64) {
    let there = async || broker.parked().await.expect("a depth") == expected;
    eventually(&format!("{expected} parked messages"), PATIENCE, there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_is_punctual_on_every_short_delay_level() {
    let test = connect(&shared().amqp_url).await;
    let mut deliveries = test.broker.consume(queue("a"), 10);
    publish(&test.broker, step("a", "warm")).await;
    next(&mut deliveries).await.ack().await.expect("acknowledged");
    for millis in [100, 250, 500, 1_000, 2_000] {
        let due_at = test.clock.now() + SignedDuration::from_millis(millis);
        publish(&test.broker, Outgoing { due_at: Some(due_at), ..step("a", "x") }).await;
        let delivery = next(&mut deliveries).await;
        let late = test.clock.now().duration_since(due_at);
        delivery.ack().await.expect("acknowledged");
        assert!(late > SignedDuration::from_millis(-20), "{millis} ms: {late:?}");
        assert!(late < SignedDuration::from_millis(250), "{millis} ms: {late:?}");
    }
    test.broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_command_arrives_in_the_command_queue() {
    let test = connect(&shared().amqp_url).await;
    let due_at = Some(test.clock.now() + SignedDuration::from_millis(250));
    let command =
        Outgoing { exchange: Exchange::Commands, routing_key: "message.paid".into(), due_at, ..step("", "{}") };
    publish(&test.broker, command).await;
    let mut deliveries = test.broker.consume(Queue::Commands, 1);
    assert_eq!(next(&mut deliveries).await.ack().await, Ok(true));
    test.broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_unroutable_message_of_a_batch_is_returned() {
    let mut fault = Fault::new("a batch is confirmed in part, beside another", "F23", "I3");
    let test = connect(&shared().amqp_url).await;
    for bad in [0, 37, 255] {
        let mut batch: Vec<Outgoing> = (0..256).map(|n| step("a", &n.to_string())).collect();
        batch[bad] = Outgoing { exchange: Exchange::Calls, routing_key: "nobody".into(), ..step("a", "bad") };
        batch.push(Outgoing { exchange: Exchange::Events, routing_key: "x.y".into(), ..step("a", "event") });
        batch.push(Outgoing { correlation_id: Some("x".repeat(300)), ..step("a", "too long") });
        let other = (0..200).map(|n| step("a", &n.to_string())).collect();
        let (sent, other) = tokio::join!(test.broker.publish(batch), test.broker.publish(other));
        fault.fired_times(1, 0);
        let back: Vec<usize> = sent
            .expect("answered")
            .iter()
            .enumerate()
            .filter(|(_, s)| **s != Sent::Confirmed)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(back, [bad, 257], "an event without a queue is not a failure");
        assert!(other.expect("answered").iter().all(|sent| *sent == Sent::Confirmed));
    }
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_survives_the_deletion_of_its_queue() {
    let mut fault = Fault::new("a queue is deleted under its consumer (404)", "F43 F45", "I3 I12");
    let url = &shared().amqp_url;
    let test = connect(url).await;
    let raw = raw(url).await;
    let mut deliveries = test.broker.consume(queue("a"), 10);
    // Declared again at once by the publisher, RabbitMQ 3.10 forgets the consumer without a word.
    for round in 0..3 {
        publish(&test.broker, step("a", "before")).await;
        next(&mut deliveries).await.ack().await.expect("acknowledged");
        let name = queue("a").physical(&test.prefix);
        raw.queue_delete(name.as_str().into(), Default::default()).await.expect("deleted");
        fault.fired(0);
        publish(&test.broker, step("a", "after")).await;
        assert_eq!(next(&mut deliveries).await.ack().await, Ok(true), "{round}");
        fault.recovered();
    }
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_exchange_is_reported_and_declared_again() {
    let mut fault = Fault::new("an exchange is deleted", "F45", "I12 I16");
    let url = &shared().amqp_url;
    let test = connect(url).await;
    let raw = raw(url).await;
    let exchange = Exchange::Commands.physical(&test.prefix);
    raw.exchange_delete(exchange.as_str().into(), Default::default()).await.expect("deleted");
    let compared = test.broker.verify().await.expect("compared");
    assert!(compared.missing.contains(&exchange) && compared.equal > 0, "{compared:?}");
    fault.fired(0);
    publish(&test.broker, Outgoing { exchange: Exchange::Commands, routing_key: "start.x".into(), ..step("", "{}") })
        .await;
    assert!(test.broker.verify().await.expect("compared").is_equal());
    test.broker.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_queue_is_named_and_does_not_stop_the_others() {
    let url = &shared().amqp_url;
    let prefix = format!("t{}", Uuid::now_v7().simple());
    let wrong = queue("wrong").physical(&prefix);
    let durable = lapin::options::QueueDeclareOptions::durable();
    raw(url).await.queue_declare(wrong.as_str().into(), durable, Default::default()).await.expect("declared");
    let test = connect_with(url, prefix).await;
    let mut bad = test.broker.consume(queue("wrong"), 1);
    let mut good = test.broker.consume(queue("good"), 1);
    publish(&test.broker, step("good", "{}")).await;
    tokio::select! {
        delivery = next(&mut good) => assert_eq!(delivery.ack().await, Ok(true)),
        _ = bad.next() => panic!("a queue with other arguments is not consumed"),
    }
    let compared = test.broker.verify_steps(&["wrong".into(), "good".into()]).await.expect("compared");
    let differences = compared.different;
    assert_eq!((differences.len(), compared.missing.len()), (1, 0));
    assert!(differences[0].contains(&wrong) && differences[0].contains("inequivalent arg 'x-"), "{differences:?}");
    test.broker.close().await;
}
