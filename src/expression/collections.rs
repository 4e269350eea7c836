//! Lists and maps of expressions, borrowed from JSON or built.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Value};

use super::bounds::{Budget, EvalError};
use super::value::Val;

/// A list, borrowed or built.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Json(&'a [Value]),
    Built(Rc<Vec<Val<'a>>>),
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            List::Json(list) => list.len(),
            List::Built(list) => list.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<Val<'a>> {
        match self {
            List::Json(list) => list.get(at).map(Val::from_json),
            List::Built(list) => list.get(at).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

/// A map, borrowed or built.
#[derive(Debug, Clone)]
pub(super) enum Map<'a> {
    Json(&'a JsonMap<String, Value>),
    Built(Rc<Entries<'a>>),
}

impl<'a> Map<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Map::Json(map) => map.len(),
            Map::Built(map) => map.texts.len() + map.others.len(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Val<'a>> {
        match self {
            Map::Json(map) => map.get(key).map(Val::from_json),
            Map::Built(map) => map.texts.get(key).cloned(),
        }
    }

    pub(super) fn find(&self, key: Key<'_>) -> Option<Val<'a>> {
        match (self, key) {
            (_, Key::Text(key)) => self.get(key),
            (Map::Json(_), Key::Other(_)) => None,
            (Map::Built(map), Key::Other(key)) => map.others.get(&key).cloned(),
        }
    }

    /// Keys that are not strings first, else in the order of the map.
    pub(super) fn keys(&self) -> Vec<Key<'_>> {
        match self {
            Map::Json(map) => map.keys().map(|key| Key::Text(key)).collect(),
            Map::Built(map) => {
                let others = map.others.keys().map(|key| Key::Other(*key));
                others.chain(map.texts.keys().map(|key| Key::Text(key))).collect()
            }
        }
    }
}

/// The entries of a built map. As in JSON, nearly all keys are strings.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries<'a> {
    texts: BTreeMap<String, Val<'a>>,
    others: BTreeMap<Other, Val<'a>>,
}

impl<'a> Entries<'a> {
    /// Inserts an entry; true if the key was already present.
    pub(super) fn insert(&mut self, key: Key<'_>, value: Val<'a>) -> bool {
        match key {
            Key::Text(key) => self.texts.insert(key.to_owned(), value).is_some(),
            Key::Other(key) => self.others.insert(key, value).is_some(),
        }
    }
}

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'k> {
    Text(&'k str),
    Other(Other),
}

impl<'k> Key<'k> {
    /// A value as the key of a new entry.
    pub(super) fn of(value: &'k Val<'_>) -> Result<Self, EvalError> {
        match value {
            Val::Text(text) => Ok(Key::Text(text.as_str())),
            Val::Bool(value) => Ok(Key::Other(Other::Bool(*value))),
            Val::Int(value) => Ok(Key::Other(Other::Int(*value))),
            Val::Uint(value) => Ok(Key::Other(Other::Uint(*value))),
            other => Err(EvalError::invalid(format!(
                "a key of a map must be a string, an int or a boolean, not {}",
                other.what()
            ))),
        }
    }

    /// A value as a key to look up; a double without fraction matches an int.
    pub(super) fn sought(value: &'k Val<'_>) -> Option<Self> {
        match value {
            Val::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => {
                Some(Key::Other(Other::Int(*value as i64)))
            }
            other => Key::of(other).ok(),
        }
    }

    /// As a value.
    pub(super) fn value<'a>(self, budget: &mut Budget) -> Result<Val<'a>, EvalError> {
        match self {
            Key::Text(text) => Val::text(text, budget),
            Key::Other(Other::Bool(value)) => Ok(Val::Bool(value)),
            Key::Other(Other::Int(value)) => Ok(Val::Int(value)),
            Key::Other(Other::Uint(value)) => Ok(Val::Uint(value)),
        }
    }

    /// As a key of JSON.
    pub(super) fn text(self) -> Cow<'k, str> {
        match self {
            Key::Text(text) => Cow::Borrowed(text),
            Key::Other(Other::Bool(value)) => Cow::Owned(value.to_string()),
            Key::Other(Other::Int(value)) => Cow::Owned(value.to_string()),
            Key::Other(Other::Uint(value)) => Cow::Owned(value.to_string()),
        }
    }

    /// The bytes of its text.
    pub(super) fn len(self) -> usize {
        match self {
            Key::Text(text) => text.len(),
            Key::Other(_) => 0,
        }
    }
}

/// A key that is not a string. `1` and `1u` are the same key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Other {
    Bool(bool),
    Int(i64),
    Uint(u64),
}

impl Other {
    fn rank(self) -> (u8, i128) {
        match self {
            Other::Bool(value) => (0, value.into()),
            Other::Int(value) => (1, value.into()),
            Other::Uint(value) => (1, value.into()),
        }
    }
}

impl Ord for Other {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Other {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Other {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Other {}
