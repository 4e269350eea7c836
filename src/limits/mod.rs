//! Limits of how much runs and how often: backoff, circuit breaker, rate and bulkhead. Pure: the time is an argument.

pub mod backoff;
pub mod breaker;
pub mod bulkhead;
pub mod rate;
pub mod retry_after;
