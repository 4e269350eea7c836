//! Exactly-once under `kill -9`, duplicates and everything twice. The process dies **at** the point, and each test proves that it did.

mod answers;
mod duplicates;
mod handlers;
mod relay;
mod signals;
mod timers;
mod worker;

use std::time::Duration;

/// A fail point that is passed must have killed within this.
const DIES_WITHIN: Duration = Duration::from_secs(20);
/// The instances of a killed process have moved again within this, the start of the next process included.
const MOVES_WITHIN: Duration = Duration::from_secs(5);
/// The bound of what is not about speed: a transaction that a frozen process has left open ends after a minute, and behind a pooler each
/// statement is in one.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
