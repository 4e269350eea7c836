//! What happens when an activity fails: retries, error handlers, and the default.

use std::time::Duration;

use super::{Assignment, Target};
use crate::expression::Expression;

/// The key `retry` of an activity.
#[derive(Debug, Clone)]
pub enum Retries {
    /// Not written: the configured policy.
    Default,
    /// `none`: one attempt.
    None,
    /// The first policy whose codes match applies; each counts its own failures.
    Policies(Vec<Retry>),
}

/// A retry policy of an activity.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts in total, including the first.
    pub attempts: u32,
    /// The pause before the second attempt.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
    /// The factor by which each pause is longer than the one before.
    pub factor: f64,
    /// The share of a pause that may randomly be subtracted, 0 to 1.
    pub jitter: f64,
    /// Codes that it applies to; if empty, those that [`crate::definition::codes::is_retried`] names.
    pub codes: Vec<String>,
    /// The longest time from the first failure to the start of another attempt.
    pub within: Option<Duration>,
}

/// One entry of an `on_error` list.
#[derive(Debug, Clone)]
pub struct OnError {
    /// Codes that it matches, see [`crate::definition::codes::matches`]; if empty, all.
    pub codes: Vec<String>,
    /// The entry matches only if this is true; it can read `error`.
    pub when: Option<Expression>,
    /// Assignments, which can read `error`.
    pub output: Vec<Assignment>,
    /// The target; without it the branch continues as after success.
    pub to: Option<Target>,
}

/// What an error that no handler matched does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The instance is suspended and an incident opens.
    Suspend,
    /// The instance ends as failed.
    Fail,
}
