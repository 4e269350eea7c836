//! What follows the end of a call ends the process: the role caller is killed over an overdue call, and over a response, again and again.
//! After a few deaths that call is left to a person, and others are not held up.

use serde_json::{Value, json};

use super::crashes::{WITHIN, deaths_of};
use crate::support::target::{Play, Target};
use crate::support::{Processes, eventually};

/// Roles of the processes that die.
const ROLES: &str = "worker,relay,timers,caller";
const CALLERS: [(&str, &str); 4] = [
    ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.0/8"),
    ("LEVERET_CALLS__SWEEP_EVERY", "100ms"),
    ("LEVERET_RETRY__BASE", "50ms"),
    ("LEVERET_WORKER__CRASH_MAX", "1"),
];

/// Nobody packs: each of these calls is overdue after a second.
const PACKING: &str = "
name: packing
output: packed
activities:
  - id: pack
    call: { name: pack, input: {}, on_unknown: fail }
    timeout: 1s
    on_error: [{ to: late }]
    next: exit
  - { id: late, end: {} }
";
/// Asked until it answers: without a bound, for as long as it takes.
const ASKING: &str = "
name: asking
input: { properties: { url: { type: string } } }
variables: { got: null }
output: '${ got }'
activities:
  - id: ask
    http: { url: '${ url }' }
    timeout: 1s
    retry: { attempts: 1000 }
    output: { got: result.body }
";

/// Starts two instances, opens their calls by processes without the role caller, and returns the ids of both calls.
async fn opened(processes: &Processes, definition: &str, input: &Value) -> [String; 2] {
    for key in ["poison", "beside"] {
        processes.start(definition, key, input.clone()).await;
    }
    let mut opens = processes.serve_roles("worker,relay,timers", &[]);
    let both = async || processes.count("leveret.calls").await == 2;
    eventually("both calls are open", WITHIN, both).await;
    opens.stops_in_order().await;
    let ids = "SELECT id::text AS line FROM leveret.calls ORDER BY instance_key DESC";
    processes.lines(ids).await.try_into().unwrap()
}

async fn doomed_until_given_up(processes: &Processes, place: &str, id: &str) -> usize {
    let fail_point = format!("{place} {id}=return");
    let settings: Vec<_> = CALLERS.into_iter().chain([("FAILPOINTS", fail_point.as_str())]).collect();
    // The claim of a dead process would expire after fifteen seconds.
    let given_up = async || {
        let unclaimed = "UPDATE leveret.calls SET next_at = least(next_at, now()) WHERE deadline <= now() \
                         AND state = 'running' RETURNING id::text AS line";
        processes.lines(&format!("WITH unclaimed AS ({unclaimed}) SELECT line FROM unclaimed")).await;
        let suspended = processes.count("leveret.instances WHERE status = 'suspended'").await;
        suspended == 1 && processes.ended().await == 1
    };
    deaths_of(|| processes.serve_roles(ROLES, &settings), given_up).await
}

/// The one incident, and the call that waits for a person.
async fn incident(processes: &Processes, id: &str) -> String {
    let unknown = format!("leveret.calls WHERE id = '{id}' AND state = 'unknown'");
    assert_eq!(processes.count(&unknown).await, 1);
    assert_eq!(processes.count("leveret.suspects").await, 0);
    let incident = "SELECT (details->>'code') || ' at ' || activity || ': ' || (details->>'message') AS line \
                    FROM leveret.bookmarks WHERE kind = 'intervention' AND consumed_at IS NULL";
    let [incident] = &processes.lines(incident).await[..] else { panic!("one incident") };
    incident.clone()
}

/// A person says what came of it, and the instance ends.
async fn resolve(processes: &Processes, id: &str) {
    let mut last = processes.serve(&[]);
    let address = last.serves().await.unwrap();
    let url = format!("http://{address}/api/v1/calls/{id}/resolve");
    let done = json!({ "outcome": "succeeded", "result": { "body": 7 } });
    let resolved = reqwest::Client::new().post(url).json(&done).send().await.unwrap();
    assert!(resolved.status().is_success(), "{}", resolved.text().await.unwrap());
    processes.all_ended(2, WITHIN).await;
    last.stops_in_order().await;
}

#[tokio::test]
async fn an_overdue_call_whose_end_kills_the_caller_is_left_to_a_person_and_others_end() {
    let processes = Processes::new().await;
    processes.apply(PACKING).await;
    let [poison, _] = opened(&processes, "packing", &json!({})).await;
    // The first time it has not crashed yet; then once more than `worker.crash_max`.
    assert_eq!(doomed_until_given_up(&processes, "caller::expires", &poison).await, 2);
    let why = "worker.gave_up at pack: 2 workers ended while they executed the end of this overdue call";
    let incident = incident(&processes, &poison).await;
    assert!(incident.starts_with(why) && incident.contains("`worker.crash_max`"), "{incident}");
    resolve(&processes, &poison).await;
}

#[tokio::test]
async fn a_response_that_kills_the_caller_is_left_to_a_person_and_others_are_recorded() {
    let processes = Processes::new().await;
    processes.apply(ASKING).await;
    let target = Target::playing(|_| Play::ok("7")).await;
    let [poison, _] = opened(&processes, "asking", &json!({ "url": target.url("/") })).await;
    // A first attempt is not counted.
    assert_eq!(doomed_until_given_up(&processes, "caller::records", &poison).await, 3);
    let why = "worker.gave_up at ask: 2 workers ended while they executed what follows the response to this call";
    let incident = incident(&processes, &poison).await;
    assert!(incident.starts_with(why), "{incident}");
    let asked = target.asked().into_iter().filter(|asked| asked.header("idempotency-key") == Some(poison.as_str()));
    assert_eq!(asked.count(), 4, "three that killed, and one whose response was not looked at");
    resolve(&processes, &poison).await;
    let outputs = "SELECT output::text AS line FROM leveret.instances";
    assert_eq!(processes.lines(outputs).await, ["7", "7"]);
}
