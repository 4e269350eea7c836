//! The contract as an AsyncAPI 3.0 document, generated from the types of this room and from nothing else.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    CallComplete, CallHeartbeat, CallProgress, CloudEvent, Jump, Message, Rerun, Reschedule, ResolveIncident, SCHEMA,
    SetPriority, SetQueue, SetVariables, Skip, Start, Target, TaskClaim, TaskComplete, TaskRelease, WorkRequest,
    events,
};

/// The place of the schemas in the document.
const SCHEMAS: &str = "/components/schemas";
/// The version of AsyncAPI's binding to AMQP 0-9-1.
const BINDING: &str = "0.3.0";

/// The document for a broker with this prefix.
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
            "description": "Commands that start and control workflows, events about them, and the requests and replies of external \
                workers. Messages are delivered at least once and in any order. Unknown fields are ignored.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels(prefix, &messages),
        "operations": operations(&messages),
        "components": { "messages": messages.all, "schemas": messages.schemas() },
    })
}

/// The sender of a message.
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
    /// Schemas of messages to Leveret.
    received: SchemaGenerator,
    /// Schemas of messages from Leveret.
    sent: SchemaGenerator,
}

impl Default for Messages {
    fn default() -> Self {
        let settings = || SchemaSettings::draft07().with(|settings| settings.definitions_path = SCHEMAS.into());
        let sent = settings().with(|settings| settings.contract = Contract::Serialize);
        let (received, sent) = (settings().into_generator(), sent.into_generator());
        Self { all: Map::new(), commands: Vec::new(), replies: Vec::new(), events: Vec::new(), received, sent }
    }
}

impl Messages {
    fn commands(&mut self) {
        self.command::<Start>("start", "Start an instance of a definition");
        self.command::<Message>("message", "Send a message to an instance that waits for its name and key");
        self.command::<Target>("cancel", "Cancel an instance");
        self.command::<Target>("retry", "Retry the failed activity of an instance");
        self.command::<Target>("suspend", "Suspend an instance");
        self.command::<Target>("resume", "Resume an instance that was suspended by a command");
        self.command::<Target>("terminate", "End an instance at once");
        self.command::<Skip>("skip", "Complete what an instance waits for, or what has an incident, with a result");
        self.command::<Jump>("jump", "Continue an instance at another activity");
        self.command::<SetVariables>("variables.set", "Set variables of an instance");
        self.command::<Rerun>("rerun", "Run an instance again from an activity; an ended one begins as a new one");
        self.command::<SetQueue>("queue.set", "Change the queue of an instance");
        self.command::<ResolveIncident>("incident.resolve", "Resolve the incidents of an instance");
        self.command::<SetPriority>("priority.set", "Change the priority of an instance");
        self.command::<Reschedule>("timer.reschedule", "Change the due time of an open timer");
        self.command::<TaskComplete>("task.complete", "Complete a task, or cast a vote");
        self.command::<TaskClaim>("task.claim", "Claim a task for a limited time");
        self.command::<TaskRelease>("task.release", "Release a claimed task");
        self.reply::<CallComplete>("call.complete", "The outcome of a call: its result or its error");
        self.reply::<CallHeartbeat>("call.heartbeat", "An external worker is alive and working on a call");
        self.reply::<CallProgress>("call.progress", "The progress of an external worker");
    }

    fn events(&mut self) {
        self.event::<events::Started>("started", "An instance was started");
        self.event::<events::Completed>("completed", "An instance has completed");
        self.event::<events::Failed>("failed", "An instance has failed");
        self.event::<events::Controlled>("cancelled", "An instance was cancelled");
        self.event::<events::Suspended>("suspended", "An instance was suspended, by a failure or by a command");
        self.event::<events::Controlled>("resumed", "An instance was resumed");
        self.event::<events::ActivityCompleted>("activity_completed", "An activity has completed");
        self.event::<events::Task>("task_opened", "A task was opened");
        self.event::<events::TaskAssigned>("task_assigned", "A task has another assignee");
        self.event::<events::TaskReminded>("task_reminded", "A reminder of a task");
        self.event::<events::Task>("task_overdue", "A task is overdue");
        self.event::<events::TaskEscalated>("task_escalated", "A task was offered to more people");
        self.event::<events::TaskCompleted>("task_completed", "A task was completed");
        self.event::<events::TaskClosed>("task_closed", "A task was closed without being completed");
        let payload = self.payload::<CloudEvent>(From::Leveret);
        let properties = json!({ "type": { "type": "string" }, "app_id": { "const": "leveret" } });
        self.add("emitted", "An event of an `emit` activity", payload, &properties);
        self.events.push("emitted");
    }

    fn others(&mut self) {
        let payload = self.payload::<WorkRequest>(From::Leveret);
        let properties = json!({
            "type": { "const": "call" }, "app_id": { "const": "leveret" }, "correlation_id": { "type": "string" },
            "reply_to": { "type": "string" },
        });
        self.add("call", "A request to an external worker: one attempt of a call", payload, &properties);
        let payload = self.payload::<events::Answer>(From::Leveret);
        let properties = json!({ "type": { "const": "answer" }, "app_id": { "const": "leveret" } });
        self.add("answer", "The answer to a command that has set `reply_to`", payload, &properties);
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
            From::Outside | From::Worker => self.received.subschema_for::<T>(),
            From::Leveret => self.sent.subschema_for::<T>(),
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
            // AsyncAPI can describe two AMQP properties only.
            "x-amqp-properties": { "type": "object", "required": required, "properties": properties },
        });
        self.all.insert(name.to_owned(), message);
    }

    /// All schemas that the messages refer to.
    fn schemas(&mut self) -> Map<String, Value> {
        let mut schemas = self.received.take_definitions(true);
        schemas.extend(self.sent.take_definitions(true));
        schemas
    }
}

/// The AMQP properties of a command.
fn sent_as(kind: &str) -> Value {
    let app_id = json!({ "type": "string", "minLength": 1, "maxLength": 255, "not": { "pattern": "^leveret(\\.|$)" } });
    json!({ "type": { "const": kind }, "app_id": app_id })
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

/// The parts of the routing key of a command.
fn about() -> Value {
    json!({
        "command": { "description": "The property `type`." },
        "name": { "description": "What the command is about, such as the name of a definition." },
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
            "description": format!("Publish to the exchange `{prefix}.commands`, persistent and mandatory, with confirms. The routing key has \
                to begin with the property `type`, which names the command, unless `broker.routing_keys` is `any`."),
            "parameters": about(),
            "messages": refs("#/components/messages", &commands),
            "bindings": exchange("commands", "topic"),
        },
        "urgent": {
            "address": "{command}.{name}",
            "title": "Urgent commands",
            "description": format!("The same for commands that go before others: publish to the exchange `{prefix}.urgent`."),
            "parameters": about(),
            "messages": refs("#/components/messages", &commands),
            "bindings": exchange("urgent", "topic"),
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
            "description": "One queue for each name of work, consumed by external workers.",
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
        "receiveCommands": {
            "action": "receive",
            "channel": { "$ref": "#/channels/commands" },
            "summary": "Leveret executes commands. Each pair of `app_id` and `message_id` is handled once.",
            "messages": of("commands", &messages.commands),
            "reply": { "channel": { "$ref": "#/channels/answers" }, "messages": of("answers", &["answer"]) },
        },
        "receiveUrgentCommands": {
            "action": "receive",
            "channel": { "$ref": "#/channels/urgent" },
            "summary": "Leveret executes urgent commands before others.",
            "messages": of("urgent", &messages.commands),
            "reply": { "channel": { "$ref": "#/channels/answers" }, "messages": of("answers", &["answer"]) },
        },
        "publishEvents": {
            "action": "send",
            "channel": { "$ref": "#/channels/events" },
            "summary": "Leveret publishes events about instances, and the events they emit.",
            "messages": of("events", &messages.events),
        },
        "requestWork": {
            "action": "send",
            "channel": { "$ref": "#/channels/work" },
            "summary": "Leveret sends a request to an external worker, which replies with the token of the attempt.",
            "messages": of("work", &["call"]),
            "reply": { "channel": { "$ref": "#/channels/commands" }, "messages": of("commands", &messages.replies) },
        },
    })
}

#[cfg(test)]
mod tests;
