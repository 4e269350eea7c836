//! The HTTP API as an OpenAPI 3.1 document, made from the routes and from nothing else.

pub(super) mod inputs;
pub(super) mod outputs;
mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::inputs::Inputs;
use self::outputs::Outputs;
use self::schemas::Schemas;
use super::problem::{Kind, Problem};
use super::route::Operation;

/// The version of the API.
const VERSION: &str = "1.0.0";
/// Every request can be answered so.
const ALWAYS: &[Kind] = &[
    Kind::Invalid,
    Kind::Origin,
    Kind::Host,
    Kind::Bug,
    Kind::Full,
    Kind::Busy,
    Kind::Slow,
    Kind::Unfinished,
    Kind::Unavailable,
];
/// What access control answers, on every route below `/api`.
const ACCESS: &[Kind] = &[Kind::Unauthenticated, Kind::Scope, Kind::OtherUser, Kind::Csrf, Kind::Rate];

/// The nouns, in the order of the document.
const TAGS: &[(&str, &str)] = &[
    ("instances", "Start, list and show instances, and operate on one."),
    ("live", "What happens as it happens, and drawings of it."),
    ("messages", "Send a message to the instances that wait for it."),
    ("tasks", "Work for people: inboxes, claims, decisions."),
    ("incidents", "Failures that need a person, one by one and by their cause."),
    ("calls", "Work outside of transactions: requests over HTTP and external workers."),
    ("timers", "Open timers."),
    ("schedules", "Starts by cron expressions."),
    ("definitions", "Workflow documents and their versions."),
    ("bulk", "One operation on everything that a filter matches."),
    ("dead-letters", "Messages that could not be handled."),
    ("audit", "What operators have done."),
    ("process", "Health, metrics and contracts, for machines."),
];

/// The document of these routes.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::default();
    schemas.sent::<Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut shared = Shared::default();
    for operation in operations {
        let told = told(operation, &mut schemas, &mut shared);
        paths.entry(&operation.path).or_default().insert(operation.method.as_str().to_ascii_lowercase(), told);
    }
    let tags: Vec<Value> = TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    let text =
        "An API key, or a JWT of the configured issuer. Nothing is asked for while `access.authentication` is off.";
    let components = json!({
        "schemas": schemas.all(),
        "responses": shared.0,
        "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": text } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret",
            "version": VERSION,
            "description": "Durable workflows. A 2xx is durable. Unknown fields and parameters are refused. Errors are \
                `application/problem+json`; their `type` is stable. A POST with an `Idempotency-Key` takes effect once.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "this process" }],
        "tags": tags,
        "paths": paths,
        "components": components,
    })
}

/// What the document says of one route.
fn told(operation: &Operation, schemas: &mut Schemas, shared: &mut Shared) -> Value {
    let said = operation.told;
    let mut inputs = Inputs::new(&operation.path, schemas);
    (operation.reads)(&mut inputs);
    let (parameters, body, mut problems) = inputs.all();
    let mut outputs = Outputs::new(schemas, said);
    (operation.answers)(&mut outputs);
    let mut responses = outputs.responses();
    problems.extend(ALWAYS);
    problems.extend(said.problems);
    let has_access = operation.path.starts_with("/api/");
    if has_access {
        problems.extend(ACCESS);
    }
    for (status, refusal) in refusals(problems) {
        match responses.get_mut(&status).map(|response| &mut response["content"]) {
            // `/readyz` has a body of its own for a status that a problem has, too.
            Some(Value::Object(content)) => content.extend(refusal["content"].as_object().cloned().unwrap_or_default()),
            Some(_) | None => {
                let place = shared.place(&status, refusal);
                responses.insert(status, place);
            }
        }
    }
    let mut told = json!({
        "operationId": said.id, "summary": said.summary, "tags": [operation.tag], "responses": responses,
    });
    if !parameters.is_empty() {
        told["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = body {
        told["requestBody"] = body;
    }
    if has_access {
        told["security"] = json!([{ "bearer": [] }]);
    }
    told
}

/// Responses that operations have in common, each written once.
#[derive(Default)]
struct Shared(Map<String, Value>);

impl Shared {
    /// A reference to the response: `Problem400`, and `Problem400b` for another one of this status.
    fn place(&mut self, status: &str, response: Value) -> Value {
        let same = |(name, known): (&String, &Value)| {
            (name.starts_with(&format!("Problem{status}")) && *known == response).then(|| name.clone())
        };
        let name = self.0.iter().find_map(same).unwrap_or_else(|| {
            let letters = std::iter::once(String::new()).chain(('b'..='z').map(String::from));
            let mut names = letters.map(|letter| format!("Problem{status}{letter}"));
            names.find(|name| !self.0.contains_key(name)).unwrap_or_else(|| format!("Problem{status}-{}", self.0.len()))
        });
        self.0.insert(name.clone(), response);
        json!({ "$ref": format!("#/components/responses/{name}") })
    }
}

/// The responses of problems, one for each status.
fn refusals(mut problems: Vec<Kind>) -> Map<String, Value> {
    problems.sort_unstable();
    problems.dedup();
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in problems {
        by_status.entry(kind.line().status).or_default().push(kind);
    }
    let response = |(status, kinds): (u16, Vec<Kind>)| {
        let lines: Vec<String> =
            kinds.iter().map(|kind| format!("`{}`: {}", kind.line().urn, kind.line().means)).collect();
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let mut response = json!({
            "description": lines.join("\n\n"), "content": { "application/problem+json": { "schema": schema } },
        });
        if matches!(status, 429 | 503) {
            let text = "After how many seconds to try again.";
            response["headers"] =
                json!({ "Retry-After": { "description": text, "schema": { "type": "integer", "minimum": 0 } } });
        }
        (status.to_string(), response)
    };
    by_status.into_iter().map(response).collect()
}

#[cfg(test)]
mod tests;
