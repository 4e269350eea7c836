//! The reader of filters.

mod meaning;

use super::{ALTERNATIVES_MAX, FILTER_MAX, Order, TERMS_MAX, Term};
use crate::contract::check_name;
use meaning::FIELDS;

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at} of the filter: {problem}")]
pub struct FilterError {
    /// The place, counted from 1.
    pub at: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// The operator of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Order(Order),
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    at: usize,
    text: String,
    is_quoted: bool,
    is_prefix: bool,
}

/// Reads all terms.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    if text.len() > FILTER_MAX {
        let problem = format!("it has {} bytes; at most {FILTER_MAX} are allowed", text.len());
        return Err(FilterError { at: 1, problem });
    }
    if let Some(at) = text.chars().position(char::is_control) {
        return Err(FilterError { at: at + 1, problem: "control characters are not allowed".into() });
    }
    let mut cursor = Cursor { chars: text.chars().collect(), at: 0 };
    let mut terms = Vec::new();
    let (mut once, mut places) = (Vec::new(), Vec::new());
    while cursor.skip_blanks() {
        let at = cursor.at;
        if terms.len() == TERMS_MAX {
            return Err(cursor.error_at(at, format!("at most {TERMS_MAX} terms are allowed")));
        }
        let (field, term) = cursor.term()?;
        // `started` and attributes may be bounded from both sides; of the others two cannot both hold, or say the same.
        let may_repeat = field == "started" || field.starts_with("var.");
        if !may_repeat && once.contains(&field) {
            let problem = format!("`{field}` is there twice; separate alternatives with commas: `{field}:one,other`");
            return Err(cursor.error_at(at, problem));
        }
        once.push(field);
        terms.push(term);
        places.push(at);
    }
    refuse_unserved(&cursor, &terms, &places)?;
    Ok(terms)
}

/// No index serves `queue` and `activity`: they are checked on what another term has found.
fn refuse_unserved(cursor: &Cursor, terms: &[Term], places: &[usize]) -> Result<(), FilterError> {
    let is_unserved = |term: &Term| matches!(term, Term::Queue(_) | Term::Activity(_));
    match places.first() {
        Some(at) if terms.iter().all(is_unserved) => {
            let problem = "no index serves this term alone: add `status:`, `definition:` or `started<7d`";
            Err(cursor.error_at(*at, problem))
        }
        Some(_) | None => Ok(()),
    }
}

struct Cursor {
    chars: Vec<char>,
    at: usize,
}

impl Cursor {
    fn error_at(&self, at: usize, problem: impl Into<String>) -> FilterError {
        FilterError { at: at + 1, problem: problem.into() }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Whether there is another term.
    fn skip_blanks(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.peek().is_some()
    }

    fn term(&mut self) -> Result<(String, Term), FilterError> {
        let at = self.at;
        let field = self.field();
        if field.is_empty() {
            return Err(self.error_at(at, format!("expected a field; the fields are {FIELDS}")));
        }
        let operator_at = self.at;
        let Some(operator) = self.operator() else {
            let problem = format!("`{field}` needs an operator and a value, as in `{field}:value`");
            return Err(self.error_at(operator_at, problem));
        };
        let mut values = vec![self.value(&field)?];
        while self.peek() == Some(',') {
            self.at += 1;
            if values.len() == ALTERNATIVES_MAX {
                let problem = format!("at most {ALTERNATIVES_MAX} alternatives are allowed");
                return Err(self.error_at(self.at, problem));
            }
            values.push(self.value(&field)?);
        }
        let term = self.meaning(at, operator_at, &field, operator, values)?;
        Ok((field, term))
    }

    fn field(&mut self) -> String {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }

    fn operator(&mut self) -> Option<Operator> {
        let first = self.peek()?;
        let or_equal = self.chars.get(self.at + 1) == Some(&'=');
        let operator = match (first, or_equal) {
            (':' | '=', _) => Operator::Is,
            ('<', true) => Operator::Order(Order::AtMost),
            ('<', false) => Operator::Order(Order::Less),
            ('>', true) => Operator::Order(Order::AtLeast),
            ('>', false) => Operator::Order(Order::Greater),
            _ => return None,
        };
        self.at += if matches!(first, '<' | '>') && or_equal { 2 } else { 1 };
        Some(operator)
    }

    fn value(&mut self, field: &str) -> Result<Written, FilterError> {
        let at = self.at;
        let mut written = Written { at, text: String::new(), is_quoted: false, is_prefix: false };
        if self.peek() == Some('"') {
            self.at += 1;
            written.is_quoted = true;
            loop {
                match self.peek() {
                    None => return Err(self.error_at(at, "the quotation mark is not closed")),
                    Some('"') => break,
                    Some('\\') => {
                        self.at += 1;
                        match self.peek() {
                            Some(c @ ('"' | '\\')) => written.text.push(c),
                            _ => return Err(self.error_at(self.at, "write `\\\"` or `\\\\` after a backslash")),
                        }
                    }
                    Some(c) => written.text.push(c),
                }
                self.at += 1;
            }
            self.at += 1;
        } else {
            while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ',' | '*' | '"')) {
                written.text.push(c);
                self.at += 1;
            }
        }
        if self.peek() == Some('*') {
            written.is_prefix = true;
            self.at += 1;
        }
        if self.peek().is_some_and(|c| !c.is_whitespace() && c != ',') {
            let problem = match written.is_prefix {
                true => "`*` stands at the end of a value only; quote a value that contains it",
                false => "a blank is missing after the value; quote a value that contains `\"`",
            };
            return Err(self.error_at(self.at, problem));
        }
        if written.text.is_empty() && !written.is_prefix && !written.is_quoted {
            return Err(self.error_at(at, format!("the value of `{field}` is missing")));
        }
        if let Err(invalid) = check_name(&written.text)
            && !written.text.is_empty()
        {
            return Err(self.error_at(at, format!("the value of `{field}` {invalid}")));
        }
        Ok(written)
    }
}
