//! The line and column of a part of an expression.

use crate::definition::problem::Place;
use crate::definition::yaml::cursor::At;

/// Lines below the beginning of a value in which an expression is looked for.
const LINES_MAX: usize = 300;
/// Bytes of one line in which an expression is looked for.
const LINE_MAX: usize = 16 * 1024;

/// The lines of a document, to find expressions in.
#[derive(Debug)]
pub(super) struct Text<'t> {
    lines: Vec<&'t str>,
}

/// An expression inside a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'s> {
    /// The value up to the expression.
    pub(super) before: &'s str,
    /// The expression.
    pub(super) text: &'s str,
}

impl<'t> Text<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Text { lines: text.strip_prefix('\u{feff}').unwrap_or(text).lines().collect() }
    }

    /// The place of a byte of an expression; that of its value if it cannot be found, as in a text with unusual escapes.
    pub(super) fn place(&self, at: &At<'_>, source: Source<'_>, byte: usize) -> Place {
        let place = at.place();
        match self.find(place.line, place.column, source, byte) {
            Some((line, column)) => Place { line, column, ..place },
            None => place,
        }
    }

    fn find(&self, line: usize, column: usize, source: Source<'_>, byte: usize) -> Option<(usize, usize)> {
        // Of an expression of several lines only the line with the byte is looked for.
        let head = source.text.get(..byte)?;
        let start = head.rfind('\n').map_or(0, |newline| newline + 1);
        let whole = source.text[start..].lines().next().unwrap_or_default();
        let indent = whole.len() - whole.trim_start().len();
        let within = byte.saturating_sub(start + indent).min(whole.trim().len());
        let skip = source.before.matches(whole.trim()).count();
        let found = self.search(line, column, whole.trim(), within, skip);
        // A folded text has other lines than its value: then only the word is looked for.
        found.or_else(|| {
            let rest = source.text.get(byte..)?;
            let word = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())];
            let skip = source.before.matches(word).count() + head.matches(word).count();
            self.search(line, column, word, 0, skip)
        })
    }

    /// The place of a byte of a text after a place, if `skip` others like it come before.
    fn search(
        &self,
        line: usize,
        column: usize,
        wanted: &str,
        within: usize,
        mut skip: usize,
    ) -> Option<(usize, usize)> {
        if wanted.is_empty() {
            return None;
        }
        for (number, text) in self.lines.iter().enumerate().skip(line.checked_sub(1)?).take(LINES_MAX) {
            let from = if number + 1 == line { byte_of(text, column.saturating_sub(1)) } else { 0 };
            let end = text.floor_char_boundary((from + LINE_MAX).min(text.len()));
            let searched = text.get(from..end)?;
            for escape in [plain, doubled, escaped] {
                let (written, offset) = (escape(wanted), escape(wanted.get(..within)?).len());
                let mut found = searched.match_indices(&written).map(|(at, _)| from + at);
                match found.clone().count() {
                    0 => {}
                    count if count > skip => {
                        let at = found.nth(skip)? + offset;
                        return Some((number + 1, text.get(..at)?.chars().count() + 1));
                    }
                    count => {
                        skip -= count;
                        break;
                    }
                }
            }
        }
        None
    }
}

fn byte_of(text: &str, column: usize) -> usize {
    text.char_indices().nth(column).map_or(text.len(), |(byte, _)| byte)
}

fn plain(text: &str) -> String {
    text.to_owned()
}

/// As in single quotes.
fn doubled(text: &str) -> String {
    text.replace('\'', "''")
}

/// As in double quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::yaml::node::{Node, Tree};

    fn found(text: &str, line: usize, column: usize, before: &str, expression: &str, byte: usize) -> (usize, usize) {
        let node = Node { tree: Tree::Null, line, column, cut: false };
        let at = At { node: &node, path: "x".into() };
        let place = Text::of(text).place(&at, Source { before, text: expression }, byte);
        (place.line, place.column)
    }

    #[test]
    fn a_part_is_found_in_every_style_of_yaml() {
        assert_eq!(found("when: a > b", 1, 7, "", "a > b", 4), (1, 11));
        assert_eq!(found("when: 'a > ''b'' '", 1, 7, "", "a > 'b'", 4), (1, 12));
        assert_eq!(found(r#"when: "a == \"b\" && c""#, 1, 7, "", r#"a == "b" && c"#, 12), (1, 22));
        assert_eq!(found("when: |\n  a >\n    b", 1, 7, "", "a >\n  b", 6), (3, 5));
        assert_eq!(found("when: >\n  a == 1 &&\n  b > a", 1, 7, "", "a == 1 && b > a", 14), (3, 7));
        assert_eq!(found("t: ä ${ b } and ${ b }", 1, 4, "ä ${ b } and ${ ", "b", 0), (1, 20));
    }

    #[test]
    fn what_cannot_be_found_is_at_its_value() {
        assert_eq!(found("when: \"a > \\x62\"", 1, 7, "", "a > b", 4), (1, 7));
        assert_eq!(found("", 0, 0, "", "a > b", 4), (0, 0));
        assert_eq!(found("x", 1, 1, "", "", 0), (1, 1));
    }
}
