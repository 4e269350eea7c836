//! `format`, which fills in the clauses of a string, and `strings.quote`.

use super::{Answer, Function, int, list, text};
use crate::expression::bounds::{Budget, EvalError, PRECISION_MAX};
use crate::expression::collections::List;
use crate::expression::compare::number;
use crate::expression::value::Val;

pub(super) const ALL: &[Function] =
    &[Function::method("format", (2, 2), format), Function::global("strings.quote", (1, 1), quote)];

/// Digits after the point by default.
const PRECISION: usize = 6;

fn format<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut rest = text(&args[0], budget)?;
    let mut values = list(&args[1], budget)?.iter();
    let mut filled = String::new();
    while let Some(at) = rest.find('%') {
        let (before, clause) = (&rest[..at], &rest[at + 1..]);
        budget.build(before.len())?;
        filled.push_str(before);
        if let Some(after) = clause.strip_prefix('%') {
            filled.push('%');
            rest = after;
            continue;
        }
        let (precision, clause) = precision(clause)?;
        let mut letters = clause.chars();
        let letter = letters
            .next()
            .ok_or_else(|| EvalError::invalid("`%` at the end of the format; write `%%` for a percent sign"))?;
        rest = letters.as_str();
        let value = values.next().ok_or_else(|| EvalError::invalid("the format has more clauses than values"))?;
        budget.step()?;
        let printed = printed(letter, precision, value.settled(), budget)?;
        budget.build(printed.len())?;
        filled.push_str(&printed);
    }
    budget.build(rest.len())?;
    filled.push_str(rest);
    Val::text(filled, budget)
}

/// The precision `.3` of `%.3f`, and the rest.
fn precision(clause: &str) -> Result<(Option<usize>, &str), EvalError> {
    let Some(digits) = clause.strip_prefix('.') else { return Ok((None, clause)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let precision = digits[..end].parse().ok().filter(|precision| *precision <= PRECISION_MAX);
    let precision =
        precision.ok_or_else(|| EvalError::invalid(format!("a precision must be a number up to {PRECISION_MAX}")))?;
    Ok((Some(precision), &digits[end..]))
}

fn printed(clause: char, precision: Option<usize>, value: &Val<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    let mismatch = || EvalError::invalid(format!("the clause cannot print {}", value.what()));
    let precision = precision.unwrap_or(PRECISION);
    match clause {
        's' => {
            let mut text = String::new();
            print_into(&mut text, value, budget)?;
            Ok(text)
        }
        'd' => whole(value).map(|(minus, size)| format!("{minus}{size}")).ok_or_else(mismatch),
        'f' => number(value).map(|value| format!("{value:.precision$}")).ok_or_else(mismatch),
        'e' => number(value).map(|value| scientific(value, precision)).ok_or_else(mismatch),
        'b' => match value {
            Val::Bool(value) => Ok(u8::from(*value).to_string()),
            value => whole(value).map(|(minus, size)| format!("{minus}{size:b}")).ok_or_else(mismatch),
        },
        'o' => whole(value).map(|(minus, size)| format!("{minus}{size:o}")).ok_or_else(mismatch),
        'x' | 'X' => {
            let hexadecimal = match value {
                Val::Text(text) => hexadecimal(text.as_str().as_bytes(), budget)?,
                Val::Bytes(bytes) => hexadecimal(bytes, budget)?,
                value => whole(value).map(|(minus, size)| format!("{minus}{size:x}")).ok_or_else(mismatch)?,
            };
            Ok(if clause == 'X' { hexadecimal.to_ascii_uppercase() } else { hexadecimal })
        }
        _ => Err(EvalError::invalid("unknown clause; use %s %d %f %e %b %o %x %X or %%")),
    }
}

/// The sign and the absolute value of a whole number.
fn whole(value: &Val<'_>) -> Option<(&'static str, u64)> {
    match value {
        Val::Uint(value) => Some(("", *value)),
        value => int(value).ok().map(|value| (if value < 0 { "-" } else { "" }, value.unsigned_abs())),
    }
}

fn hexadecimal(bytes: &[u8], budget: &mut Budget) -> Result<String, EvalError> {
    budget.build(bytes.len().saturating_mul(2))?;
    Ok(hex::encode(bytes))
}

/// As in C: a sign and at least two digits after the `e`.
fn scientific(value: f64, precision: usize) -> String {
    let short = format!("{value:.precision$e}");
    match short.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => short,
    }
}

/// `%s`: strings in lists and maps are not quoted, keys are sorted.
fn print_into(text: &mut String, value: &Val<'_>, budget: &mut Budget) -> Result<(), EvalError> {
    budget.step()?;
    match value {
        Val::Null | Val::Missing => text.push_str("null"),
        Val::Bytes(bytes) => {
            budget.build(bytes.len())?;
            text.push_str(std::str::from_utf8(bytes).map_err(|_| EvalError::invalid("the bytes are not valid UTF-8"))?);
        }
        Val::List(items) => print_list(text, items, budget)?,
        Val::Map(map) => {
            let mut keys: Vec<_> = map.keys().into_iter().map(|key| (key.text(), key)).collect();
            budget.build_values(keys.len())?;
            budget.read(keys.iter().map(|(text, _)| text.len()).sum::<usize>().saturating_mul(16))?;
            keys.sort_by(|(left, _), (right, _)| left.cmp(right));
            text.push('{');
            for (at, (name, key)) in keys.into_iter().enumerate() {
                budget.build(name.len() + 4)?;
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(&name);
                text.push_str(": ");
                print_into(text, map.find(key).unwrap_or(Val::Null).settled(), budget)?;
            }
            text.push('}');
        }
        other => text.push_str(&other.to_text(budget)?),
    }
    Ok(())
}

fn print_list(text: &mut String, items: &List<'_>, budget: &mut Budget) -> Result<(), EvalError> {
    text.push('[');
    for (at, item) in items.iter().enumerate() {
        budget.build(2)?;
        text.push_str(if at == 0 { "" } else { ", " });
        print_into(text, item.settled(), budget)?;
    }
    text.push(']');
    Ok(())
}

/// A string as a CEL literal in quotes.
fn quote<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let plain = text(&args[0], budget)?;
    budget.build(plain.len().saturating_mul(2))?;
    let mut quoted = String::from("\"");
    for character in plain.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Val::text(quoted, budget)
}
