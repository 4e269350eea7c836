//! Calls: sent, answered, lost and resolved.

mod callback;
mod crash;
mod http;
mod late;
mod work;

use std::time::Duration;

use leveret::config::Config;
use serde_json::{Value, json};

use crate::support::target::{Asked, Play, Target};
use crate::support::{Fresh, InProcess, SOON};

/// A house whose requests to this machine are allowed.
async fn leveret(change: impl FnOnce(&mut Config)) -> InProcess {
    InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.outgoing.allow_addresses = vec!["127.0.0.0/8".parse().unwrap()];
        config.retry.base = Duration::from_millis(50);
        config.calls.sweep_every = Duration::from_millis(200);
        change(config);
    })
    .await
}

/// A definition with one call, whose result is the output.
fn asking(http: &str) -> String {
    format!(
        "
name: ask
input: {{ type: object, properties: {{ url: {{ type: string }} }} }}
variables: {{ body: null }}
output: '${{ body }}'
activities:
  - id: ask
    {http}
    output: {{ body: result.body }}
"
    )
}

async fn started(leveret: &InProcess, target: &Target, key: &str) {
    leveret.start_with("ask", key, json!({ "url": target.url("/") })).await;
}

/// The JSON body of a request.
fn carried(asked: &Asked) -> Value {
    serde_json::from_slice(&asked.body).unwrap()
}

async fn output(leveret: &InProcess, key: &str) -> Value {
    let output = leveret.lines("output", &format!("leveret.instances WHERE key = '{key}'")).await;
    output.first().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn busy() -> Play {
    Play::status(503)
}

/// A target that answers only after the test has sent `true`.
async fn gated(answer: Play) -> (tokio::sync::watch::Sender<bool>, Target) {
    let (go, gate) = tokio::sync::watch::channel(false);
    let target = Target::playing(move |_| Play::When(gate.clone(), Box::new(answer.clone()))).await;
    (go, target)
}
