//! What can go wrong with the database, as an answer to "what now?". Drivers' errors are translated here, once.

use diesel::result::{DatabaseErrorKind, Error as Driver};
use diesel_async::pooled_connection::{PoolError as Setup, deadpool::PoolError};

/// What now?
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away: wait until it is back.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Somebody was in the way (deadlock, lock timeout, no free connection): try again soon.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// Somebody else moved the instance: load it again and decide again, now.
    #[error("the instance was moved by somebody else")]
    Conflict,
    /// It is not there: refuse.
    #[error("{0} was not found")]
    NotFound(String),
    /// A unique rule, named here by its constraint, says it is there already.
    #[error("it is there already ({0})")]
    Duplicate(String),
    /// The database refused the commit, so nothing of the transaction happened: a rule was broken that is looked at only then.
    #[error("the commit was refused: {message}")]
    Rejected {
        /// As in `database.<kind>`.
        kind: &'static str,
        /// The rule.
        message: String,
    },
    /// Trying again will not help: dead-letter and shout.
    #[error("{0}")]
    Bug(String),
}

/// A query's error in a handler, as the end of a code (`database.<kind>`) and a sentence.
pub fn describe(error: &Driver) -> (&'static str, String) {
    let kind = match error {
        Driver::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => "unique",
        Driver::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => "foreign_key",
        Driver::DatabaseError(DatabaseErrorKind::NotNullViolation, _) => "not_null",
        Driver::DatabaseError(DatabaseErrorKind::CheckViolation, _) => "check",
        Driver::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => "serialization",
        Driver::DatabaseError(_, info) if info.message().contains("deadlock") => "deadlock",
        Driver::DatabaseError(_, info) if info.message().contains("timeout") => "timeout",
        Driver::DatabaseError(_, _) => "error",
        Driver::NotFound => "not_found",
        _ => "client",
    };
    (kind, error.to_string())
}

/// The rule behind a business key.
pub(super) const INSTANCES_KEY: &str = "instances_key";

impl Error {
    /// Whether a live instance of the definition has the business key already.
    pub fn is_key_taken(&self) -> bool {
        matches!(self, Error::Duplicate(constraint) if constraint == INSTANCES_KEY)
    }
}

impl Error {
    /// Whether the database took longer over a statement than it may.
    pub fn is_slow(&self) -> bool {
        matches!(self, Error::Busy(message) if message.contains("statement timeout"))
    }
}

/// What a failed commit means. What the server refused has not happened; of a lost answer nobody can tell.
pub(super) fn at_commit(error: Driver) -> Error {
    let (kind, message) = describe(&error);
    match Error::from(error) {
        Error::Busy(_) | Error::Duplicate(_) | Error::Bug(_) => Error::Rejected { kind, message },
        other @ (Error::Unavailable(_) | Error::Conflict | Error::NotFound(_) | Error::Rejected { .. }) => other,
    }
}

impl From<Driver> for Error {
    fn from(error: Driver) -> Self {
        match error {
            Driver::NotFound => Error::NotFound("the row".into()),
            Driver::DatabaseError(kind, info) => classify(kind, info.message(), info.constraint_name()),
            Driver::RollbackErrorOnCommit { commit_error, .. } => Error::Unavailable(commit_error.to_string()),
            Driver::BrokenTransactionManager => Error::Unavailable("the connection broke inside a transaction".into()),
            other => Error::Bug(other.to_string()),
        }
    }
}

fn classify(kind: DatabaseErrorKind, message: &str, constraint: Option<&str>) -> Error {
    match kind {
        DatabaseErrorKind::UniqueViolation => Error::Duplicate(constraint.unwrap_or_default().to_owned()),
        DatabaseErrorKind::SerializationFailure => Error::Busy(message.to_owned()),
        // A failover left us with a standby.
        DatabaseErrorKind::ReadOnlyTransaction
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ClosedConnection => Error::Unavailable(message.to_owned()),
        DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation => Error::Bug(message.to_owned()),
        _ => by_message(message),
    }
}

// SQLSTATE does not come through diesel-async, so the rest is told by PostgreSQL's English words. What is not
// recognised (a server that speaks another language, say) is tried again: callers bound how often.
fn by_message(message: &str) -> Error {
    const AWAY: [&str; 9] = [
        "terminating connection",
        "the database system is",
        "too many clients",
        "remaining connection slots",
        "read-only",
        "No space left",
        "could not extend file",
        "could not write",
        "connection",
    ];
    const HOPELESS: [&str; 11] = [
        "does not exist",
        "syntax error",
        "invalid input syntax",
        "invalid byte sequence",
        "unsupported Unicode escape",
        "violates",
        "out of range",
        "too long",
        "permission denied",
        "append-only",
        "current transaction is aborted",
    ];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&HOPELESS) {
        Error::Bug(message.to_owned())
    } else if says(&AWAY) {
        Error::Unavailable(message.to_owned())
    } else {
        Error::Busy(message.to_owned())
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(deadpool::managed::TimeoutType::Wait) => {
                Error::Busy("every connection of the pool is in use".into())
            }
            PoolError::Backend(Setup::QueryError(error)) => error.into(),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

impl From<diesel::ConnectionError> for Error {
    fn from(error: diesel::ConnectionError) -> Self {
        Error::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_busy() {
        for message in [
            "deadlock detected",
            "canceling statement due to lock timeout",
            "canceling statement due to statement timeout",
            "Verklemmung (Deadlock) entdeckt",
        ] {
            assert!(matches!(by_message(message), Error::Busy(_)), "{message}");
        }
    }

    #[test]
    fn a_server_that_stops_is_unavailable() {
        for message in [
            "terminating connection due to administrator command",
            "the database system is shutting down",
            "sorry, too many clients already",
        ] {
            assert!(matches!(by_message(message), Error::Unavailable(_)), "{message}");
        }
    }

    #[test]
    fn what_can_never_work_is_a_bug() {
        for message in [
            "relation \"leveret.instances\" does not exist",
            "unsupported Unicode escape sequence",
            "current transaction is aborted, commands ignored until end of transaction block",
        ] {
            assert!(matches!(by_message(message), Error::Bug(_)), "{message}");
        }
    }

    #[test]
    fn a_slow_statement_is_known_by_its_words() {
        assert!(by_message("canceling statement due to statement timeout").is_slow());
        assert!(!by_message("canceling statement due to lock timeout").is_slow());
    }

    #[test]
    fn a_taken_key_is_known_by_its_constraint() {
        assert!(classify(DatabaseErrorKind::UniqueViolation, "", Some(INSTANCES_KEY)).is_key_taken());
        assert!(!classify(DatabaseErrorKind::UniqueViolation, "", Some("instances_pkey")).is_key_taken());
    }
}
