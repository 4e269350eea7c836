//! The open lists and maps around the reader's position.

use std::collections::HashSet;

use super::node::{Entry, Node};

/// An open list or map.
pub(crate) enum Frame {
    List { line: usize, column: usize, items: Vec<Node> },
    Map(MapFrame),
}

/// An open map.
pub(crate) struct MapFrame {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) flow: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) seen: HashSet<String>,
    pub(crate) key: Option<Key>,
    /// The position at which the last value began, if it was unquoted.
    pub(crate) unquoted_at: Option<usize>,
}

/// A key whose value follows.
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end: usize,
    /// The key was refused, so its value is skipped.
    pub(crate) refused: bool,
}

/// The path of the next value inside `stack`.
pub(crate) fn path(stack: &[Frame]) -> String {
    stack.iter().fold(String::new(), |path, frame| match frame {
        Frame::List { items, .. } => format!("{path}[{}]", items.len()),
        Frame::Map(MapFrame { key: Some(key), .. }) => joined(&path, &key.text),
        Frame::Map(MapFrame { key: None, .. }) => path,
    })
}

/// The innermost open frame, if it is a map.
pub(crate) fn innermost_map(stack: &mut [Frame]) -> Option<&mut MapFrame> {
    match stack.last_mut() {
        Some(Frame::Map(map)) => Some(map),
        Some(Frame::List { .. }) | None => None,
    }
}

/// What the values of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Bare expressions: the map is a `set` or the `output` of an activity.
    Expressions,
    Others,
}

/// What the values of the innermost map are.
pub(crate) fn values(stack: &[Frame]) -> Values {
    let outer = stack.iter().rev().filter_map(|frame| match frame {
        Frame::Map(MapFrame { key: Some(key), .. }) => Some(key.text.as_str()),
        Frame::Map(MapFrame { key: None, .. }) | Frame::List { .. } => None,
    });
    // The innermost key is the one of the value itself, unless it was not read yet.
    let inside = |key: &str| key == "set" || key == "output" && stack.len() > 2;
    if outer.take(2).any(inside) { Values::Expressions } else { Values::Others }
}

/// The path of the member `key` of a map.
pub(crate) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}
