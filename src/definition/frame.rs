//! The lists and maps a reader is inside of.

use std::collections::HashSet;

use super::node::{Entry, Node};

/// A list or map that has begun.
pub(super) enum Frame {
    List { line: usize, column: usize, items: Vec<Node> },
    Map(MapFrame),
}

/// A map that has begun.
pub(super) struct MapFrame {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) flow: bool,
    pub(super) entries: Vec<Entry>,
    pub(super) seen: HashSet<String>,
    pub(super) key: Option<Key>,
    /// Where the last value began in the text, if it was unquoted.
    pub(super) unquoted_at: Option<usize>,
}

/// A key whose value is to come.
pub(super) struct Key {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end: usize,
    /// It was refused, and its value will be.
    pub(super) refused: bool,
}

/// The path of what comes next inside `stack`.
pub(super) fn path(stack: &[Frame]) -> String {
    stack.iter().fold(String::new(), |path, frame| match frame {
        Frame::List { items, .. } => format!("{path}[{}]", items.len()),
        Frame::Map(MapFrame { key: Some(key), .. }) => joined(&path, &key.text),
        Frame::Map(MapFrame { key: None, .. }) => path,
    })
}

/// The map the reader is in, if it is in none of its lists.
pub(super) fn innermost_map(stack: &mut [Frame]) -> Option<&mut MapFrame> {
    match stack.last_mut() {
        Some(Frame::Map(map)) => Some(map),
        Some(Frame::List { .. }) | None => None,
    }
}

/// The path of a member.
pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}
