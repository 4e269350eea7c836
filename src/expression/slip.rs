//! Recognises expressions in the manner of other languages: JavaScript, Python, Jinja, JSONata, SQL, GitHub Actions.
//!
//! An expression that cannot be read is rewritten token by token. The rewritten expression is shown only if it can be read, so
//! that what is suggested is never wrong by its form.

mod choices;
mod functions;
mod names;
mod operators;
mod places;
mod texts;

use super::tokens::{Kind, Token, joined, tokens};
use super::{Expression, read};
use crate::text::shortened;

pub use places::{ForeignPlace, foreign_places};

/// Tokens of an expression that is examined at most.
const TOKENS_MAX: usize = 400;
/// Replacements that a message names at most.
const NAMED_MAX: usize = 4;

/// What an author wrote in the manner of another language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// The byte of the expression at which it stands.
    pub at: usize,
    /// What was written, and what to write.
    pub message: String,
    /// The whole expression as it was probably meant; it can be read.
    pub meant: Option<String>,
    /// The text that was probably meant instead of an expression.
    pub text: Option<String>,
}

/// What stands around an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// Nothing: it is a condition.
    Condition,
    /// Nothing: it is a value, which may have been meant as a text.
    Value,
    /// `${ }`
    Braces,
}

/// The slip in an expression that cannot be read or reads unknown names. `known` tells which names the document declares.
pub fn slip(source: &str, around: Around, known: &dyn Fn(&str) -> bool) -> Option<Slip> {
    let read = tokens(source);
    if read.is_empty() || read.len() > TOKENS_MAX || !is_balanced(&read) {
        return None;
    }
    let mut draft = Draft { tokens: read, found: Vec::new(), known };
    names::wrapped(&mut draft, around);
    names::marked(&mut draft);
    texts::filled(&mut draft);
    operators::is(&mut draft);
    operators::words(&mut draft);
    operators::arrows(&mut draft);
    functions::filters(&mut draft);
    operators::signs(&mut draft);
    operators::not(&mut draft);
    functions::calls(&mut draft);
    choices::if_else(&mut draft);
    choices::fallback(&mut draft);
    draft.slip(source, around)
}

/// Names that other languages have for null and booleans: `None`, `True`, `undefined`.
pub fn is_foreign(name: &str) -> bool {
    operators::literal(name).is_some()
}

/// Whether every bracket has its other one.
fn is_balanced(tokens: &[Token]) -> bool {
    let mut open = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == Kind::Sign) {
        match token.text.as_str() {
            "(" | "[" | "{" => open.push(token.text.as_str()),
            ")" if open.pop() != Some("(") => return false,
            "]" if open.pop() != Some("[") => return false,
            "}" if open.pop() != Some("{") => return false,
            _ => {}
        }
    }
    open.is_empty()
}

/// An expression while it is rewritten.
struct Draft<'k> {
    tokens: Vec<Token>,
    found: Vec<Found>,
    known: &'k dyn Fn(&str) -> bool,
}

/// One replacement.
struct Found {
    at: usize,
    written: String,
    instead: String,
}

impl Draft<'_> {
    /// Replaces the tokens from `from` up to `to`, and tells of it with their own texts.
    fn replace(&mut self, from: usize, to: usize, by: Vec<Token>) {
        let (written, instead) = (joined(&self.tokens[from..to]), joined(&by));
        self.tell(self.tokens[from].at, &written, &instead);
        self.tokens.splice(from..to, by);
    }

    fn tell(&mut self, at: usize, written: &str, instead: &str) {
        self.found.push(Found { at, written: shortened(written), instead: shortened(instead) });
    }

    fn get(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    fn before(&self, at: usize) -> Option<&Token> {
        at.checked_sub(1).and_then(|before| self.tokens.get(before))
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.get(at).is_some_and(|token| token.is(text))
    }

    /// Whether a token is the name of a member: it follows a dot.
    fn is_member(&self, at: usize) -> bool {
        self.before(at).is_some_and(|before| before.is(".") || before.is(".?") || before.is("?."))
    }

    /// Whether a token stands between two values, as an operator does.
    fn is_between(&self, at: usize) -> bool {
        self.before(at).is_some_and(Token::ends_value) && self.get(at + 1).is_some()
    }

    /// The position of the bracket that closes the one at `open`.
    fn close(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        self.get(open).filter(|token| ["(", "[", "{", "[?"].iter().any(|bracket| token.is(bracket)))?;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.text.as_str() {
                "(" | "[" | "{" | "[?" if token.kind == Kind::Sign => depth += 1,
                ")" | "]" | "}" if token.kind == Kind::Sign => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The position after the last token of the operand that begins at `from`, up to one of `ends` or the end of the bracket.
    fn end_of_operand(&self, from: usize, ends: &[&str]) -> usize {
        let mut at = from;
        while let Some(token) = self.get(at) {
            match token.text.as_str() {
                "(" | "[" | "{" | "[?" if token.kind == Kind::Sign => match self.close(at) {
                    Some(close) => at = close,
                    None => return self.tokens.len(),
                },
                ")" | "]" | "}" if token.kind == Kind::Sign => return at,
                text if token.kind != Kind::Text && ends.contains(&text) => return at,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// The first position of the operand that ends before `to`, back to one of `ends` or the begin of the bracket.
    fn start_of_operand(&self, to: usize, ends: &[&str]) -> usize {
        let mut depth = 0usize;
        for at in (0..to).rev() {
            let token = &self.tokens[at];
            match token.text.as_str() {
                ")" | "]" | "}" if token.kind == Kind::Sign => depth += 1,
                "(" | "[" | "{" | "[?" if token.kind == Kind::Sign => match depth.checked_sub(1) {
                    Some(less) => depth = less,
                    None => return at + 1,
                },
                text if depth == 0 && token.kind != Kind::Text && ends.contains(&text) => return at + 1,
                _ => {}
            }
        }
        0
    }

    /// The first position of the value that ends before `to`, with its members and calls: `a.b(c)[0]`.
    fn start_of_value(&self, to: usize) -> Option<usize> {
        let mut at = to.checked_sub(1)?;
        loop {
            let token = self.get(at)?;
            if token.is(")") || token.is("]") || token.is("}") {
                at = (0..at).rev().find(|open| self.close(*open) == Some(at))?;
                // A call or an index belongs to the value before it.
                if self.before(at).is_some_and(Token::ends_value) && !self.tokens[at].spaced && !self.is(at, "{") {
                    at -= 1;
                    continue;
                }
            } else if !token.ends_value() {
                return None;
            }
            if !self.is_member(at) || at < 2 {
                return Some(at);
            }
            at -= 2;
        }
    }

    /// Whether these tokens are one value, so that an operator before or after them concerns all of them.
    fn is_one_value(&self, from: usize, to: usize) -> bool {
        from < to && self.start_of_value(to) == Some(from)
    }

    fn slip(self, source: &str, around: Around) -> Option<Slip> {
        let whole = joined(&self.tokens);
        let meant = Expression::parse(&whole).ok();
        let declared = meant.as_ref().is_some_and(|meant| meant.names().iter().all(|name| (self.known)(name)));
        // An expression with another operator that reads a known name has a misspelt name.
        let reads_known = tokens(source).iter().any(|token| token.is_word() && (self.known)(&token.text));
        let text = self.found.is_empty() || !reads_known;
        if around == Around::Value && !declared && text && texts::is_sentence(source) {
            return Some(Slip {
                at: 0,
                message: format!("`{}` is read as an expression, not as a text", read::shown(source)),
                meant: None,
                text: Some(source.trim().to_owned()),
            });
        }
        let first = self.found.iter().map(|found| found.at).min()?;
        let mut pairs: Vec<String> = Vec::new();
        let mut found = self.found;
        found.sort_by_key(|found| found.at);
        // A replacement inside of another one is not told: what it replaces was not written so.
        let written = joined(&tokens(source));
        let told = |found: &Found| found.written.ends_with('…') || written.contains(&found.written);
        if found.iter().any(told) {
            found.retain(told);
        }
        for Found { written, instead, .. } in &found {
            let pair = format!("`{instead}` for `{written}`");
            if !pairs.contains(&pair) && pairs.len() < NAMED_MAX {
                pairs.push(pair);
            }
        }
        let message = format!("`{}`: write {}", read::shown(source), pairs.join(", "));
        Some(Slip { at: first, message, meant: meant.map(|_| whole), text: None })
    }
}

#[cfg(test)]
mod tests;
