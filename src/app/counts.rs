//! How many there are of something, as this process knows: counted in the database from time to time, and by itself in between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A count is used for this long.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// A count that left no room is used for this long.
const FULL_FOR: Duration = Duration::from_millis(100);
/// Names that are remembered. When there are more, all are counted again.
const NAMES_MAX: usize = 1_000;

/// Counts by name, such as that of a sender.
#[derive(Debug, Default)]
pub struct Counts {
    names: Mutex<HashMap<String, Counted>>,
}

#[derive(Debug)]
struct Counted {
    count: u64,
    at: Instant,
}

impl Counts {
    /// Whether there is certainly room for one more, which is then counted.
    pub fn has_room(&self, name: &str, max: u64, now: Instant) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get_mut(name) {
            Some(known) if now.duration_since(known.at) < KNOWN_FOR && known.count < max => {
                known.count += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes back what was counted: it did not come to be.
    pub fn take_back(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get_mut(name) {
            known.count = known.count.saturating_sub(1);
        }
    }

    /// Whether there was certainly no room a moment ago.
    pub fn is_full(&self, name: &str, max: u64, now: Instant) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).is_some_and(|known| known.count >= max && now.duration_since(known.at) < FULL_FOR)
    }

    /// Notes what the database has.
    pub fn note(&self, name: &str, count: u64, now: Instant) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            names.clear();
        }
        names.insert(name.to_owned(), Counted { count, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_used_for_a_second_and_up_to_the_limit() {
        let (kept, now) = (Counts::default(), Instant::now());
        assert!(!kept.has_room("shop", 3, now), "it was never counted");
        kept.note("shop", 1, now);
        assert_eq!([0; 3].map(|_| kept.has_room("shop", 3, now)), [true, true, false]);
        assert!(!kept.has_room("other", 3, now));
        assert!(kept.is_full("shop", 3, now) && !kept.is_full("shop", 4, now) && !kept.is_full("other", 3, now));
        assert!(!kept.is_full("shop", 3, now + FULL_FOR));
        kept.take_back("shop");
        kept.take_back("other");
        assert_eq!([0; 2].map(|_| kept.has_room("shop", 3, now)), [true, false]);
        kept.note("shop", 0, now);
        assert!(!kept.has_room("shop", 3, now + KNOWN_FOR), "it has to be counted again");
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let kept = Counts::default();
        (0..=NAMES_MAX).for_each(|number| kept.note(&number.to_string(), 0, Instant::now()));
        assert_eq!(kept.names.lock().unwrap().len(), 1);
    }
}
