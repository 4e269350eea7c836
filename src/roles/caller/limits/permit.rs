//! What an attempt is told that asks whether it may begin.

use jiff::Timestamp;

use super::LimitKey;

/// What an attempt is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It may begin.
    Go(Permit),
    /// Not before, and why.
    NotBefore(Timestamp, Reason),
}

/// An attempt that was let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Whom it asks.
    pub target: String,
    /// How much of it it may take.
    pub limit_key: LimitKey,
    /// When it was let through.
    pub began_at: Timestamp,
    /// When its group opened last, and why it was closed: if it was due before, it has waited for that.
    pub opened: Option<(Timestamp, Reason)>,
}

/// Why an attempt may not begin yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The target has failed too often lately.
    Breaker,
    /// As many have begun as may.
    Rate,
    /// As many are under way as may be.
    Concurrency,
}

impl Reason {
    /// The word used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Breaker => "breaker",
            Reason::Rate => "rate",
            Reason::Concurrency => "concurrency",
        }
    }
}
