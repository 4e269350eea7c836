//! What a handler reads of a request: parts of the path, parameters, headers, the body.

use axum::extract::State;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::contract::NAME_MAX;
use crate::http::ApiState;
use crate::http::problem::Kind;

/// A workflow document. `docs/definition.schema.json` is its JSON Schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it only names the schema: documents are read from their bytes")]
struct WorkflowDocument(Map<String, Value>);

/// One argument of a handler, or all of them.
pub(in crate::http) trait Reads {
    fn read(inputs: &mut Inputs<'_>);
}

/// The shared state is nothing of the request.
impl Reads for State<ApiState> {
    fn read(_: &mut Inputs<'_>) {}
}

/// What the handler of one route reads.
pub(in crate::http) struct Inputs<'a> {
    schemas: &'a mut Schemas,
    /// The names in the path that no argument has taken yet.
    names: Vec<String>,
    parameters: Vec<Value>,
    body: Option<Value>,
    problems: Vec<Kind>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(path: &str, schemas: &'a mut Schemas) -> Self {
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let names = names.rev().map(str::to_owned).collect();
        Self { schemas, names, parameters: Vec::new(), body: None, problems: Vec::new() }
    }

    /// The next part of the path.
    pub(in crate::http) fn part<T: JsonSchema>(&mut self) {
        let mut schema = self.schemas.inline::<T>();
        if schema["type"] == "string" && schema.get("format").is_none() {
            schema["minLength"] = json!(1);
        }
        if let Some(name) = self.names.pop() {
            self.parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        self.problems.push(Kind::NotFound);
    }

    /// The parameters of the query: the fields of this type.
    pub(in crate::http) fn query<T: JsonSchema>(&mut self) {
        let schema = self.schemas.inline::<T>();
        let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        for (name, field) in schema["properties"].as_object().unwrap_or(&Map::new()) {
            let mut field = without_null(field.clone());
            let mut parameter = json!({ "name": name, "in": "query", "required": required(name) });
            if let Some(text) = field.as_object_mut().and_then(|field| field.remove("description")) {
                parameter["description"] = text;
            }
            parameter["schema"] = field;
            self.parameters.push(parameter);
        }
    }

    /// A header with a text.
    pub(in crate::http) fn header(&mut self, name: &str, text: &str, mut schema: Value) {
        schema["type"] = json!("string");
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": text, "schema": schema,
        }));
    }

    /// A JSON body of this type. An empty body is `{}`.
    pub(in crate::http) fn json<T: JsonSchema>(&mut self) {
        let whole = self.schemas.inline::<T>();
        let is_required = whole["required"].as_array().is_some_and(|required| !required.is_empty());
        let schema = self.schemas.received::<T>();
        self.body = Some(json!({ "required": is_required, "content": { "application/json": { "schema": schema } } }));
        self.problems.extend([Kind::Timeout, Kind::TooLarge, Kind::MediaType]);
    }

    /// A document.
    pub(in crate::http) fn document(&mut self, types: &[&str]) {
        let schema = json!({ "schema": self.schemas.received::<WorkflowDocument>() });
        let content: Map<String, Value> = types.iter().map(|kind| ((*kind).to_owned(), schema.clone())).collect();
        self.body = Some(json!({ "required": true, "content": content }));
        self.problems.extend([Kind::Timeout, Kind::TooLarge, Kind::MediaType, Kind::Definition, Kind::Overloaded]);
    }

    /// The person who acts.
    pub(in crate::http) fn actor(&mut self) {
        let text = "The person who acts, if a proxy or the client knows one.";
        self.header("Leveret-Actor", text, json!({ "minLength": 1, "maxLength": NAME_MAX }));
    }

    /// The identity of a command.
    pub(in crate::http) fn identity(&mut self) {
        let text = "Repetitions with the same key take effect once, and have the same answer.";
        self.header("Idempotency-Key", text, json!({ "minLength": 1, "maxLength": NAME_MAX }));
        let text = "The trace that the command belongs to (W3C Trace Context).";
        self.header("traceparent", text, json!({}));
        self.problems.push(Kind::IdempotencyKeyReused);
    }

    /// The revision that was seen.
    pub(in crate::http) fn revision(&mut self) {
        let text = "The revision that was seen, as in the `ETag` of an earlier answer; `*` compares nothing.";
        self.header("If-Match", text, json!({ "pattern": "^(\\*|[0-9]{1,18}|\"[0-9]{1,18}\")$" }));
    }

    /// Parameters, body and problems.
    pub(super) fn all(self) -> (Vec<Value>, Option<Value>, Vec<Kind>) {
        (self.parameters, self.body, self.problems)
    }
}

/// A parameter is there or not: it cannot be null.
fn without_null(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    let stated = members.get("type").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(kind) = stated.iter().find(|kind| *kind != "null") {
        members.insert("type".into(), kind.clone());
    }
    members.remove("default");
    if let Some(Value::Array(listed)) = members.get_mut("enum") {
        listed.retain(|word| !word.is_null());
    }
    schema
}
