//! Logs that machines can read, complete metrics, and no secret in either.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leveret::client::Client;
use leveret::contract::{Message, Start};
use serde_json::{Value, json};

use crate::support::target::{Play, Target};
use crate::support::{CommandLine, Fresh, Program, SOON, eventually};

const STOPS_WITHIN: Duration = Duration::from_secs(35);
/// Metrics that this test does not move: rows that do not fit into memory, recovered branches, lost connections, schedules,
/// late heartbeats, requests without a key.
const UNMOVED: [&str; 9] = [
    "leveret_access_refused_total",
    "leveret_call_late_signs_total",
    "leveret_publish_queue_full_total",
    "leveret_branches_recovered_total",
    "leveret_broker_reconnects_total",
    "leveret_schedule_ticks_total",
    "leveret_schedule_lateness_seconds",
    "leveret_handler_panics_total",
    "leveret_starts_put_off_total",
];
/// Every label; none of them is an id.
const LABELS: [&str; 13] = [
    "target",
    "state",
    "reason",
    "kind",
    "outcome",
    "status",
    "queue",
    "redelivered",
    "pool",
    "version",
    "connection",
    "what",
    "le",
];

/// Names of the metrics, as the one list has them.
fn names() -> BTreeSet<&'static str> {
    let source = include_str!("../../src/telemetry/metrics.rs");
    let quoted = source.lines().filter(|line| line.starts_with("pub const ")).filter_map(|line| line.split('"').nth(1));
    let names: BTreeSet<&str> = quoted.filter(|text| text.starts_with("leveret_")).collect();
    assert!(names.len() >= 20, "the list was not found: {names:?}");
    names
}

/// A metric's name without what its type adds.
fn base(sample: &str) -> &str {
    let name = sample.split(['{', ' ']).next().unwrap();
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// Labels of a sample with their values.
fn labels(sample: &str) -> BTreeMap<&str, &str> {
    let Some((_, rest)) = sample.split_once('{') else { return BTreeMap::new() };
    let inside = rest.rsplit_once('}').unwrap().0;
    inside.split("\",").map(|pair| pair.split_once("=\"").unwrap()).map(|(k, v)| (k, v.trim_end_matches('"'))).collect()
}

fn value(sample: &str) -> f64 {
    sample.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The password of a URL.
fn password(url: &str) -> &str {
    url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1
}

async fn scrape(program: &Program) -> String {
    let address = program.address().expect("the api listens");
    reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()
}

/// Calls of a target with a rate of one a second.
const ASKED: usize = 5;

/// Asks a server more often than is allowed, so that calls are put off.
async fn calls_are_made(leveret: &CommandLine, target: &Target) {
    let file = leveret.directory().join("asking.yaml");
    let asking = format!(
        "name: asking\nactivities:\n  - {{ id: ask, http: {{ url: \"{}\" }}, limits: {{ rate: 1/s }} }}\n",
        target.url("/")
    );
    std::fs::write(&file, asking).unwrap();
    leveret.run(["definition".as_ref(), "apply".as_ref(), file.as_os_str()]).await.good();
    let start = ["instance", "start", "asking", "--watch"];
    // Enough at once that some have to wait, even on a slow machine.
    for ran in futures_util::future::join_all((0..ASKED).map(|_| leveret.run(start))).await {
        ran.good();
    }
}

/// An order that is paid, with its start sent twice, one without a payment, a start from the command line, one that is refused,
/// and a bulk job.
async fn everything_that_is_counted(fresh: &Fresh, leveret: &CommandLine) {
    let client = Client::connect(&fresh.amqp_url, &fresh.prefix, "shop").await.unwrap();
    let input = json!({ "order_id": "A", "article": "lamp", "quantity": 1, "amount": 5, "patience": "1m" });
    let start = Start { definition: "order".into(), key: Some("A".into()), input, ..Start::default() };
    for _ in 0..2 {
        client.start("start A", &start).await.unwrap();
    }
    let paid =
        Message { name: "paid".into(), key: "A".into(), data: json!({ "amount": 5 }), ttl: None, broadcast: false };
    client.message("paid A", &paid).await.unwrap();
    client.start("odd", &Start { definition: "odrer".into(), ..Start::default() }).await.unwrap();
    client.close().await;
    let input = r#"{"order_id": "B", "article": "lamp", "quantity": 1, "amount": 5, "patience": "200ms"}"#;
    leveret.run(["instance", "start", "order", "--key", "B", "--watch", "--input", input]).await.good();
    let ended = async || {
        let items = leveret.json("instance list --status completed").await["items"].as_array().unwrap().len();
        items == ASKED + 2 && leveret.json("dead-letter list").await["items"] != json!([])
    };
    eventually("orders and calls have ended, the odd one is filed", SOON, ended).await;
    // Nothing is left to cancel: its one item is refused.
    leveret.run(["bulk", "start", "cancel", "--filter", "definition:order key:A"]).await.good();
}

#[tokio::test]
async fn logs_are_json_lines_metrics_are_complete_and_both_are_free_of_secrets() {
    let fresh = Fresh::new().await;
    let leveret = CommandLine::orders_on(&fresh);
    let example = format!("{}/examples/order.yaml", env!("CARGO_MANIFEST_DIR"));
    leveret.run(["definition", "apply", &example]).await.good();
    // Everything but the library that logs whole messages: if a password can be logged, it is.
    let settings = [
        ("LEVERET_LOG__FORMAT", "json"),
        ("LEVERET_LOG__FILTER", "trace,lapin=off"),
        ("LEVERET_OUTBOX__SWEEP_EVERY", "200ms"),
        ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.1"),
    ];
    let target = Target::playing(|_| Play::ok("{}")).await;
    let mut program = Program::start(&fresh, &["serve"], &settings);
    program.serves().await;
    calls_are_made(&leveret, &target).await;
    everything_that_is_counted(&fresh, &leveret).await;

    let mut metrics = String::new();
    let wanted: BTreeSet<&str> = names().into_iter().filter(|name| !UNMOVED.contains(name)).collect();
    let found = |metrics: &str| -> BTreeSet<String> {
        metrics.lines().filter(|line| line.starts_with("leveret_")).map(|line| base(line).to_owned()).collect()
    };
    // The last commands are counted after their commit.
    let counted = async || {
        metrics = scrape(&program).await;
        let repeated = |line: &str| line.starts_with("leveret_duplicates_total") && value(line) >= 1.0;
        let found = found(&metrics);
        metrics.lines().any(repeated) && wanted.iter().all(|name| found.contains(*name))
    };
    eventually("everything is counted", SOON, counted).await;
    let samples: Vec<&str> = metrics.lines().filter(|line| line.starts_with("leveret_")).collect();
    let found: BTreeSet<&str> = samples.iter().map(|sample| base(sample)).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let unlisted: Vec<_> = found.iter().filter(|name| !names().contains(*name)).collect();
    assert!(missing.is_empty() && unlisted.is_empty(), "missing {missing:?}, not in the list {unlisted:?}\n{metrics}");
    for sample in &samples {
        assert!(value(sample) >= 0.0, "{sample}");
        for (name, text) in labels(sample) {
            assert!(LABELS.contains(&name) && text.parse::<uuid::Uuid>().is_err(), "{sample}");
        }
    }
    let ended = samples.iter().find(|line| line.starts_with("leveret_instances_ended_total{status=\"completed\"}"));
    assert_eq!(value(ended.unwrap()), (ASKED + 2) as f64);
    assert!(samples.iter().any(|line| line.starts_with("leveret_instances{status=\"running\"} 0")), "{metrics}");

    program.terminate();
    let status = program.wait_within(STOPS_WITHIN).await;
    let output = program.output();
    assert_eq!(status.code(), Some(0), "{output}");
    let mut said = BTreeSet::new();
    for line in output.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["timestamp"].is_string() && entry["level"].is_string(), "{line}");
        said.extend(entry["message"].as_str().map(str::to_owned));
    }
    for message in ["leveret runs", "instance ended", "storing a message as a dead letter", "stopped"] {
        assert!(said.contains(message), "no `{message}` in {said:?}");
    }
    for url in [&fresh.database_url, &fresh.amqp_url] {
        assert!(!output.contains(password(url)), "a password is in the log");
        assert!(!metrics.contains(password(url)), "a password is in the metrics");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_logged_without_its_password() {
    let fresh = Fresh::new().await;
    let url = "amqp://leveret:hunter2@127.0.0.1:1/%2f";
    let settings = [("AMQP_URL", url), ("LEVERET_LOG__FILTER", "trace,lapin=off")];
    let mut program = Program::start(&fresh, &["serve"], &settings);
    program.says("127.0.0.1:1", SOON).await;
    program.terminate();
    assert_eq!(program.wait_within(STOPS_WITHIN).await.code(), Some(0), "{}", program.output());
    let output = program.output();
    assert!(!output.contains("hunter2") && !output.contains(password(&fresh.database_url)), "{output}");
    assert!(!output.contains('\u{1b}'), "colours in a file: {output}");

    let url = fresh.database_url.replace(password(&fresh.database_url), "hunter2");
    let ran = CommandLine::on(&fresh).with("DATABASE_URL", &url).say("serve").await;
    assert_eq!(ran.code, 1, "a wrong password");
    assert!(!ran.failed().contains("hunter2"));
}
