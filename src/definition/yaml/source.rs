//! From a position inside a text value to its place in the document.

use super::accident::Flow;
use super::cursor::At;
use super::node::Tree;
use crate::definition::problem::Place;

/// The characters of a document; empty for a stored form.
#[derive(Debug, Default)]
pub(crate) struct Source {
    chars: Vec<char>,
    /// The position at which each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(chars: Vec<char>) -> Self {
        let after = |(at, c): (usize, &char)| (*c == '\n').then_some(at + 1);
        let lines = std::iter::once(0).chain(chars.iter().enumerate().filter_map(after)).collect();
        Self { chars, lines }
    }

    /// The place of a byte of a text; the begin of the text if it has another spelling in the document.
    pub(crate) fn place_in(&self, at: &At<'_>, byte: usize) -> Place {
        self.exact_place(at, byte).unwrap_or_else(|| at.place())
    }

    /// The place of a byte of a text, if it is spelt that way in the document.
    pub(crate) fn exact_place(&self, at: &At<'_>, byte: usize) -> Option<Place> {
        let Tree::Text(text) = &at.node.tree else { return None };
        let (line, column) = self.place(at.node.line, at.node.column, text, byte)?;
        Some(Place { path: at.path.clone(), line, column })
    }

    /// The line and the column, from 1, of the byte `offset` of `text`, whose scalar begins at this line and column. None if the
    /// text is not found there, which is so for a stored form.
    fn place(&self, line: usize, column: usize, text: &str, offset: usize) -> Option<(usize, usize)> {
        let begin = self.position(line, column)?;
        let (mut at, style) = match self.chars.get(begin)? {
            '"' => (begin + 1, Style::Double),
            '\'' => (begin + 1, Style::Single),
            '|' | '>' => (*self.lines.get(line)?, Style::Plain),
            _ => (begin, Style::Plain),
        };
        for c in text.get(..offset)?.chars() {
            at = self.after(at, c, style)?;
        }
        let next = text[offset..].chars().find(|c| !c.is_whitespace());
        if text[offset..].starts_with(|c: char| !c.is_whitespace()) {
            let broken = |at: usize| style == Style::Double && self.chars.get(at..at + 2) == Some(&['\\', '\n']);
            while broken(at) || next != self.chars.get(at).copied() && self.chars.get(at)?.is_whitespace() {
                at += 1 + usize::from(broken(at));
            }
        }
        let line = self.lines.partition_point(|start| *start <= at);
        Some((line, at + 1 - self.lines.get(line.checked_sub(1)?)?))
    }

    /// Whether the value at a place has no quotes.
    pub(crate) fn is_plain(&self, line: usize, column: usize) -> bool {
        let first = self.position(line, column).and_then(|at| self.chars.get(at));
        first.is_some_and(|first| !matches!(first, '"' | '\'' | '|' | '>'))
    }

    /// Whether a place is inside of `{ }` or `[ ]`, as far as its line tells.
    pub(crate) fn flow(&self, line: usize, column: usize) -> Flow {
        let before = self.position(line, column).and_then(|at| self.chars.get(at + 1 - column..at)).unwrap_or_default();
        if before.iter().any(|c| matches!(c, '{' | '[')) { Flow::Flow } else { Flow::Block }
    }

    fn position(&self, line: usize, column: usize) -> Option<usize> {
        Some(self.lines.get(line.checked_sub(1)?)? + column.checked_sub(1)?)
    }

    /// The position after the spelling of `c` at `at`. White space may be folded, and line breaks may be escaped.
    fn after(&self, mut at: usize, c: char, style: Style) -> Option<usize> {
        loop {
            let written = *self.chars.get(at)?;
            match written {
                '\\' if style == Style::Double => match *self.chars.get(at + 1)? {
                    '\n' => at += 2,
                    'x' => return Some(at + 4),
                    'u' => return Some(at + 6),
                    'U' => return Some(at + 10),
                    _ => return Some(at + 2),
                },
                '\'' if style == Style::Single && c == '\'' => return Some(at + 2),
                written if written == c => return Some(at + 1),
                written if written.is_whitespace() => at += 1,
                _ => return None,
            }
        }
    }
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of `found` in the value that begins at the first `^`.
    fn place(document: &str, text: &str, found: &str) -> Option<(usize, usize)> {
        let column = document.lines().next().unwrap().find(": ").unwrap() + 3;
        let source = Source::new(document.chars().collect());
        source.place(1, column, text, text.find(found).unwrap())
    }

    #[test]
    fn a_place_is_found_in_every_style() {
        assert_eq!(place("a: x == none", "x == none", "none"), Some((1, 9)));
        assert_eq!(place("a: 'it''s none'", "it's none", "none"), Some((1, 11)));
        assert_eq!(place(r#"a: "\"é\" \u00e9 none""#, "\"é\" é none", "none"), Some((1, 18)));
        assert_eq!(place("a: |\n    x\n      none\n", "x\n  none\n", "none"), Some((3, 7)));
        assert_eq!(place("a: >\n  x\n  none\n", "x none\n", "none"), Some((3, 3)));
        assert_eq!(place("a: x\n   none", "x none", "none"), Some((2, 4)));
        assert_eq!(place("a: \"x\\\n   none\"", "xnone", "none"), Some((2, 4)));
    }

    #[test]
    fn a_text_that_is_not_there_has_no_place() {
        assert_eq!(place("a: something", "another", "her"), None);
        assert_eq!(Source::default().place(0, 0, "x", 0), None);
        assert_eq!(Source::new(vec!['a']).place(9, 9, "x", 0), None);
    }
}
