//! The bounds of expressions, and the budget of an evaluation.
//!
//! An evaluation spends one step for every node it visits, every element it iterates over and every 64 bytes of text it reads,
//! and bytes for everything it builds. Spent bytes are never returned, so the sum bounds the memory as well.

use super::step_budget::StepBudget;

/// Bytes of the source of an expression.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// Levels of nested brackets and calls.
pub const NESTING_MAX: u16 = 32;
/// Levels of the parsed tree; a chain of operators is as deep as it is long.
pub const DEPTH_MAX: usize = 128;
/// Question marks in one expression: more are more than the parser takes.
pub const QUESTIONS_MAX: usize = 64;
/// Levels of nested loops: `map`, `filter`, `all`, `exists`.
pub const LOOPS_MAX: usize = 4;
/// Steps of one evaluation: at most some tens of milliseconds.
pub const STEPS_MAX: u32 = 600_000;
/// Bytes that one evaluation may build, including its value.
pub const BYTES_MAX: usize = 12 * 1_024 * 1_024;
/// Elements of a list that a function builds.
pub const ELEMENTS_MAX: usize = 50_000;
/// Bytes of a compiled `matches` pattern.
pub const PATTERN_BYTES_MAX: usize = 16 * 1_024;
/// Bytes of the format of `formatTime`; each directive prints at most 255 bytes.
pub const FORMAT_BYTES_MAX: usize = 256;
/// Digits after the point that `format` prints.
pub const PRECISION_MAX: usize = 100;
/// Bytes of one value without its text.
const VALUE_BYTES: usize = 40;
/// Bytes of a node of a map, and the smallest number of its entries.
pub(super) const MAP_NODE_BYTES: usize = 640;
const MAP_NODE_ENTRIES: usize = 6;
/// Bytes of text whose reading costs one step.
const TEXT_BYTES_PER_STEP: usize = 64;

/// The error of an evaluation. Never contains a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EvalError {
    /// The expression or its data are wrong; `||` and `&&` may absorb it.
    Invalid(String),
    /// A bound was exceeded; nothing absorbs it.
    Bound(&'static str),
}

impl EvalError {
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        EvalError::Invalid(why.into())
    }

    /// The same error with the name of its function.
    pub(super) fn within(self, function: &str) -> Self {
        match self {
            EvalError::Invalid(why) => EvalError::Invalid(format!("`{function}`: {why}")),
            EvalError::Bound(why) => EvalError::Bound(why),
        }
    }

    pub(super) fn why(self) -> String {
        match self {
            EvalError::Invalid(why) => why,
            EvalError::Bound(why) => why.to_owned(),
        }
    }
}

/// The steps and bytes that an evaluation may still spend.
#[derive(Debug)]
pub(super) struct Budget {
    steps: Share<u32>,
    bytes: Share<usize>,
    /// Whether it failed because the budget of the whole step is spent.
    step_is_spent: bool,
}

/// What is left of one kind of budget.
#[derive(Debug)]
struct Share<N> {
    given: N,
    left: N,
    /// The whole step has less left than one evaluation may spend.
    of_step: bool,
}

impl Budget {
    /// For an evaluation that belongs to no step.
    pub(super) fn new() -> Self {
        Self::of(STEPS_MAX, BYTES_MAX)
    }

    /// For an evaluation of a step: its own bounds, or what the step has left.
    pub(super) fn within(step: &StepBudget) -> Self {
        let mut budget = Self::of(STEPS_MAX.min(step.steps()), BYTES_MAX.min(step.bytes()));
        budget.steps.of_step = step.steps() < STEPS_MAX;
        budget.bytes.of_step = step.bytes() < BYTES_MAX;
        budget
    }

    fn of(steps: u32, bytes: usize) -> Self {
        Self {
            steps: Share { given: steps, left: steps, of_step: false },
            bytes: Share { given: bytes, left: bytes, of_step: false },
            step_is_spent: false,
        }
    }

    /// Books what was spent on the step.
    pub(super) fn settle(self, step: &StepBudget) {
        step.spend(self.steps.given - self.steps.left, self.bytes.given - self.bytes.left);
        if self.step_is_spent {
            step.exhaust();
        }
    }

    /// Spends one step.
    pub(super) fn step(&mut self) -> Result<(), EvalError> {
        self.steps(1)
    }

    pub(super) fn steps(&mut self, count: usize) -> Result<(), EvalError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        match self.steps.left.checked_sub(count) {
            Some(left) => self.steps.left = left,
            None if self.steps.of_step => {
                self.step_is_spent = true;
                return Err(EvalError::Bound("the expressions of this step take too many steps together"));
            }
            None => return Err(EvalError::Bound("it takes too many steps")),
        }
        Ok(())
    }

    /// Spends steps for reading a text.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.steps(bytes / TEXT_BYTES_PER_STEP)
    }

    /// Spends bytes and steps for building a text.
    pub(super) fn build(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.keep(bytes)?;
        self.read(bytes)
    }

    /// Spends bytes and steps for building a map: its nodes have room for eleven entries, and most are half full.
    pub(super) fn build_map(&mut self, entries: usize) -> Result<(), EvalError> {
        self.build_values(entries)?;
        self.keep(entries.div_ceil(MAP_NODE_ENTRIES).saturating_mul(MAP_NODE_BYTES))
    }

    fn keep(&mut self, bytes: usize) -> Result<(), EvalError> {
        match self.bytes.left.checked_sub(bytes) {
            Some(left) => self.bytes.left = left,
            None if self.bytes.of_step => {
                self.step_is_spent = true;
                return Err(EvalError::Bound("the expressions of this step build too much data together"));
            }
            None => return Err(EvalError::Bound("it builds too much data")),
        }
        Ok(())
    }

    /// Spends bytes and steps for building a list or map.
    pub(super) fn build_values(&mut self, count: usize) -> Result<(), EvalError> {
        if count > ELEMENTS_MAX {
            return Err(EvalError::Bound("it builds a list that is too long"));
        }
        self.steps(count)?;
        self.keep(count * VALUE_BYTES)
    }
}
