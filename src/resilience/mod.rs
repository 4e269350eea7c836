//! The arithmetic of patience, as values that take the time as an argument.

pub mod backoff;
pub mod breaker;
pub mod clock;
pub mod concurrency;
pub mod duration;
pub mod rate;
pub mod retry_after;
