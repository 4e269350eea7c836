//! Texts with places for values, and sentences without quotes.

use super::Draft;
use crate::expression::tokens::{Kind, Token};

/// `f"…{x}"` of Python and `` `…${x}` `` of JavaScript become sums of strings.
pub(super) fn filled(draft: &mut Draft<'_>) {
    for at in 0..draft.tokens.len() {
        let token = &draft.tokens[at];
        if token.kind != Kind::Filled {
            continue;
        }
        let Some(sum) = sum(&token.text) else {
            let (place, written) = (token.at, token.text.clone());
            draft.tell(place, &written, "\"…\" + string(x)");
            continue;
        };
        let alone = draft.tokens.len() == 1 || !sum.contains(" + ");
        let sum = if alone { sum } else { format!("({sum})") };
        let sum = Token::new(Kind::Text, &sum, &draft.tokens[at]);
        draft.replace(at, at + 1, vec![sum]);
    }
}

/// The sum for a text with places; none if it has escapes or formats.
fn sum(text: &str) -> Option<String> {
    let (open, inside) = match text.strip_prefix('`') {
        Some(rest) => ("${", rest.strip_suffix('`')?),
        None => {
            let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let quote = rest.chars().next()?;
            ("{", rest.strip_prefix(quote)?.strip_suffix(quote)?)
        }
    };
    if inside.contains(['\\', '"', '\n']) || inside.contains("{{") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = inside;
    while let Some((before, after)) = rest.split_once(open) {
        let (value, after) = after.split_once('}')?;
        if value.contains([':', '{', '\'', '!']) {
            return None;
        }
        parts.extend((!before.is_empty()).then(|| format!("\"{before}\"")));
        parts.push(format!("string({})", value.trim()));
        rest = after;
    }
    parts.extend((!rest.is_empty() || parts.is_empty()).then(|| format!("\"{rest}\"")));
    Some(parts.join(" + "))
}

/// Whether an expression is a sentence: words and their punctuation only, with two words beside each other.
pub(super) fn is_sentence(source: &str) -> bool {
    let source = source.trim();
    let words: Vec<&str> = source.split_whitespace().collect();
    let is_word = |word: &str| {
        let inner = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
        let letters = inner.chars().any(char::is_alphabetic);
        letters && inner.chars().all(|c| c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '_'))
    };
    let is_number = |word: &str| {
        word.chars().any(|c| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || ".,-:%€$".contains(c))
    };
    let plain = words.iter().all(|word| is_word(word) || is_number(word) || matches!(*word, "-" | "–" | "&"));
    let beside = words.windows(2).any(|pair| is_word(pair[0]) && pair[1].chars().any(char::is_alphabetic));
    plain && beside && !source.starts_with("not ")
}
