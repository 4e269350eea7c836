//! Whom calls ask, as the API shows them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A target of calls, or a key of one for which an activity limits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    /// `https://host:port`, or `work:<name>`.
    pub target: String,
    /// The key; none for the target as a whole.
    pub key: Option<String>,
    /// `closed`: attempts are let through. `open`: none is. `half_open`: one was, and its outcome is not known yet.
    pub breaker: String,
    /// Until when it stays so, unless something is heard of the target.
    pub until: Option<Timestamp>,
    /// How often the breaker has opened since it was closed.
    pub opened: u32,
    /// The code of the last failure.
    pub last_failure: Option<String>,
    /// When that was.
    pub failed_at: Option<Timestamp>,
    /// The rate the activity asked for that was made last.
    pub rate: Option<RateView>,
    /// The bound of attempts at once it asked for.
    pub concurrency: Option<u32>,
    /// Calls that are to be made, counted to 10,000.
    pub waiting: u64,
    /// Calls that are being made, or whose callback is awaited, counted to 10,000.
    pub running: u64,
}

/// So many in so long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateView {
    /// How many.
    pub count: u32,
    /// In how long, as `1s`.
    pub per: String,
}
