//! Pages of lists whose rows have contents that strangers chose: a page ends where they would take too much memory.

/// Bytes that the contents of one page take as JSON. In memory a value takes up to sixteen times as much.
pub(super) const PAGE_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// As many rows as fit into one page.
#[derive(Debug)]
pub struct Fitting<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// The number of rows of a full page: as many as were asked for, or as fit. If there are as many, others may follow.
    pub full: i64,
}

/// What identifies the rows that fit, of those with these sizes; the first always does.
pub(super) fn fitting<K>(found: Vec<(K, i32)>, limit: i64) -> Fitting<K> {
    let count = found.len();
    let mut left = PAGE_BYTES_MAX;
    let fits = |bytes: i32| {
        let is_first = left == PAGE_BYTES_MAX;
        left -= i64::from(bytes).max(1);
        is_first || left >= 0
    };
    let rows: Vec<K> = found.into_iter().scan(fits, |fits, (key, bytes)| fits(bytes).then_some(key)).collect();
    let full = if rows.len() < count { i64::try_from(rows.len()).unwrap_or(limit) } else { limit };
    Fitting { rows, full }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(sizes: &[i32], limit: i64) -> (usize, i64) {
        let fitting = fitting(sizes.iter().map(|bytes| ((), *bytes)).collect(), limit);
        (fitting.rows.len(), fitting.full)
    }

    #[test]
    fn a_page_ends_where_its_contents_would_take_too_much_and_has_one_row_at_least() {
        let max = i32::try_from(PAGE_BYTES_MAX).unwrap();
        assert_eq!(fit(&[], 10), (0, 10));
        assert_eq!(fit(&[1, 2, 3], 10), (3, 10));
        assert_eq!(fit(&[1, 2, 3], 3), (3, 3));
        assert_eq!(fit(&[max - 2, 2, 1], 3), (2, 2));
        assert_eq!(fit(&[max - 2, 3], 10), (1, 1), "others follow");
        assert_eq!(fit(&[i32::MAX, 1], 10), (1, 1));
    }
}
