//! The kinds of values that the variables of a definition can have, for values that a person sets.

use std::collections::BTreeMap;

use serde_json::Value;

use super::yaml::node::Node;
use super::yaml::source::Source;
use super::{Definition, check};
use crate::expression::typing::{Kinds, Type};

/// The kinds of values that each variable can have: of its initial value, and of everything that the document assigns to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VariableTypes(BTreeMap<String, Kinds>);

impl Definition {
    /// The types of the variables of a stored document. A variable of which nothing is known can be anything.
    pub fn variable_types(content: &Value) -> VariableTypes {
        let Some(root) = Node::from_value(content) else { return VariableTypes::default() };
        VariableTypes(check::variable_kinds(&root, &Source::default()))
    }
}

impl VariableTypes {
    /// Why a variable cannot have this value, if it cannot: what reads the variable would fail.
    pub fn refuse(&self, name: &str, value: &Value) -> Option<String> {
        let known = self.0.get(name).copied()?;
        let fits = match value {
            Value::Null => known.has(Kinds::ABSENT),
            Value::Number(_) => known.has(Kinds::NUMBER),
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                Type::of_value(value).kinds().within(known)
            }
        };
        (!fits).then(|| format!("in this definition it is {}", known.what()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_takes_what_the_document_assigns_to_it() {
        let content = json!({
            "name": "types",
            "input": { "type": "object", "properties": { "amount": { "type": "integer" } } },
            "variables": { "amount": 0, "note": null, "names": [], "done": false, "heard": null },
            "activities": [
                { "id": "a", "set": { "note": "'x' + 'y'" } },
                { "id": "b", "receive": { "name": "heard" }, "output": { "heard": "result.data" } },
            ],
        });
        let types = Definition::variable_types(&content);
        let refused = |name: &str, value: Value| types.refuse(name, &value);
        assert_eq!(refused("amount", json!(7)), None);
        assert_eq!(refused("amount", json!("7")).unwrap(), "in this definition it is a number or null");
        assert_eq!(refused("note", json!("text")), None);
        assert_eq!(refused("note", Value::Null), None);
        assert_eq!(refused("note", json!(1)).unwrap(), "in this definition it is a string or null");
        assert_eq!(refused("names", json!(["a"])), None);
        assert_eq!(refused("done", json!("yes")).unwrap(), "in this definition it is a boolean");
        // A message can hold anything.
        assert_eq!(refused("heard", json!({ "a": 1 })), None);
    }
}
