//! Templates: strings that contain `${ }`.

use serde_json::Value;

use super::bounds::Budget;
use super::{Error, Expression, Scope, read};

/// A string that may contain `${ }`.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(Expression),
}

/// One piece of a template.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// Literal text.
    Text(&'a str),
    /// The expression in a `${ }`.
    Value(&'a Expression),
}

impl Template {
    /// Reads a template. `$${` is a literal `${`.
    ///
    /// # Errors
    /// A `${` without `}`, or an invalid expression.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for span in spans(text)? {
            parts.push(match span {
                Span::Text { text, .. } => Part::Text(text.replace("$${", "${")),
                Span::Value { source, .. } => Part::Value(Expression::parse(source)?),
            });
        }
        Ok(Self { source: text.to_owned(), parts })
    }

    /// Its source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names its expressions read, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parts.iter().flat_map(Part::names).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// Bytes of the compiled patterns of its expressions.
    pub fn pattern_bytes(&self) -> usize {
        self.pieces()
            .map(|piece| if let Piece::Value(expression) = piece { expression.pattern_bytes() } else { 0 })
            .sum()
    }

    /// Its pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.parts.iter().map(|part| match part {
            Part::Text(text) => Piece::Text(text),
            Part::Value(expression) => Piece::Value(expression),
        })
    }

    /// The text, if it has no `${ }`.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its value: `${ }` alone keeps its type, otherwise a string.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        match self.parts.as_slice() {
            [Part::Value(expression)] => expression.evaluate(scope),
            _ => self.text(scope).map(Value::String),
        }
    }

    /// Its value as a string.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn text(&self, scope: &Scope<'_>) -> Result<String, Error> {
        scope.spending(|budget| self.joined(scope, budget))
    }

    fn joined(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<String, Error> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value(expression) => {
                    let value = expression.with_value(scope, budget, |value, budget| value.to_text(budget))?;
                    text.push_str(&value);
                }
            }
        }
        Ok(text)
    }
}

/// A part of a template as it is written, and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span<'t> {
    /// Literal text, in which `$${` is still written so.
    Text {
        /// Its first byte.
        at: usize,
        /// The text.
        text: &'t str,
    },
    /// The expression in a `${ }`, without the blanks around it.
    Value {
        /// Its first byte.
        at: usize,
        /// The expression.
        source: &'t str,
    },
}

/// The parts of a template as they are written.
///
/// # Errors
/// A `${` without `}`.
pub fn spans(text: &str) -> Result<Vec<Span<'_>>, Error> {
    let mut spans = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(found) = text[at..].find("${") {
        let dollar = at + found;
        let open = dollar + 2;
        at = open;
        if text[start..dollar].ends_with('$') {
            continue;
        }
        let end = end_of_expression(&text[open..]).ok_or_else(|| Error {
            message: format!("`{}`: `${{` has no closing `}}`; write `$${{` for a literal `${{`", read::shown(text)),
        })?;
        if start < dollar {
            spans.push(Span::Text { at: start, text: &text[start..dollar] });
        }
        let inside = &text[open..open + end];
        let blanks = inside.len() - inside.trim_start().len();
        spans.push(Span::Value { at: open + blanks, source: inside.trim() });
        at = open + end + 1;
        start = at;
    }
    if start < text.len() {
        spans.push(Span::Text { at: start, text: &text[start..] });
    }
    Ok(spans)
}

impl Part {
    fn names(&self) -> &[String] {
        match self {
            Part::Text(_) => &[],
            Part::Value(expression) => expression.names(),
        }
    }
}

/// The position of the `}` that closes a `${`, ignoring braces, strings and comments of the expression.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            b'"' | b'\'' => {
                at = end_of_string(text, at)?;
                continue;
            }
            b'/' if text[at..].starts_with("//") => {
                at += text[at..].find('\n')?;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The byte after a string that begins at `start`; strings are raw (`r"\"`), triple (`"""`) or plain.
pub(super) fn end_of_string(text: &str, start: usize) -> Option<usize> {
    let quote = &text[start..=start];
    let triple = quote.repeat(3);
    let close = if text[start..].starts_with(&triple) { triple.as_str() } else { quote };
    let raw = is_raw(&text.as_bytes()[..start]);
    let mut at = start + close.len();
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with(close) {
            return Some(at + close.len());
        }
        let escaped = !raw && rest.starts_with('\\');
        let skipped = rest.chars().take(if escaped { 2 } else { 1 }).map(char::len_utf8).sum::<usize>();
        at += skipped.max(1);
    }
    None
}

/// Whether the letters before a quote make the string raw: `r`, `br` or `rb` in upper or lower case, not the end of a name.
fn is_raw(before: &[u8]) -> bool {
    let letters = before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let prefix = &before[before.len() - letters..];
    letters <= 2
        && prefix.iter().any(|byte| byte.eq_ignore_ascii_case(&b'r'))
        && prefix.iter().all(|byte| b"rRbB".contains(byte))
}
