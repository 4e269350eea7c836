//! Functions, methods and filters of other languages.

use super::Draft;
use crate::expression::functions::{Form, find};
use crate::expression::tokens::{Kind, Token, joined, tokens};

/// Functions in lower case, the number of their arguments, and what they are here.
const FUNCTIONS: &[(&str, usize, &str)] = &[
    ("len", 1, "size($1)"),
    ("length", 1, "size($1)"),
    ("count", 1, "size($1)"),
    ("upper", 1, "$1.upperAscii()"),
    ("uppercase", 1, "$1.upperAscii()"),
    ("toupper", 1, "$1.upperAscii()"),
    ("lower", 1, "$1.lowerAscii()"),
    ("lowercase", 1, "$1.lowerAscii()"),
    ("tolower", 1, "$1.lowerAscii()"),
    ("trim", 1, "$1.trim()"),
    ("strip", 1, "$1.trim()"),
    ("str", 1, "string($1)"),
    ("tostring", 1, "string($1)"),
    ("float", 1, "double($1)"),
    ("number", 1, "double($1)"),
    ("parsefloat", 1, "double($1)"),
    ("parseint", 1, "int($1)"),
    ("integer", 1, "int($1)"),
    ("boolean", 1, "bool($1)"),
    ("typeof", 1, "type($1)"),
    ("isnull", 1, "$1 == null"),
    ("is_null", 1, "$1 == null"),
    ("isnone", 1, "$1 == null"),
    ("isempty", 1, "size($1) == 0"),
    ("empty", 1, "size($1) == 0"),
    ("max", 1, "$1.max()"),
    ("max", 2, "math.greatest($1, $2)"),
    ("min", 1, "$1.min()"),
    ("min", 2, "math.least($1, $2)"),
    ("abs", 1, "math.abs($1)"),
    ("round", 1, "math.round($1)"),
    ("ceil", 1, "math.ceil($1)"),
    ("floor", 1, "math.floor($1)"),
    ("sqrt", 1, "math.sqrt($1)"),
    ("sum", 1, "$1.sum()"),
    ("sort", 1, "$1.sort()"),
    ("sorted", 1, "$1.sort()"),
    ("reversed", 1, "$1.reverse()"),
    ("distinct", 1, "$1.distinct()"),
    ("keys", 1, "$1.keys()"),
    ("values", 1, "$1.values()"),
    ("startswith", 2, "$1.startsWith($2)"),
    ("endswith", 2, "$1.endsWith($2)"),
    ("join", 2, "$1.join($2)"),
    ("split", 2, "$1.split($2)"),
    ("replace", 3, "$1.replace($2, $3)"),
    ("fromjson", 1, "json.decode($1)"),
    ("tojson", 1, "json.encode($1)"),
    ("now", 0, "now"),
    ("encodeuricomponent", 1, "url.encode($1)"),
];
/// Functions of objects, as in `Math.max(a, b)`.
const OF_OBJECTS: &[(&str, usize, &str)] = &[
    ("Math.max", 2, "math.greatest($1, $2)"),
    ("Math.min", 2, "math.least($1, $2)"),
    ("Math.abs", 1, "math.abs($1)"),
    ("Math.round", 1, "math.round($1)"),
    ("Math.floor", 1, "math.floor($1)"),
    ("Math.ceil", 1, "math.ceil($1)"),
    ("Math.sqrt", 1, "math.sqrt($1)"),
    ("JSON.stringify", 1, "json.encode($1)"),
    ("JSON.parse", 1, "json.decode($1)"),
    ("json.dumps", 1, "json.encode($1)"),
    ("json.loads", 1, "json.decode($1)"),
    ("Object.keys", 1, "$1.keys()"),
    ("Object.values", 1, "$1.values()"),
    ("Date.now", 0, "now"),
    ("datetime.now", 0, "now"),
];
/// Methods in lower case; `$0` is the value before the dot.
const METHODS: &[(&str, usize, &str)] = &[
    ("touppercase", 0, "$0.upperAscii()"),
    ("upper", 0, "$0.upperAscii()"),
    ("tolowercase", 0, "$0.lowerAscii()"),
    ("lower", 0, "$0.lowerAscii()"),
    ("strip", 0, "$0.trim()"),
    ("startswith", 1, "$0.startsWith($1)"),
    ("endswith", 1, "$0.endsWith($1)"),
    ("length", 0, "size($0)"),
    ("len", 0, "size($0)"),
    ("count", 0, "size($0)"),
    ("isempty", 0, "size($0) == 0"),
    ("tostring", 0, "string($0)"),
    ("toisostring", 0, "string($0)"),
    ("push", 1, "$0 + [$1]"),
    ("append", 1, "$0 + [$1]"),
    ("equals", 1, "$0 == $1"),
    ("hasownproperty", 1, "$1 in $0"),
    ("get", 1, "$0[?$1]"),
    ("get", 2, "$0[?$1].orValue($2)"),
    ("some", 2, "$0.exists($1, $2)"),
    ("any", 2, "$0.exists($1, $2)"),
    ("every", 2, "$0.all($1, $2)"),
];
/// Filters of Jinja; `$0` is the value before `|`.
const FILTERS: &[(&str, usize, &str)] = &[
    ("upper", 0, "$0.upperAscii()"),
    ("lower", 0, "$0.lowerAscii()"),
    ("trim", 0, "$0.trim()"),
    ("length", 0, "size($0)"),
    ("count", 0, "size($0)"),
    ("int", 0, "int($0)"),
    ("float", 0, "double($0)"),
    ("string", 0, "string($0)"),
    ("sum", 0, "$0.sum()"),
    ("sort", 0, "$0.sort()"),
    ("unique", 0, "$0.distinct()"),
    ("join", 1, "$0.join($1)"),
    ("tojson", 0, "json.encode($0)"),
    ("default", 1, "coalesce($0, $1)"),
];

/// `x | upper` of Jinja.
pub(super) fn filters(draft: &mut Draft<'_>) {
    let mut at = 0;
    while at < draft.tokens.len() {
        // After a replacement another filter may stand at the same position.
        if !(draft.is(at, "|") && draft.is_between(at) && filter(draft, at)) {
            at += 1;
        }
    }
}

/// Whether the filter after the `|` at `at` was replaced.
fn filter(draft: &mut Draft<'_>, at: usize) -> bool {
    let (Some(start), Some(name)) = (draft.start_of_value(at), draft.get(at + 1)) else { return false };
    if !name.is_word() || (draft.known)(&name.text) {
        return false;
    }
    let name = name.text.clone();
    let (arguments, end) = arguments(draft, at + 2).unwrap_or_else(|| (Vec::new(), at + 2));
    let Some((_, _, own)) = FILTERS.iter().find(|(foreign, count, _)| *foreign == name && *count == arguments.len())
    else {
        return false;
    };
    let value = joined(&draft.tokens[start..at]);
    put(draft, start, end, own, &value, &arguments);
    true
}

/// Calls of functions that expressions do not have.
pub(super) fn calls(draft: &mut Draft<'_>) {
    // The last call first: arguments before the calls that have them.
    for at in (0..draft.tokens.len()).rev() {
        let Some(token) = draft.get(at).filter(|token| token.is_word() && draft.is(at + 1, "(")) else { continue };
        let name = token.text.trim_start_matches('$').to_owned();
        let marked = name.len() < token.text.len();
        let Some((arguments, end)) = arguments(draft, at + 1) else { continue };
        let count = arguments.len();
        let lower = name.to_ascii_lowercase();
        let of = |table: &'static [(&str, usize, &str)], name: &str| {
            table.iter().find(|(foreign, least, _)| *foreign == name && *least == count).map(|(_, _, own)| *own)
        };
        if draft.is_member(at) {
            let Some(start) = draft.start_of_value(at - 1) else { continue };
            let value = joined(&draft.tokens[start..at - 1]);
            if let Some(own) = of(OF_OBJECTS, &format!("{value}.{name}")).filter(|_| !(draft.known)(&value)) {
                put(draft, start, end, own, &value, &arguments);
            } else if let Some(own) = of(METHODS, &lower).filter(|_| find(Form::Method, &name).is_err()) {
                put(draft, start, end, own, &value, &arguments);
            } else if let ("includes", [argument]) = (name.as_str(), arguments.as_slice()) {
                let instead = format!("{value}.contains({argument})` of a text, `{argument} in {value}");
                let place = draft.tokens[start].at;
                draft.tell(place, &format!("{value}.includes({argument})"), &instead);
            }
        } else if let ("contains", [value, argument]) = (lower.as_str(), arguments.as_slice()) {
            let instead = format!("{value}.contains({argument})` of a text, `{argument} in {value}");
            let place = draft.tokens[at].at;
            draft.tell(place, &joined(&draft.tokens[at..end]), &instead);
        } else if let ("exists" | "defined", [value]) = (lower.as_str(), arguments.as_slice()) {
            // `has` is for members only.
            let own = if value.contains('.') { "has($1)" } else { "$1 != null" };
            put(draft, at, end, own, "", &arguments);
        } else if name == "Date" && count == 0 && draft.before(at).is_some_and(|new| new.is("new")) {
            put(draft, at - 1, end, "now", "", &arguments);
        } else if let Some(own) = of(FUNCTIONS, &lower).filter(|_| marked || find(Form::Global, &name).is_err()) {
            put(draft, at, end, own, "", &arguments);
        } else if marked {
            let own = Token::new(Kind::Word, &name, &draft.tokens[at]);
            draft.replace(at, at + 1, vec![own]);
        }
    }
}

/// The arguments of a call whose `(` stands at `open`, and the position after its `)`.
fn arguments(draft: &Draft<'_>, open: usize) -> Option<(Vec<String>, usize)> {
    let close = draft.close(open).filter(|_| draft.is(open, "("))?;
    let mut arguments = Vec::new();
    let mut from = open + 1;
    while from < close {
        let to = draft.end_of_operand(from, &[","]);
        let alone = draft.is_one_value(from, to);
        let argument = joined(&draft.tokens[from..to]);
        arguments.push(if alone { argument } else { format!("({argument})") });
        from = to + 1;
    }
    Some((arguments, close + 1))
}

/// Replaces tokens by what `own` says; the brackets that an argument does not need are left out.
fn put(draft: &mut Draft<'_>, from: usize, to: usize, own: &str, value: &str, arguments: &[String]) {
    let mut text = String::new();
    let mut rest = own;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let (number, after) = after.split_at(after.len().min(1));
        let found = match number.parse::<usize>() {
            Ok(0) => value,
            Ok(number) => arguments.get(number - 1).map_or("", String::as_str),
            Err(_) => "",
        };
        let delimited = text.ends_with(['(', '[', '?']) && after.starts_with([')', ']', ','])
            || text.ends_with(", ") && after.starts_with([')', ',']);
        let bare = found.strip_prefix('(').and_then(|found| found.strip_suffix(')')).filter(|_| delimited);
        text.push_str(bare.filter(|bare| !bare.contains(['(', ')'])).unwrap_or(found));
        rest = after;
    }
    text.push_str(rest);
    let place = draft.tokens[from].clone();
    let mut tokens: Vec<Token> = tokens(&text).into_iter().map(|token| Token { at: place.at, ..token }).collect();
    if let Some(first) = tokens.first_mut() {
        first.spaced = place.spaced;
    }
    draft.replace(from, to, tokens);
}
