//! Which tables grow.

use std::time::Duration;

use super::series::WARM_UP;
use crate::store::bench::soak::TableSize;

/// Tables that are named.
const NAMED: usize = 4;
/// A smaller growth of one table is not worth a word, in megabytes.
const GROWTH_MIN: f64 = 0.1;

/// The sizes of tables after the warm-up and at the end.
#[derive(Debug, Default)]
pub(super) struct Growth {
    time: Duration,
    first: Option<Vec<TableSize>>,
    last: Vec<TableSize>,
}

impl Growth {
    /// Of a soak that takes this time.
    pub(super) fn over(time: Duration) -> Self {
        Self { time, ..Self::default() }
    }

    pub(super) fn add(&mut self, at: Duration, tables: Vec<TableSize>) {
        if at >= self.time.mul_f64(WARM_UP) {
            self.first.get_or_insert_with(|| tables.clone());
        }
        self.last = tables;
    }

    /// Those that have grown most, with what they have grown by.
    pub(super) fn told(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let before = |name: &str| first.iter().find(|table| table.name == name).map_or(0.0, |table| table.mb);
        let mut grown: Vec<(&str, f64)> =
            self.last.iter().map(|table| (table.name.as_str(), table.mb - before(&table.name))).collect();
        grown.sort_by(|one, other| other.1.total_cmp(&one.1));
        let named = grown.iter().filter(|(_, mb)| *mb >= GROWTH_MIN).take(NAMED);
        let named: Vec<String> = named.map(|(name, mb)| format!("{name} {mb:+.1} MB")).collect();
        (!named.is_empty()).then(|| format!("tables that have grown since the warm-up: {}", named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_that_have_grown_most_are_named_first() {
        let sizes =
            |all: &[(&str, f64)]| all.iter().map(|(name, mb)| TableSize { name: (*name).into(), mb: *mb }).collect();
        let mut growth = Growth::over(Duration::from_secs(100));
        growth.add(Duration::from_secs(10), sizes(&[("a", 0.0), ("b", 0.0)]));
        growth.add(Duration::from_secs(30), sizes(&[("a", 5.0), ("b", 1.0)]));
        assert_eq!(growth.told(), None);
        growth.add(Duration::from_secs(90), sizes(&[("a", 5.05), ("b", 2.0), ("c", 3.0)]));
        assert_eq!(growth.told().as_deref(), Some("tables that have grown since the warm-up: c +3.0 MB, b +1.0 MB"));
    }
}
