//! One message costs every reader its connection, and no reader ever sees it: RabbitMQ closes a connection over some messages that it
//! cannot deliver to it. Here a proxy ends the connection whenever the broker delivers the chosen message.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::QueuePurgeOptions;
use leveret::broker::topology::{DEAD_DELIVERY_LIMIT, DELIVERY_LIMIT};
use leveret::broker::{Delivery, Outgoing, Queue};
use tokio::time::timeout;

use crate::support::broker::{connect, connect_with, next, queue, raw, step};
use crate::support::{CommandLine, Fresh, InProcess, Proxy, eventually, shared};

/// In the body of the message that nobody gets to read.
const CHOSEN: &str = "the-chosen-message";
/// A queue is read alone after this many losses.
const LOSSES_MAX: i64 = 3;
/// It has left its queue and the queue of dead letters within this: a loss takes a quarter of a second.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Holds a delivery for a moment, so that a lost connection meets some; returns how often it was returned before.
#[expect(clippy::disallowed_methods, reason = "a task of a test ends with its runtime")]
fn handle(delivery: Delivery) -> i64 {
    let returned = delivery.headers.get("x-delivery-count").and_then(|count| count.parse().ok()).unwrap_or(0);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = delivery.ack().await;
    });
    returned
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_costs_its_reader_the_connection_takes_no_other_with_it() {
    let (proxy, url) = Proxy::before(&shared().amqp_url).await;
    proxy.ends_over(CHOSEN.as_bytes());
    let test = connect(&url).await;
    // Sends, and reads the dead letters, past the proxy.
    let beside = connect_with(&shared().amqp_url, test.prefix.clone()).await;
    let body = |number| if number == 7 { CHOSEN.to_owned() } else { format!("{number}") };
    let batch: Vec<Outgoing> =
        (0..40).flat_map(|number| [step("a", &body(number)), step("b", &format!("beside {number}"))]).collect();
    beside.broker.publish(batch).await.expect("published");
    let mut dead = beside.broker.consume(Queue::Dead, 1);
    let (mut a, mut b) = (test.broker.consume(queue("a"), 10), test.broker.consume(queue("b"), 10));
    let (mut seen, mut worst) = (BTreeSet::new(), 0);
    let reading = async {
        loop {
            let delivery = tokio::select! { one = next(&mut a) => one, one = next(&mut b) => one };
            seen.insert(delivery.body.clone());
            worst = worst.max(handle(delivery));
        }
    };
    let ended = tokio::select! {
        () = reading => unreachable!(),
        ended = timeout(ENDS_WITHIN, dead.next()) => ended.expect("the chosen message is a dead letter").expect("one"),
    };
    assert_eq!(ended.body, CHOSEN.as_bytes());
    ended.ack().await.expect("acknowledged");
    let losses = i64::try_from(proxy.ended()).unwrap();
    println!("{losses} connections ended over it; no other message was returned more than {worst} times");
    assert!(losses <= DELIVERY_LIMIT + 1, "{losses}");
    assert!(worst <= LOSSES_MAX, "{worst}");
    // What is left comes now.
    let rest = async {
        while seen.len() < 79 {
            let delivery = tokio::select! { one = next(&mut a) => one, one = next(&mut b) => one };
            seen.insert(delivery.body.clone());
            handle(delivery);
        }
    };
    timeout(ENDS_WITHIN, rest).await.expect("all others arrive");
    test.broker.close().await;
    beside.broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_costs_every_reader_its_connection_is_parked_and_the_doctor_says_so() {
    let (proxy, url) = Proxy::before(&shared().amqp_url).await;
    proxy.ends_over(CHOSEN.as_bytes());
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| config.broker.url = url.clone()).await;
    for number in 0..30 {
        if number == 3 {
            leveret.start("step", CHOSEN).await;
        }
        leveret.start("step", &format!("{number}")).await;
    }
    leveret.count_becomes(30, "leveret.instances WHERE status = 'completed'").await;
    let parked = async || leveret.app().broker.parked().await.expect("a depth") == 1;
    eventually("the chosen command is parked", ENDS_WITHIN, parked).await;
    println!("{} connections ended over it", proxy.ended());
    let losses = i64::try_from(proxy.ended()).unwrap();
    assert!(losses <= DELIVERY_LIMIT + 1 + DEAD_DELIVERY_LIMIT + 1, "{losses}");
    assert_eq!(leveret.count("leveret.instances").await, 30);
    assert_eq!(leveret.dead_letters().await, [""; 0], "no other was given up");
    let fresh = &leveret.fresh;
    let said = CommandLine::on(fresh).say("doctor -o json").await.failed();
    assert!(said.contains(&format!("1 in `{}.parked`", fresh.prefix)), "{said}");
    let name = format!("{}.parked", fresh.prefix);
    raw(&fresh.amqp_url).await.queue_purge(name.as_str().into(), QueuePurgeOptions::default()).await.unwrap();
    // Other commands and dead letters are read as before.
    leveret.start("nothing", "a dead letter").await;
    leveret.count_becomes(1, "leveret.dead_letters").await;
    leveret.close().await;
}
