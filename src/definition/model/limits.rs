//! Limits of the starts of a definition.

use crate::limits::rate::Rate;

/// How many instances may start, and live, of all versions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartLimits {
    /// Starts per unit of time.
    pub starts: Option<Rate>,
    /// Instances that have not ended.
    pub live: Option<u32>,
}
