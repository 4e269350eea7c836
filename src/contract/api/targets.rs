//! Bodies about the targets of calls.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A target of calls, or one limit key of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct TargetView {
    /// `https://host:port`, or `work:<name>`.
    pub target: String,
    /// The limit key; null for the target as a whole.
    pub key: Option<String>,
    /// The circuit breaker. `closed`: attempts pass. `open`: none passes. `half_open`: one has passed, and its outcome is awaited.
    pub breaker: String,
    /// When this state ends, unless an outcome changes it before.
    pub until: Option<Timestamp>,
    /// How often the breaker has opened since it was last closed.
    pub opened: u32,
    /// The code of the last failure.
    pub last_failure: Option<String>,
    /// When the last failure occurred.
    pub failed_at: Option<Timestamp>,
    /// The rate limit of the activity that called last.
    pub rate: Option<RateView>,
    /// The limit of concurrent attempts of that activity.
    pub concurrency: Option<u32>,
    /// The number of pending calls, counted up to 10,000.
    pub waiting: u64,
    /// The number of calls that are running or wait for a callback, counted up to 10,000.
    pub running: u64,
}

/// A rate limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub struct RateView {
    /// The number of attempts.
    pub count: u32,
    /// The period, as in `1s`.
    pub per: String,
}
