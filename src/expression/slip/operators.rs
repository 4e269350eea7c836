//! Operators: `and`, `not`, `===`, `is null`, `?.`, `&`, and the words for null and booleans.

use super::Draft;
use crate::expression::tokens::{Kind, Token};

/// Operators that are words elsewhere.
const WORDS: [(&str, &str); 8] =
    [("and", "&&"), ("or", "||"), ("eq", "=="), ("ne", "!="), ("gt", ">"), ("lt", "<"), ("ge", ">="), ("le", "<=")];
/// Words for null and booleans.
const LITERALS: [(&str, &str); 12] = [
    ("None", "null"),
    ("nil", "null"),
    ("NIL", "null"),
    ("Null", "null"),
    ("NULL", "null"),
    ("undefined", "null"),
    ("True", "true"),
    ("TRUE", "true"),
    ("False", "false"),
    ("FALSE", "false"),
    ("Nothing", "null"),
    ("nullptr", "null"),
];
/// Signs that are other signs here.
const SIGNS: [(&str, &str); 5] = [("===", "=="), ("!==", "!="), ("<>", "!="), ("=", "=="), ("?.", ".?")];
/// What ends the operand of `not`.
const ENDS: [&str; 8] = ["&&", "||", ",", "?", ":", "??", "if", "else"];
/// Operators that bind less than `!`.
const WEAKER: [&str; 13] = ["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "="];

/// The word of CEL for a word of another language that means null or a boolean.
pub(super) fn literal(word: &str) -> Option<&'static str> {
    LITERALS.into_iter().find(|(foreign, _)| *foreign == word).map(|(_, own)| own)
}

/// `is null`, `is not None`, `IS NULL`, `is true`.
pub(super) fn is(draft: &mut Draft<'_>) {
    let mut at = 0;
    while at < draft.tokens.len() {
        if draft.tokens[at].is_word() && draft.tokens[at].text.eq_ignore_ascii_case("is") && draft.is_between(at) {
            one_is(draft, at);
        }
        at += 1;
    }
}

fn one_is(draft: &mut Draft<'_>, at: usize) {
    let negated = draft.get(at + 1).is_some_and(|next| next.is_word() && next.text.eq_ignore_ascii_case("not"));
    let value_at = at + 1 + usize::from(negated);
    let Some(value) = draft.get(value_at).filter(|value| value.ends_value()).cloned() else { return };
    let sign = Token::new(Kind::Sign, if negated { "!=" } else { "==" }, &draft.tokens[at]);
    let own = match literal(&value.text) {
        Some(own) if value.is_word() => Token::new(Kind::Word, own, &value),
        _ if value.is("defined") => return defined(draft, at, value_at, negated),
        // A sentence has this word too.
        _ if value.is_word()
            && !matches!(value.text.as_str(), "null" | "true" | "false")
            && !(draft.known)(&value.text) =>
        {
            return;
        }
        _ => value,
    };
    draft.replace(at, value_at + 1, vec![sign, own]);
}

/// `x is defined` of Jinja.
fn defined(draft: &mut Draft<'_>, at: usize, end: usize, negated: bool) {
    let Some(start) = draft.start_of_value(at) else { return };
    let like = draft.tokens[start].clone();
    if draft.tokens[start..at].iter().any(|token| token.is(".")) {
        let mut test = vec![Token::new(Kind::Word, if negated { "!has" } else { "has" }, &like)];
        test.push(Token { spaced: false, ..Token::new(Kind::Sign, "(", &like) });
        test.extend(draft.tokens[start..at].iter().cloned());
        test[2].spaced = false;
        test.push(Token { spaced: false, ..Token::new(Kind::Sign, ")", &like) });
        draft.replace(start, end + 1, test);
    } else {
        let sign = Token::new(Kind::Sign, if negated { "==" } else { "!=" }, &draft.tokens[at]);
        let null = Token { spaced: true, ..Token::new(Kind::Word, "null", &like) };
        draft.replace(at, end + 1, vec![sign, null]);
    }
}

/// Words for operators, null and booleans. A word that the document declares is a name.
pub(super) fn words(draft: &mut Draft<'_>) {
    for at in 0..draft.tokens.len() {
        let token = &draft.tokens[at];
        if !token.is_word() || (draft.known)(&token.text) || draft.is_member(at) {
            continue;
        }
        let lower = token.text.to_ascii_lowercase();
        let operator = WORDS.into_iter().find(|(word, _)| *word == lower).filter(|_| draft.is_between(at));
        let own = match (operator, literal(&token.text)) {
            (Some((_, sign)), _) => Token::new(Kind::Sign, sign, token),
            (None, Some(own)) if !draft.is(at + 1, "(") && !draft.is(at + 1, ".") => Token::new(Kind::Word, own, token),
            (None, _) => continue,
        };
        draft.replace(at, at + 1, vec![own]);
    }
}

/// Signs of other languages.
pub(super) fn signs(draft: &mut Draft<'_>) {
    for at in 0..draft.tokens.len() {
        let token = match draft.get(at) {
            Some(token) if token.kind == Kind::Sign => token.clone(),
            _ => continue,
        };
        if token.is("?.") && draft.is(at + 1, "[") {
            let open = Token::new(Kind::Sign, "[?", &token);
            draft.replace(at, at + 2, vec![open]);
            continue;
        }
        let beside_text =
            [draft.before(at), draft.get(at + 1)].into_iter().flatten().any(|side| side.kind == Kind::Text);
        let beside_number =
            [draft.before(at), draft.get(at + 1)].into_iter().flatten().any(|side| side.kind == Kind::Number);
        let own = match token.text.as_str() {
            // Of bits, a default in the manner of JavaScript, or an unknown filter: it is not clear what was meant.
            "&" | "|" if beside_number => continue,
            "|" if beside_text
                || draft.get(at + 1).is_some_and(|next| next.is_word() && !(draft.known)(&next.text)) =>
            {
                continue;
            }
            "&" if beside_text => "+",
            "&" if draft.is_between(at) => {
                draft.tell(token.at, "&", "+` of texts, `&&");
                continue;
            }
            "|" => "||",
            text => match SIGNS.into_iter().find(|(foreign, _)| *foreign == text) {
                Some((_, own)) => own,
                None => continue,
            },
        };
        if draft.is_between(at) {
            let own = Token::new(Kind::Sign, own, &token);
            draft.replace(at, at + 1, vec![own]);
        }
    }
}

/// `x => …` in the arguments of a loop.
pub(super) fn arrows(draft: &mut Draft<'_>) {
    for at in (0..draft.tokens.len()).rev() {
        if !draft.is(at, "=>") || at < 2 {
            continue;
        }
        let names = match draft.is(at - 1, ")") {
            true => (0..at).rev().find(|open| draft.close(*open) == Some(at - 1)).map(|open| (open, open + 1, at - 1)),
            false => Some((at - 1, at - 1, at)),
        };
        let Some((start, from, to)) = names.filter(|(start, from, to)| *start > 0 && from < to) else { continue };
        if !draft.is(start - 1, "(") || !draft.tokens[from..to].iter().all(|name| name.is_word() || name.is(",")) {
            continue;
        }
        let mut own: Vec<Token> = draft.tokens[from..to].to_vec();
        own[0].spaced = draft.tokens[start].spaced;
        own.push(Token { spaced: false, ..Token::new(Kind::Sign, ",", &draft.tokens[at]) });
        draft.replace(start, at + 1, own);
    }
}

/// `not x` and `x not in y`.
pub(super) fn not(draft: &mut Draft<'_>) {
    for at in (0..draft.tokens.len()).rev() {
        let Some(token) = draft.get(at).cloned() else { continue };
        if !token.is_word() || !token.text.eq_ignore_ascii_case("not") || draft.is_member(at) || (draft.known)("not") {
            continue;
        }
        let infix = draft.is_between(at) && draft.is(at + 1, "in");
        let (start, from) = if infix { (draft.start_of_operand(at, &ENDS), at + 1) } else { (at, at + 1) };
        let end = draft.end_of_operand(from, &ENDS);
        if end <= from || !infix && draft.before(at).is_some_and(Token::ends_value) {
            continue;
        }
        let operand: Vec<Token> = draft.tokens[start..at].iter().chain(&draft.tokens[from..end]).cloned().collect();
        let weak =
            infix || operand.iter().any(|token| WEAKER.contains(&token.text.as_str()) && token.kind != Kind::Text);
        let grouped = draft.is(from, "(") && draft.close(from) == Some(end - 1);
        let mut own = vec![Token { spaced: draft.tokens[start].spaced, ..Token::new(Kind::Sign, "!", &token) }];
        own.extend((weak && !grouped).then(|| Token { spaced: false, ..Token::new(Kind::Sign, "(", &token) }));
        let first = own.len();
        own.extend(operand);
        own[first].spaced = false;
        own.extend((weak && !grouped).then(|| Token { spaced: false, ..Token::new(Kind::Sign, ")", &token) }));
        draft.replace(start, end, own);
    }
}
