//! Parses a delivery into a command: every problem of a message is found here, before it has an effect.

use serde::de::DeserializeOwned;

use crate::broker::{Delivery, Queue};
use crate::command::{Follow, Origin, ReplyTo, Turn, Undelivered};
use crate::config::Config;
use crate::contract::{self, Command, NAME_MAX, Operation, Target, check_name};
use crate::engine::InstanceId;
use crate::store::dead_letters::DeadLetter;

pub(super) mod door;

use door::Door;

/// The `type` that RabbitMQ gives to a message of AMQP 1.0 whose body is an AMQP value.
const AMQP_1_0: &str = "amqp-1.0";
/// Every `type`.
const KINDS: [&str; 24] = [
    "start",
    "message",
    "cancel",
    "retry",
    "suspend",
    "resume",
    "timer.reschedule",
    "terminate",
    "skip",
    "jump",
    "variables.set",
    "rerun",
    "queue.set",
    "priority.set",
    "incident.resolve",
    "deliver",
    "continue",
    "fire",
    "task.complete",
    "task.claim",
    "task.release",
    "call.complete",
    "call.heartbeat",
    "call.progress",
];
const NOT_A_DATA_SECTION: &str = "the body is an AMQP 1.0 value: send the JSON as bytes, in a data section, and name the command in \
    the message annotation `x-basic-type`";

/// A command, and its origin if it came from outside.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) command: Command,
    pub(super) origin: Option<Origin>,
}

/// Parses a delivery, after a check that it may come the way it came.
///
/// # Errors
/// A sentence that names the problem.
pub(super) fn read(delivery: &Delivery, config: &Config) -> Result<Received, String> {
    let kind = kind(delivery, config)?;
    let door = door::check(delivery, kind, config)?;
    let command = command(delivery, kind)?;
    let origin = match &delivery.queue {
        Queue::Steps(_) => None,
        Queue::Commands | Queue::Urgent | Queue::Dead | Queue::Events(_) | Queue::Calls | Queue::Work(_) => {
            let mut origin = self::origin(delivery, door)?;
            origin.turn = match Door::has_place(delivery, &config.broker.prefix) {
                true => Turn::Taken,
                false => Turn::InOrder,
            };
            Some(origin)
        }
    };
    Ok(Received { command, origin })
}

/// The command of a message that the broker has given up, whatever way it came.
pub(super) fn read_dead(delivery: &Delivery, config: &Config) -> Result<Command, String> {
    command(delivery, kind(delivery, config)?)
}

/// The sender of a command that is not parsed, if its properties are in order and it may come the way it came.
pub(super) fn sender(delivery: &Delivery, config: &Config) -> Option<Origin> {
    let door = door::check(delivery, kind(delivery, config).ok()?, config).ok()?;
    origin(delivery, door).ok()
}

/// The `type` of a message, if the message as a whole can be parsed.
fn kind<'a>(delivery: &'a Delivery, config: &Config) -> Result<&'a str, String> {
    let body_max = config.limits.message_max;
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
    match kind {
        AMQP_1_0 => Err(NOT_A_DATA_SECTION.into()),
        kind if KINDS.contains(&kind) => Ok(kind),
        other => Err(unknown(other)),
    }
}

fn unknown(kind: &str) -> String {
    format!("`{}` is not a command", shorten(kind))
}

fn command(delivery: &Delivery, kind: &str) -> Result<Command, String> {
    let command = match kind {
        "start" => Command::Start(body(delivery)?),
        "message" => Command::Message(body(delivery)?),
        "cancel" => Command::Cancel(body(delivery)?),
        "retry" => Command::Retry(body(delivery)?),
        "suspend" => Command::Suspend(body(delivery)?),
        "resume" => Command::Resume(body(delivery)?),
        "timer.reschedule" => Command::Reschedule(body(delivery)?),
        "terminate" => operate(Operation::Terminate(body(delivery)?)),
        "skip" => operate(Operation::Skip(body(delivery)?)),
        "jump" => operate(Operation::Jump(body(delivery)?)),
        "variables.set" => operate(Operation::SetVariables(body(delivery)?)),
        "rerun" => operate(Operation::Rerun(body(delivery)?)),
        "queue.set" => operate(Operation::SetQueue(body(delivery)?)),
        "incident.resolve" => operate(Operation::ResolveIncident(body(delivery)?)),
        "priority.set" => operate(Operation::SetPriority(body(delivery)?)),
        "deliver" => Command::Deliver(body(delivery)?),
        "continue" => Command::Continue(body(delivery)?),
        "fire" => Command::Fire(body(delivery)?),
        "task.complete" => Command::TaskComplete(body(delivery)?),
        "task.claim" => Command::TaskClaim(body(delivery)?),
        "task.release" => Command::TaskRelease(body(delivery)?),
        "call.complete" => Command::CallComplete(body(delivery)?),
        "call.heartbeat" => Command::CallHeartbeat(body(delivery)?),
        "call.progress" => Command::CallProgress(body(delivery)?),
        other => return Err(unknown(other)),
    };
    check(&command)?;
    Ok(command)
}

fn operate(operation: Operation) -> Command {
    Command::Operate(Box::new(operation))
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

fn origin(delivery: &Delivery, door: Door) -> Result<Origin, String> {
    let app_id = required(delivery.app_id.as_deref(), "app_id", "it names the sender (AMQP 1.0: `group-id`)")?;
    let message_id = required(delivery.message_id.as_deref(), "message_id", "duplicates are recognised by it")?;
    // The answer is written to the outbox with both.
    for (name, text) in [("reply_to", &delivery.reply_to), ("correlation_id", &delivery.correlation_id)] {
        text.iter().filter(|text| !text.is_empty()).try_for_each(|text| named(name, text))?;
    }
    let mut origin = Origin::new(app_id, message_id, &delivery.body, Follow::IfNeeded);
    if let Door::Outside { user_id, .. } = door {
        origin.user_id = user_id.filter(|user_id| check_name(user_id).is_ok());
    }
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
        | Command::Reschedule(contract::Reschedule { target, .. }) => names_of(target)?,
        Command::Operate(operation) => {
            if let Operation::ResolveIncident(resolve) = &**operation {
                resolve.action.allows(&resolve.variables)?;
            }
            let names = operation.names().into_iter().map(|(name, text)| (name, Some(text)));
            names_of(operation.target())?.into_iter().chain(names).collect()
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

/// The names in a target. A rehearsal is refused: its answer would need a commit, and a version that does not know the field would
/// execute the command.
fn names_of(target: &Target) -> Result<Vec<(&'static str, Option<&String>)>, String> {
    if target.dry_run {
        return Err("`dry_run` is answered over HTTP and by the command line only; nothing was changed".into());
    }
    Ok(vec![("definition", target.definition.as_ref()), ("key", target.key.as_ref()), ("actor", target.actor.as_ref())])
}

fn people<'a>(user: &'a String, groups: &'a [String]) -> Vec<(&'static str, Option<&'a String>)> {
    let groups = groups.iter().map(|group| ("groups", Some(group)));
    [("user", Some(user))].into_iter().chain(groups).collect()
}

fn named(name: &str, text: &str) -> Result<(), String> {
    check_name(text).map_err(|error| format!("`{name}` {error}"))
}

pub(in crate::roles) fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A delivery as it is stored as a dead letter: with the reason, and the instance that its command names.
pub(super) fn undelivered(
    delivery: &Delivery,
    reason: &str,
    instance_id: Option<InstanceId>,
    config: &Config,
) -> Undelivered {
    let prefix = &config.broker.prefix;
    // Of a command that Leveret has sent again, how it came first.
    let (exchange, user_id) = match Door::of(delivery, prefix) {
        Door::Outside { exchange, user_id } => (exchange, user_id),
        Door::Inside => (delivery.exchange.clone(), None),
    };
    let letter = DeadLetter {
        reason: reason.to_owned(),
        source: delivery.queue.name(),
        exchange,
        routing_key: delivery.routing_key.clone(),
        kind: delivery.kind.clone(),
        app_id: delivery.app_id.clone(),
        message_id: delivery.message_id.clone(),
        user_id,
        headers: delivery.headers.clone(),
        body: delivery.body.clone(),
        instance_id,
    };
    Undelivered { letter, reply_to: reply_to(delivery, prefix), suspect: None, row: Door::outbox_row(delivery, prefix) }
}

/// Where the sender wants an answer, if that can be read: it is answered even if the rest of the message cannot be read.
fn reply_to(delivery: &Delivery, prefix: &str) -> Option<ReplyTo> {
    let is_usable = |queue: &&String| !queue.is_empty() && !door::is_own(queue, prefix);
    let queue = delivery.reply_to.as_ref().filter(is_usable)?;
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
        Command::Operate(operation) => operation.target().instance,
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
