//! The external workers of the examples: the same program in three languages, with the same guarantees.

mod cancels;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::contract::Tap;
use crate::support::{Fresh, InProcess, Lost, Output, Proxy, SOON, eventually};

/// Debian's own interpreter: the one that has pika.
const PYTHON: &str = "/usr/bin/python3";

pub(crate) const SHIPS: &str = "
name: ships
input: { type: object, properties: { parcel: { type: object } } }
variables: { got: null }
output: '${ got }'
activities:
  - id: pack
    call: { name: pack, input: '${ parcel }', heartbeat: 1s }
    timeout: 60s
    retry: none
    output: { got: result }
    on_error: [{ code: worker, output: { got: ['${ error.code }', '${ error.message }', '${ error.data }'] } }]
";

#[derive(Clone, Copy)]
pub(crate) enum Language {
    Python,
    Node,
    Rust,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workers")
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Language::Python => "packer-python",
            Language::Node => "packer-node",
            Language::Rust => "packer-rust",
        }
    }

    /// The program, or why it cannot be run here.
    async fn program(self) -> Result<Command, String> {
        let there = async |program: &str| Command::new(program).arg("--version").output().await.is_ok();
        match self {
            Language::Python => {
                let mut command = Command::new(PYTHON);
                command.arg(folder().join("python/pack.py"));
                Ok(command)
            }
            Language::Node if !there("node").await || !there("npm").await => Err("node or npm is not installed".into()),
            Language::Node => {
                install(&folder().join("node")).await;
                let mut command = Command::new("node");
                command.arg(folder().join("node/pack.js"));
                Ok(command)
            }
            Language::Rust => {
                let test = std::env::current_exe().unwrap();
                let target = test.parent().and_then(Path::parent).unwrap();
                Ok(Command::new(target.join("examples/pack")))
            }
        }
    }
}

/// Installs what package-lock.json names, once: the first test does it.
async fn install(folder: &Path) {
    let lock = std::fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm.lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
    if !folder.join("node_modules/amqplib").exists() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder).stdin(Stdio::null());
        let done = timeout(Duration::from_secs(120), npm.output()).await.expect("npm ends").unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A worker as a process; killed when it is dropped.
pub(crate) struct Worker {
    child: Child,
    output: Output,
}

impl Worker {
    pub(crate) async fn start(language: Language, fresh: &Fresh, journal: &Path) -> Option<Self> {
        Self::start_on(language, &fresh.amqp_url, fresh, journal).await
    }

    async fn start_on(language: Language, url: &str, fresh: &Fresh, journal: &Path) -> Option<Self> {
        let mut command = match language.program().await {
            Ok(command) => command,
            Err(why) => {
                eprintln!("skipped: {why}");
                return None;
            }
        };
        command.args(["--url", url, "--prefix", &fresh.prefix, "--journal"]).arg(journal);
        let (child, output) = Output::of(command);
        output.says("consuming", SOON).await;
        Some(Self { child, output })
    }

    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn stops_in_order(&mut self) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let status = timeout(SOON, self.child.wait()).await.expect("it stops").unwrap();
        self.output.ends().await;
        let output = self.output.text();
        assert!(status.success() && output.contains("stopped"), "{status}: {output}");
    }
}

pub(crate) fn journal() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("journal-{:016x}.jsonl", fastrand::u64(..)))
}

/// The same node between two at which nobody listens.
fn among_others(url: &str) -> String {
    let (before, node) = url.rsplit_once('@').unwrap();
    let (node, vhost) = node.split_once('/').unwrap();
    format!("{before}@127.0.0.1:1,{node},127.0.0.1:2/{vhost}")
}

#[tokio::test]
async fn every_worker_finds_the_node_that_answers() {
    for language in [Language::Python, Language::Node, Language::Rust] {
        let fresh = Fresh::new().await;
        let Some(mut worker) = Worker::start_on(language, &among_others(&fresh.amqp_url), &fresh, &journal()).await
        else {
            continue;
        };
        worker.stops_in_order().await;
    }
}

async fn leveret() -> InProcess {
    leveret_on(Fresh::new().await).await
}

pub(crate) async fn leveret_on(fresh: Fresh) -> InProcess {
    let leveret = InProcess::with_ledger_on(fresh, |config| {
        config.calls.sweep_every = Duration::from_millis(200);
        config.outgoing.allow_addresses = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    leveret.apply(SHIPS).await;
    leveret
}

pub(crate) async fn ships(leveret: &InProcess, key: &str, parcel: Value) {
    leveret.start_with("ships", key, json!({ "parcel": parcel })).await;
}

pub(crate) async fn got(leveret: &InProcess, key: &str) -> Value {
    leveret.reaches(key, "completed").await;
    let output = leveret.lines("output", &format!("leveret.instances WHERE key = '{key}'")).await;
    serde_json::from_str(&output[0]).unwrap()
}

/// It starts before any call exists, so that the worker declares the queue.
async fn keeps_its_promises(language: Language) {
    let leveret = leveret().await;
    let fresh = &leveret.fresh;
    let mut tap = Tap::open(&fresh.amqp_url, &fresh.prefix).await;
    let Some(mut worker) = Worker::start(language, fresh, &journal()).await else { return leveret.close().await };

    ships(&leveret, "good", json!({ "parcel": "A-17", "items": 3, "seconds_per_item": 0.3 })).await;
    let result = got(&leveret, "good").await;
    assert_eq!((&result["parcel"], &result["packed_by"]), (&json!("A-17"), &json!(language.name())));
    assert_eq!(result["label"].as_str().map(str::len), Some(8), "{result}");
    let told = "leveret.history WHERE kind = 'CallProgressed'";
    leveret.count_becomes(2, told).await;

    ships(&leveret, "empty", json!({ "parcel": "A-18", "items": 0 })).await;
    let error = json!(["worker.nothing_to_pack", "parcel A-18 has no items", { "parcel": "A-18" }]);
    assert_eq!(got(&leveret, "empty").await, error);

    // Longer than its heartbeat interval, and without progress.
    ships(&leveret, "slow", json!({ "parcel": "A-19", "items": 1, "seconds_per_item": 3 })).await;
    assert_eq!(got(&leveret, "slow").await["parcel"], "A-19");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallUnknown'").await, 0, "it gave signs of life");

    tap.sees_all(&["call", "call.complete", "call.heartbeat", "call.progress"]).await;
    worker.stops_in_order().await;
    leveret.close().await;
}

#[tokio::test]
async fn a_worker_in_python_keeps_its_promises() {
    keeps_its_promises(Language::Python).await;
}

#[tokio::test]
async fn a_worker_in_javascript_keeps_its_promises() {
    keeps_its_promises(Language::Node).await;
}

#[tokio::test]
async fn a_worker_in_rust_keeps_its_promises() {
    keeps_its_promises(Language::Rust).await;
}

/// One worker is killed during its work, one is stopped during it, and one finds it in its journal.
async fn loses_nothing(language: Language) {
    let leveret = leveret().await;
    // The time counts from the publish, and here the request waits in the queue.
    leveret.apply(&SHIPS.replace("heartbeat: 1s", "heartbeat: 20s")).await;
    let fresh = &leveret.fresh;
    let kept = journal();
    let Some(mut first) = Worker::start(language, fresh, &kept).await else { return leveret.close().await };
    ships(&leveret, "killed", json!({ "parcel": "A-20", "items": 20, "seconds_per_item": 0.2 })).await;
    let progress = async || leveret.count("leveret.history WHERE kind = 'CallProgressed'").await;
    eventually("the first makes progress", SOON, async || progress().await > 0).await;
    first.kill().await;
    let mut second = Worker::start(language, fresh, &kept).await.unwrap();
    assert_eq!(leveret.count("leveret.calls WHERE state = 'running'").await, 1);
    let before = progress().await;
    eventually("the second makes progress", SOON, async || progress().await > before).await;
    second.stops_in_order().await;
    assert_eq!(got(&leveret, "killed").await["parcel"], "A-20");
    assert_eq!(leveret.lines("attempt", "leveret.calls").await, ["1"], "the same attempt");

    ships(&leveret, "known", json!({ "parcel": "A-21", "items": 1 })).await;
    leveret.reaches("known", "running at pack").await;
    let key = leveret.lines("id", "leveret.calls WHERE state = 'running'").await.remove(0);
    let line = format!("{}\n", json!({ "key": key, "result": { "parcel": "from the journal" } }));
    // The journal keeps what was done before: that may be redelivered.
    std::fs::write(&kept, std::fs::read_to_string(&kept).unwrap() + &line).unwrap();
    let mut third = Worker::start(language, fresh, &kept).await.unwrap();
    assert_eq!(got(&leveret, "known").await["parcel"], "from the journal");
    third.stops_in_order().await;
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}

#[tokio::test]
async fn a_worker_in_python_loses_nothing_when_it_is_killed_or_stopped() {
    loses_nothing(Language::Python).await;
}

#[tokio::test]
async fn a_worker_in_javascript_loses_nothing_when_it_is_killed_or_stopped() {
    loses_nothing(Language::Node).await;
}

#[tokio::test]
async fn a_worker_in_rust_loses_nothing_when_it_is_killed_or_stopped() {
    loses_nothing(Language::Rust).await;
}

/// Its connection breaks during the reply: once the reply is lost, once the broker's confirm. Both times the request is redelivered.
async fn survives_a_cut(language: Language) {
    let leveret = leveret().await;
    leveret.apply(&SHIPS.replace("heartbeat: 1s", "heartbeat: 20s")).await;
    let fresh = &leveret.fresh;
    for (key, lost) in [("no-reply", Lost::Request), ("no-confirm", Lost::Answer)] {
        let (proxy, url) = Proxy::before(&fresh.amqp_url).await;
        let kept = journal();
        let Some(mut worker) = Worker::start_on(language, &url, fresh, &kept).await else {
            return leveret.close().await;
        };
        proxy.arm(b"call.complete", lost);
        ships(&leveret, key, json!({ "parcel": key, "items": 2, "seconds_per_item": 0.1 })).await;
        timeout(SOON, proxy.fired()).await.expect("the wire is cut over the reply");
        proxy.cut();
        assert_eq!(got(&leveret, key).await["parcel"], key);
        let next = format!("after-{key}");
        ships(&leveret, &next, json!({ "parcel": next, "items": 1 })).await;
        assert_eq!(got(&leveret, &next).await["parcel"], next);
        let done = std::fs::read_to_string(&kept).unwrap();
        assert_eq!(done.lines().count(), 2, "each once: {done}");
        worker.stops_in_order().await;
    }
    assert_eq!(leveret.lines("attempt", "leveret.calls").await, ["1"; 4], "no attempt more");
    assert_eq!(leveret.count("leveret.history WHERE kind = 'CallUnknown'").await, 0);
    assert_eq!(leveret.dead_letters().await, [""; 0], "the second reply is the first one once more");
    leveret.close().await;
}

#[tokio::test]
async fn a_worker_in_python_survives_a_cut_connection() {
    survives_a_cut(Language::Python).await;
}

#[tokio::test]
async fn a_worker_in_javascript_survives_a_cut_connection() {
    survives_a_cut(Language::Node).await;
}

#[tokio::test]
async fn a_worker_in_rust_survives_a_cut_connection() {
    survives_a_cut(Language::Rust).await;
}

#[tokio::test]
async fn an_order_reserves_over_http_and_ships_through_the_worker_in_python() {
    let leveret = leveret().await;
    leveret.apply(&std::fs::read_to_string(folder().join("shipping.yaml")).unwrap()).await;
    let mut inventory = Command::new(PYTHON);
    inventory.arg(folder().join("inventory.py")).arg("0");
    let (_inventory, output) = Output::of(inventory);
    output.says("\n", SOON).await;
    let url = output.text().lines().next().unwrap().to_owned();
    let mut worker = Worker::start(Language::Python, &leveret.fresh, &journal()).await.unwrap();
    let order = async |key: &str, sku: &str, quantity: i64| {
        let input = json!({ "order_id": key, "sku": sku, "quantity": quantity, "inventory": url });
        leveret.start_with("shipping", key, input).await;
    };
    order("A-1", "lamp", 2).await;
    leveret.reaches("A-1", "completed").await;
    order("A-2", "desk", 5).await;
    leveret.reaches("A-2", "failed").await;
    // Nothing to pack: the reservation is released.
    order("A-3", "lamp", 0).await;
    leveret.reaches("A-3", "failed").await;
    let output = leveret.lines("output", "leveret.instances WHERE key = 'A-1'").await.remove(0);
    let output: Value = serde_json::from_str(&output).unwrap();
    assert!(output["reservation"].as_str().unwrap().starts_with("R-") && output["label"].is_string(), "{output}");
    let why = leveret.lines("error->>'message'", "leveret.instances WHERE status = 'failed' ORDER BY key").await;
    assert_eq!(why, ["sold out", "parcel A-3 has no items"]);
    worker.stops_in_order().await;
    leveret.close().await;
}
