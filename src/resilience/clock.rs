//! The time of the database, as well as this machine knows it. Everything that compares moments uses this one clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The offset between the database's clock and this machine's, in microseconds. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Takes over what the database has just said the time is.
    pub fn observe(&self, database_now: Timestamp) {
        let offset = database_now.as_microsecond().saturating_sub(local_now().as_microsecond());
        self.0.store(offset, Ordering::Relaxed);
    }

    /// How far the database's clock is ahead of this machine's, in seconds.
    pub fn offset_seconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// The time in the database now; this machine's own time until [`Clock::observe`] was called.
    pub fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_micros(self.0.load(Ordering::Relaxed));
        let local = local_now();
        local.checked_add(offset).unwrap_or(local)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks this machine for the time")]
fn local_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_knows_the_databases_time() {
        let clock = Clock::default();
        let shared = clock.clone();
        let hour = SignedDuration::from_hours(1);
        clock.observe(local_now().checked_add(hour).expect("in range"));
        let ahead = shared.now().duration_since(local_now());
        assert!((ahead - hour).abs() < SignedDuration::from_secs(5), "{ahead}");
    }
}
