//! Recognises and explains what YAML makes of an expression that should have been quoted.

use std::borrow::Cow;

use super::frame::Values;
use crate::expression::{Around, Expression, slip};

/// Characters of a line that are read on each side of a problem.
pub(crate) const LINE_MAX: usize = 200;

/// The rule that all these documents break.
const RULE: &str = "quote a string that contains `, [ ] { }`, `: ` or ` #`, or that begins with ! \" ' & *; or write it in block style (`|`)";

/// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know: `\ud83d\ude00` becomes one.
/// Only JSON documents are changed. Lone halves stay, and the scanner refuses them.
pub(crate) fn join_surrogates(text: &str) -> Cow<'_, str> {
    if !text.trim_start().starts_with(['{', '[']) || !(text.contains("\\ud") || text.contains("\\uD")) {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        joined.push_str(&rest[..at]);
        rest = &rest[at..];
        let pair = escape(rest).zip(rest.get(6..).and_then(escape));
        let decoded = pair.and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        match decoded.filter(|c| u32::from(*c) > 0xFFFF) {
            Some(c) => {
                joined.push_str(&format!("\\U{:08x}", u32::from(c)));
                rest = &rest[12..];
            }
            None => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                joined.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// The number of a leading `\uXXXX`.
fn escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if digits.starts_with('+') { None } else { u16::from_str_radix(digits, 16).ok() }
}

/// Whether blanks and a ` #` follow `at` in the line.
pub(crate) fn comment_follows(chars: &[char], at: usize) -> bool {
    let rest = chars.get(at..).unwrap_or_default();
    let blanks = rest.iter().take_while(|c| matches!(c, ' ' | '\t')).count();
    // The scanner may count the blanks to the scalar.
    let blank = blanks > 0 || at > 0 && matches!(chars.get(at - 1), Some(' ' | '\t'));
    blank && rest.get(blanks) == Some(&'#')
}

/// Whether a `:` follows `at`, after blanks.
pub(crate) fn colon_follows(chars: &[char], at: usize) -> bool {
    chars.get(at..).unwrap_or_default().iter().find(|c| !c.is_whitespace()) == Some(&':')
}

/// The line around a position, at most [`LINE_MAX`] characters to each side.
pub(crate) fn line_around(chars: &[char], at: usize) -> String {
    let at = at.min(chars.len());
    let before = chars[..at].iter().rev().take(LINE_MAX).take_while(|c| **c != '\n').count();
    let after = chars[at..].iter().take(LINE_MAX).take_while(|c| **c != '\n').count();
    chars[at - before..at + after].iter().collect::<String>().trim().to_owned()
}

/// How to quote `key: text`.
pub(crate) fn quoted_hint(key: &str, text: &str) -> String {
    match quoted(text) {
        Some(quoted) => format!("quote the whole value: `{key}: {quoted}`"),
        None => RULE.into(),
    }
}

/// A text as a value in quotes of YAML; none if it is too long or cannot be quoted simply.
pub(crate) fn quoted(text: &str) -> Option<String> {
    const SHORT: usize = 100;
    match () {
        () if text.len() > SHORT || text.contains('\n') => None,
        () if !text.contains('\'') => Some(format!("'{text}'")),
        () if !text.contains(['"', '\\']) => Some(format!("\"{text}\"")),
        () => None,
    }
}

/// A string of CEL in quotes of YAML.
pub(crate) fn as_text(text: &str) -> Option<String> {
    match text.contains(['"', '\\']) {
        true => None,
        false if text.contains('\'') => Some(format!("\"\\\"{text}\\\"\"")),
        false => Some(format!("'\"{text}\"'")),
    }
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// On a line of its own.
    Block,
    /// Inside of `{ }` or `[ ]`.
    Flow,
}

/// Whether YAML reads something else than this text if it has no quotes.
pub(crate) fn needs_quotes(text: &str, flow: Flow) -> bool {
    text.starts_with(['!', '"', '\'', '&', '*', '[', '{', '`', '@', '%', '|', '>', '#', '-', '?'])
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with(':')
        || flow == Flow::Flow && text.contains([',', '[', ']', '{', '}'])
}

/// The hint for a value that begins with a special character of YAML.
pub(crate) fn quoted_start_hint(line: &str, sign: char) -> String {
    match plain_entry(line) {
        Some((key, value)) if value.starts_with(sign) => quoted_hint(key, value),
        Some(_) | None => format!("quote values that begin with `{sign}`"),
    }
}

/// The hint for an error of the YAML scanner.
pub(crate) fn scan_hint(info: &str, line: &str, values: Values) -> String {
    match plain_entry(line) {
        _ if info.contains("Unicode character escape") => {
            "half of a surrogate pair is not a character: write the character itself".into()
        }
        _ if info.contains("tabs") => "indent with spaces, not tabs".into(),
        Some((key, value)) if value.starts_with('`') => backticks_hint(key, value, values),
        Some((key, value)) if is_text(value, values) => match as_text(value) {
            Some(text) => format!("a string has quotes of its own: `{key}: {text}`"),
            None => RULE.into(),
        },
        Some((key, value)) if !value.is_empty() && !value.starts_with(['{', '[', '|', '>']) => quoted_hint(key, value),
        Some(_) | None if line.contains("${") => {
            "quote strings that contain `${ }` inside `{ }` and `[ ]`: \"${ name }\"".into()
        }
        Some(_) | None => RULE.into(),
    }
}

/// The hint for a text in backticks, as JavaScript has them.
fn backticks_hint(key: &str, value: &str, values: Values) -> String {
    let text = value.trim_matches('`');
    let meant = match values {
        Values::Expressions => slip(value, Around::Value, &|_| true).and_then(|slip| slip.meant),
        Values::Others => (!text.contains(['"', '\\'])).then(|| text.to_owned()),
    };
    let quoted = match values {
        Values::Expressions => meant.as_deref().and_then(quoted),
        Values::Others => meant.map(|text| format!("\"{text}\"")),
    };
    quoted.map_or_else(|| "quote values that begin with a backtick".into(), |quoted| format!("write `{key}: {quoted}`"))
}

/// Whether a value was meant as a text where expressions are expected.
fn is_text(value: &str, values: Values) -> bool {
    values == Values::Expressions
        && value.starts_with(char::is_alphabetic)
        && Expression::parse(value).is_err()
        && value.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || ".,;:!?-_'’%#/".contains(c))
}

/// `{{ x }}` in a line, and the hint for it.
pub(crate) fn jinja(line: &str) -> Option<(&str, String)> {
    let open = line.find("{{")?;
    let close = open + line[open..].find("}}")?;
    let inside = line[open + 2..close].trim();
    let start = if line[..open].ends_with('$') { open - 1 } else { open };
    let hint = match Expression::parse(inside) {
        Ok(_) if !inside.contains('"') => format!("write \"${{ {inside} }}\""),
        Ok(_) | Err(_) => "write \"${ … }\"".into(),
    };
    Some((&line[start..close + 2], hint))
}

/// The key and the value of a line `key: value` in block style.
fn plain_entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().trim_start_matches("- ").split_once(": ")?;
    let word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    word.then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surrogate_pair_becomes_one_escape() {
        assert_eq!(join_surrogates(r#"{"a": "\ud83d\ude00"}"#), r#"{"a": "\U0001f600"}"#);
    }

    #[test]
    fn a_text_that_only_looks_like_a_surrogate_pair_stays() {
        for text in
            [r#"{"a": "\\ud83d\\ude00"}"#, r#"{"a": "\ud83d"}"#, r#"{"a": "\ud83dé"}"#, r"a: \ud83d\ude00", r"{\u"]
        {
            assert_eq!(join_surrogates(text), text);
        }
    }
}
