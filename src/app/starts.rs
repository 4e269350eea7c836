//! What this process knows of the limits of starts, so that a flood of starts is not a flood of questions to the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::counts::Counts;

/// Limits that are remembered. When there are more, all are asked for again.
const SCOPES_MAX: usize = 1_000;

/// Limits of starts, by the definition or the sender that they count for.
#[derive(Debug, Default)]
pub struct KnownStarts {
    /// Live instances.
    pub live: Counts,
    /// Starts that were counted as live, and are not committed or given up yet. Shared with their [`Seats`].
    pending: Arc<Mutex<HashMap<String, u64>>>,
    /// Held while live instances are counted: what one finds counts for those that wait for it.
    pub counting: tokio::sync::Mutex<()>,
    /// Until when a rate has no place.
    full: Mutex<HashMap<String, Timestamp>>,
}

/// What a start has counted as live, until it is committed or given up.
#[derive(Debug)]
pub struct Seats {
    pending: Arc<Mutex<HashMap<String, u64>>>,
    scopes: Vec<String>,
}

impl Drop for Seats {
    fn drop(&mut self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for scope in &self.scopes {
            let left = pending.get(scope).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                pending.remove(scope)
            } else {
                pending.insert(scope.clone(), left)
            };
        }
    }
}

impl Seats {
    /// The limits that it counts for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(String::as_str)
    }

    /// Counts a start as one that is under way.
    pub fn take(&mut self, scope: String) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        *pending.entry(scope.clone()).or_default() += 1;
        self.scopes.push(scope);
    }
}

impl KnownStarts {
    /// No seats yet.
    pub fn seats(&self) -> Seats {
        Seats { pending: self.pending.clone(), scopes: Vec::new() }
    }

    /// Starts that are under way, which a count in the database may not see.
    pub fn pending(&self, scope: &str) -> u64 {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).get(scope).copied().unwrap_or_default()
    }

    /// When the next place is free, if that is later than now.
    pub fn full_until(&self, scope: &str, now: Timestamp) -> Option<Timestamp> {
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.get(scope).copied().filter(|until| *until > now)
    }

    /// Notes when the next place is free.
    pub fn note_full(&self, scope: &str, until: Timestamp) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= SCOPES_MAX && !full.contains_key(scope) {
            full.clear();
        }
        full.insert(scope.to_owned(), until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_start_is_pending_until_its_seats_are_given_back() {
        let known = KnownStarts::default();
        let (mut one, mut other) = (known.seats(), known.seats());
        one.take("sender:shop".into());
        one.take("definition:order".into());
        other.take("sender:shop".into());
        assert_eq!((known.pending("sender:shop"), known.pending("definition:order")), (2, 1));
        drop(one);
        assert_eq!((known.pending("sender:shop"), known.pending("definition:order")), (1, 0));
        drop(other);
        assert!(known.pending.lock().unwrap().is_empty());
    }

    #[test]
    fn a_full_rate_is_known_until_its_next_place() {
        let known = KnownStarts::default();
        assert_eq!(known.full_until("sender:shop", at(1)), None);
        known.note_full("sender:shop", at(5));
        assert_eq!(known.full_until("sender:shop", at(4)), Some(at(5)));
        assert_eq!((known.full_until("sender:shop", at(5)), known.full_until("sender:web", at(4))), (None, None));
        (0..=SCOPES_MAX).for_each(|number| known.note_full(&number.to_string(), at(5)));
        assert!(known.full.lock().unwrap().len() <= SCOPES_MAX);
    }
}
