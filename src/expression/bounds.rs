//! What keeps an expression small, quick and pure: every bound of this room, and the budget an evaluation spends.
//!
//! An evaluation spends one step for every node it visits, every element it walks and every 64 bytes of text it reads,
//! and bytes for everything it builds; what is built is never given back, so the sum bounds the memory as well.

/// Longer expressions are refused, in bytes of source.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// Brackets within brackets, calls within calls.
pub const NESTING_MAX: u16 = 32;
/// Levels of the parsed tree; a chain of operators is as deep as it is long.
pub const DEPTH_MAX: usize = 128;
/// Question marks in one expression: the parser recurses for each.
pub const QUESTIONS_MAX: usize = 64;
/// `map`, `filter`, `all`, `exists` within each other.
pub const LOOPS_MAX: usize = 4;
/// Steps of one evaluation: some tens of milliseconds at most.
pub const STEPS_MAX: u32 = 600_000;
/// Bytes one evaluation may build, its value included.
pub const BYTES_MAX: usize = 12 * 1_024 * 1_024;
/// Elements of a list a function may make.
pub const ELEMENTS_MAX: usize = 50_000;
/// Bytes of a compiled `matches` pattern.
pub const PATTERN_BYTES_MAX: usize = 16 * 1_024;
/// Bytes of the format of `formatTime`; each directive makes 255 bytes at most.
pub const FORMAT_BYTES_MAX: usize = 256;
/// Digits after the point that `format` prints.
pub const PRECISION_MAX: usize = 100;
/// What one value costs besides its text.
const VALUE_BYTES: usize = 40;
/// What a node of a map takes, and the entries it is sure to hold.
pub(super) const MAP_NODE_BYTES: usize = 640;
const MAP_NODE_ENTRIES: usize = 6;
/// Bytes of text that are read for the price of one step.
const TEXT_BYTES_PER_STEP: usize = 64;

/// Why an evaluation stopped. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fail {
    /// The author's, or the data's; `||` and `&&` may absorb it.
    Wrong(String),
    /// A bound was reached; nothing absorbs it.
    Bound(&'static str),
}

impl Fail {
    pub(super) fn wrong(why: impl Into<String>) -> Self {
        Fail::Wrong(why.into())
    }

    /// The same failure with the function it happened in.
    pub(super) fn within(self, function: &str) -> Self {
        match self {
            Fail::Wrong(why) => Fail::Wrong(format!("`{function}`: {why}")),
            Fail::Bound(why) => Fail::Bound(why),
        }
    }

    pub(super) fn why(self) -> String {
        match self {
            Fail::Wrong(why) => why,
            Fail::Bound(why) => why.to_owned(),
        }
    }
}

/// What is left of an evaluation's steps and bytes.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u32,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: STEPS_MAX, bytes: BYTES_MAX }
    }

    /// One visit.
    pub(super) fn step(&mut self) -> Result<(), Fail> {
        self.steps(1)
    }

    pub(super) fn steps(&mut self, count: usize) -> Result<(), Fail> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.steps = self.steps.checked_sub(count).ok_or(Fail::Bound("it takes more steps than an expression may"))?;
        Ok(())
    }

    /// Reading a text.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Fail> {
        self.steps(bytes / TEXT_BYTES_PER_STEP)
    }

    /// Building something of that many bytes.
    pub(super) fn build(&mut self, bytes: usize) -> Result<(), Fail> {
        self.keep(bytes)?;
        self.read(bytes)
    }

    /// Building a map: its nodes have room for eleven entries, and most are half full.
    pub(super) fn build_map(&mut self, entries: usize) -> Result<(), Fail> {
        self.build_values(entries)?;
        self.keep(entries.div_ceil(MAP_NODE_ENTRIES).saturating_mul(MAP_NODE_BYTES))
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Fail> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Fail::Bound("it builds more than an expression may"))?;
        Ok(())
    }

    /// Building a list or map of that many elements.
    pub(super) fn build_values(&mut self, count: usize) -> Result<(), Fail> {
        if count > ELEMENTS_MAX {
            return Err(Fail::Bound("it builds a longer list than an expression may"));
        }
        self.steps(count)?;
        self.keep(count * VALUE_BYTES)
    }
}
