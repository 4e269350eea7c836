//! The sentences about names: members that are not there, and values that are never equal.

use cel::common::ast::{Expr, IdedExpr};

use super::finding::Certainty;
use super::kinds::Kinds;
use super::known::{Texts, Type};
use super::members::{Rest, Shape};
use super::walk::Inference;
use super::wording::{Operand, number_in_quotes};
use crate::expression::operators::Operator;
use crate::text::{listed, nearest, shortened};

/// Names that a hint lists at most.
const LISTED_MAX: usize = 12;

impl Inference<'_> {
    /// Two values that are never equal.
    pub(super) fn never_equal(&mut self, operator: Operator, whole: &IdedExpr, operands: &[Operand<'_>; 2]) {
        let [(left, one), (right, other)] = operands;
        // A test for null is never too much.
        if operands.iter().any(|(_, is)| is.kinds().within(Kinds::ABSENT)) {
            return;
        }
        let literal = |tree: &IdedExpr| matches!(tree.expr, Expr::Literal(_));
        if let (Some(left_texts), Some(right_texts)) = (only_texts(one), only_texts(other)) {
            return match literal(left) {
                true => self.unknown_text(operator, whole, left, left_texts, right_texts),
                false => self.unknown_text(operator, whole, right, right_texts, left_texts),
            };
        }
        let at = if literal(left) && !literal(right) { left } else { right };
        self.report(
            Certainty::Doubtful,
            |written| written.start(at),
            |written| {
                let (left_text, right_text) = (written.text(left), written.text(right));
                let elements = if operator == Operator::In { "the elements of " } else { "" };
                let is = if operator == Operator::In { "are" } else { "is" };
                let message = format!(
                    "`{}` {}: `{left_text}` is {}, {elements}`{right_text}` {is} {}",
                    written.text(whole),
                    verdict(operator),
                    one.kinds().what(),
                    other.kinds().what(),
                );
                let hint = match (number_in_quotes(at), one.kinds().or(other.kinds()).has(Kinds::NUMBER)) {
                    (Some(number), true) => Some(format!("write the number without quotes: `{number}`")),
                    (_, _) => None,
                };
                (message, hint)
            },
        );
    }

    /// A string that a value never is: `known` are those that it is.
    fn unknown_text(&mut self, operator: Operator, whole: &IdedExpr, at: &IdedExpr, said: &Texts, known: &Texts) {
        let decision = said.set.first().filter(|_| known.are_decisions && said.set.len() == 1);
        let certainty = if decision.is_some() { Certainty::Fails } else { Certainty::Doubtful };
        let names: Vec<&str> = known.set.iter().map(String::as_str).take(LISTED_MAX).collect();
        let near = said.set.first().filter(|_| said.set.len() == 1);
        let near = near.and_then(|text| similar(text, known.set.iter().map(String::as_str)));
        let hint = match (near, decision) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(_)) => format!("its decisions are {}", listed(&names)),
            (None, None) => format!("the value is one of {}", listed(&names)),
        };
        self.report(
            certainty,
            |written| written.start(at),
            |written| {
                let message = match decision {
                    Some(decision) => format!("the task has no decision `{}`", shortened(decision)),
                    None => format!("`{}` {}", written.text(whole), verdict(operator)),
                };
                (message, Some(hint))
            },
        );
    }

    /// A member that is not there.
    pub(super) fn no_member(&mut self, tree: &IdedExpr, of: &IdedExpr, shape: &Shape, name: &str) {
        let certainty = if shape.rest == Rest::Closed { Certainty::Fails } else { Certainty::Doubtful };
        self.report(
            certainty,
            |written| written.member(tree, name),
            |written| {
                let text = written.text(of);
                let hint = meant(&text, shape, name).or_else(|| {
                    let note = shape.label.as_ref().and_then(|label| label.note.clone());
                    let names: Vec<&str> = shape.members.keys().map(String::as_str).collect();
                    note.or_else(|| match names.len() {
                        0 => None,
                        1..=LISTED_MAX => Some(format!("its members are {}", listed(&names))),
                        _ => None,
                    })
                });
                (missing(&text, shape, name), hint)
            },
        );
    }

    /// A member that is tested and never there: reported only if another name is similar.
    pub(super) fn never_there(&mut self, tree: &IdedExpr, of: &IdedExpr, shape: &Shape, name: &str) {
        if similar(name, shape.members.keys().map(String::as_str)).is_none() {
            return;
        }
        self.report(
            Certainty::Doubtful,
            |written| written.member(tree, name),
            |written| {
                let text = written.text(of);
                (missing(&text, shape, name), meant(&text, shape, name))
            },
        );
    }
}

/// The strings of a value that is one of them, or null.
fn only_texts(is: &Type) -> Option<&Texts> {
    is.texts().filter(|_| is.kinds().without(Kinds::ABSENT) == Kinds::TEXT)
}

fn verdict(operator: Operator) -> &'static str {
    if operator == Operator::Unequal { "is always true" } else { "is never true" }
}

fn missing(text: &str, shape: &Shape, name: &str) -> String {
    let what = shape.label.as_ref().map_or_else(|| format!("`{text}`"), |label| label.what.clone());
    match shape.rest {
        Rest::Listed if !what.starts_with("the result") => format!("{what} does not declare `{name}`"),
        Rest::Closed | Rest::Listed | Rest::Open => format!("{what} has no member `{name}`"),
    }
}

/// The member that was probably meant: a similar name, or the same name one level down.
fn meant(text: &str, shape: &Shape, name: &str) -> Option<String> {
    if let Some(similar) = similar(name, shape.members.keys().map(String::as_str)) {
        return Some(format!("did you mean `{similar}`?"));
    }
    let inside = |(outer, member): (&String, &super::Member)| {
        let there = member.is.shape().is_some_and(|inner| inner.members.contains_key(name));
        there.then(|| format!("did you mean `{text}.{outer}.{name}`?"))
    };
    shape.members.iter().find_map(inside)
}

/// The name that was probably meant. Of short names each is similar to every other.
fn similar<'n>(written: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    const SHORTEST: usize = 3;
    let mistyped = || nearest(written, names.clone().filter(|name| name.len() >= SHORTEST));
    let same_letters = names.clone().find(|name| name.eq_ignore_ascii_case(written));
    same_letters.or_else(|| if written.len() >= SHORTEST { mistyped() } else { None })
}
