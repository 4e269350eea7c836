//! How much and how often: backoff, circuit breaker, rate and bulkhead, as values that take the time as an argument.

pub mod backoff;
pub mod breaker;
pub mod bulkhead;
pub mod rate;
pub mod retry_after;
