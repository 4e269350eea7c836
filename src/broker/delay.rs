//! The ladder: which of the fixed waits on the broker comes nearest to what is left, without passing it.

use std::time::Duration;

/// A message may come this much too early; then it is on time.
pub const SLACK: Duration = Duration::from_millis(20);

/// The waits the broker offers, shortest first, each with the end of its queue's name.
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

/// One wait of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How long its queue holds a message.
    pub ttl: Duration,
    /// The end of its queue's name.
    pub label: &'static str,
}

impl Level {
    /// The name of its exchange, and of its queue.
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}.delay.{}", self.label)
    }
}

/// The ladder from its lowest level to its highest.
pub fn levels() -> impl Iterator<Item = Level> {
    LEVELS.iter().map(|&(ttl, label)| Level { ttl, label })
}

/// The highest level not above what remains and [`SLACK`]; none below the lowest, where the receiver sleeps the rest.
pub fn level(remaining: Duration) -> Option<Level> {
    let reach = remaining.saturating_add(SLACK);
    levels().filter(|level| level.ttl <= reach).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rung_within_reach_is_taken() {
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
    fn every_rung_is_one_hop_from_its_own_wait() {
        for step in levels() {
            assert_eq!(level(step.ttl), Some(step));
        }
    }

    #[test]
    fn rungs_rise_and_are_named_as_people_write_them() {
        assert!(LEVELS.is_sorted_by(|lower, higher| lower.0 < higher.0));
        for step in levels() {
            assert_eq!(crate::time::duration::parse(step.label), Ok(step.ttl));
        }
    }
}
