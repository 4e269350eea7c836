//! The document as a tree of nodes, each with its place.

use serde_json::{Map, Number, Value};

/// Deepest nesting of lists and maps in a document.
pub(crate) const NESTING_MAX: usize = 16;

/// A value and its place; line and column are counted from 1, or 0 without a text.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) tree: Tree,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The rest of the line was a comment, which began with ` #`.
    pub(crate) cut: bool,
}

/// The value of a node.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// A value that was already reported; it is not checked again.
    Refused,
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value` of a map. Keys are unique.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) value: Node,
}

impl Node {
    /// The tree of a stored value; none if it is nested deeper than [`NESTING_MAX`].
    pub(crate) fn from_value(value: &Value) -> Option<Node> {
        Self::from_value_at(value, 0)
    }

    fn from_value_at(value: &Value, depth: usize) -> Option<Node> {
        let deeper = depth + 1;
        let tree = match value {
            Value::Null => Tree::Null,
            Value::Bool(bool) => Tree::Bool(*bool),
            Value::Number(number) => Tree::Number(number.clone()),
            Value::String(text) => Tree::Text(text.clone()),
            Value::Array(_) | Value::Object(_) if deeper > NESTING_MAX => return None,
            Value::Array(items) => {
                Tree::List(items.iter().map(|item| Self::from_value_at(item, deeper)).collect::<Option<_>>()?)
            }
            Value::Object(members) => Tree::Map(
                members.iter().map(|(key, value)| Entry::from_value(key, value, deeper)).collect::<Option<_>>()?,
            ),
        };
        Some(Node { tree, line: 0, column: 0, cut: false })
    }

    /// The value without its places; null for refused values.
    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Refused | Tree::Null => Value::Null,
            Tree::Bool(bool) => Value::Bool(*bool),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Tree::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The entry with this key, if this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => None,
        }
    }

    /// The kind of value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.tree {
            Tree::Refused => "an invalid value",
            Tree::Null => "null",
            Tree::Bool(_) => "a boolean",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a string",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        }
    }
}

impl Entry {
    fn from_value(key: &str, value: &Value, depth: usize) -> Option<Entry> {
        Some(Entry { key: key.into(), line: 0, column: 0, value: Node::from_value_at(value, depth)? })
    }
}
