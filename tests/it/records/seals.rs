//! `leveret history verify` and `seal`: what was changed is named, also if the whole chain was written anew.

use std::collections::BTreeMap;

use leveret::engine::InstanceId;
use leveret::store::history::{self, HistoryRow};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::target::{Play, Target};
use crate::support::{CommandLine, InProcess};

/// Three rows of history at least, and an end.
const SHORT: &str = "
name: short
variables: { n: 0 }
activities:
  - { id: first, set: { n: 1 } }
  - { id: second, set: { n: 2 } }
";
/// Lives on.
const WAITING: &str = "
name: waiting
activities:
  - { id: only, receive: { name: paid } }
";

async fn leveret() -> InProcess {
    let leveret = InProcess::new().await;
    leveret.apply(SHORT).await;
    leveret.apply(WAITING).await;
    for key in ["A", "B", "C"] {
        leveret.start("short", key).await;
        leveret.reaches(key, "completed").await;
    }
    leveret.start("waiting", "D").await;
    leveret.reaches("D", "running at only").await;
    leveret
}

async fn id(leveret: &InProcess, key: &str) -> InstanceId {
    leveret.id(key).await.unwrap()
}

/// Changes history as somebody who may do everything.
async fn forge(leveret: &InProcess, change: &str) {
    leveret.execute(&format!("BEGIN; SET LOCAL ROLE leveret_retention; {change}; COMMIT")).await;
}

/// The canonical JSON of a map of plain values, as docs/protocol.md tells it.
fn canonical(map: Value) -> String {
    let sorted: BTreeMap<String, Value> = serde_json::from_value(map).unwrap();
    serde_json::to_string(&sorted).unwrap()
}

fn hash(id: InstanceId, row: &HistoryRow) -> Vec<u8> {
    let text = canonical(json!({
        "instance": id, "number": row.number, "at": row.at.as_microsecond(), "kind": row.kind, "activity": row.activity,
        "branch": row.branch, "details": hex::encode(&row.digest), "previous": hex::encode(&row.previous_hash),
    }));
    Sha256::digest(text).to_vec()
}

/// Writes other details into the first row, and every hash anew, so that the chain is whole again.
async fn rewrite(leveret: &InProcess, id: InstanceId) {
    let mut rows = history::list(&mut *leveret.conn().await, id, 0, 100).await.unwrap();
    let details = json!({ "forged": true });
    rows[0].digest = Sha256::digest([rows[0].salt.clone().unwrap(), canonical(details).into_bytes()].concat()).to_vec();
    let mut previous = vec![0; 32];
    for row in &mut rows {
        row.previous_hash = previous;
        previous = hash(id, row);
        let (digest, before) = (hex::encode(&row.digest), hex::encode(&row.previous_hash));
        forge(
            leveret,
            &format!(
                "UPDATE leveret.history SET digest = '\\x{digest}', previous_hash = '\\x{before}' \
                 WHERE instance_id = '{}' AND number = {}",
                id.0, row.number
            ),
        )
        .await;
    }
    let first = format!("instance_id = '{}' AND number = 1", id.0);
    forge(leveret, &format!("UPDATE leveret.history SET details = '{{\"forged\": true}}' WHERE {first}")).await;
    let newest = hex::encode(previous);
    leveret.execute(&format!("UPDATE leveret.instances SET history_hash = '\\x{newest}' WHERE id = '{}'", id.0)).await;
}

fn broken(found: &str) -> Vec<Value> {
    let found: Value = serde_json::from_str(found).unwrap();
    found["broken"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_history_is_named_by_its_first_row() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    let all = "history verify --all -o json";
    let whole: Value = serde_json::from_str(&command_line.say(all).await.good()).unwrap();
    assert_eq!(whole["chains"], 4);
    assert_eq!(whole["rows"], leveret.count("leveret.history").await);
    let [a, b, c, d] =
        [id(&leveret, "A").await, id(&leveret, "B").await, id(&leveret, "C").await, id(&leveret, "D").await];
    let none = Uuid::now_v7();
    let copy = |to: Uuid, number: i64| {
        format!(
            "INSERT INTO leveret.history (instance_id, number, at, kind, digest, previous_hash)
             SELECT '{to}', {number}, at, kind, digest, previous_hash FROM leveret.history WHERE instance_id = '{}' AND number = 1",
            a.0
        )
    };
    forge(&leveret, &format!("UPDATE leveret.history SET details = '7' WHERE instance_id = '{}' AND number = 2", a.0))
        .await;
    forge(&leveret, &format!("DELETE FROM leveret.history WHERE instance_id = '{}' AND number = 2", b.0)).await;
    forge(&leveret, &format!("UPDATE leveret.history SET kind = 'Other' WHERE instance_id = '{}' AND number = 1", c.0))
        .await;
    leveret.execute(&copy(d.0, 99)).await;
    leveret.execute(&copy(none, 1)).await;
    let found = broken(&command_line.say(all).await.failed());
    let named = |id: Uuid, row: i64, why: &str| json!({ "instance": id, "row": row, "why": why });
    let expected = [
        named(a.0, 2, "the details of history row 2 were changed"),
        named(b.0, 2, "history row 2 is missing"),
        named(c.0, 1, "history row 1 was changed"),
        named(d.0, 99, "history row 99 was added: the instance has no such row"),
        named(none, 1, "history row 1 is of an instance that does not exist"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    expected.iter().for_each(|one| assert!(found.contains(one), "{one} in {found:?}"));
    let said = command_line.say(&format!("history verify --instance {}", b.0)).await.failed();
    assert!(said.contains("history row 2 is missing"), "{said}");
    let said = command_line.say(&format!("history verify --instance {}", Uuid::nil())).await.failed();
    assert!(said.contains("there is no instance"), "{said}");
    assert_eq!(command_line.say("history verify").await.code, 2, "wrong usage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_written_anew_passes_alone_and_fails_against_its_seal() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    // A key is made on a machine that has no database.
    let elsewhere = CommandLine::nowhere();
    elsewhere.say("history seal --new-key seal.key").await.good();
    for file in ["seal.key", "seal.key.pub"] {
        std::fs::copy(elsewhere.directory().join(file), command_line.directory().join(file)).unwrap();
    }
    let sealed = command_line.say("history seal --to heads.jsonl --key seal.key").await.good();
    assert_eq!(sealed.trim(), "sealed 4 chains to heads.jsonl");
    let against = "history verify --seal heads.jsonl --key seal.key.pub -o json";
    let whole: Value = serde_json::from_str(&command_line.say(against).await.good()).unwrap();
    assert_eq!((&whole["sealed"]["chains"], &whole["sealed"]["deleted"]), (&json!(4), &json!(0)));
    // What goes on after the seal still contains what was sealed.
    leveret.post("/messages", &json!({ "name": "paid", "key": "D" })).await.ok(200);
    leveret.reaches("D", "completed").await;
    command_line.say(against).await.good();

    let [b, c] = [id(&leveret, "B").await, id(&leveret, "C").await];
    rewrite(&leveret, b).await;
    command_line.say("history verify --all").await.good();
    let found = broken(&command_line.say(against).await.failed());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["instance"], json!(b));
    assert!(found[0]["why"].as_str().unwrap().contains("does not contain the sealed head"), "{found:?}");
    // An instance that vanishes before its time.
    forge(&leveret, &format!("DELETE FROM leveret.history WHERE instance_id = '{}'", c.0)).await;
    leveret.execute(&format!("DELETE FROM leveret.instances WHERE id = '{}'", c.0)).await;
    command_line.say("history verify --all").await.good();
    let said = command_line.say("history verify --seal heads.jsonl --key seal.key.pub").await.failed();
    assert!(said.contains(&format!("{}: the instance is gone, and was to be kept until", c.0)), "{said}");
    // The same, if it was not to be kept.
    let impatient = command_line.with("LEVERET_RETENTION__INSTANCES", "1ms");
    let found = broken(&impatient.say(against).await.failed());
    assert_eq!(found.len(), 1, "{found:?}");
    let said = impatient.say("history seal --to heads.jsonl --key seal.key").await.failed();
    assert!(said.contains("is never overwritten"), "{said}");
    let said = impatient.say("history verify --seal seal.key.pub --key seal.key.pub").await.failed();
    assert!(said.contains("not a seal that can be trusted"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_put_to_an_address_outside() {
    let leveret = leveret().await;
    let target = Target::playing(|_| Play::status(200)).await;
    let command_line = CommandLine::on(&leveret.fresh).with("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.1");
    command_line.say("history seal --new-key seal.key").await.good();
    let url = format!("http://{}/seals/today?secret=1", target.address);
    let said = command_line.run(["history", "seal", "--to", url.as_str(), "--key", "seal.key"]).await.good();
    assert!(said.contains("sealed 4 chains to http://127.0.0.1") && !said.contains("secret"), "{said}");
    let asked = target.asked();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "PUT /seals/today?secret=1 HTTP/1.1"));
    let lines = asked[0].body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    assert_eq!(lines.count(), 1 + 4 + 1, "a header, the heads, and the signature");
}
