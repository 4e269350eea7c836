//! A node with its path, and the checks that a reader makes there: kind of value, known keys, required keys.

use super::frame::joined;
use super::node::{Entry, Node, Tree};
use crate::definition::problem::{Place, Problems};
use crate::text::{listed, shortened};

/// A node and the path to it.
#[derive(Debug, Clone)]
pub(crate) struct At<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

/// The keys a map may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// The map, for messages: `an activity`.
    pub(crate) of: &'static str,
    /// Supported keys.
    pub(crate) known: &'static [&'static str],
    /// Keys of the language that are not supported yet.
    pub(crate) later: &'static [&'static str],
}

/// Renamed keys: the map, the old name, the new name.
const RENAMED: [(&str, &str, &str); 1] = [("a definition", "lane", "queue")];

impl Keys {
    /// Whether a key belongs to the language, supported or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.known.contains(&key) || self.later.contains(&key)
    }
}

impl<'n> At<'n> {
    /// The whole document.
    pub(crate) fn root(node: &'n Node) -> Self {
        At { node, path: String::new() }
    }

    /// The value of a key, if it is present.
    pub(crate) fn get(&self, key: &str) -> Option<At<'n>> {
        self.node.entry(key).map(|entry| self.member(entry))
    }

    /// The entries of a map in order; empty for other values.
    pub(crate) fn entries(&self) -> Vec<(&'n Entry, At<'n>)> {
        match &self.node.tree {
            Tree::Map(entries) => entries.iter().map(|entry| (entry, self.member(entry))).collect(),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => Vec::new(),
        }
    }

    /// The items of a list in order; empty for other values.
    pub(crate) fn items(&self) -> Vec<At<'n>> {
        match &self.node.tree {
            Tree::List(items) => {
                let item = |(at, node)| At { node, path: format!("{}[{at}]", self.path) };
                items.iter().enumerate().map(item).collect()
            }
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) => Vec::new(),
        }
    }

    /// The value at a JSON pointer.
    pub(crate) fn pointed(&self, pointer: &str) -> Option<At<'n>> {
        pointer.split('/').skip(1).try_fold(self.clone(), |at, part| match at.is_list() {
            true => at.items().into_iter().nth(part.parse().ok()?),
            false => at.get(&part.replace("~1", "/").replace("~0", "~")),
        })
    }

    /// The place of this value.
    pub(crate) fn place(&self) -> Place {
        Place { path: self.path.clone(), line: self.node.line, column: self.node.column }
    }

    /// The place of the key of one of its entries.
    pub(crate) fn key_place(&self, entry: &Entry) -> Place {
        Place { path: joined(&self.path, &entry.key), line: entry.line, column: entry.column }
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.tree, Tree::List(_))
    }

    /// Whether it is a map.
    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.tree, Tree::Map(_))
    }

    /// Whether it is null or empty.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.tree, Tree::Null)
    }

    /// Whether it is the string `word`.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.tree, Tree::Text(text) if text == word)
    }

    /// The value of one of its entries.
    pub(crate) fn member(&self, entry: &'n Entry) -> At<'n> {
        At { node: &entry.value, path: joined(&self.path, &entry.key) }
    }
}

impl Problems {
    /// Reports an error at a node.
    pub(crate) fn error_at(&mut self, at: &At<'_>, message: impl Into<String>, hint: Option<&str>) {
        self.error(at.place(), message, hint.map(str::to_owned));
    }

    /// Reports that another kind of value was expected.
    pub(crate) fn unexpected(&mut self, at: &At<'_>, expected: &str, hint: Option<&str>) {
        if !matches!(at.node.tree, Tree::Refused) {
            self.error_at(at, format!("expected {expected}, found {}", at.node.kind()), hint);
        }
    }

    /// Whether it is a map; reports each key that is not one of `keys`.
    pub(crate) fn expect_map(&mut self, at: &At<'_>, keys: &Keys) -> bool {
        if !at.is_map() {
            if !matches!(at.node.tree, Tree::Refused) {
                let hint = format!("allowed keys: {}", listed(keys.known));
                self.error_at(at, format!("{} must be a map, not {}", keys.of, at.node.kind()), Some(&hint));
            }
            return false;
        }
        for (entry, _) in at.entries() {
            let key = entry.key.as_str();
            if keys.later.contains(&key) {
                self.later(at.key_place(entry), key);
            } else if let Some((_, _, new)) = RENAMED.iter().find(|(of, old, _)| (*of, *old) == (keys.of, key)) {
                self.error(at.key_place(entry), format!("`{key}` was renamed to `{new}`"), None);
            } else if !keys.known.contains(&key) {
                let hint = self.did_you_mean(key, keys.known.iter().chain(keys.later).copied());
                let hint = hint.unwrap_or_else(|| format!("allowed keys: {}", listed(keys.known)));
                self.error(at.key_place(entry), format!("unknown key `{key}` in {}", keys.of), Some(hint));
            }
        }
        true
    }

    /// Reports a word of the language that is not supported yet.
    pub(crate) fn later(&mut self, place: Place, word: &str) {
        let message = format!("`{word}` is not supported yet");
        self.error(place, message, Some("remove it; the word is reserved for a later version of Leveret".into()));
    }

    /// The value of a required key.
    pub(crate) fn expect<'n>(&mut self, at: &At<'n>, key: &str, hint: &str) -> Option<At<'n>> {
        let found = at.get(key);
        if found.is_none() {
            self.error_at(at, format!("`{key}` is missing"), Some(hint));
        }
        found
    }

    /// A string without expressions.
    pub(crate) fn expect_text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        match &at.node.tree {
            Tree::Text(text) if text.contains("${") => {
                self.error_at(at, "expressions are not allowed here", Some("write a fixed value"));
                None
            }
            Tree::Text(text) => Some(text),
            Tree::Refused => None,
            Tree::Null | Tree::List(_) | Tree::Map(_) => {
                self.unexpected(at, "a string", None);
                None
            }
            Tree::Bool(_) | Tree::Number(_) => {
                self.unexpected(at, "a string", Some("put it in quotes"));
                None
            }
        }
    }

    /// A name: `[a-z][a-z0-9_-]*`, at most [`NAME_MAX`] long.
    pub(crate) fn expect_name<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        let name = self.expect_text(at)?;
        if is_name(name) {
            return Some(name);
        }
        let message = format!("`{}` is not a valid name", shortened(name));
        let hint = format!(
            "use lower-case letters, digits, `_` and `-`, starting with a letter; at most {NAME_MAX} characters"
        );
        self.error_at(at, message, Some(&hint));
        None
    }

    /// The items of a list, which must have at least one.
    pub(crate) fn expect_items<'n>(&mut self, at: &At<'n>, of: &str) -> Vec<At<'n>> {
        let items = at.items();
        if items.is_empty() {
            let hint = if at.is_map() { Some("put `- ` before it to make it a list with one entry") } else { None };
            match at.is_list() {
                true => self.error_at(at, format!("the list of {of} must not be empty"), None),
                false => self.unexpected(at, &format!("a list of {of}"), hint),
            }
        }
        items
    }
}

/// Longest name, in bytes: the routing key of an event is two names and a dot, and AMQP allows 255 bytes. Names of queues and
/// calls become part of the names of RabbitMQ queues.
pub(crate) const NAME_MAX: usize = 127;

/// Whether a text is a valid name.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}
