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
use crate::support::{Fresh, House};

const SOON: Duration = Duration::from_secs(30);

/// A house whose requests to this machine are allowed.
async fn house(change: impl FnOnce(&mut Config)) -> House {
    House::on(Fresh::new().await, |config| {
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

async fn started(house: &House, target: &Target, key: &str) {
    house.start_with("ask", key, json!({ "url": target.url("/") })).await;
}

/// The JSON body of a request.
fn carried(asked: &Asked) -> Value {
    serde_json::from_slice(&asked.body).unwrap()
}

async fn output(house: &House, key: &str) -> Value {
    let output = house.lines("output", &format!("leveret.instances WHERE key = '{key}'")).await;
    output.first().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn busy() -> Play {
    Play::status(503)
}

/// A target that answers only after the test has sent `true`.
async fn gated(answer: Play) -> (tokio::sync::watch::Sender<bool>, Target) {
    let (go, gate) = tokio::sync::watch::channel(false);
    let target = Target::playing(move |_| {
        // The script is not async, so its thread blocks; the runtime moves other tasks away from it.
        tokio::task::block_in_place(|| {
            while !*gate.borrow() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        answer.clone()
    })
    .await;
    (go, target)
}
