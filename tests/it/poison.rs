//! Poison: a message that cannot be handled becomes one dead letter with its reason, and other messages are not affected.

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ConnectionProperties};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Fault, Fresh, InProcess, Sender};

/// Always fails: its message is refused, its handler fails or panics, its loop never ends.
const BROKEN: [(&str, &str); 4] = [
    ("breaks", "{ id: only, run: { handler: break }, retry: none }"),
    ("panics", "{ id: only, run: { handler: panic }, retry: none }"),
    ("divides", "{ id: only, set: { x: 1 / (x - x) } }"),
    ("circles", "{ id: only, set: { x: x + 1 }, next: [{ when: x > 0, to: only }, { to: exit }] }"),
];

/// Levels that the JSON reader takes, the body itself included.
const READ_MAX: usize = 127;
/// Levels of headers that Leveret takes.
const HEADERS_MAX: usize = 32;

const INCIDENTS: &str = "leveret.bookmarks WHERE kind = 'intervention' AND consumed_at IS NULL";

/// A message of an unknown client, and what its dead letter must say.
struct Poison {
    name: &'static str,
    properties: BasicProperties,
    body: Vec<u8>,
    says: &'static [&'static str],
}

fn poison(name: &'static str, kind: &str, body: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Poison {
    Poison { name, properties: Sender::properties(kind, name), body: body.into(), says }
}

/// The body of a start in order.
fn start() -> Vec<u8> {
    json!({ "definition": "step" }).to_string().into_bytes()
}

fn nested_body(levels: usize) -> String {
    format!(r#"{{"definition":"step","input":{}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

fn headers(entries: impl IntoIterator<Item = (String, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.as_str().into(), value);
    }
    table
}

fn bodies() -> Vec<Poison> {
    let large = format!(r#"{{"definition":"step","input":{{"a":"{}"}}}}"#, "x".repeat(1024 * 1024));
    let long = json!({ "definition": "x".repeat(300) }).to_string();
    let nobody = json!({ "instance": Uuid::now_v7() }).to_string();
    vec![
        poison("empty", "start", "", &["not JSON"]),
        poison("not-json", "start", "{ definition: step }", &["not JSON", "line 1"]),
        poison("cut", "start", r#"{"definition":"step""#, &["not JSON", "EOF"]),
        poison("a-list", "start", r#"["step"]"#, &["not a JSON object"]),
        poison("a-number", "message", r#"{"name":"paid","key":7}"#, &["does not fit", "`key`", "string"]),
        poison("bytes", "start", vec![0xff, 0xfe, 0x00, 0x80], &["not JSON"]),
        poison("not-utf8", "start", b"{\"definition\":\"\xc3\x28\"}".to_vec(), &["not JSON", "unicode"]),
        poison("half-a-pair", "start", r#"{"definition":"step","input":{"a":"\ud800"}}"#, &["not JSON", "hex escape"]),
        poison("huge", "start", large, &["1048", "262144 are allowed"]),
        poison("deep", "start", nested_body(READ_MAX), &["recursion limit"]),
        poison("deep-enough", "start", nested_body(64), &["deeper than 64 levels"]),
        poison("nul", "start", r#"{"definition":"step","input":{"a":"x\u0000"}}"#, &[r"\u0000", "/input/a"]),
        poison("nul-in-a-name", "start", r#"{"definition":"step","input":{"a\u0000":1}}"#, &[r"\u0000", "/input/a"]),
        poison("nul-in-a-key", "message", r#"{"name":"paid","key":"\u0000"}"#, &[r"\u0000", "/key"]),
        poison("empty-key", "start", r#"{"definition":"step","key":""}"#, &["`key` has 0 bytes"]),
        poison("empty-message-key", "message", r#"{"name":"paid","key":""}"#, &["`key` has 0 bytes"]),
        poison("huge-number", "start", r#"{"definition":"step","input":{"a":1e999}}"#, &["1e999", "send it as text"]),
        poison("long-name", "start", long, &["`definition`", "300 bytes", "255"]),
        poison("no-such-definition", "start", r#"{"definition":"nothing"}"#, &["no active definition `nothing`"]),
        poison("no-such-version", "start", r#"{"definition":"step","version":9}"#, &["no version 9", "`step`"]),
        poison("no-such-instance", "cancel", nobody.clone(), &["no instance"]),
        poison("nothing-to-retry", "retry", nobody, &["no instance"]),
        poison("no-such-key", "cancel", r#"{"definition":"step","key":"?"}"#, &["no live instance", "`?`"]),
        poison("no-target", "cancel", "{}", &["name the instance"]),
    ]
}

fn envelopes() -> Vec<Poison> {
    let plain = || BasicProperties::default().with_delivery_mode(2).with_type("start".into());
    let whole = |name| Sender::properties("start", name);
    let with = |name, table| whole(name).with_headers(table);
    let strange = |name, properties, says| Poison { name, properties, body: start(), says };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let no_scalar = AMQPValue::FieldTable(headers([]));
    let many = (0..100).map(|number| (format!("a{number:03}"), AMQPValue::LongInt(number)));
    let behind_many = headers(many.chain([("schema".to_owned(), AMQPValue::LongInt(2))]));
    vec![
        strange("no-properties", BasicProperties::default(), &["`type` is missing"]),
        strange("no-type", plain().with_app_id("a".into()).with_type("".into()), &["`` is not a command"]),
        strange("unknown-type", Sender::properties("explode", "unknown-type"), &["`explode` is not a command"]),
        strange("no-app-id", plain().with_message_id("no-app-id".into()), &["`app_id` is missing"]),
        strange("no-message-id", plain().with_app_id("a".into()), &["`message_id` is missing"]),
        strange("empty-ids", plain().with_app_id("".into()).with_message_id("".into()), &["`app_id` is missing"]),
        strange("nul-app-id", whole("nul-app-id").with_app_id("a\0".into()), &["`app_id`", r"\u0000"]),
        strange("nul-reply-to", whole("nul-reply-to").with_reply_to("a\0".into()), &["`reply_to`", r"\u0000"]),
        strange("nul-correlation", whole("nul-correlation").with_correlation_id("\0".into()), &["`correlation_id`"]),
        strange("schema-2", with("schema-2", headers([("schema".into(), AMQPValue::LongInt(2))])), &["schema 2"]),
        strange("schema-text", with("schema-text", headers([("schema".into(), text("9"))])), &["schema 9"]),
        strange("schema-v2", with("schema-v2", headers([("schema".into(), text("v2"))])), &["schema v2"]),
        strange(
            "schema-list",
            with("schema-list", headers([("schema".into(), no_scalar)])),
            &["schema of an unknown type"],
        ),
        strange("schema-behind-many", with("schema-behind-many", behind_many), &["schema 2"]),
    ]
}

/// Strange, but no reason to refuse a command that is in order.
fn harmless() -> Vec<BasicProperties> {
    let many = headers((0..2_000).map(|number| (format!("h{number}"), AMQPValue::LongInt(number))));
    let huge = headers([("huge".into(), AMQPValue::LongString("x".repeat(100_000).into()))]);
    let bytes = headers([("bytes".into(), AMQPValue::LongString(vec![0xff, 0x00, 0xfe].into()))]);
    let mut nested = AMQPValue::Void;
    for _ in 0..20 {
        nested = AMQPValue::FieldTable(headers([("in".into(), nested)]));
    }
    let traced = headers([("traceparent".into(), AMQPValue::LongString("nonsense\0".into()))]);
    let sent = headers([("sent_at".into(), AMQPValue::LongString("not a number".into()))]);
    [many, huge, bytes, headers([("nested".into(), nested)]), traced, sent]
        .into_iter()
        .enumerate()
        .map(|(number, table)| Sender::properties("start", &format!("harmless {number}")).with_headers(table))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_message_is_a_dead_letter_with_its_reason_and_other_messages_are_handled() {
    let leveret = InProcess::with_ledger().await;
    let all: Vec<Poison> = bodies().into_iter().chain(envelopes()).collect();
    let count = i64::try_from(all.len()).unwrap();
    for one in &all {
        let kind = one.properties.kind().as_ref().map(ToString::to_string).unwrap_or_default();
        let routing_key = format!("{kind}.poison.{}", one.name);
        leveret.sender.send("commands", &routing_key, one.properties.clone(), &one.body).await;
        leveret.start("step", one.name).await;
    }
    leveret.count_becomes(count, "leveret.instances WHERE status = 'completed'").await;
    leveret.count_becomes(count, "leveret.dead_letters").await;
    for one in &all {
        let about = format!("leveret.dead_letters WHERE routing_key LIKE '%.poison.{}'", one.name);
        let [reason] = &leveret.lines("reason", &about).await[..] else { panic!("{} has no dead letter", one.name) };
        for says in one.says {
            assert!(reason.contains(says), "the dead letter of {} does not say `{says}`: {reason}", one.name);
        }
        let kept = leveret.lines("body_bytes || ' from ' || source", &about).await;
        assert_eq!(kept, [format!("{} from commands", one.body.len())], "{}", one.name);
        assert_eq!(leveret.booked(one.name, "only").await, 1, "the instance next to {}", one.name);
    }
    assert_eq!(leveret.count("ledger").await, count, "nothing else was done");
    leveret.close().await;
}

/// A command with `reply_to` is answered, whatever was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_command_is_answered_with_the_reason() {
    let leveret = InProcess::with_ledger().await;
    let all = [
        ("not-json", "start", "{ definition: step }".to_owned(), "not JSON"),
        ("unknown-type", "explode", "{}".to_owned(), "`explode` is not a command"),
        ("no-field", "start", "{}".to_owned(), "definition"),
        ("too-deep", "start", nested_body(100), "deeper than 64 levels"),
    ];
    for (name, kind, body, _) in &all {
        let properties = leveret.sender.asking(Sender::properties(kind, name), name);
        leveret.sender.send("commands", &format!("{kind}.poison"), properties, body.as_bytes()).await;
    }
    let nameless = leveret.sender.asking(BasicProperties::default().with_type("start".into()), "nameless");
    leveret.sender.send("commands", "start.step", nameless, &start()).await;
    let answers = leveret.sender.answers(all.len() + 1).await;
    for (name, _, _, says) in &all {
        let (_, answer) = answers.iter().find(|(about, _)| about == &format!("about {name}")).expect(name);
        assert_eq!(answer["outcome"], "refused", "{name}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains(says), "{name}: {answer}");
    }
    let (_, answer) = answers.iter().find(|(about, _)| about == "about nameless").unwrap();
    assert!(answer["reason"].as_str().unwrap().contains("`app_id` is missing"), "{answer}");
    leveret.count_becomes(5, "leveret.dead_letters").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_headers_and_a_byte_order_mark_do_not_stop_a_command_that_is_in_order() {
    let leveret = InProcess::with_ledger().await;
    let all = harmless();
    let count = i64::try_from(all.len()).unwrap();
    for properties in all {
        leveret.sender.send("commands", "start.step", properties, &start()).await;
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), &start()].concat();
    leveret.sender.send("commands", "start.step", Sender::properties("start", "marked"), &marked).await;
    leveret.count_becomes(count + 1, "leveret.instances WHERE status = 'completed'").await;
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_command_without_a_branch_has_no_effect() {
    let leveret = InProcess::with_ledger().await;
    let (nobody, due_at) = (Uuid::now_v7(), "2026-01-01T00:00:00Z");
    leveret.start("paid", "untouched").await;
    leveret.reaches("untouched", "running at payment").await;
    let id = leveret.id("untouched").await.unwrap();
    for stale in [
        json!({ "instance": nobody, "branch": 0, "sequence": 1 }),
        json!({ "instance": id.0, "branch": 0, "sequence": 1 }),
        json!({ "instance": id.0, "branch": 77, "sequence": i64::MAX }),
    ] {
        leveret.sender.step("continue", &stale).await;
    }
    for (instance, bookmark) in [(nobody, 1), (id.0, 1), (id.0, 99), (id.0, -1)] {
        leveret.sender.step("fire", &json!({ "instance": instance, "bookmark": bookmark, "due_at": due_at })).await;
    }
    leveret.sender.step("continue", &json!({ "instance": "nobody" })).await;
    leveret.sender.step("fire", &json!({ "instance": id.0, "bookmark": 1, "due_at": "tomorrow" })).await;
    leveret.sender.step("explode", &json!({})).await;
    leveret.count_becomes(3, "leveret.dead_letters WHERE source = 'steps.default'").await;
    assert_eq!(leveret.position("untouched").await, "running at payment");
    leveret.pay("paid", "untouched", 5).await;
    leveret.reaches("untouched", "completed").await;
    assert_eq!((leveret.booked("untouched", "before").await, leveret.booked("untouched", "after").await), (1, 1));
    assert_eq!(leveret.dead_letters().await.len(), 3, "a stale command is not a dead letter");
    leveret.close().await;
}

/// A consumer that gives back a step command until the broker's delivery limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_command_past_its_delivery_limit_is_a_dead_letter_and_an_incident() {
    let mut fault = Fault::new("a step command reaches the delivery limit", "F48", "I3 I4 I16");
    let leveret = InProcess::with_ledger().await;
    leveret.apply("name: elsewhere\nqueue: elsewhere\nactivities: [{ id: only, run: { handler: book } }]").await;
    leveret.start("elsewhere", "given-back").await;
    leveret.reaches("given-back", "running before only").await;

    let fresh = &leveret.fresh;
    let connection = lapin::Connection::connect(&fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = format!("{}.steps.elsewhere", fresh.prefix);
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = channel.basic_consume(queue.as_str().into(), "".into(), options, none).await.unwrap();
    let mut times = 0;
    let give_back = async {
        while let Some(delivery) = deliveries.next().await {
            times += 1;
            let again = BasicRejectOptions { requeue: true };
            channel.basic_reject(delivery.unwrap().delivery_tag, again).await.unwrap();
        }
    };
    tokio::select! {
        () = give_back => panic!("the consumer was cancelled after {times} deliveries"),
        () = leveret.count_becomes(1, "leveret.dead_letters") => {}
    }
    assert!((50..=60).contains(&times), "given back {times} times");
    fault.fired_times(1, 1);
    leveret.reaches("given-back", "suspended at only").await;
    let letters = leveret.lines("reason || ' from ' || source || ': ' || kind", "leveret.dead_letters").await;
    assert_eq!(letters, ["the broker stopped redelivering it (delivery_limit) from dead: continue"]);
    let incident = leveret.lines("details->>'code' || ': ' || (details->>'message')", INCIDENTS).await;
    assert_eq!(incident, ["worker.gave_up: the broker stopped redelivering it (delivery_limit)"]);
    leveret.sender.command("cancel", "call it off", &json!({ "definition": "elsewhere", "key": "given-back" })).await;
    leveret.reaches("given-back", "cancelled").await;
    connection.close(200, "bye".into()).await.unwrap();
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_stored_once_however_often_it_is_delivered() {
    let leveret = InProcess::with_ledger().await;
    for _ in 0..3 {
        leveret.sender.ask("start", "again", &json!({ "definition": "nothing" })).await;
        leveret.start("step", &Uuid::now_v7().to_string()).await;
    }
    leveret.count_becomes(3, "leveret.instances WHERE status = 'completed'").await;
    for (about, answer) in leveret.sender.answers(3).await {
        assert_eq!((about.as_str(), &answer["outcome"]), ("about again", &json!("refused")), "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains("`nothing`"), "{answer}");
    }
    assert_eq!(leveret.dead_letters().await.len(), 1);
    leveret.close().await;
}

/// With one delivery at a time and a short hold, so that a loop that never ends would delay every other instance.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_always_fail_do_not_stop_other_instances() {
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| {
        config.worker.concurrency = 2;
        config.limits.steps_max = 500;
    })
    .await;
    for (name, activity) in BROKEN {
        leveret.apply(&format!("name: {name}\nvariables: {{ x: 0 }}\nactivities:\n  - {activity}\n")).await;
    }
    for round in 0..5 {
        for (name, _) in BROKEN {
            leveret.start(name, &format!("{name} {round}")).await;
            leveret.start("step", &format!("beside {name} {round}")).await;
        }
    }
    leveret.count_becomes(20, "leveret.instances WHERE definition = 'step' AND status = 'completed'").await;
    leveret.count_becomes(20, "leveret.instances WHERE definition <> 'step' AND status = 'suspended'").await;
    let codes = "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
        WHERE b.kind = 'intervention' GROUP BY i.definition, b.details->>'code' ORDER BY 1";
    let incidents = leveret.lines("i.definition || ': ' || (b.details->>'code') || ' ' || count(*)", codes).await;
    let expected =
        ["breaks: handler.broken 5", "circles: limit.steps 5", "divides: expression 5", "panics: handler.panic 5"];
    assert_eq!(incidents, expected);
    assert_eq!(leveret.count("ledger WHERE activity = 'only'").await, 20, "what failed left nothing behind");
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
}

/// Just above what is taken; the broker forwards it as it is.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_properties_do_not_stop_other_messages() {
    let leveret = InProcess::with_ledger().await;
    let odd = "a\u{ffff}";
    let send = async |key: &str, properties| leveret.sender.send("commands", key, properties, &start()).await;
    let nested = |levels: usize| {
        headers((1..levels).fold([("in".to_owned(), AMQPValue::Void)], |inner, _| {
            [("in".to_owned(), AMQPValue::FieldTable(headers(inner)))]
        }))
    };
    send("start.wire", Sender::properties("start", "1").with_headers(nested(HEADERS_MAX))).await;
    send(&format!("start.{odd}"), Sender::properties("start", "2")).await;
    leveret.count_becomes(2, "leveret.instances WHERE status = 'completed'").await;
    let whole = || Sender::properties("start", "3");
    let cases = [
        (Sender::properties("start", odd), "`message_id` is not readable text"),
        (whole().with_app_id(odd.into()), "`app_id` is not readable text"),
        (Sender::properties(odd, "4"), "`type` is not readable text"),
        (
            whole().with_headers(headers([(odd.to_owned(), AMQPValue::Void)])),
            "the name of a header is not readable text",
        ),
        (whole().with_headers(nested(HEADERS_MAX + 2)), "nested too deeply"),
    ];
    for (number, (properties, _)) in cases.iter().enumerate() {
        send("start.wire", properties.clone()).await;
        leveret.start("step", &number.to_string()).await;
    }
    leveret.count_becomes(7, "leveret.instances WHERE status = 'completed'").await;
    leveret.count_becomes(5, "leveret.dead_letters").await;
    let letters = leveret.dead_letters().await;
    for (_, says) in cases {
        assert_eq!(letters.iter().filter(|letter| letter.contains(says)).count(), 1, "{says}: {letters:?}");
    }
    leveret.close().await;
}
