//! Senders of AMQP 1.0, as RabbitMQ 4 passes their messages on to a reader of AMQP 0.9.1. The properties are those that
//! RabbitMQ 4.3.6 made of messages of rhea 3.0.5; so the tests run on any version, and without such a client.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use crate::support::{InProcess, Sender};

const UUID: &str = "2d726b8a-e1d9-5e9a-8afe-8ad6ae145452";

/// A message annotation `x-basic-type`, and a `group-id`.
fn annotated() -> BasicProperties {
    BasicProperties::default().with_type("start".into()).with_app_id("shop".into())
}

/// A message id of bytes.
fn bytes(id: &[u8]) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-message-id".into(), AMQPValue::ByteArray(id.to_vec().into()));
    annotated().with_headers(headers)
}

async fn send(leveret: &InProcess, properties: BasicProperties) {
    let body = json!({ "definition": "step" }).to_string();
    let asking = leveret.sender.asking(properties, "it");
    leveret.sender.send("commands", "start.step", asking, body.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_one_command_however_it_is_spelled() {
    let leveret = InProcess::with_ledger().await;
    let pairs = [
        (annotated().with_message_id(format!("urn:uuid:{UUID}").into()), annotated().with_message_id(UUID.into())),
        (bytes(b"order-17"), annotated().with_message_id("order-17".into())),
        (bytes(&[0xff, 0x00]), bytes(&[0xff, 0x00])),
        (annotated().with_message_id("4711".into()), annotated().with_message_id("4711".into())),
    ];
    for (count, (first, second)) in pairs.into_iter().enumerate() {
        send(&leveret, first).await;
        let one = leveret.sender.answer().await;
        send(&leveret, second).await;
        let other = leveret.sender.answer().await;
        assert_eq!((&one["outcome"], &one["instance"]), (&json!("started"), &other["instance"]), "{one} {other}");
        assert_eq!(leveret.count("leveret.instances").await, i64::try_from(count).unwrap() + 1);
    }
    leveret.count_becomes(4, "leveret.instances WHERE status = 'completed'").await;
    let ids = leveret.lines("message_id", "leveret.inbox ORDER BY message_id").await;
    assert_eq!(ids, [UUID, "4711", "binary:ff00", "order-17"]);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_of_amqp_1_0_has_left_out_is_named_in_its_terms() {
    let leveret = InProcess::with_ledger().await;
    let cases = [
        (BasicProperties::default().with_message_id("1".into()), "`x-basic-type`"),
        (BasicProperties::default().with_message_id("2".into()).with_type("start".into()), "`group-id`"),
        (Sender::properties("amqp-1.0", "3"), "in a data section"),
    ];
    for (count, (properties, says)) in cases.into_iter().enumerate() {
        send(&leveret, properties).await;
        leveret.count_becomes(i64::try_from(count).unwrap() + 1, "leveret.dead_letters").await;
        let letters = leveret.dead_letters().await;
        assert!(letters[count].contains(says), "{letters:?}");
    }
    assert_eq!(leveret.sender.answers(3).await.len(), 3);
    leveret.close().await;
}
