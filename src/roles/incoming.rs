//! Parses a delivery into a command: every problem of a message is found here, before it has an effect.

use serde::de::DeserializeOwned;

use crate::broker::Delivery;
use crate::command::{Follow, Origin, ReplyTo, Undelivered};
use crate::contract::{self, Command, NAME_MAX, check_name};
use crate::engine::InstanceId;
use crate::store::dead_letters::DeadLetter;

/// The `type` that RabbitMQ gives to a message of AMQP 1.0 whose body is an AMQP value.
const AMQP_1_0: &str = "amqp-1.0";
const NOT_A_DATA_SECTION: &str = "the body is an AMQP 1.0 value: send the JSON as bytes, in a data section, and name the command in \
    the message annotation `x-basic-type`";

/// A command, and its origin if it came from outside.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) command: Command,
    pub(super) origin: Option<Origin>,
}

/// Parses a delivery.
///
/// # Errors
/// A sentence that names the problem.
pub(super) fn read(delivery: &Delivery, body_max: usize) -> Result<Received, String> {
    if let Some(problem) = &delivery.unreadable {
        return Err(problem.clone());
    }
    if delivery.body.len() > body_max {
        return Err(format!("the body has {} bytes; at most {body_max} are allowed", delivery.body.len()));
    }
    if let Some(schema) = &delivery.schema
        && schema.parse() != Ok(contract::SCHEMA)
    {
        let schema = shorten(schema);
        return Err(format!(
            "schema {schema} is unknown; this version of Leveret supports schema {}",
            contract::SCHEMA
        ));
    }
    let kind = delivery.kind.as_deref().ok_or(
        "the property `type` is missing; it names the command (AMQP 1.0: the message annotation `x-basic-type`)",
    )?;
    let command = match kind {
        "start" => Command::Start(body(delivery)?),
        "message" => Command::Message(body(delivery)?),
        "cancel" => Command::Cancel(body(delivery)?),
        "retry" => Command::Retry(body(delivery)?),
        "suspend" => Command::Suspend(body(delivery)?),
        "resume" => Command::Resume(body(delivery)?),
        "timer.reschedule" => Command::Reschedule(body(delivery)?),
        "deliver" => return internal(delivery, Command::Deliver),
        "continue" => return internal(delivery, Command::Continue),
        "fire" => return internal(delivery, Command::Fire),
        "task.complete" => Command::TaskComplete(body(delivery)?),
        "task.claim" => Command::TaskClaim(body(delivery)?),
        "task.release" => Command::TaskRelease(body(delivery)?),
        "call.complete" => Command::CallComplete(body(delivery)?),
        "call.heartbeat" => Command::CallHeartbeat(body(delivery)?),
        "call.progress" => Command::CallProgress(body(delivery)?),
        AMQP_1_0 => return Err(NOT_A_DATA_SECTION.into()),
        other => return Err(format!("`{}` is not a command", shorten(other))),
    };
    check(&command)?;
    Ok(Received { origin: Some(origin(delivery)?), command })
}

fn internal<T: DeserializeOwned>(delivery: &Delivery, of: impl Fn(T) -> Command) -> Result<Received, String> {
    Ok(Received { command: of(body(delivery)?), origin: None })
}

fn body<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, String> {
    // serde_json stops at 128 levels, so that deep nesting cannot overflow the stack.
    let body = contract::without_mark(&delivery.body);
    let value = contract::json::read(body).map_err(|refused| format!("the body {refused}"))?;
    // serde would read a list as the fields of a struct, in their order.
    if !value.is_object() {
        return Err("the body is not a JSON object".into());
    }
    contract::refuse_unfit(&value)?;
    serde_path_to_error::deserialize(value)
        .map_err(|error| format!("the body does not fit at `{}`: {}", error.path(), error.inner()))
}

fn origin(delivery: &Delivery) -> Result<Origin, String> {
    let app_id = required(delivery.app_id.as_deref(), "app_id", "it names the sender (AMQP 1.0: `group-id`)")?;
    let message_id = required(delivery.message_id.as_deref(), "message_id", "duplicates are recognised by it")?;
    // The answer is written to the outbox with both.
    for (name, text) in [("reply_to", &delivery.reply_to), ("correlation_id", &delivery.correlation_id)] {
        text.iter().filter(|text| !text.is_empty()).try_for_each(|text| named(name, text))?;
    }
    let mut origin = Origin::new(app_id, message_id, &delivery.body, Follow::IfNeeded);
    // A malformed trace context is dropped; it is not worth refusing the command.
    let is_kept = |trace: &&String| trace.len() <= NAME_MAX && trace.bytes().all(|byte| byte.is_ascii_graphic());
    origin.trace = delivery.headers.get("traceparent").filter(is_kept).cloned();
    origin.reply_to =
        delivery.reply_to.clone().map(|queue| ReplyTo { queue, correlation_id: delivery.correlation_id.clone() });
    Ok(origin)
}

fn required<'a>(value: Option<&'a str>, name: &str, why: &str) -> Result<&'a str, String> {
    let value = value.filter(|value| !value.is_empty()).ok_or(format!("the property `{name}` is missing; {why}"))?;
    named(name, value)?;
    Ok(value)
}

fn check(command: &Command) -> Result<(), String> {
    let texts: Vec<(&str, Option<&String>)> = match command {
        Command::Start(start) => {
            vec![("definition", Some(&start.definition)), ("key", start.key.as_ref()), ("user", start.user.as_ref())]
        }
        Command::Message(message) => vec![("name", Some(&message.name)), ("key", Some(&message.key))],
        Command::Cancel(target)
        | Command::Retry(target)
        | Command::Suspend(target)
        | Command::Resume(target)
        | Command::Reschedule(contract::Reschedule { target, .. }) => {
            vec![("definition", target.definition.as_ref()), ("key", target.key.as_ref())]
        }
        Command::Continue(_) | Command::Fire(_) | Command::Deliver(_) => Vec::new(),
        Command::TaskComplete(task) => people(&task.user, &task.groups),
        Command::TaskClaim(task) => people(&task.user, &task.groups),
        Command::TaskRelease(task) => people(&task.user, &[]),
        Command::CallComplete(call) => {
            vec![("token", Some(&call.token)), ("error.code", call.error.as_ref().map(|error| &error.code))]
        }
        Command::CallHeartbeat(call) => vec![("token", Some(&call.token))],
        Command::CallProgress(call) => vec![("token", Some(&call.token))],
    };
    texts.into_iter().filter_map(|(name, text)| Some((name, text?))).try_for_each(|(name, text)| named(name, text))
}

fn people<'a>(user: &'a String, groups: &'a [String]) -> Vec<(&'static str, Option<&'a String>)> {
    let groups = groups.iter().map(|group| ("groups", Some(group)));
    [("user", Some(user))].into_iter().chain(groups).collect()
}

fn named(name: &str, text: &str) -> Result<(), String> {
    check_name(text).map_err(|error| format!("`{name}` {error}"))
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A delivery as it is stored as a dead letter: with the reason, and the instance that its command names.
pub(super) fn undelivered(delivery: &Delivery, reason: &str, instance_id: Option<InstanceId>) -> Undelivered {
    let letter = DeadLetter {
        reason: reason.to_owned(),
        source: delivery.queue.name(),
        exchange: delivery.exchange.clone(),
        routing_key: delivery.routing_key.clone(),
        kind: delivery.kind.clone(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        headers: delivery.headers.clone(),
        body: delivery.body.clone(),
        instance_id,
    };
    Undelivered { letter, reply_to: reply_to(delivery) }
}

/// Where the sender wants an answer, if that can be read: it is answered even if the rest of the message cannot be read.
fn reply_to(delivery: &Delivery) -> Option<ReplyTo> {
    let queue = delivery.reply_to.as_ref().filter(|queue| !queue.is_empty())?;
    let texts = [("reply_to", Some(queue)), ("correlation_id", delivery.correlation_id.as_ref())];
    let are_valid =
        texts.into_iter().all(|(_, text)| text.is_none_or(|text| text.is_empty() || check_name(text).is_ok()));
    (are_valid && delivery.unreadable.is_none())
        .then(|| ReplyTo { queue: queue.clone(), correlation_id: delivery.correlation_id.clone() })
}

/// The instance a command names by its id.
pub(super) fn instance(command: &Command) -> Option<InstanceId> {
    let id = match command {
        Command::Cancel(target)
        | Command::Retry(target)
        | Command::Suspend(target)
        | Command::Resume(target)
        | Command::Reschedule(contract::Reschedule { target, .. }) => target.instance,
        Command::Continue(contract::Continue { instance, .. })
        | Command::Fire(contract::Fire { instance, .. })
        | Command::Deliver(contract::Deliver { instance, .. }) => Some(*instance),
        Command::Start(_)
        | Command::Message(_)
        | Command::TaskComplete(_)
        | Command::TaskClaim(_)
        | Command::TaskRelease(_)
        | Command::CallComplete(_)
        | Command::CallHeartbeat(_)
        | Command::CallProgress(_) => None,
    };
    id.map(InstanceId)
}
