//! The text of a part of an expression, and where it begins.

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};

use crate::expression::read;
use crate::text::shortened;

/// A source with the places of its parts.
pub(super) struct Written<'s> {
    source: &'s str,
    places: Option<Arc<SourceInfo>>,
}

impl<'s> Written<'s> {
    pub(super) fn of(source: &'s str) -> Self {
        Self { source, places: read::places(source) }
    }

    /// The byte at which a part begins; 0 if that is unknown.
    pub(super) fn start(&self, tree: &IdedExpr) -> usize {
        self.range(tree).map_or(0, |(start, _)| start)
    }

    /// The byte at which the name of a member begins: after the dot or bracket.
    pub(super) fn member(&self, tree: &IdedExpr, name: &str) -> usize {
        let dot = self.places.as_ref().and_then(|places| places.offset_for(tree.id)).map(|(start, _)| start as usize);
        let found = dot.and_then(|dot| Some(dot + self.source.get(dot..)?.find(name)?));
        found.unwrap_or_else(|| self.start(tree))
    }

    /// The text of a part, for messages.
    pub(super) fn text(&self, tree: &IdedExpr) -> String {
        let range = self.range(tree).and_then(|(start, end)| self.source.get(start..end));
        let text = range.unwrap_or(self.source).split_whitespace().collect::<Vec<_>>().join(" ");
        shortened(&text)
    }

    /// The bytes of a part, with all brackets closed.
    fn range(&self, tree: &IdedExpr) -> Option<(usize, usize)> {
        let places = self.places.as_ref()?;
        let (mut start, mut end) = (usize::MAX, 0);
        let mut open = vec![tree];
        while let Some(part) = open.pop() {
            if let Some((from, to)) = places.offset_for(part.id) {
                start = start.min(from as usize);
                end = end.max(to as usize);
            }
            push_parts(&part.expr, &mut open);
        }
        if start >= end || !self.source.is_char_boundary(start) || !self.source.is_char_boundary(end) {
            return None;
        }
        Some(self.closed(self.named(start), self.whole_word(end)))
    }

    /// The place of a function's name, if a part begins with its bracket: `size` of `size(x)`.
    fn named(&self, start: usize) -> usize {
        if !self.source[start..].starts_with('(') {
            return start;
        }
        let before = self.source[..start].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "_.".contains(c));
        before.len()
    }

    /// The end of the member after a dot, or of the number after a minus: the parser gives only the place of the sign.
    fn whole_word(&self, end: usize) -> usize {
        let belongs = |c: char| match self.source[..end].chars().next_back() {
            Some('.') => c.is_ascii_alphanumeric() || c == '_',
            Some('-') => c.is_ascii_alphanumeric() || c == '.',
            Some(_) | None => false,
        };
        end + self.source[end..].find(|c| !belongs(c)).unwrap_or(self.source.len() - end)
    }

    fn closed(&self, start: usize, end: usize) -> (usize, usize) {
        let (mut depth, mut quote, mut missing) = (0usize, None, 0usize);
        let mut to = end;
        for (at, byte) in self.source.bytes().enumerate().skip(start) {
            if at >= end && depth == 0 {
                break;
            }
            match (quote, byte) {
                (Some(open), byte) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'(' | b'[' | b'{') => depth += 1,
                (None, b')' | b']' | b'}') if depth == 0 => missing += 1,
                (None, b')' | b']' | b'}') => depth -= 1,
                (None, _) => {}
            }
            to = to.max(at + 1);
        }
        let mut from = start;
        for _ in 0..missing {
            from = self.source[..from].rfind(['(', '[', '{']).unwrap_or(from);
        }
        match self.source.is_char_boundary(to) {
            true => (from, to),
            false => (from, end),
        }
    }
}

/// The parts of a part.
fn push_parts<'t>(expr: &'t Expr, open: &mut Vec<&'t IdedExpr>) {
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => open.extend(call.target.iter().map(|target| &**target).chain(&call.args)),
        Expr::Comprehension(each) => open.extend([&each.iter_range, &each.loop_step]),
        Expr::List(list) => open.extend(&list.elements),
        Expr::Select(select) => open.push(&select.operand),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => open.extend([&entry.key, &entry.value]),
            EntryExpr::StructField(field) => open.push(&field.value),
        }),
        Expr::Struct(fields) => fields.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => open.extend([&entry.key, &entry.value]),
            EntryExpr::StructField(field) => open.push(&field.value),
        }),
    }
}
