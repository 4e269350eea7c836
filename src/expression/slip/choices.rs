//! Choices between values: `a if c else b`, `if c then a else b`, `a ?? b`.

use super::Draft;
use crate::expression::tokens::{Kind, Token};

/// What ends an operand of a choice.
const ENDS: [&str; 1] = [","];

fn sign(text: &str, like: &Token) -> Token {
    Token { spaced: true, ..Token::new(Kind::Sign, text, like) }
}

fn spaced(tokens: &[Token]) -> impl Iterator<Item = Token> {
    tokens.iter().enumerate().map(|(at, token)| Token { spaced: at == 0 || token.spaced, ..token.clone() })
}

/// `a if c else b` and `if c then a else b` become `c ? a : b`.
pub(super) fn if_else(draft: &mut Draft<'_>) {
    // The last `if` first: `a if c else b if d else e` nests to the right.
    for at in (0..draft.tokens.len()).rev() {
        if !draft.is(at, "if") || draft.is_member(at) {
            continue;
        }
        let start = draft.start_of_operand(at, &ENDS);
        let end = draft.end_of_operand(at + 1, &ENDS);
        let otherwise = draft.end_of_operand(at + 1, &[",", "else"]);
        if otherwise + 1 >= end || !draft.is(otherwise, "else") {
            continue;
        }
        let (condition, then) = if start == at {
            let then = draft.end_of_operand(at + 1, &[",", "else", "then"]);
            match draft.is(then, "then") {
                true => ((at + 1, then), (then + 1, otherwise)),
                // `if (c) a else b`
                false => match draft.close(at + 1).filter(|close| draft.is(at + 1, "(") && *close + 1 < otherwise) {
                    Some(close) => ((at + 2, close), (close + 1, otherwise)),
                    None => continue,
                },
            }
        } else {
            ((at + 1, otherwise), (start, at))
        };
        if condition.0 >= condition.1 || then.0 >= then.1 {
            continue;
        }
        let like = draft.tokens[start].clone();
        let mut choice: Vec<Token> = spaced(&draft.tokens[condition.0..condition.1]).collect();
        choice.push(sign("?", &like));
        choice.extend(spaced(&draft.tokens[then.0..then.1]));
        choice.push(sign(":", &like));
        choice.extend(spaced(&draft.tokens[otherwise + 1..end]));
        choice[0].spaced = like.spaced;
        draft.replace(start, end, choice);
    }
}

/// `a ?? b` becomes `a.orValue(b)` of an optional, else `coalesce(a, b)`.
pub(super) fn fallback(draft: &mut Draft<'_>) {
    for at in (0..draft.tokens.len()).rev() {
        if !(draft.is(at, "??") || draft.is(at, "?:")) || !draft.is_between(at) {
            continue;
        }
        let ends = [",", "?", ":", "??", "?:"];
        let (start, end) = (draft.start_of_operand(at, &ends), draft.end_of_operand(at + 1, &ends));
        if !draft.is_one_value(start, at) || end <= at + 1 {
            let (place, written) = (draft.tokens[at].at, draft.tokens[at].text.clone());
            draft.tell(place, &format!("a {written} b"), "coalesce(a, b)");
            continue;
        }
        let value = draft.tokens[start..at].to_vec();
        let other = draft.tokens[at + 1..end].to_vec();
        let like = value[0].clone();
        let optional = value.iter().any(|token| token.is(".?") || token.is("[?"));
        let mut choice = value.clone();
        if optional {
            for text in [".", "orValue", "("] {
                let kind = if text == "orValue" { Kind::Word } else { Kind::Sign };
                choice.push(Token { spaced: false, ..Token::new(kind, text, &like) });
            }
            choice.extend(other);
            let inside = choice.len() - (end - at - 1);
            choice[inside].spaced = false;
            choice.push(Token { spaced: false, ..Token::new(Kind::Sign, ")", &like) });
        } else {
            let close = |text: &str| Token { spaced: false, ..Token::new(Kind::Sign, text, &like) };
            choice = vec![Token { spaced: like.spaced, ..Token::new(Kind::Word, "coalesce", &like) }, close("(")];
            choice.push(Token { spaced: false, ..like.clone() });
            choice.extend_from_slice(&value[1..]);
            choice.push(close(","));
            choice.extend(spaced(&other));
            choice.push(close(")"));
        }
        draft.replace(start, end, choice);
    }
}
