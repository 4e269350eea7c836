//! A place in the tree with its path, and what is asked of one: is it a map, a text, a number, with which keys.

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
    /// What the map is, for a sentence: `an activity`.
    pub(crate) of: &'static str,
    /// Those that are understood.
    pub(crate) known: &'static [&'static str],
    /// Those of the language that this version does not understand yet.
    pub(crate) later: &'static [&'static str],
}

/// Keys that were renamed: what the map is, the old name, the new one.
const RENAMED: [(&str, &str, &str); 1] = [("a definition", "lane", "queue")];

impl Keys {
    /// Whether a key belongs to the language.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.known.contains(&key) || self.later.contains(&key)
    }
}

impl<'n> At<'n> {
    /// The whole document.
    pub(crate) fn root(node: &'n Node) -> Self {
        At { node, path: String::new() }
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<At<'n>> {
        self.node.entry(key).map(|entry| self.member(entry))
    }

    /// The entries of a map, in order; none of anything else.
    pub(crate) fn entries(&self) -> Vec<(&'n Entry, At<'n>)> {
        match &self.node.tree {
            Tree::Map(entries) => entries.iter().map(|entry| (entry, self.member(entry))).collect(),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => Vec::new(),
        }
    }

    /// The items of a list, in order; none of anything else.
    pub(crate) fn items(&self) -> Vec<At<'n>> {
        match &self.node.tree {
            Tree::List(items) => {
                let item = |(at, node)| At { node, path: format!("{}[{at}]", self.path) };
                items.iter().enumerate().map(item).collect()
            }
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Map(_) => Vec::new(),
        }
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        Place { path: self.path.clone(), line: self.node.line, column: self.node.column }
    }

    /// Where the key of one of its entries stands.
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

    /// Whether nothing was written.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.tree, Tree::Null)
    }

    /// Whether this is the text `word`.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.node.tree, Tree::Text(text) if text == word)
    }

    /// The value of one of its entries.
    pub(crate) fn member(&self, entry: &'n Entry) -> At<'n> {
        At { node: &entry.value, path: joined(&self.path, &entry.key) }
    }
}

impl Problems {
    /// Notes an error at a node.
    pub(crate) fn error_at(&mut self, at: &At<'_>, message: impl Into<String>, hint: Option<&str>) {
        self.error(at.place(), message, hint.map(str::to_owned));
    }

    /// Notes that something else was expected.
    pub(crate) fn unexpected(&mut self, at: &At<'_>, expected: &str, hint: Option<&str>) {
        if !matches!(at.node.tree, Tree::Refused) {
            self.error_at(at, format!("{expected} is expected here, not {}", at.node.kind()), hint);
        }
    }

    /// Whether it is a map, and notes each key that is not one of `keys`.
    pub(crate) fn expect_map(&mut self, at: &At<'_>, keys: &Keys) -> bool {
        if !at.is_map() {
            let known = format!("its keys are {}", listed(keys.known));
            self.unexpected(at, &format!("the map of {}", keys.of), Some(&known));
            return false;
        }
        for (entry, _) in at.entries() {
            let key = entry.key.as_str();
            if keys.later.contains(&key) {
                self.later(at.key_place(entry), key);
            } else if let Some((_, _, new)) = RENAMED.iter().find(|(of, old, _)| (*of, *old) == (keys.of, key)) {
                self.error(at.key_place(entry), format!("`{key}` is now called `{new}`"), None);
            } else if !keys.known.contains(&key) {
                let hint = self.did_you_mean(key, keys.known.iter().chain(keys.later).copied());
                let hint = hint.unwrap_or_else(|| format!("its keys are {}", listed(keys.known)));
                self.error(at.key_place(entry), format!("`{key}` is no key of {}", keys.of), Some(hint));
            }
        }
        true
    }

    /// Notes a word of the language that this version does not understand yet.
    pub(crate) fn later(&mut self, place: Place, word: &str) {
        let message = format!("`{word}` is part of the language, but not of this version of Leveret yet");
        self.error(place, message, Some("leave it out, or wait for a version that has it".into()));
    }

    /// The value of a key that must be there.
    pub(crate) fn expect<'n>(&mut self, at: &At<'n>, key: &str, hint: &str) -> Option<At<'n>> {
        let found = at.get(key);
        if found.is_none() {
            self.error_at(at, format!("`{key}` is missing"), Some(hint));
        }
        found
    }

    /// A text that is taken as it is.
    pub(crate) fn expect_text<'n>(&mut self, at: &At<'n>) -> Option<&'n str> {
        match &at.node.tree {
            Tree::Text(text) if text.contains("${") => {
                self.error_at(at, "an expression has no place here", Some("write the text itself"));
                None
            }
            Tree::Text(text) => Some(text),
            Tree::Refused => None,
            Tree::Null | Tree::List(_) | Tree::Map(_) => {
                self.unexpected(at, "a text", None);
                None
            }
            Tree::Bool(_) | Tree::Number(_) => {
                self.unexpected(at, "a text", Some("put it in quotes"));
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
        let message = format!("`{}` is no name", shortened(name));
        let hint = format!("a small letter, then small letters, digits, `_` and `-`; at most {NAME_MAX} in all");
        self.error_at(at, message, Some(&hint));
        None
    }

    /// Whether it is a list with at least one item.
    pub(crate) fn expect_items<'n>(&mut self, at: &At<'n>, of: &str) -> Vec<At<'n>> {
        let items = at.items();
        if items.is_empty() {
            let hint = if at.is_map() { Some("make it a list of one, with `- ` before it") } else { None };
            match at.is_list() {
                true => self.error_at(at, format!("the list of {of} is empty"), None),
                false => self.unexpected(at, &format!("a list of {of}"), hint),
            }
        }
        items
    }
}

/// Longest name, in bytes: two of them and a dot make the routing key of an event, of which AMQP allows 255 bytes. A queue and the
/// name of a worker outside are part of a queue's name.
pub(crate) const NAME_MAX: usize = 127;

/// Whether a text is a name of this language.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}
