//! The delay queues: picks the longest fixed delay that is not longer than the remaining time.

use std::time::Duration;

use jiff::Timestamp;

/// A message that arrives this much too early counts as on time.
pub const SLACK: Duration = Duration::from_millis(20);

/// The delays of the delay queues, shortest first, each with the end of the queue's name.
pub const LEVELS: [(Duration, &str); 12] = [
    (Duration::from_millis(100), "100ms"),
    (Duration::from_millis(250), "250ms"),
    (Duration::from_millis(500), "500ms"),
    (Duration::from_secs(1), "1s"),
    (Duration::from_secs(2), "2s"),
    (Duration::from_secs(5), "5s"),
    (Duration::from_secs(10), "10s"),
    (Duration::from_secs(30), "30s"),
    (Duration::from_secs(60), "1m"),
    (Duration::from_secs(2 * 60), "2m"),
    (Duration::from_secs(5 * 60), "5m"),
    (Duration::from_secs(15 * 60), "15m"),
];

/// One delay level: an exchange and a queue with a fixed delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How long its queue delays a message.
    pub ttl: Duration,
    /// The end of the queue's name.
    pub label: &'static str,
}

impl Level {
    /// The name of the exchange, and of the queue.
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}.delay.{}", self.label)
    }
}

/// Every delay level, shortest first.
pub fn levels() -> impl Iterator<Item = Level> {
    LEVELS.iter().map(|&(ttl, label)| Level { ttl, label })
}

/// The longest delay that is not longer than `remaining` and [`SLACK`]. `None` if `remaining` is shorter than every delay: the
/// receiver then waits itself.
pub fn level(remaining: Duration) -> Option<Level> {
    let reach = remaining.saturating_add(SLACK);
    levels().filter(|level| level.ttl <= reach).last()
}

/// The place in [`LEVELS`] of the level in which a message waits that is due then; `None` if it does not wait.
pub fn rank(due_at: Option<Timestamp>, now: Timestamp) -> Option<usize> {
    let remaining = Duration::try_from(due_at?.duration_since(now)).ok()?;
    let level = level(remaining)?;
    LEVELS.iter().position(|(ttl, _)| *ttl == level.ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_delay_within_the_remaining_time_is_picked() {
        let cases: [(u64, Option<&str>); 14] = [
            (0, None),
            (79, None),
            (80, Some("100ms")),
            (229, Some("100ms")),
            (230, Some("250ms")),
            (479, Some("250ms")),
            (980, Some("1s")),
            (1_000, Some("1s")),
            (1_979, Some("1s")),
            (4_990, Some("5s")),
            (59_000, Some("30s")),
            (120_000, Some("2m")),
            (900_000, Some("15m")),
            (86_400_000, Some("15m")),
        ];
        for (remaining, label) in cases {
            assert_eq!(level(Duration::from_millis(remaining)).map(|level| level.label), label, "{remaining} ms");
        }
        assert_eq!(level(Duration::MAX).map(|level| level.label), Some("15m"));
    }

    #[test]
    fn a_delay_of_a_level_takes_that_level() {
        for step in levels() {
            assert_eq!(level(step.ttl), Some(step));
        }
    }

    #[test]
    fn a_message_has_the_rank_of_its_level_until_it_is_due() {
        let now = Timestamp::UNIX_EPOCH;
        let in_millis = |millis| rank(Some(now + jiff::SignedDuration::from_millis(millis)), now);
        assert_eq!([in_millis(-5), in_millis(0), in_millis(60), rank(None, now)], [None; 4]);
        assert_eq!(
            [in_millis(100), in_millis(2_500), in_millis(9_000_000)],
            [Some(0), Some(4), Some(LEVELS.len() - 1)]
        );
    }

    #[test]
    fn delay_levels_are_sorted_and_named_by_their_duration() {
        assert!(LEVELS.is_sorted_by(|lower, higher| lower.0 < higher.0));
        for step in levels() {
            assert_eq!(crate::time::duration::parse(step.label), Ok(step.ttl));
        }
    }
}
