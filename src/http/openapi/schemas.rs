//! The schemas of the document. A body that is received and one that is sent are seen differently: a field with a default may be missing in
//! the one, and is always there in the other.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The place of the schemas in the document.
const PLACE: &str = "/components/schemas";

/// Both kinds of schemas.
pub(super) struct Schemas {
    received: SchemaGenerator,
    sent: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = |contract| {
            let settings = SchemaSettings::draft2020_12();
            settings.with(|settings| {
                settings.definitions_path = PLACE.into();
                settings.meta_schema = None;
                settings.contract = contract;
            })
        };
        let received = settings(Contract::Deserialize).into_generator();
        Self { received, sent: settings(Contract::Serialize).into_generator() }
    }
}

impl Schemas {
    /// The schema of what is received, as a reference if it has a name.
    pub(super) fn received<T: JsonSchema>(&mut self) -> Value {
        plain(self.received.subschema_for::<T>().to_value())
    }

    /// The schema of what is sent.
    pub(super) fn sent<T: JsonSchema>(&mut self) -> Value {
        plain(self.sent.subschema_for::<T>().to_value())
    }

    /// The schema of what is received, written out.
    pub(super) fn inline<T: JsonSchema>(&mut self) -> Value {
        plain(T::json_schema(&mut self.received).to_value())
    }

    /// Every schema with a name.
    pub(super) fn all(mut self) -> Map<String, Value> {
        let mut all = self.received.take_definitions(true);
        all.extend(self.sent.take_definitions(true));
        all.into_iter().map(|(name, schema)| (name, plain(schema))).collect()
    }

    /// Names that stand for two different schemas.
    #[cfg(test)]
    pub(super) fn doubtful(&mut self) -> Vec<String> {
        let (received, sent) = (self.received.definitions(), self.sent.definitions());
        let differs = |name: &&String| received.get(*name).is_some_and(|other| other != &sent[*name]);
        sent.keys().filter(differs).cloned().collect()
    }
}

/// The bounds that the names of the formats stand for, as no validator knows them; and no schemas that are booleans, which generators of
/// clients do not understand.
fn plain(mut schema: Value) -> Value {
    walk(&mut schema);
    schema
}

fn walk(schema: &mut Value) {
    match schema {
        Value::Bool(true) => *schema = json!({}),
        Value::Object(members) => {
            let (minimum, maximum) = match members.get("format").and_then(Value::as_str) {
                Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
                Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
                Some("uint32") => (json!(0), json!(u32::MAX)),
                Some("uint" | "uint64") => (json!(0), json!(i64::MAX)),
                Some(_) | None => (Value::Null, Value::Null),
            };
            for (name, bound) in [("minimum", minimum), ("maximum", maximum)] {
                if !bound.is_null() {
                    members.entry(name).or_insert(bound);
                }
            }
            for (name, inside) in members.iter_mut() {
                match (name.as_str(), inside) {
                    ("properties" | "$defs" | "patternProperties", Value::Object(inside)) => {
                        inside.values_mut().for_each(walk);
                    }
                    ("items" | "not", inside) => walk(inside),
                    ("additionalProperties", inside @ Value::Object(_)) => walk(inside),
                    ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(inside)) => {
                        inside.iter_mut().for_each(walk);
                    }
                    (_, _) => {}
                }
            }
        }
        Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
}
