//! What the errors of a pooler have taught: all pools of a process reach the same one.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::Error as Driver;

use crate::fault::STATEMENT_NAME;

/// What can be learned from refusals: that it takes no options, and that it loses names.
pub(super) const LESSONS_MAX: usize = 2;

#[derive(Debug, Default)]
pub(in crate::store) struct Pooler {
    /// It has refused start-up options.
    refuses_options: AtomicBool,
    /// It does not keep the names of prepared statements.
    loses_names: AtomicBool,
}

impl Pooler {
    pub(super) fn refuses_options(&self) -> bool {
        self.refuses_options.load(Ordering::Relaxed)
    }

    pub(super) fn loses_names(&self) -> bool {
        self.loses_names.load(Ordering::Relaxed)
    }

    pub(super) fn note_lost_names(&self) {
        self.loses_names.store(true, Ordering::Relaxed);
    }

    /// Whether the next attempt to connect may succeed because of what the error says.
    pub(super) fn learns(&self, error: &str) -> bool {
        // As PgBouncer says it, unless `ignore_startup_parameters` lists them.
        if error.contains("unsupported startup parameter") {
            self.refuses_options.store(true, Ordering::Relaxed);
            return true;
        }
        // Another client has left it on the server.
        let is_about_a_name = error.contains(STATEMENT_NAME);
        if is_about_a_name {
            self.note_lost_names();
        }
        is_about_a_name
    }
}

/// Whether a name of a prepared statement is missing or taken, as happens if a pooler gives each transaction another server.
pub(in crate::store) fn is_about_a_name(error: &Driver) -> bool {
    matches!(error, Driver::DatabaseError(_, info) if info.message().starts_with(STATEMENT_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_a_pooler_refuses_and_nothing_from_other_errors() {
        let pooler = Pooler::default();
        assert!(!pooler.learns("password authentication failed"));
        assert!(!pooler.refuses_options() && !pooler.loses_names());
        assert!(pooler.learns("FATAL: unsupported startup parameter: options"));
        assert!(pooler.refuses_options() && !pooler.loses_names());
        assert!(pooler.learns("ERROR: prepared statement \"s1\" already exists"));
        assert!(pooler.loses_names());
    }
}
