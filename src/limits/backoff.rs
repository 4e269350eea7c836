//! Exponential backoff: the delay before the next attempt.

use std::time::Duration;

/// The delay before attempt `attempt + 1`, after `attempt` attempts (counted from 1) have failed:
/// `base · factor^(attempt − 1)`, at most `max`, shortened by the share `jitter · chance` of itself.
///
/// `chance` is a number from 0 (included) to 1 (excluded); the same chance gives the same delay.
pub fn next_delay(base: Duration, max: Duration, factor: f64, jitter: f64, attempt: u32, chance: f64) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = base.as_secs_f64() * factor.max(1.0).powi(exponent);
    let bounded = grown.min(max.as_secs_f64()).max(0.0);
    let kept = 1.0 - jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
    Duration::from_micros((bounded * kept * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(2);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn delays_double_up_to_their_bound() {
        let delays: Vec<u64> = (1..=6).map(|attempt| next_delay(BASE, MAX, 2.0, 0.0, attempt, 0.5).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 30, 30]);
        assert_eq!(next_delay(BASE, MAX, 2.0, 0.0, u32::MAX, 0.5), MAX);
    }

    #[test]
    fn jitter_only_shortens_a_delay() {
        assert_eq!(next_delay(BASE, MAX, 2.0, 0.5, 1, 0.0), BASE);
        assert_eq!(next_delay(BASE, MAX, 2.0, 1.0, 1, 0.5), Duration::from_secs(1));
    }
}
