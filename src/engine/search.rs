//! Search attributes: evaluated in the step that changes variables, and written with it.

use jiff::Timestamp;
use serde_json::Value;

use crate::contract::NAME_MAX;
use crate::definition::{SearchAttribute, SearchKind};
use crate::time::moment;

use super::scope::Scope;
use super::transition::Transition;
use super::{Context, Instance};

/// The value of a search attribute of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value; none if it has none that can be searched by.
    pub value: Option<AttributeValue>,
}

/// A value that can be searched by.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// A text of at most 255 bytes.
    Text(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
    /// A time.
    Time(Timestamp),
}

impl Transition<'_> {
    /// All search attributes of the definition, if it has any and a variable was assigned.
    pub(super) fn searched(&self) -> Vec<Attribute> {
        if self.definition.search.is_empty() || !self.indexes {
            return Vec::new();
        }
        self.definition.search.iter().map(|attribute| evaluate(attribute, &self.instance, self.context)).collect()
    }
}

/// An expression that fails, or whose value is not of the declared type, leaves the attribute without a value: what an instance is found
/// by must not stop it.
fn evaluate(attribute: &SearchAttribute, instance: &Instance, context: &Context<'_>) -> Attribute {
    let value = Scope::whole(instance, context).expression(&attribute.value).ok();
    let value = value.and_then(|value| typed(attribute.kind, &value));
    Attribute { name: attribute.name.clone(), value }
}

fn typed(kind: Option<SearchKind>, value: &Value) -> Option<AttributeValue> {
    match (kind, value) {
        (Some(SearchKind::Text) | None, Value::String(text)) => Some(AttributeValue::Text(cut(text))),
        (Some(SearchKind::Text), Value::Number(number)) => Some(AttributeValue::Text(number.to_string())),
        (Some(SearchKind::Number) | None, Value::Number(number)) => number.as_f64().map(AttributeValue::Number),
        (Some(SearchKind::Bool) | None, Value::Bool(value)) => Some(AttributeValue::Bool(*value)),
        (Some(SearchKind::Time), Value::String(text)) => moment::parse(text).map(AttributeValue::Time),
        (Some(SearchKind::Text | SearchKind::Number | SearchKind::Bool | SearchKind::Time) | None, _) => None,
    }
}

/// The beginning of a text, as long as a filter can name it.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(NAME_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_is_not_of_the_declared_type_is_none() {
        let number = |value: Value| typed(Some(SearchKind::Number), &value);
        assert_eq!(number(json!(7)), Some(AttributeValue::Number(7.0)));
        assert_eq!(number(json!("7")), None);
        assert_eq!(typed(Some(SearchKind::Text), &json!(7)), Some(AttributeValue::Text("7".into())));
        let time = typed(Some(SearchKind::Time), &json!("2026-01-31T09:00:00Z"));
        assert_eq!(time, Some(AttributeValue::Time("2026-01-31T09:00:00Z".parse().unwrap())));
        assert_eq!(typed(Some(SearchKind::Time), &json!("soon")), None);
        assert_eq!(typed(None, &json!("a")), Some(AttributeValue::Text("a".into())));
        assert_eq!(typed(None, &json!(true)), Some(AttributeValue::Bool(true)));
        for none in [json!(null), json!([1]), json!({ "a": 1 })] {
            assert_eq!(typed(None, &none), None);
        }
        assert_eq!(cut(&"é".repeat(200)).len(), 254);
    }
}
