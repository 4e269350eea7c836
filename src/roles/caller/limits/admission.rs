//! The answer to an attempt that wants to begin.

use jiff::Timestamp;

use super::LimitKey;

/// The answer to an attempt that wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may begin.
    Go(Permit),
    /// It may not begin before this time, and why.
    NotBefore(Timestamp, Reason),
}

/// The permission to begin one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The target, as `https://host:port` or `work:name`.
    pub target: String,
    /// The limits of the activity.
    pub limit_key: LimitKey,
    /// When the permit was given.
    pub began_at: Timestamp,
    /// When the limit group last opened, and why it was closed: a call that was due before has waited for it.
    pub opened: Option<(Timestamp, Reason)>,
}

/// Why an attempt may not begin yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The breaker of the target is open.
    Breaker,
    /// The rate is used up.
    Rate,
    /// As many attempts are under way as `concurrency` allows.
    Concurrency,
}

impl Reason {
    /// The label value in metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
