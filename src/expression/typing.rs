//! The types of expressions: what is known of a value before it exists, and which expressions cannot work with it. Unknown stays
//! unknown: only what is certain is reported as failing.
//!
//! It reads the parser's tree and not the compiled nodes, because a problem has a place in the text.

mod calls;
mod checks;
mod facts;
mod finding;
mod kinds;
mod known;
mod looping;
mod members;
mod operation;
mod parts;
#[cfg(test)]
mod tests;
mod unequal;
mod walk;
mod wording;
mod written;

pub use facts::{Fact, When};
pub use finding::{Certainty, Finding};
pub use kinds::Kinds;
pub use known::{DEPTH_MAX, Texts, Type, WEIGHT_MAX};
pub use members::{Label, Member, Rest, Shape};

use super::read::read;
use walk::Inference;
use written::Written;

/// What the names of a scope are.
pub trait Known {
    /// The type of a name; none if there is no such name.
    fn type_of(&self, name: &str) -> Option<Type>;
    /// Whether it is a property of the input, which is also `input.name`.
    fn is_input(&self, name: &str) -> bool;
}

/// The work that may still be done for one document.
#[derive(Debug)]
pub struct Work {
    left: u32,
}

impl Work {
    /// Parts of expressions that are looked at for one document, however often: less than a second.
    pub const MAX: u32 = 1_000_000;
    /// For each expression that is read, for its parsing.
    const EXPRESSION: u32 = 10;

    /// Everything is still to do.
    pub fn new() -> Self {
        Work { left: Self::MAX }
    }

    /// Whether nothing more may be done: what was not looked at is unknown.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    fn spend(&mut self, count: u32) -> bool {
        self.left = self.left.saturating_sub(count);
        self.left > 0
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}

/// The purpose of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its value is used, whatever it is.
    Value,
    /// It must be true or false.
    Condition,
}

/// The type of an expression, and what is wrong with it. An expression that cannot be read is unknown.
pub fn infer(
    source: &str,
    purpose: Purpose,
    known: &dyn Known,
    facts: &[Fact],
    work: &mut Work,
) -> (Type, Vec<Finding>) {
    let length = u32::try_from(source.len() / 8).unwrap_or(u32::MAX);
    if !work.spend(Work::EXPRESSION.saturating_add(length)) {
        return (Type::unknown(), Vec::new());
    }
    let Ok(tree) = read(source) else { return (Type::unknown(), Vec::new()) };
    let mut run = |written: Option<&Written<'_>>| {
        let mut inference = Inference::new(known, work, written);
        facts.iter().for_each(|fact| inference.learn(fact));
        let is = match purpose {
            Purpose::Value => inference.value(&tree),
            Purpose::Condition => {
                inference.truth(&tree);
                Type::of(Kinds::BOOL)
            }
        };
        (is, inference.findings)
    };
    let (is, found) = run(None);
    if found.is_empty() {
        return (is, found);
    }
    // Most expressions are right: their text is only needed for the others.
    run(Some(&Written::of(source)))
}

/// What follows from a condition.
pub fn follows(source: &str, when: When) -> Vec<Fact> {
    read(source).map(|tree| facts::facts(&tree, when)).unwrap_or_default()
}

/// The values that a condition tests for null or for their kind, each a name and its members.
pub fn tested(source: &str) -> Vec<Vec<String>> {
    read(source).map(|tree| facts::tested(&tree)).unwrap_or_default()
}
