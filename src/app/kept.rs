//! How many messages of each sender are kept, as this process knows: counted in the database from time to time, and by itself in
//! between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A count is used for this long.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Senders that are remembered. When there are more, all are counted again.
const SENDERS_MAX: usize = 1_000;

/// Counts of kept messages by sender.
#[derive(Debug, Default)]
pub struct KeptCounts {
    senders: Mutex<HashMap<String, Counted>>,
}

#[derive(Debug)]
struct Counted {
    count: u64,
    at: Instant,
}

impl KeptCounts {
    /// Whether the sender has certainly room for one more message, which is then counted.
    pub fn has_room(&self, app_id: &str, max: u64, now: Instant) -> bool {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        match senders.get_mut(app_id) {
            Some(known) if now.duration_since(known.at) < KNOWN_FOR && known.count < max => {
                known.count += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes what the database has.
    pub fn note(&self, app_id: &str, count: u64, now: Instant) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() >= SENDERS_MAX && !senders.contains_key(app_id) {
            senders.clear();
        }
        senders.insert(app_id.to_owned(), Counted { count, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_used_for_a_second_and_up_to_the_limit() {
        let (kept, now) = (KeptCounts::default(), Instant::now());
        assert!(!kept.has_room("shop", 3, now), "it was never counted");
        kept.note("shop", 1, now);
        assert_eq!([0; 3].map(|_| kept.has_room("shop", 3, now)), [true, true, false]);
        assert!(!kept.has_room("other", 3, now));
        kept.note("shop", 0, now);
        assert!(!kept.has_room("shop", 3, now + KNOWN_FOR), "it has to be counted again");
    }

    #[test]
    fn the_number_of_senders_is_bounded() {
        let kept = KeptCounts::default();
        (0..=SENDERS_MAX).for_each(|number| kept.note(&number.to_string(), 0, Instant::now()));
        assert_eq!(kept.senders.lock().unwrap().len(), 1);
    }
}
