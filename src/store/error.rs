//! Errors of the database, sorted by what the caller should do next. The errors of the drivers are translated here, once, by the table of
//! faults.

use diesel::result::{DatabaseErrorKind, Error as Driver};
use diesel_async::pooled_connection::{PoolError as Setup, deadpool::PoolError};

use crate::fault::{self, Class, DatabaseAnswer, DatabaseFault};

/// An error of the database, by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached: wait until it is back.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Contention (deadlock, lock timeout, no free connection): retry soon.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// Another commit moved the instance: load it and decide again, at once.
    #[error("the instance was changed by another commit")]
    Conflict,
    /// The row does not exist: refuse.
    #[error("{0} was not found")]
    NotFound(String),
    /// A row with this unique value already exists. Holds the name of the constraint.
    #[error("it already exists ({0})")]
    Duplicate(String),
    /// The database refused the commit, so nothing of the transaction is written: a deferred constraint failed.
    #[error("the commit was refused: {message}")]
    Rejected {
        /// The kind of the error, as in `database.<kind>`.
        kind: &'static str,
        /// The message of the database.
        message: String,
    },
    /// Retrying does not help: dead-letter and report.
    #[error("{0}")]
    Bug(String),
}

/// The error of a query in a handler: the end of its code (`database.<kind>`) and a message.
pub fn describe(error: &Driver) -> (&'static str, String) {
    let kind = match error {
        Driver::DatabaseError(kind, info) => fault_of(kind, info.message()).kind,
        Driver::NotFound => "not_found",
        Driver::BrokenTransactionManager | Driver::RollbackErrorOnCommit { .. } => "connection",
        _ => "client",
    };
    (kind, error.to_string())
}

/// The line of an error in the table of faults: by its SQLSTATE where diesel gives it as a kind, else by its message.
fn fault_of(kind: &DatabaseErrorKind, message: &str) -> &'static DatabaseFault {
    fault::of_state(match kind {
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => "23503",
        DatabaseErrorKind::NotNullViolation => "23502",
        DatabaseErrorKind::CheckViolation => "23514",
        DatabaseErrorKind::ExclusionViolation => "23P01",
        DatabaseErrorKind::SerializationFailure => "40001",
        // After a failover the connection is to a standby.
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => "08006",
        _ => return fault::of_message(message),
    })
}

/// The constraint of business keys.
pub(super) const INSTANCES_KEY: &str = "instances_key";

impl Error {
    /// Whether a live instance of the definition already has the business key.
    pub fn is_key_taken(&self) -> bool {
        matches!(self, Error::Duplicate(constraint) if constraint == INSTANCES_KEY)
    }
}

impl Error {
    /// Whether the statement timeout of the database expired.
    pub fn is_slow(&self) -> bool {
        matches!(self, Error::Busy(message) if fault::of_message(message).kind == "timeout")
    }

    /// Its class, which says how a command or a role recovers.
    pub fn class(&self) -> Class {
        match self {
            Error::Unavailable(_) => Class::Transient,
            // A statement that took too long, or no room in the server, does not conflict with another; our own words have no line.
            Error::Busy(message) => {
                Some(fault::of_message(message).class).filter(|class| class.is_retried()).unwrap_or(Class::Conflict)
            }
            // Nothing is written, and the same command may be taken again; callers bound how often.
            Error::Conflict | Error::Rejected { .. } => Class::Conflict,
            Error::NotFound(_) => Class::Business,
            // A business key that is taken is handled where it can happen.
            Error::Duplicate(_) | Error::Bug(_) => Class::Bug,
        }
    }
}

/// What a failed commit means. What the server refused is not written; without an answer the outcome is unknown.
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
            Driver::DatabaseError(kind, info) => classify(&kind, info.message(), info.constraint_name()),
            Driver::RollbackErrorOnCommit { commit_error, .. } => Error::Unavailable(commit_error.to_string()),
            Driver::BrokenTransactionManager => Error::Unavailable("the connection broke inside a transaction".into()),
            other => Error::Bug(other.to_string()),
        }
    }
}

fn classify(kind: &DatabaseErrorKind, message: &str, constraint: Option<&str>) -> Error {
    match fault_of(kind, message).answer {
        DatabaseAnswer::Wait => Error::Unavailable(message.to_owned()),
        DatabaseAnswer::Again => Error::Busy(message.to_owned()),
        DatabaseAnswer::Exists => Error::Duplicate(constraint.unwrap_or_default().to_owned()),
        DatabaseAnswer::Report => Error::Bug(message.to_owned()),
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(deadpool::managed::TimeoutType::Wait) => {
                Error::Busy("every connection of the pool is in use".into())
            }
            PoolError::Backend(Setup::QueryError(error)) => error.into(),
            PoolError::Backend(Setup::ConnectionError(error)) => error.into(),
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
    use crate::definition::codes;

    fn by_message(message: &str) -> Error {
        classify(&DatabaseErrorKind::Unknown, message, None)
    }

    #[test]
    fn contention_is_busy() {
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
    fn a_server_shutdown_is_unavailable() {
        for message in [
            "terminating connection due to administrator command",
            "the database system is shutting down",
            "sorry, too many clients already",
        ] {
            assert!(matches!(by_message(message), Error::Unavailable(_)), "{message}");
        }
    }

    /// Its connection ends with each of them. In place of the answer to a commit they tell nothing of its outcome.
    #[test]
    fn what_a_pooler_says_of_its_server_is_unavailable() {
        for message in [
            "server conn crashed?",
            "query_wait_timeout",
            "server login has been failing, try again later (server_login_retry)",
            "server login has been failing, cached error: database \"x\" does not exist (server_login_retry)",
            "prepared statement \"s7\" does not exist",
            "prepared statement \"s7\" already exists",
        ] {
            assert!(matches!(by_message(message), Error::Unavailable(_)), "{message}");
            let info: Box<dyn diesel::result::DatabaseErrorInformation + Send + Sync> = Box::new(message.to_owned());
            let failed = at_commit(Driver::DatabaseError(DatabaseErrorKind::Unknown, info));
            assert!(matches!(failed, Error::Unavailable(_)), "{failed:?}");
        }
    }

    #[test]
    fn a_permanent_error_is_a_bug() {
        for message in [
            "relation \"leveret.instances\" does not exist",
            "unsupported Unicode escape sequence",
            "current transaction is aborted, commands ignored until end of transaction block",
        ] {
            assert!(matches!(by_message(message), Error::Bug(_)), "{message}");
        }
    }

    #[test]
    fn a_handler_s_error_that_can_pass_by_itself_is_transient_and_no_other() {
        let unknown = |message: &str| fault_of(&DatabaseErrorKind::Unknown, message).kind;
        let transient = |kind: &str| codes::is_retried(&format!("database.{kind}"));
        for message in [
            "deadlock detected",
            "canceling statement due to lock timeout",
            "could not obtain lock on row in relation \"orders\"",
            "canceling statement due to statement timeout",
            "canceling statement due to user request",
            "terminating connection due to administrator command",
            "out of shared memory",
            "could not extend file \"base/1/2\": No space left on device",
        ] {
            assert!(transient(unknown(message)), "{message}");
        }
        for kind in [
            DatabaseErrorKind::SerializationFailure,
            DatabaseErrorKind::ReadOnlyTransaction,
            DatabaseErrorKind::UnableToSendCommand,
        ] {
            assert!(transient(fault_of(&kind, "").kind), "{kind:?}");
        }
        for message in [
            "relation \"orders\" does not exist",
            "division by zero",
            "permission denied for table orders",
            "the order waits for a lock timeout",
            "current transaction is aborted, commands ignored until end of transaction block",
        ] {
            assert_eq!(unknown(message), "error", "{message}");
        }
        for kind in [
            DatabaseErrorKind::UniqueViolation,
            DatabaseErrorKind::ForeignKeyViolation,
            DatabaseErrorKind::NotNullViolation,
            DatabaseErrorKind::CheckViolation,
            DatabaseErrorKind::ExclusionViolation,
        ] {
            assert!(!transient(fault_of(&kind, "deadlock detected").kind), "{kind:?}");
        }
        assert!(!["error", "not_found", "client", "aborted"].into_iter().any(transient));
    }

    #[test]
    fn a_statement_timeout_is_recognised_by_its_message() {
        assert!(by_message("canceling statement due to statement timeout").is_slow());
        assert!(!by_message("canceling statement due to lock timeout").is_slow());
    }

    #[test]
    fn a_taken_key_is_recognised_by_its_constraint() {
        assert!(classify(&DatabaseErrorKind::UniqueViolation, "", Some(INSTANCES_KEY)).is_key_taken());
        assert!(!classify(&DatabaseErrorKind::UniqueViolation, "", Some("instances_pkey")).is_key_taken());
    }

    #[test]
    fn an_error_has_the_class_of_its_line() {
        for (error, class) in [
            (by_message("deadlock detected"), Class::Conflict),
            (by_message("canceling statement due to statement timeout"), Class::Transient),
            (by_message("out of shared memory"), Class::Transient),
            (by_message("the database system is starting up"), Class::Transient),
            (by_message("Verklemmung (Deadlock) entdeckt"), Class::Conflict),
            (by_message("relation \"orders\" does not exist"), Class::Bug),
            (Error::Busy("the definition is being changed".into()), Class::Conflict),
            (Error::NotFound("the row".into()), Class::Business),
            (classify(&DatabaseErrorKind::UniqueViolation, "", None), Class::Bug),
        ] {
            assert_eq!(error.class(), class, "{error:?}");
        }
    }
}
