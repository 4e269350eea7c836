//! A figure over time, and whether it grows.

use std::fmt;
use std::time::Duration;

/// The part of the time that does not count: caches and tables fill.
pub(super) const WARM_UP: f64 = 0.25;
/// A growth below this share of the mean is none.
const SHARE_MAX: f64 = 0.05;
/// Fewer samples say nothing.
const SAMPLES_MIN: usize = 10;

/// Samples of one figure.
pub(super) struct Series {
    name: &'static str,
    unit: &'static str,
    /// Seconds since the beginning, and the value.
    samples: Vec<(f64, f64)>,
}

/// The straight line through the samples after the warm-up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trend {
    name: &'static str,
    unit: &'static str,
    mean: f64,
    least: f64,
    most: f64,
    /// Growth over the time after the warm-up.
    growth: f64,
    /// Twice its standard error.
    noise: f64,
}

impl Series {
    /// Those that a soak watches.
    pub(super) fn all() -> Vec<Self> {
        let named = [
            ("memory of the worker that is not killed", "MB"),
            ("its open files and connections", ""),
            ("connections to PostgreSQL", ""),
            ("tables and indexes", "MB"),
        ];
        named.into_iter().map(|(name, unit)| Self { name, unit, samples: Vec::new() }).collect()
    }

    pub(super) fn add(&mut self, at: f64, value: f64) {
        self.samples.push((at, value));
    }

    /// None if there are too few samples.
    pub(super) fn trend(&self, time: Duration) -> Option<Trend> {
        let from = time.as_secs_f64() * WARM_UP;
        let samples: Vec<(f64, f64)> = self.samples.iter().copied().filter(|(at, _)| *at >= from).collect();
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let count = samples.len() as f64;
        let mean_at = samples.iter().map(|(at, _)| at).sum::<f64>() / count;
        let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
        let spread = samples.iter().map(|(at, _)| (at - mean_at).powi(2)).sum::<f64>();
        let slope = samples.iter().map(|(at, value)| (at - mean_at) * (value - mean)).sum::<f64>() / spread;
        let off = |(at, value): &(f64, f64)| (value - mean - slope * (at - mean_at)).powi(2);
        let error = (samples.iter().map(off).sum::<f64>() / (count - 2.0) / spread).sqrt();
        let span = samples.last()?.0 - samples.first()?.0;
        Some(Trend {
            name: self.name,
            unit: self.unit,
            mean,
            least: samples.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min),
            most: samples.iter().map(|(_, value)| *value).fold(0.0, f64::max),
            growth: slope * span,
            noise: 2.0 * error * span,
        })
    }
}

impl Trend {
    /// Whether the growth is within the noise, or too small to matter.
    pub(super) fn is_flat(&self) -> bool {
        self.growth <= self.noise.max(self.mean * SHARE_MAX)
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, mean, least, most, growth, noise } = self;
        let blank = if unit.is_empty() { "" } else { " " };
        write!(
            f,
            "{name}: {mean:.1}{blank}{unit} ({least:.1} to {most:.1}), growth {growth:+.1} ± {noise:.1}{blank}{unit}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(value: impl Fn(f64) -> f64) -> Trend {
        let mut series = Series { name: "x", unit: "MB", samples: Vec::new() };
        (0..200).map(f64::from).for_each(|at| series.add(at, value(at)));
        series.trend(Duration::from_secs(200)).unwrap()
    }

    #[test]
    fn what_grows_is_told_from_what_moves() {
        assert!(trend(|_| 100.0).is_flat());
        assert!(trend(|at| 100.0 + 20.0 * (at * 0.7).sin()).is_flat());
        let grows = trend(|at| 100.0 + at * 0.2 + 3.0 * (at * 0.7).sin());
        assert!(!grows.is_flat(), "{grows}");
        assert!((grows.growth - 30.0).abs() < 2.0, "{grows}");
        assert!(trend(|at| 100.0 - at * 0.2).is_flat(), "what shrinks does no harm");
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut series = Series { name: "x", unit: "", samples: Vec::new() };
        (0..9).map(f64::from).for_each(|at| series.add(100.0 + at, 1.0));
        assert_eq!(series.trend(Duration::from_secs(110)), None);
    }
}
