//! Visits every expression of a document, with what it can read there.

use std::collections::BTreeMap;

use super::results;
use super::scope::{Declared, Here, Names};
use crate::definition::problem::Problems;
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::definition::yaml::source::Source;
use crate::expression::typing::{
    Certainty, Fact, Finding, Kinds, Member, Purpose, Rest, Shape, Type, When, Work, follows, infer,
};
use crate::expression::{Piece, Template};

/// Members and items of one value whose types are remembered.
const PARTS_MAX: usize = 2_000;

/// The purpose of a visit.
pub(super) enum Goal<'p> {
    /// Learn what is assigned to the variables.
    Learn(BTreeMap<String, Type>),
    /// Report what is wrong.
    Report(&'p mut Problems),
}

/// A visit of a document.
pub(super) struct Visit<'a> {
    pub(super) source: &'a Source,
    pub(super) declared: &'a Declared,
    pub(super) work: &'a mut Work,
    pub(super) goal: Goal<'a>,
}

/// An expression inside a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inner<'s> {
    /// The byte of the value at which it begins.
    pub(super) offset: usize,
    /// The expression.
    pub(super) text: &'s str,
}

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Any value.
    Value,
    /// A URL, a key: null fails.
    NotNull(&'static str),
    /// A duration.
    Duration,
    /// A timestamp.
    Moment,
    /// A duration or a timestamp.
    DurationOrMoment,
}

impl Visit<'_> {
    pub(super) fn is_learning(&self) -> bool {
        matches!(self.goal, Goal::Learn(_))
    }

    /// A condition that is a bare expression.
    pub(super) fn condition(&mut self, at: Option<At<'_>>, here: &Here) {
        if let Some(at) = at.filter(|_| !self.is_learning())
            && let Tree::Text(text) = &at.node.tree
        {
            self.expression(&at, bare(text), Purpose::Condition, here);
        }
    }

    /// A bare expression whose value is not assigned.
    pub(super) fn bare_value(&mut self, at: &At<'_>, here: &Here) {
        if let Tree::Text(text) = &at.node.tree
            && !self.is_learning()
        {
            self.expression(at, bare(text), Purpose::Value, here);
        }
    }

    /// What follows from a condition.
    pub(super) fn follows(at: Option<At<'_>>, when: When) -> Vec<Fact> {
        match at.as_ref().map(|at| &at.node.tree) {
            Some(Tree::Text(text)) => follows(bare(text).text, when),
            Some(_) | None => Vec::new(),
        }
    }

    /// `name: expression`
    pub(super) fn assignments(&mut self, at: Option<At<'_>>, here: &Here) {
        for (entry, value) in at.map(|at| at.entries()).unwrap_or_default() {
            let is = match &value.node.tree {
                Tree::Text(text) => self.expression(&value, bare(text), Purpose::Value, here),
                _ => self.data(&value, here),
            };
            if let Goal::Learn(learned) = &mut self.goal {
                // An author seldom tests a variable where it is assigned; its null is not worth a warning.
                let is = is.stored().quiet();
                let before = learned.remove(&entry.key);
                learned.insert(entry.key.clone(), before.map_or(is.clone(), |before| before.join(&is)));
            }
        }
    }

    /// A value whose strings are templates.
    pub(super) fn data(&mut self, at: &At<'_>, here: &Here) -> Type {
        match &at.node.tree {
            Tree::Text(text) if !text.contains("${") => Type::text(text),
            Tree::Text(_) => self.template(at, Use::Value, here),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => Type::of_value(&at.node.to_value()),
            Tree::Refused => Type::unknown(),
            Tree::List(_) => {
                let mut element = Type::of(Kinds::NONE);
                for (number, item) in at.items().iter().enumerate() {
                    let is = self.data(item, here);
                    element = if number < PARTS_MAX { element.join(&is) } else { Type::unknown() };
                }
                Type::list(element)
            }
            Tree::Map(_) => {
                let mut shape = Shape::new(BTreeMap::new(), Rest::Closed);
                for (entry, value) in at.entries() {
                    let is = self.data(&value, here);
                    if shape.members.len() < PARTS_MAX {
                        shape.members.insert(entry.key.clone(), Member { is, always: true });
                    } else {
                        shape.rest = Rest::Open;
                    }
                }
                Type::map(shape)
            }
        }
    }

    /// The same, if it is written, when nothing is learned from it.
    pub(super) fn values(&mut self, at: Option<At<'_>>, here: &Here) {
        if let Some(at) = at.filter(|_| !self.is_learning()) {
            self.data(&at, here);
        }
    }

    /// A template that is not a value.
    pub(super) fn text(&mut self, at: Option<At<'_>>, purpose: Use, here: &Here) {
        if let Some(at) = at.filter(|_| !self.is_learning()) {
            self.template(&at, purpose, here);
        }
    }

    fn template(&mut self, at: &At<'_>, purpose: Use, here: &Here) -> Type {
        let Tree::Text(text) = &at.node.tree else { return Type::unknown() };
        let Ok(template) = Template::parse(text) else { return Type::unknown() };
        let pieces: Vec<Piece<'_>> = template.pieces().collect();
        let alone = pieces.len() == 1;
        let mut from = 0;
        let mut is = Type::of(Kinds::TEXT);
        for piece in pieces {
            let Piece::Value(expression) = piece else { continue };
            let Some(start) = begin(text, from, expression.source()) else { continue };
            from = start;
            if expression.marker().is_some() {
                continue;
            }
            let inner = Inner { offset: start, text: expression.source() };
            let value = self.expression(at, inner, Purpose::Value, here);
            self.check_use(at, inner, purpose, &value, alone);
            if alone {
                is = value;
            }
        }
        is
    }

    /// Infers an expression, and reports what is wrong with it.
    fn expression(&mut self, at: &At<'_>, inner: Inner<'_>, purpose: Purpose, here: &Here) -> Type {
        let names = Names { declared: self.declared, here };
        let (is, findings) = infer(inner.text, purpose, &names, &here.facts, self.work);
        for finding in findings {
            // A filter that fails does not hold: only one that always fails is a mistake.
            if !here.is_message || finding.certainty == Certainty::Fails {
                self.tell(at, inner, finding);
            }
        }
        is
    }

    fn tell(&mut self, at: &At<'_>, inner: Inner<'_>, finding: Finding) {
        let Goal::Report(problems) = &mut self.goal else { return };
        let place = self.source.place_in(at, inner.offset + finding.at);
        match finding.certainty {
            Certainty::Fails => problems.error(place, finding.message, finding.hint),
            Certainty::Doubtful => problems.warning(place, finding.message, finding.hint),
        }
    }

    /// Whether a value can be used where its template stands.
    fn check_use(&mut self, at: &At<'_>, inner: Inner<'_>, purpose: Use, value: &Type, alone: bool) {
        let settled = value.stored();
        let text = crate::text::shortened(inner.text);
        let (what, kinds, example) = match purpose {
            Use::Value => return,
            Use::NotNull(what) => {
                if settled.kinds().has(Kinds::NULL) && (alone || what.contains("URL")) {
                    let message = format!("`{text}` can be null, which is not allowed in {what}");
                    let hint = Some("make it required, give it a default, or test it before".to_owned());
                    self.tell(at, inner, Finding { at: 0, certainty: Certainty::Doubtful, message, hint });
                }
                return;
            }
            Use::Duration => ("a duration", Kinds::TEXT.or(Kinds::SPAN), format!("${{ {text} }}s")),
            Use::Moment => ("a time", Kinds::TEXT.or(Kinds::TIME), "2030-12-31T09:00:00Z".to_owned()),
            Use::DurationOrMoment => {
                let both = Kinds::TEXT.or(Kinds::SPAN).or(Kinds::TIME);
                ("a duration or a time", both, format!("${{ {text} }}s"))
            }
        };
        if !alone || value.kinds().is_none() || value.is_unknown() || value.kinds().has(kinds.or(Kinds::OPTIONAL)) {
            return;
        }
        let is_number = value.kinds().without(Kinds::ABSENT).has(Kinds::NUMBER);
        let message = format!("`{text}` is not {what}");
        let hint = is_number.then(|| format!("write a unit, as in \"{example}\""));
        self.tell(at, inner, Finding { at: 0, certainty: Certainty::Fails, message, hint });
    }

    /// The entries of a `switch`, or of a `next` that is a list: each is reached only if those before it do not hold.
    pub(super) fn choices(&mut self, at: &At<'_>, here: &Here) {
        if self.is_learning() {
            return;
        }
        let mut here = here.clone();
        for item in at.items() {
            self.condition(item.get("when"), &here);
            here = here.and(Self::follows(item.get("when"), When::Not));
        }
    }

    /// The rules of a vote.
    pub(super) fn vote(&mut self, task: &At<'_>, here: &Here) {
        let votes = Some(results::of_votes(&results::decisions(task)));
        let here = Here { votes, ..here.clone() };
        for rule in task.get("vote").map(|rules| rules.items()).unwrap_or_default() {
            self.condition(rule.get("when"), &here);
        }
    }
}

/// The source of a bare expression, which may be written in a `${ }`.
pub(super) fn bare(text: &str) -> Inner<'_> {
    let written = text.trim();
    let inner = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(written).trim();
    Inner { offset: text.find(inner).unwrap_or_default(), text: inner }
}

/// The byte at which the expression of the next `${ }` begins.
fn begin(text: &str, from: usize, source: &str) -> Option<usize> {
    let mut at = from;
    loop {
        at += text.get(at..)?.find("${")? + 2;
        let rest = text.get(at..)?;
        let inner = rest.trim_start();
        if inner.starts_with(source) {
            return Some(at + rest.len() - inner.len());
        }
    }
}
