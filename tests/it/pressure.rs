//! Back pressure: limits of starts, and what readiness says while servers are full, slow or short of something.

mod limits;
mod readiness;
