//! What all expressions and validations of one decision may spend together.
//!
//! An expression has bounds of its own, and so has a validation. A step may have hundreds of them: this is the bound of the sum.
//! A decision is first tried with a brief budget, which ends within a few milliseconds on a thread that serves sockets too. If
//! that is not enough, it is repeated with the whole budget where it stops nobody else.

use std::cell::Cell;

/// Steps of all expressions of one step: some tens of milliseconds.
pub const STEPS_MAX: u32 = 2_000_000;
/// Bytes that all expressions of one step may build. Spent bytes are never returned, so the sum bounds the memory as well.
pub const BYTES_MAX: usize = 48 * 1_024 * 1_024;
/// Looks at values of one validation: an input has as many values as fit into a command, and each is looked at by every schema
/// that applies to it.
pub const VISITS_MAX: u32 = 2_000_000;
/// The brief budget: some milliseconds at most, and far more than a plain step needs.
const BRIEF_STEPS: u32 = 50_000;
const BRIEF_BYTES: usize = 2 * 1_024 * 1_024;
const BRIEF_VISITS: u32 = 50_000;
/// What an error handler may still spend in a step whose budget is spent: otherwise no document could handle that error.
const HANDLING_STEPS: u32 = 100_000;
const HANDLING_BYTES: usize = 2 * 1_024 * 1_024;

/// The steps, bytes and visits that one decision may still spend.
// Cells, because the scopes of a decision share it.
#[derive(Debug, Clone)]
pub struct StepBudget {
    steps: Cell<u32>,
    bytes: Cell<usize>,
    visits: Cell<u32>,
    spent: Cell<bool>,
    handling: Cell<bool>,
}

impl StepBudget {
    /// The whole budget. Spending it takes long: not on a thread that serves sockets.
    pub fn whole() -> Self {
        Self::of(STEPS_MAX, BYTES_MAX, VISITS_MAX)
    }

    /// A small part of the budget, for a first try.
    pub fn brief() -> Self {
        Self::of(BRIEF_STEPS, BRIEF_BYTES, BRIEF_VISITS)
    }

    fn of(steps: u32, bytes: usize, visits: u32) -> Self {
        Self {
            steps: Cell::new(steps),
            bytes: Cell::new(bytes),
            visits: Cell::new(visits),
            spent: Cell::new(false),
            handling: Cell::new(false),
        }
    }

    /// Whether something failed because the budget is spent. With a brief budget, what was decided counts for nothing then.
    pub fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Lets an error handler be evaluated although the budget is spent. Once: a handler that fails too has none.
    pub fn reserve_for_handler(&self) {
        if self.spent.get() && !self.handling.replace(true) {
            self.steps.set(self.steps.get().max(HANDLING_STEPS));
            self.bytes.set(self.bytes.get().max(HANDLING_BYTES));
        }
    }

    /// Spends steps for what a scope copies.
    pub fn spend_steps(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.steps.set(self.steps.get().saturating_sub(count));
    }

    /// The visits that are left for validations.
    pub fn visits(&self) -> u32 {
        self.visits.get()
    }

    /// Sets the visits that are left after a validation.
    pub fn leave_visits(&self, left: u32) {
        self.visits.set(left);
    }

    /// Tells that something failed because the budget is spent.
    pub fn exhaust(&self) {
        self.spent.set(true);
    }

    pub(super) fn steps(&self) -> u32 {
        self.steps.get()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(super) fn spend(&self, steps: u32, bytes: usize) {
        self.steps.set(self.steps.get().saturating_sub(steps));
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_leaves_something_for_one_error_handler() {
        let budget = StepBudget::whole();
        budget.spend(STEPS_MAX, BYTES_MAX);
        budget.reserve_for_handler();
        assert_eq!(budget.steps(), 0, "nothing has failed yet");
        budget.exhaust();
        budget.reserve_for_handler();
        assert_eq!((budget.steps(), budget.bytes()), (HANDLING_STEPS, HANDLING_BYTES));
        budget.spend(HANDLING_STEPS, HANDLING_BYTES);
        budget.reserve_for_handler();
        assert_eq!((budget.steps(), budget.bytes()), (0, 0));
        assert!(budget.is_spent());
    }
}
