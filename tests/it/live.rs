//! Server-sent events: nothing is missed, nothing comes twice, and nobody waits for a slow listener. And drawings.

use std::time::Instant;

use leveret::handlers::Handlers;
use leveret::roles::Role;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{Fresh, InProcess, Processes, SOON, eventually};

/// Waits for a message between two assignments.
const WAITING: &str = "
name: waiting
variables: { got: 0 }
activities:
  - { id: before, set: { got: 1 } }
  - { id: payment, receive: { name: paid } }
  - { id: after, set: { got: 2 } }
";

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<i64>,
    data: Value,
}

/// A client that listens.
struct Listener {
    response: Response,
    text: String,
}

impl Listener {
    async fn on(url: &str, last: Option<i64>) -> Self {
        let response = ask(url, last).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; none at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match read(&event) {
                    Some(event) => return Some(event),
                    // A comment.
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk()).await.expect("nothing came");
            // A stream that is cut is over, too.
            let chunk = chunk.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The numbers of the entries until an event of this name, which is returned, too.
    async fn until(&mut self, name: &str) -> (Vec<i64>, Event) {
        let mut numbers = Vec::new();
        loop {
            let event =
                self.next().await.unwrap_or_else(|| panic!("the stream ended before `{name}`, after {numbers:?}"));
            if event.name == name {
                return (numbers, event);
            }
            if event.name == "history" {
                assert_eq!(event.id, event.data["number"].as_i64());
                numbers.extend(event.id);
            }
        }
    }
}

fn read(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Event { name: field("event")?.to_owned(), id: field("id").map(|id| id.parse().unwrap()), data })
}

async fn ask(url: &str, last: Option<i64>) -> Response {
    let mut request = reqwest::Client::new().get(url);
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    request.send().await.unwrap()
}

/// An instance that waits for its payment.
async fn waiting(leveret: &InProcess, key: &str) -> String {
    let started = leveret.post("/instances", &json!({ "definition": "waiting", "key": key })).await.ok(201);
    let id = started["id"].as_str().unwrap().to_owned();
    leveret.reaches(key, "running at payment").await;
    id
}

async fn pay(leveret: &InProcess, key: &str) {
    leveret.post("/messages", &json!({ "name": "paid", "key": key })).await.ok(200);
}

#[tokio::test]
async fn a_listener_hears_every_entry_once_and_in_order_across_interruptions() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let id = waiting(&leveret, "A").await;
    let url = leveret.url(&format!("/instances/{id}/events"));

    let mut first = Listener::on(&url, None).await;
    let (numbers, changed) = first.until("changed").await;
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>(), "all that there is");
    assert_eq!((&changed.data["status"], &changed.data["ended"]), (&json!("running"), &json!(false)));
    assert_eq!(changed.data["entries"], json!(numbers.len()));

    // One that was interrupted after the second entry, and one that comes while others listen.
    let mut again = Listener::on(&url, Some(2)).await;
    let mut also = Listener::on(&url, None).await;
    assert_eq!(again.until("changed").await.0, numbers[2..]);
    assert_eq!(also.until("changed").await.0, numbers);

    pay(&leveret, "A").await;
    let mut later = Vec::new();
    for listener in [&mut first, &mut again, &mut also] {
        let (heard, ended) = listener.until("ended").await;
        assert_eq!((&ended.data["status"], &ended.data["ended"]), (&json!("completed"), &json!(true)));
        assert_eq!(listener.next().await, None, "the stream is over");
        later.push(heard);
    }
    let history = leveret.get(&format!("/instances/{id}/history")).await.ok(200);
    let last = history["items"].as_array().unwrap().len() as i64;
    let rest: Vec<i64> = (numbers.len() as i64 + 1..=last).collect();
    assert_eq!(later, [rest.clone(), rest.clone(), rest]);

    // After the end: what is missing and the end; then nothing, so that a browser does not come again.
    let (numbers, _) = Listener::on(&url, Some(last - 1)).await.until("ended").await;
    assert_eq!(numbers, [last]);
    assert_eq!(ask(&url, Some(last)).await.status(), 204);
    leveret.stop().await;
}

#[tokio::test]
async fn a_wrong_last_event_and_an_unknown_instance_are_refused_and_too_large_a_number_stops_nobody() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let id = waiting(&leveret, "A").await;
    let url = leveret.url(&format!("/instances/{id}/events"));
    let unknown = leveret.url("/instances/00000000-0000-7000-8000-000000000000/events");
    assert_eq!(ask(&unknown, None).await.status(), 404);
    assert_eq!(ask(&url, Some(-1)).await.status(), 400);
    let mut ahead = Listener::on(&url, Some(1_000_000)).await;
    let mut other = Listener::on(&url, None).await;
    assert_eq!(ahead.until("changed").await.0, Vec::<i64>::new());
    other.until("changed").await;
    pay(&leveret, "A").await;
    assert!(!other.until("ended").await.0.is_empty());
    assert!(!ahead.until("ended").await.0.is_empty());
    leveret.stop().await;
}

#[tokio::test]
async fn what_another_process_commits_is_heard_within_a_fifth_of_a_second() {
    let fresh = Fresh::new().await;
    let worker = [Role::Worker, Role::Relay, Role::Timers];
    let mut config = InProcess::config(&fresh);
    config.http.listen = "127.0.0.1:0".into();
    let working = leveret::server::Server::start(config.clone(), Handlers::new(), &worker).await.unwrap();
    let leveret = InProcess::on(fresh, config, Handlers::new(), &[Role::Api, Role::Relay]).await;
    leveret.apply(WAITING).await;
    let id = waiting(&leveret, "A").await;
    let mut listener = Listener::on(&leveret.url(&format!("/instances/{id}/events")), None).await;
    listener.until("changed").await;
    pay(&leveret, "A").await;
    let mut late = Vec::new();
    while let Some(event) = listener.next().await {
        if event.name == "history" {
            let at: jiff::Timestamp = event.data["at"].as_str().unwrap().parse().unwrap();
            late.push(leveret.app().clock.now().duration_since(at).as_millis());
        }
    }
    assert!(late.len() >= 2, "{late:?}");
    // Ten times as long, for a machine that does other things.
    assert!(late.iter().all(|millis| *millis < 2_000), "{late:?}");
    assert!(working.stop().await);
    leveret.stop().await;
}

#[tokio::test]
async fn lists_are_told_that_they_have_changed_and_nothing_else() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let mut lists = Listener::on(&leveret.url("/events"), None).await;
    let first = lists.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data), ("changed", &json!({ "changed": ["everything"] })));
    waiting(&leveret, "A").await;
    // That something was written is told at once; what it was, when the statistics of the server know.
    let begun = Instant::now();
    let soon = lists.next().await.unwrap();
    assert!(soon.data["changed"].as_array().is_some_and(|tables| !tables.is_empty()), "{soon:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    loop {
        let changed = lists.next().await.unwrap();
        let tables = changed.data["changed"].as_array().unwrap();
        if tables.contains(&json!("instances")) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{changed:?}");
    }
    leveret.stop().await;
}

#[tokio::test]
async fn listeners_beyond_the_bound_are_refused_until_another_has_gone() {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.http.listeners_max = 2;
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    let url = leveret.url("/events");
    let (first, second) = (Listener::on(&url, None).await, Listener::on(&url, None).await);
    let refused = ask(&url, None).await;
    assert_eq!(
        (refused.status().as_u16(), refused.json::<Value>().await.unwrap()["type"].clone()),
        (503, json!("urn:leveret:full"))
    );
    drop(first);
    eventually("a place is free", SOON, async || ask(&url, None).await.status() == 200).await;
    drop(second);
    let begun = Instant::now();
    leveret.stop().await;
    assert!(begun.elapsed() < SOON, "open streams hold up no stop");
}

#[tokio::test]
async fn a_listener_continues_at_another_process_after_the_first_was_killed() {
    let processes = Processes::new().await;
    processes.apply(WAITING).await;
    let mut first = processes.serve(&[]);
    let address = first.serves().await.unwrap();
    processes.start("waiting", "A", json!({})).await;
    eventually("it waits", SOON, async || processes.position("A").await.as_deref() == Some("payment")).await;
    let id = processes.lines("SELECT id::text AS line FROM leveret.instances").await.remove(0);
    let url = |address: &str| format!("http://{address}/api/v1/instances/{id}/events");
    let mut listener = Listener::on(&url(&address), None).await;
    let (mut numbers, _) = listener.until("changed").await;
    first.kill().await;
    processes
        .client
        .message("paid A", &leveret::contract::Message { name: "paid".into(), key: "A".into(), ..Default::default() })
        .await
        .unwrap();
    let second = processes.serve(&[]);
    let address = second.serves().await.unwrap();
    let (rest, _) = Listener::on(&url(&address), numbers.last().copied()).await.until("ended").await;
    numbers.extend(rest);
    let all = processes.count("leveret.history").await;
    assert_eq!(numbers, (1..=all).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_instance_and_a_definition_are_drawn() {
    let leveret = InProcess::new().await;
    leveret.apply(WAITING).await;
    let id = waiting(&leveret, "A").await;
    let answer = ask(&leveret.url(&format!("/instances/{id}/graph.svg")), None).await;
    assert_eq!(answer.headers()["content-type"], "image/svg+xml");
    let drawn = answer.text().await.unwrap();
    assert!(drawn.contains(r#"class="activity activity-present" data-activity="payment""#), "{drawn}");
    assert!(drawn.contains(r#"class="activity activity-done" data-activity="before""#), "{drawn}");
    let text = leveret.text(&format!("/instances/{id}/graph.mmd")).await;
    assert!(text.starts_with("flowchart TD\n") && text.contains("class n2 present"), "{text}");

    pay(&leveret, "A").await;
    eventually("it has ended", SOON, async || {
        leveret.get(&format!("/instances/{id}")).await.ok(200)["status"] == "completed"
    })
    .await;
    let other = waiting(&leveret, "B").await;
    pay(&leveret, "B").await;
    eventually("it has ended", SOON, async || {
        leveret.get(&format!("/instances/{other}")).await.ok(200)["status"] == "completed"
    })
    .await;
    let plain = leveret.text("/definitions/waiting/graph.mmd").await;
    assert!(plain.contains("n2 --> n3"), "{plain}");
    let counted = leveret.text("/definitions/waiting/graph.mmd?counts=true&version=1").await;
    assert!(counted.contains("n2 ==>|\"2×") && counted.contains("n0 ==>|\"2×"), "{counted}");
    leveret.get("/definitions/waiting/graph.svg?version=9").await.problem(404, "not-found");
    leveret.get("/definitions/waiting/graph.svg?wrong=9").await.problem(400, "invalid");
    leveret.stop().await;
}

/// The share of values that are smaller than this one, by nearest rank.
fn at(sorted: &[u64], of_hundred: usize) -> u64 {
    sorted[(sorted.len() * of_hundred).div_ceil(100).saturating_sub(1)]
}

/// `cargo nextest run --features failpoints --run-ignored only a_thousand_listeners --no-capture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a machine that does nothing else"]
#[expect(clippy::disallowed_methods, reason = "it measures, and prints what it has measured")]
async fn a_thousand_listeners_on_one_process_hear_within_half_a_second() {
    const LISTENERS: usize = 1_000;
    const INSTANCES: usize = 50;
    let processes = Processes::new().await;
    processes.apply(WAITING).await;
    let program = processes.serve(&[]);
    let address = program.serves().await.unwrap();
    for number in 0..INSTANCES {
        processes.start("waiting", &format!("K{number}"), json!({})).await;
    }
    let waiting = async || processes.count("leveret.bookmarks WHERE consumed_at IS NULL").await == INSTANCES as i64;
    eventually("all wait", SOON, waiting).await;
    let ids = processes.lines("SELECT id::text AS line FROM leveret.instances").await;
    let before = program.memory_now();
    let mut listeners = Vec::new();
    for number in 0..LISTENERS {
        let url = format!("http://{address}/api/v1/instances/{}/events", ids[number % INSTANCES]);
        let mut listener = Listener::on(&url, None).await;
        listener.until("changed").await;
        listeners.push(listener);
    }
    let each = program.memory_now().saturating_sub(before) / LISTENERS as u64;
    let hearing: Vec<_> = listeners
        .into_iter()
        .map(|mut listener| {
            tokio::spawn(async move {
                let mut late = Vec::new();
                while let Some(event) = listener.next().await {
                    if event.name == "history" {
                        let at: jiff::Timestamp = event.data["at"].as_str().unwrap().parse().unwrap();
                        late.push(u64::try_from(jiff::Timestamp::now().duration_since(at).as_millis()).unwrap_or(0));
                    }
                }
                late
            })
        })
        .collect();
    for number in 0..INSTANCES {
        processes.pay(&format!("K{number}")).await;
    }
    let mut late = Vec::new();
    for one in hearing {
        late.extend(one.await.unwrap());
    }
    late.sort_unstable();
    let (p50, p99) = (at(&late, 50), at(&late, 99));
    println!("{LISTENERS} listeners: {} events, {each} bytes each, late by {p50} ms (p50), {p99} ms (p99)", late.len());
    assert!(late.len() >= LISTENERS * 2, "every listener has heard the end");
    // The goal is 200 ms, of a release build.
    assert!(p99 < 500, "p99 is {p99} ms");
}
