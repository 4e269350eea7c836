//! Validates messages against the published contract.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::Validator;
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use leveret::contract::asyncapi;
use serde_json::{Map, Value, json};

/// The validators of one message.
struct Judge {
    payload: Validator,
    headers: Validator,
    properties: Validator,
}

fn judges() -> &'static BTreeMap<String, Judge> {
    static JUDGES: OnceLock<BTreeMap<String, Judge>> = OnceLock::new();
    JUDGES.get_or_init(|| {
        let document = asyncapi::document("leveret");
        let mut components = document["components"].clone();
        // Other readers ignore unknown fields. Here each field must be described.
        for schema in components["schemas"].as_object_mut().unwrap().values_mut() {
            if schema.get("properties").is_some() {
                schema["additionalProperties"] = json!(false);
            }
        }
        let validator = |schema: &Value| {
            let whole = json!({
                "$schema": "http://json-schema.org/draft-07/schema#", "allOf": [schema],
                "components": { "schemas": components["schemas"] },
            });
            jsonschema::validator_for(&whole).unwrap()
        };
        let messages = document["components"]["messages"].as_object().unwrap();
        let judge = |message: &Value| Judge {
            payload: validator(&message["payload"]),
            headers: validator(&message["headers"]),
            properties: validator(&message["x-amqp-properties"]),
        };
        messages.iter().map(|(name, message)| (name.clone(), judge(message))).collect()
    })
}

/// Every message of the contract.
pub(crate) fn names() -> Vec<String> {
    judges().keys().cloned().collect()
}

/// The contract's name of a message, by its AMQP `type`.
pub(crate) fn name_of(kind: &str) -> String {
    let name = if judges().contains_key(kind) { kind } else { kind.rsplit('.').next().unwrap() };
    if judges().contains_key(name) { name.to_owned() } else { "emitted".to_owned() }
}

/// Checks a message against the contract, and gives its name there.
#[track_caller]
pub(crate) fn assert_fits(properties: &BasicProperties, body: &[u8]) -> String {
    let kind = properties.kind().as_ref().map(ToString::to_string).unwrap_or_default();
    let name = name_of(&kind);
    let judge = &judges()[&name];
    let body: Value = serde_json::from_slice(body).unwrap();
    for (what, validator, value) in [
        ("body", &judge.payload, &body),
        ("headers", &judge.headers, &headers(properties)),
        ("properties", &judge.properties, &told(properties)),
    ] {
        let wrong: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "the {what} of `{name}` do not fit: {wrong:#?}\n{value:#}");
    }
    name
}

fn told(properties: &BasicProperties) -> Value {
    let mut told = Map::new();
    for (name, value) in [
        ("type", properties.kind()),
        ("app_id", properties.app_id()),
        ("message_id", properties.message_id()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
    ] {
        told.extend(value.as_ref().map(|value| (name.to_owned(), json!(value.as_str()))));
    }
    Value::Object(told)
}

fn headers(properties: &BasicProperties) -> Value {
    let Some(table) = properties.headers() else { return json!({}) };
    let value = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => json!(text.to_string()),
        AMQPValue::LongLongInt(number) => json!(number),
        AMQPValue::LongInt(number) => json!(number),
        AMQPValue::ShortShortInt(number) => json!(number),
        other => json!(format!("{other:?}")),
    };
    table.inner().iter().map(|(name, of)| (name.to_string(), value(of))).collect::<Map<_, _>>().into()
}
