//! Functions on strings. Positions count characters, as in CEL.

use regex_lite::RegexBuilder;

use super::{Answer, Function, count, int, list, text};
use crate::expression::bounds::{Budget, EvalError, PATTERN_BYTES_MAX};
use crate::expression::node::Pattern;
use crate::expression::value::Val;

/// The smallest size of a state of a compiled pattern, in bytes.
const BYTES_PER_STATE: usize = 32;
/// States whose simulation costs one step.
const STATES_PER_STEP: usize = 5;

pub(super) const ALL: &[Function] = &[
    Function::method("contains", (2, 2), |args, budget| test(args, budget, |text, part| text.contains(part))),
    Function::method("startsWith", (2, 2), |args, budget| test(args, budget, |text, part| text.starts_with(part))),
    Function::method("endsWith", (2, 2), |args, budget| test(args, budget, |text, part| text.ends_with(part))),
    Function::both("matches", (2, 2), matches_text),
    Function::method("split", (2, 3), split),
    Function::method("join", (1, 2), join),
    Function::method("replace", (3, 4), replace),
    Function::method("substring", (2, 3), substring),
    Function::method("indexOf", (2, 3), index_of),
    Function::method("lastIndexOf", (2, 3), last_index_of),
    Function::method("charAt", (2, 2), char_at),
    Function::method("trim", (1, 1), |args, budget| changed(args, budget, |text| text.trim().to_owned())),
    Function::method("lowerAscii", (1, 1), |args, budget| changed(args, budget, str::to_ascii_lowercase)),
    Function::method("upperAscii", (1, 1), |args, budget| changed(args, budget, str::to_ascii_uppercase)),
    Function::method("reverse", (1, 1), reverse),
];

fn test<'a>(args: &[Val<'a>], budget: &mut Budget, holds: fn(&str, &str) -> bool) -> Answer<'a> {
    let (whole, part) = (text(&args[0], budget)?, text(&args[1], budget)?);
    Ok(Val::Bool(holds(whole, part)))
}

fn changed<'a>(args: &[Val<'a>], budget: &mut Budget, change: fn(&str) -> String) -> Answer<'a> {
    let changed = change(text(&args[0], budget)?);
    Val::text(changed, budget)
}

impl Pattern {
    /// Bytes of the compiled pattern, at most.
    pub(in crate::expression) fn bytes(&self) -> usize {
        self.states * BYTES_PER_STATE
    }
}

/// Compiles a pattern; the error message does not contain the pattern, which may be data.
pub(in crate::expression) fn pattern(source: &str) -> Result<Pattern, String> {
    // The smallest sufficient limit gives the number of states: `a{1000}` is a short text, but a large pattern.
    let mut size = PATTERN_BYTES_MAX / 64;
    loop {
        match RegexBuilder::new(source).size_limit(size).build() {
            Ok(regex) => return Ok(Pattern { regex, states: size / BYTES_PER_STATE }),
            Err(_) if size < PATTERN_BYTES_MAX => size *= 2,
            Err(_) => return Err("the pattern of `matches` is not a valid regular expression, or is too large".into()),
        }
    }
}

/// Whether a pattern matches somewhere in a string.
pub(in crate::expression) fn matches<'a>(of: &Val<'a>, pattern: &Pattern, budget: &mut Budget) -> Answer<'a> {
    let of = text(of, budget).map_err(|error| error.within("matches"))?;
    // The regex engine visits every state for every byte of the string.
    budget.steps((of.len() + 1).saturating_mul(pattern.states) / STATES_PER_STEP)?;
    Ok(Val::Bool(pattern.regex.is_match(of)))
}

fn matches_text<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let source = text(&args[1], budget)?;
    budget.steps(100 + source.len() * 6)?;
    matches(&args[0], &pattern(source).map_err(EvalError::Invalid)?, budget)
}

fn split<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (whole, separator) = (text(&args[0], budget)?, text(&args[1], budget)?);
    let most = match args.get(2) {
        Some(most) => usize::try_from(int(most)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let parts: Box<dyn Iterator<Item = &str>> = match separator {
        // Between the characters, not before the first and after the last.
        "" => Box::new(whole.split("").filter(|part| !part.is_empty())),
        separator => Box::new(whole.splitn(most, separator)),
    };
    let mut list = Vec::new();
    for part in parts.take(most) {
        budget.build_values(1)?;
        list.push(Val::text(part, budget)?);
    }
    Ok(Val::list(list))
}

fn join<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let separator = args.get(1).map_or(Ok(""), |separator| text(separator, budget))?;
    let mut joined = String::new();
    for (at, part) in list(&args[0], budget)?.iter().enumerate() {
        let part = text(&part, budget)?;
        let separator = if at == 0 { "" } else { separator };
        budget.build(separator.len() + part.len())?;
        joined.push_str(separator);
        joined.push_str(part);
    }
    Val::text(joined, budget)
}

fn replace<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (whole, old, new) = (text(&args[0], budget)?, text(&args[1], budget)?, text(&args[2], budget)?);
    let most = match args.get(3) {
        Some(most) => usize::try_from(int(most)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let places = whole.matches(old).count().min(most);
    budget.steps(places)?;
    budget.build(places.saturating_mul(new.len()).saturating_add(whole.len()))?;
    Val::text(whole.replacen(old, new, most), budget)
}

/// The byte at which the character with this number begins; the end of the string counts.
fn byte_of(text: &str, at: usize) -> Result<usize, EvalError> {
    let ends = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    ends.into_iter().nth(at).ok_or_else(|| EvalError::invalid("the string does not have this position"))
}

fn character_of(text: &str, byte: Option<usize>) -> Val<'static> {
    let characters = byte.map(|byte| text.get(..byte).map_or(0, |before| before.chars().count()));
    Val::Int(characters.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn substring<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let whole = text(&args[0], budget)?;
    budget.steps(whole.len() / 8)?;
    let from = byte_of(whole, count(&args[1])?)?;
    let to = args.get(2).map_or(Ok(whole.len()), |to| byte_of(whole, count(to)?))?;
    let part = whole.get(from..to).ok_or_else(|| EvalError::invalid("the end is before the start"))?;
    Val::text(part, budget)
}

fn index_of<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (whole, part) = (text(&args[0], budget)?, text(&args[1], budget)?);
    budget.steps(whole.len() / 8)?;
    let from = args.get(2).map_or(Ok(0), |from| byte_of(whole, count(from)?))?;
    let found = whole.get(from..).and_then(|rest| rest.find(part)).map(|at| at + from);
    Ok(character_of(whole, found))
}

/// The last occurrence; with a position, the last that begins there or before.
fn last_index_of<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let (whole, part) = (text(&args[0], budget)?, text(&args[1], budget)?);
    budget.steps(whole.len() / 8)?;
    let until = args.get(2).map_or(Ok(whole.len()), |until| byte_of(whole, count(until)?))?;
    let mut end = until.saturating_add(part.len()).min(whole.len());
    // An occurrence never ends inside a character.
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    let found = whole.get(..end).and_then(|head| head.rfind(part));
    Ok(character_of(whole, found))
}

fn char_at<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    let whole = text(&args[0], budget)?;
    budget.steps(whole.len() / 8)?;
    let from = byte_of(whole, count(&args[1])?)?;
    let character = whole.get(from..).and_then(|rest| rest.chars().next());
    Val::text(character.map(String::from).unwrap_or_default(), budget)
}

fn reverse<'a>(args: &[Val<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Val::List(items) = &args[0] {
        budget.build_values(items.len())?;
        let mut items: Vec<_> = items.iter().collect();
        items.reverse();
        return Ok(Val::list(items));
    }
    let bytes = text(&args[0], budget)?.len();
    budget.steps(bytes / 8)?;
    changed(args, budget, |text| text.chars().rev().collect())
}
