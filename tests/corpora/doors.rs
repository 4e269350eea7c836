//! What a stranger's bytes reach first: each function takes any bytes, and must answer soon without a panic. The fuzz targets in `fuzz/`
//! and the replay of their corpora call the same functions.

use std::time::Duration;

use jiff::Timestamp;
use leveret::broker::mended_properties;
use leveret::contract::{
    self, CallComplete, CallHeartbeat, CallProgress, Continue, Deliver, Fire, Message, Reschedule, Start, Target,
    TaskClaim, TaskComplete, TaskRelease,
};
use leveret::definition::Definition;
use leveret::expression::step_budget::StepBudget;
use leveret::expression::{Expression, Scope, Template};
use leveret::limits::retry_after;
use leveret::time::cron::Cron;
use leveret::time::zone::Zone;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A door, and the name of its corpus.
pub(crate) struct Door {
    /// The folder of its corpus, and its fuzz target.
    pub(crate) name: &'static str,
    /// Takes what comes in.
    pub(crate) take: fn(&[u8]),
}

/// Every door.
pub(crate) const DOORS: [Door; 6] = [
    Door { name: "document", take: document },
    Door { name: "expression", take: expression },
    Door { name: "command_body", take: command_body },
    Door { name: "amqp_properties", take: amqp_properties },
    Door { name: "retry_after", take: retry_after_header },
    Door { name: "cron", take: cron },
];

/// Takes a workflow document. What is accepted can be read again in its stored form.
pub(crate) fn document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Definition::parse(text) {
        Ok(parsed) => {
            assert!(Definition::from_content(&parsed.content).is_ok(), "it cannot be read again");
            if let Some(schema) = &parsed.definition.input {
                let _ = schema.accept(&json!({"a": [1, "b", null]}), &StepBudget::whole());
            }
        }
        Err(problems) => assert!(!problems.is_empty(), "it is refused without a reason"),
    }
}

/// Takes an expression and a template, and evaluates both.
pub(crate) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Value::Object(variables) = json!({
        "n": 5, "x": 2.5, "text": "Ada", "list": [3, 1, 2], "map": {"a": {"b": null}}, "yes": true, "nothing": null,
    }) else {
        return;
    };
    let budget = StepBudget::brief();
    let now = Timestamp::UNIX_EPOCH;
    let scope = Scope { variables: &variables, input: &variables, now, reserved: Vec::new(), budget: &budget };
    if let Ok(expression) = Expression::parse(text) {
        let _ = expression.evaluate(&scope);
        let _ = expression.holds(&scope);
    }
    if let Ok(template) = Template::parse(text) {
        let _ = template.text(&scope);
    }
}

/// Takes the body of a command of every kind.
pub(crate) fn command_body(bytes: &[u8]) {
    fn fits<T: DeserializeOwned>(value: &Value) {
        let _ = serde_path_to_error::deserialize::<_, T>(value);
    }
    let Ok(value) = contract::json::read(contract::without_mark(bytes)) else { return };
    if contract::refuse_unfit(&value).is_err() || !value.is_object() {
        return;
    }
    fits::<Start>(&value);
    fits::<Message>(&value);
    fits::<Target>(&value);
    fits::<Reschedule>(&value);
    fits::<Deliver>(&value);
    fits::<Continue>(&value);
    fits::<Fire>(&value);
    fits::<TaskComplete>(&value);
    fits::<TaskClaim>(&value);
    fits::<TaskRelease>(&value);
    fits::<CallComplete>(&value);
    fits::<CallHeartbeat>(&value);
    fits::<CallProgress>(&value);
    // What is stored is read again as the same value.
    let text = contract::json::text(&value);
    assert_eq!(contract::json::read(text.as_bytes()).ok().as_ref(), Some(&value), "{text}");
}

/// Takes the properties of a message as they come from the socket. What was mended needs no more.
pub(crate) fn amqp_properties(bytes: &[u8]) {
    if let Some(mended) = mended_properties(bytes) {
        assert_eq!(mended_properties(&mended), None, "it is mended twice");
    }
}

/// Takes a `Retry-After`.
pub(crate) fn retry_after_header(bytes: &[u8]) {
    const LONGEST: Duration = Duration::from_secs(3_600);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(wait) = retry_after::parse(text, Timestamp::UNIX_EPOCH, LONGEST) {
        assert!(wait <= LONGEST, "{wait:?}");
    }
}

/// Takes a cron expression; a second line is a time zone.
pub(crate) fn cron(bytes: &[u8]) {
    const TICKS: usize = 3;
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (fields, zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    let (Ok(cron), Ok(zone)) = (Cron::parse(fields), Zone::find(zone)) else { return };
    let mut at = Timestamp::UNIX_EPOCH;
    for _ in 0..TICKS {
        let Some(next) = cron.next(at, &zone) else { return };
        assert!(next > at, "{text}: {next} does not follow {at}");
        at = next;
    }
}
