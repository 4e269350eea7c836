//! The lists and maps a reader is inside of.

use std::collections::HashSet;

use super::node::{Entry, Node};

/// A list or map that has begun.
pub(crate) enum Frame {
    List { line: usize, column: usize, items: Vec<Node> },
    Map(MapFrame),
}

/// A map that has begun.
pub(crate) struct MapFrame {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) flow: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) seen: HashSet<String>,
    pub(crate) key: Option<Key>,
    /// Where the last value began in the text, if it was unquoted.
    pub(crate) unquoted_at: Option<usize>,
}

/// A key whose value is to come.
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end: usize,
    /// It was refused, and its value will be.
    pub(crate) refused: bool,
}

/// The path of what comes next inside `stack`.
pub(crate) fn path(stack: &[Frame]) -> String {
    stack.iter().fold(String::new(), |path, frame| match frame {
        Frame::List { items, .. } => format!("{path}[{}]", items.len()),
        Frame::Map(MapFrame { key: Some(key), .. }) => joined(&path, &key.text),
        Frame::Map(MapFrame { key: None, .. }) => path,
    })
}

/// The map the reader is in, if it is in none of its lists.
pub(crate) fn innermost_map(stack: &mut [Frame]) -> Option<&mut MapFrame> {
    match stack.last_mut() {
        Some(Frame::Map(map)) => Some(map),
        Some(Frame::List { .. }) | None => None,
    }
}

/// The path of a member.
pub(crate) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}
