//! Collects what is wrong, so that an author hears of everything at once.

use super::{Problem, Severity};

/// More problems than this are not listed.
pub(super) const PROBLEMS_MAX: usize = 1_000;
/// Beyond so many problems nobody looks for what was meant: it is a search through all names.
const GUESSES_MAX: usize = 200;

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    errors: usize,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Problems {
    /// Notes something a document is refused for.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.errors += 1;
        self.add(Severity::Error, place, message.into(), hint);
    }

    /// Notes something the author may not have meant.
    pub(super) fn warning(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Warning, place, message.into(), hint);
    }

    fn add(&mut self, severity: Severity, place: Place, message: String, hint: Option<String>) {
        if self.list.len() < PROBLEMS_MAX {
            let Place { path, line, column } = place;
            self.list.push(Problem { severity, path, line, column, message, hint });
        }
    }

    /// The name that was probably meant, if one is close.
    pub(super) fn nearest<'n>(&self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        if self.list.len() < GUESSES_MAX { nearest(written, names) } else { None }
    }

    /// `did you mean …?`, if a name is close.
    pub(super) fn did_you_mean<'n>(&self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        self.nearest(written, names).map(|name| format!("did you mean `{name}`?"))
    }

    /// Whether the document is refused.
    pub(super) fn refuse(&self) -> bool {
        self.errors > 0
    }

    /// All of them, in the order of the document.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| (problem.line, problem.column));
        self.list
    }
}

/// The closest name: close enough for a slip of the finger.
pub(super) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const LENGTH_MAX: usize = 64;
    const NAMES_MAX: usize = 1_000;
    if written.len() > LENGTH_MAX {
        return None;
    }
    let slips_max = (written.chars().count() / 3).max(1);
    names
        .into_iter()
        .take(NAMES_MAX)
        .filter(|name| name.len() <= LENGTH_MAX && name.len().abs_diff(written.len()) <= 4 * slips_max)
        .map(|name| (strsim::osa_distance(written, name), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_different_word_is_not() {
        assert_eq!(nearest("ouptut", ["input", "output", "next"]), Some("output"));
        assert_eq!(nearest("banana", ["input", "output", "next"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), ["input"]), None);
    }
}
