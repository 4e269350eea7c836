//! What a handler answers when it succeeds.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::http::route::Told;

/// The answers of one route.
pub(in crate::http) struct Outputs<'a> {
    schemas: &'a mut Schemas,
    told: Told,
    content: Option<Value>,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(schemas: &'a mut Schemas, told: Told) -> Self {
        Self { schemas, told, content: None }
    }

    /// A body of this type.
    pub(in crate::http) fn body<T: JsonSchema>(&mut self) {
        let schema = self.schemas.sent::<T>();
        self.content = Some(json!({ self.told.media.unwrap_or("application/json"): { "schema": schema } }));
    }

    /// A text.
    pub(in crate::http) fn text(&mut self) {
        let media = self.told.media.unwrap_or("text/plain");
        self.content = Some(json!({ media: { "schema": { "type": "string" } } }));
    }

    /// The responses by their statuses.
    pub(super) fn responses(self) -> Map<String, Value> {
        let Self { told, content, .. } = self;
        let response = |status: &u16| {
            let mut response = json!({ "description": meaning(*status) });
            if let Some(content) = &content {
                response["content"] = content.clone();
            }
            if told.is_tagged {
                let text = "The revision in quotes, for a later `If-Match`.";
                response["headers"] = json!({ "ETag": { "description": text, "schema": { "type": "string" } } });
            }
            (status.to_string(), response)
        };
        told.statuses.iter().map(response).collect()
    }
}

/// What a status of a success means here.
fn meaning(status: u16) -> &'static str {
    match status {
        201 => "It was created.",
        202 => "It is stored, and will be done.",
        204 => "It is done, and nothing is left to show.",
        503 => "It cannot work now.",
        _ => "It is done.",
    }
}
