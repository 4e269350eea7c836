//! Several nodes of the broker: tried in turn, and left at once when they die.

use std::time::{Duration, Instant};

use leveret::broker::{Broker, Options, Topology};
use leveret::time::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::finding;
use crate::support::broker::{PATIENCE, connect, next, publish, queue, step};
use crate::support::{CommandLine, Fault, Fresh, Private, eventually, shared};

/// A URL with a host before its own.
fn with_first(host: &str, url: &str) -> String {
    let own = leveret::link::address::hosts(url)[0];
    url.replacen(own, &format!("{host},{own}"), 1)
}

fn own_host(url: &str) -> String {
    leveret::link::address::hosts(url)[0].to_owned()
}

#[tokio::test]
async fn a_node_that_is_away_or_silent_gives_way_to_the_next() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = &shared().amqp_url;
    for first in ["127.0.0.1:1", &deaf.local_addr().unwrap().to_string()] {
        let since = Instant::now();
        let test = connect(&with_first(first, url)).await;
        publish(&test.broker, step("a", "there")).await;
        // A silent one is given 4 s.
        assert!(since.elapsed() < Duration::from_secs(8), "{first}: {:?}", since.elapsed());
        assert_eq!(test.broker.protection().unwrap().place, own_host(url));
        test.broker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_node_dies_continues_at_the_next_at_once() {
    let mut fault = Fault::new("the node of the broker dies, and another lives", "F43 F50", "I3 I12");
    let (one, other) = (Private::start(), Private::start());
    let urls = format!("{},{}", one.amqp_url, other.amqp_url);
    let test = connect(&urls).await;
    let mut deliveries = test.broker.consume(queue("a"), 10);
    publish(&test.broker, step("a", "before")).await;
    let before = next(&mut deliveries).await;
    assert_eq!(before.body, b"before");
    // A delivery that is dropped is given back, and may come again before the node dies.
    before.ack().await.unwrap();
    let used = test.broker.protection().unwrap().place;
    let (dying, living) = if used == own_host(&one.amqp_url) { (&one, &other) } else { (&other, &one) };
    dying.rabbitmq().unwrap().stop_immediate().unwrap();
    fault.fired(0);
    let since = Instant::now();
    let moved = async || test.broker.protection().is_some_and(|link| link.place == own_host(&living.amqp_url));
    eventually("it has moved", PATIENCE, moved).await;
    fault.recovered();
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    publish(&test.broker, step("a", "after")).await;
    assert_eq!(next(&mut deliveries).await.body, b"after");
    test.broker.close().await;
    fault.held();
}

#[tokio::test]
async fn processes_begin_at_different_nodes() {
    let url = &shared().amqp_url;
    let own = own_host(url);
    // The same node by two names.
    let other = own.replacen("127.0.0.1", "localhost", 1);
    let urls = with_first(&other, url);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let test = connect(&urls).await;
        seen.insert(test.broker.protection().unwrap().place);
        test.broker.close().await;
        if seen.len() == 2 {
            return;
        }
    }
    panic!("20 processes have begun at {seen:?}");
}

/// Threads of the client library in this process.
fn library_threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_nobody_answers_leave_no_threads() {
    let (one, other) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let options = Options {
        url: format!("amqp://{},{}", one.local_addr().unwrap(), other.local_addr().unwrap()),
        prefix: "none".into(),
        publishers: 1,
        confirm_timeout: Duration::from_secs(5),
        name: "broker test".into(),
        topology: Topology::Found,
    };
    let stop = CancellationToken::new();
    let (broker, supervisor) = Broker::start(options, Clock::default(), stop.clone());
    let mut running = JoinSet::new();
    running.spawn(supervisor);
    assert!(timeout(Duration::from_secs(13), broker.connected()).await.is_err());
    // The third or fourth handshake is under way, and no other.
    assert!(library_threads() <= 1, "{} threads", library_threads());
    let problems = broker.problems();
    assert!(problems.len() == 2 && problems.iter().all(|why| why.contains("did not answer within 4s")), "{problems:?}");
    broker.close().await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(library_threads(), 0);
}

#[tokio::test]
async fn the_doctor_names_the_node_and_the_nodes_it_did_not_get() {
    let fresh = Fresh::new().await;
    let urls = with_first("127.0.0.1:1", &fresh.amqp_url);
    let command = CommandLine::on(&fresh).with("AMQP_URL", &urls);
    for _ in 0..10 {
        let said = finding(&command.say("doctor -o json").await, "broker link");
        assert!(said.contains(&own_host(&fresh.amqp_url)) && said.contains("not encrypted"), "{said}");
        if said.contains("not used: 127.0.0.1:1: ") {
            return;
        }
    }
    panic!("ten processes have begun at the same node of two");
}

#[tokio::test]
async fn an_invalid_url_is_refused_with_a_sentence() {
    let fresh = Fresh::database().await;
    for (url, says) in [
        ("amqp://me:hunter2@h1,,h2", "a host between two commas is empty"),
        ("amqp://me:hunter2@h1:x,h2", "a host, a port or a parameter cannot be read"),
        ("amqp://me:hunter2@h1,http://h2", "does not begin with amqp:// or amqps://"),
    ] {
        let command = CommandLine::on(&fresh).with("AMQP_URL", url);
        for words in ["serve", "doctor"] {
            let said = command.say(words).await.failed();
            assert!(said.contains(says) && !said.contains("hunter2"), "{words}: {said}");
        }
    }
}
