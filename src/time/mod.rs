//! Durations, moments, cron expressions, time zones, and the database's clock as this process estimates it.

pub mod clock;
#[cfg(feature = "server")]
pub mod cron;
pub mod duration;
pub mod moment;
#[cfg(feature = "server")]
pub mod retention;
#[cfg(feature = "server")]
pub mod zone;

/// A text that is not a valid cron expression or time zone.
#[cfg(feature = "server")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}
