//! The contract as a document: AsyncAPI 3.0, generated from the types of this room. Nothing else is a source of it.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    CallComplete, CallHeartbeat, CallProgress, CloudEvent, Message, Reschedule, SCHEMA, Start, Target, TaskClaim,
    TaskComplete, TaskRelease, WorkRequest, events,
};

/// Where the schemas stand.
const SCHEMAS: &str = "/components/schemas";
/// The version of AsyncAPI's binding to AMQP 0-9-1.
const BINDING: &str = "0.3.0";

/// The document, with the names that begin with this prefix on the broker.
pub fn document(prefix: &str) -> Value {
    let mut messages = Messages::default();
    messages.commands();
    messages.events();
    messages.others();
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:leveret",
        "info": {
            "title": "Leveret",
            "version": format!("{SCHEMA}.0.0"),
            "description": "Commands that start and control workflows, events that tell how they fare, and the requests and replies of \
                workers in any language. Messages come at least once and in no certain order. Unknown fields are ignored.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels(prefix, &messages),
        "operations": operations(&messages),
        "components": { "messages": messages.all, "schemas": messages.schemas() },
    })
}

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Outside,
    Worker,
    Leveret,
}

/// Every message, by its name in the document.
struct Messages {
    all: Map<String, Value>,
    commands: Vec<&'static str>,
    replies: Vec<&'static str>,
    events: Vec<&'static str>,
    /// What others may send.
    taken: SchemaGenerator,
    /// What Leveret sends.
    given: SchemaGenerator,
}

impl Default for Messages {
    fn default() -> Self {
        let settings = || SchemaSettings::draft07().with(|settings| settings.definitions_path = SCHEMAS.into());
        let given = settings().with(|settings| settings.contract = Contract::Serialize);
        let (taken, given) = (settings().into_generator(), given.into_generator());
        Self { all: Map::new(), commands: Vec::new(), replies: Vec::new(), events: Vec::new(), taken, given }
    }
}

impl Messages {
    fn commands(&mut self) {
        self.command::<Start>("start", "Start an instance of a definition");
        self.command::<Message>("message", "Send a message to whoever waits for its name and key");
        self.command::<Target>("cancel", "Call an instance off");
        self.command::<Target>("retry", "Begin again what failed for good");
        self.command::<Target>("suspend", "Let an instance stand still");
        self.command::<Target>("resume", "Let an instance go on that was suspended by hand");
        self.command::<Reschedule>("timer.reschedule", "Let an open timer be due at another moment");
        self.command::<TaskComplete>("task.complete", "Do a task, or cast a vote");
        self.command::<TaskClaim>("task.claim", "Take a task to oneself for a while");
        self.command::<TaskRelease>("task.release", "Give a task back");
        self.reply::<CallComplete>("call.complete", "The outcome of a call: its result or its error");
        self.reply::<CallHeartbeat>("call.heartbeat", "A worker is still at it");
        self.reply::<CallProgress>("call.progress", "A worker tells how far it is");
    }

    fn events(&mut self) {
        self.event::<events::Started>("started", "An instance was started");
        self.event::<events::Completed>("completed", "An instance has completed");
        self.event::<events::Failed>("failed", "An instance has failed");
        self.event::<events::Controlled>("cancelled", "An instance was called off");
        self.event::<events::Suspended>("suspended", "An instance stands still, after a failure or by hand");
        self.event::<events::Controlled>("resumed", "An instance may go on");
        self.event::<events::ActivityCompleted>("activity_completed", "An activity has completed");
        self.event::<events::Task>("task_opened", "A task is there to be done");
        self.event::<events::TaskAssigned>("task_assigned", "A task belongs to somebody else now");
        self.event::<events::TaskReminded>("task_reminded", "It is time to remind people of a task");
        self.event::<events::Task>("task_overdue", "A task is overdue");
        self.event::<events::TaskEscalated>("task_escalated", "A task was offered to more people");
        self.event::<events::TaskCompleted>("task_completed", "A task is done");
        self.event::<events::TaskClosed>("task_closed", "Nobody waits for a task any more");
        let payload = self.payload::<CloudEvent>(From::Leveret);
        let properties = json!({ "type": { "type": "string" }, "app_id": { "const": "leveret" } });
        self.add("emitted", "What an `emit` of a definition says", payload, &properties);
        self.events.push("emitted");
    }

    fn others(&mut self) {
        let payload = self.payload::<WorkRequest>(From::Leveret);
        let properties = json!({
            "type": { "const": "call" }, "app_id": { "const": "leveret" }, "correlation_id": { "type": "string" },
            "reply_to": { "type": "string" },
        });
        self.add("call", "Work for a worker outside: one attempt of a call", payload, &properties);
        let payload = self.payload::<events::Answer>(From::Leveret);
        let properties = json!({ "type": { "const": "answer" }, "app_id": { "const": "leveret" } });
        self.add("answer", "What became of a command, for a sender that asked", payload, &properties);
    }

    fn command<T: JsonSchema>(&mut self, kind: &'static str, summary: &str) {
        let payload = self.payload::<T>(From::Outside);
        self.add(kind, summary, payload, &sent_as(kind));
        self.commands.push(kind);
    }

    fn reply<T: JsonSchema>(&mut self, kind: &'static str, summary: &str) {
        let payload = self.payload::<T>(From::Worker);
        self.add(kind, summary, payload, &sent_as(kind));
        self.replies.push(kind);
    }

    fn event<T: JsonSchema>(&mut self, name: &'static str, summary: &str) {
        let event = self.payload::<CloudEvent>(From::Leveret);
        let data = self.payload::<T>(From::Leveret);
        let kind = format!("^.+\\.{name}$");
        let narrowed = json!({ "properties": { "type": { "pattern": kind }, "data": data } });
        let properties = json!({ "type": { "type": "string", "pattern": kind }, "app_id": { "const": "leveret" } });
        self.add(name, summary, json!({ "allOf": [event, narrowed] }), &properties);
        self.events.push(name);
    }

    fn payload<T: JsonSchema>(&mut self, from: From) -> Value {
        let schema = match from {
            From::Outside | From::Worker => self.taken.subschema_for::<T>(),
            From::Leveret => self.given.subschema_for::<T>(),
        };
        schema.to_value()
    }

    fn add(&mut self, name: &str, summary: &str, payload: Value, properties: &Value) {
        let mut properties = properties.clone();
        properties["message_id"] = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        let required: Vec<&String> = properties.as_object().map(|all| all.keys().collect()).unwrap_or_default();
        let message = json!({
            "name": name,
            "title": name,
            "summary": summary,
            "contentType": "application/json",
            "headers": headers(),
            "payload": payload,
            // AsyncAPI has words for two properties of AMQP only.
            "x-amqp-properties": { "type": "object", "required": required, "properties": properties },
        });
        self.all.insert(name.to_owned(), message);
    }

    /// Everything the messages refer to.
    fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = self.taken.take_definitions(true);
        schemas.extend(self.given.take_definitions(true));
        schemas
    }
}

/// The AMQP properties of a command.
fn sent_as(kind: &str) -> Value {
    json!({ "type": { "const": kind }, "app_id": { "type": "string", "minLength": 1, "maxLength": 255 } })
}

fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            "schema": { "type": "integer", "const": SCHEMA, "description": "The schema version of the message; absent means 1." },
            "traceparent": { "type": "string", "maxLength": 255, "description": "W3C trace context." },
        },
    })
}

fn channels(prefix: &str, messages: &Messages) -> Value {
    let commands: Vec<&str> = messages.commands.iter().chain(&messages.replies).copied().collect();
    let exchange = |name: &str, kind: &str| {
        json!({ "amqp": {
            "is": "routingKey",
            "exchange": { "name": format!("{prefix}.{name}"), "type": kind, "durable": true, "autoDelete": false },
            "bindingVersion": BINDING,
        } })
    };
    let queue = json!({ "amqp": {
        "is": "queue",
        "queue": { "name": format!("{prefix}.work.{{name}}"), "durable": true, "exclusive": false, "autoDelete": false },
        "bindingVersion": BINDING,
    } });
    json!({
        "commands": {
            "address": "{command}.{name}",
            "title": "Commands",
            "description": format!("Publish to the exchange `{prefix}.commands`, persistent and mandatory, with confirms. The routing key is \
                custom only; the property `type` names the command."),
            "parameters": {
                "command": { "description": "The property `type`." },
                "name": { "description": "Whatever the command is about." },
            },
            "messages": refs("#/components/messages", &commands),
            "bindings": exchange("commands", "topic"),
        },
        "events": {
            "address": "{definition}.{event}",
            "title": "Events",
            "description": format!("Bind a queue of your own to the exchange `{prefix}.events`."),
            "parameters": {
                "definition": { "description": "The name of the definition." },
                "event": { "description": "The event." },
            },
            "messages": refs("#/components/messages", &messages.events),
            "bindings": exchange("events", "topic"),
        },
        "work": {
            "address": format!("{prefix}.work.{{name}}"),
            "title": "Work",
            "description": "One queue for each name of work; workers in any language consume it.",
            "parameters": { "name": { "description": "The `name` of the `call`." } },
            "messages": refs("#/components/messages", &["call"]),
            "bindings": queue,
        },
        "answers": {
            "address": null,
            "title": "Answers",
            "description": "The queue that a command names in its property `reply_to`.",
            "messages": refs("#/components/messages", &["answer"]),
        },
    })
}

fn refs(below: &str, names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("{below}/{name}") }))).collect()
}

fn operations(messages: &Messages) -> Value {
    let of = |channel: &str, names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") })).collect()
    };
    json!({
        "takeCommands": {
            "action": "receive",
            "channel": { "$ref": "#/channels/commands" },
            "summary": "Leveret carries out commands. Each pair of `app_id` and `message_id` is handled once.",
            "messages": of("commands", &messages.commands),
            "reply": { "channel": { "$ref": "#/channels/answers" }, "messages": of("answers", &["answer"]) },
        },
        "tellEvents": {
            "action": "send",
            "channel": { "$ref": "#/channels/events" },
            "summary": "Leveret tells what happens to instances, and what they emit.",
            "messages": of("events", &messages.events),
        },
        "giveWork": {
            "action": "send",
            "channel": { "$ref": "#/channels/work" },
            "summary": "Leveret asks a worker; the worker answers with the token of the attempt.",
            "messages": of("work", &["call"]),
            "reply": { "channel": { "$ref": "#/channels/commands" }, "messages": of("commands", &messages.replies) },
        },
    })
}

#[cfg(test)]
mod tests;
