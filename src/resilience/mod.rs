//! The arithmetic of patience, as values that take the time as an argument.

pub mod backoff;
pub mod clock;
pub mod duration;
pub mod retry_after;
