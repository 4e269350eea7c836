//! The problems of a document, collected so that an author sees all of them at once.

use std::collections::HashSet;

use crate::text::nearest;

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: Severity,
    /// The path in the document: `activities[2].next`.
    pub path: String,
    /// The line, counted from 1; 0 if unknown.
    pub line: usize,
    /// The column, counted from 1; 0 if unknown.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
}

/// Whether a problem refuses the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted, but the author may have meant something else.
    Warning,
}

impl Problem {
    /// A problem of the whole document.
    pub(crate) fn whole(message: String) -> Self {
        Problem { severity: Severity::Error, path: String::new(), line: 0, column: 0, message, hint: None }
    }
}

/// Problems reported at most.
pub(crate) const PROBLEMS_MAX: usize = 1_000;
/// After this many problems no similar names are searched: each search goes through all names.
const GUESSES_MAX: usize = 200;

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    errors: usize,
}

/// The place of a problem in a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Problems {
    /// Adds a problem that refuses the document.
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.errors += 1;
        self.add(Severity::Error, place, message.into(), hint);
    }

    /// Adds a problem that does not refuse the document.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Warning, place, message.into(), hint);
    }

    fn add(&mut self, severity: Severity, place: Place, message: String, hint: Option<String>) {
        if self.list.len() < PROBLEMS_MAX {
            let Place { path, line, column } = place;
            self.list.push(Problem { severity, path, line, column, message, hint });
        }
    }

    /// Adds what a later check has found, except in values that are refused already: one mistake is told once.
    pub(crate) fn extend_elsewhere(&mut self, later: Problems) {
        let refused: HashSet<String> = self
            .list
            .iter()
            .filter(|known| known.severity == Severity::Error)
            .map(|known| known.path.clone())
            .collect();
        for Problem { severity, path, line, column, message, hint } in later.list {
            if refused.contains(&path) {
                continue;
            }
            let place = Place { path, line, column };
            match severity {
                Severity::Error => self.error(place, message, hint),
                Severity::Warning => self.warning(place, message, hint),
            }
        }
    }

    /// The name that was probably meant, if one is similar.
    pub(crate) fn nearest<'n>(&self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        if self.list.len() < GUESSES_MAX { nearest(written, names) } else { None }
    }

    /// `did you mean …?`, if a name is similar.
    pub(crate) fn did_you_mean<'n>(&self, written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        self.nearest(written, names).map(|name| format!("did you mean `{name}`?"))
    }

    /// Whether a problem refuses the document.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All problems, in the order of the document.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| (problem.line, problem.column));
        self.list
    }
}
