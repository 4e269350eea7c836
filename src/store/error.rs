//! Errors of the database, sorted by what the caller should do next. The errors of the drivers are translated here, once.

use diesel::result::{DatabaseErrorKind, Error as Driver};
use diesel_async::pooled_connection::{PoolError as Setup, deadpool::PoolError};

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
        Driver::DatabaseError(kind, info) => kind_of(kind, info.message()),
        Driver::NotFound => "not_found",
        Driver::BrokenTransactionManager | Driver::RollbackErrorOnCommit { .. } => "connection",
        _ => "client",
    };
    (kind, error.to_string())
}

fn kind_of(kind: &DatabaseErrorKind, message: &str) -> &'static str {
    match kind {
        DatabaseErrorKind::UniqueViolation => "unique",
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => "foreign_key",
        DatabaseErrorKind::NotNullViolation => "not_null",
        DatabaseErrorKind::CheckViolation => "check",
        DatabaseErrorKind::ExclusionViolation => "exclusion",
        DatabaseErrorKind::SerializationFailure => "serialization",
        DatabaseErrorKind::ReadOnlyTransaction => "read_only",
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => "connection",
        // diesel-async does not give the SQLSTATE. The words are those of PostgreSQL and at the beginning, so that the
        // text of somebody's trigger is not taken for one of them.
        _ => KINDS
            .iter()
            .find(|(_, beginnings)| beginnings.iter().any(|beginning| message.starts_with(beginning)))
            .map_or("error", |(kind, _)| kind),
    }
}

/// How errors about the name of a prepared statement begin: behind a pooler it may be missing, or taken.
pub(super) const STATEMENT_NAME: &str = "prepared statement \"";

/// Errors that can pass by themselves, by the beginning of their message. `doctor` reports a server whose messages are not
/// in English.
const KINDS: [(&str, &[&str]); 6] = [
    ("deadlock", &["deadlock detected"]),
    ("lock", &["canceling statement due to lock timeout", "could not obtain lock on"]),
    ("timeout", &["canceling statement due to statement timeout"]),
    ("cancelled", &["canceling statement due to user request", "canceling statement due to conflict with recovery"]),
    (
        "connection",
        &[
            "terminating connection",
            "the database system is",
            "canceling authentication",
            "could not receive data",
            STATEMENT_NAME,
            "server conn crashed",
            "server login",
            "query_wait_timeout",
            "query timeout",
            "idle transaction timeout",
        ],
    ),
    (
        "resources",
        &[
            "out of memory",
            "out of shared memory",
            "sorry, too many clients already",
            "too many connections for",
            "remaining connection slots",
            "could not extend file",
            "could not write",
            "could not resize shared memory segment",
            "temporary file size exceeds",
        ],
    ),
];

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
        matches!(self, Error::Busy(message) if message.contains("statement timeout"))
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
        // After a failover the connection is to a standby.
        DatabaseErrorKind::ReadOnlyTransaction
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ClosedConnection => Error::Unavailable(message.to_owned()),
        DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation => Error::Bug(message.to_owned()),
        _ => by_message(message),
    }
}

// diesel-async does not give the SQLSTATE, so the rest is recognised by PostgreSQL's English messages. Other messages
// (of a server with another language, say) are retried; callers bound how often.
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
    // What PgBouncer says of its server, or of its own end; also in place of the answer to a commit. And the name of a prepared
    // statement that is another server's: the connection is replaced.
    const POOLER: [&str; 9] = [
        STATEMENT_NAME,
        "server conn crashed",
        "server login",
        "server shutting down",
        "pooler is shutting down",
        "query_wait_timeout",
        "query timeout",
        "idle transaction timeout",
        "client_login_timeout",
    ];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if POOLER.iter().any(|words| message.starts_with(words)) {
        Error::Unavailable(message.to_owned())
    } else if says(&HOPELESS) {
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
        let unknown = |message: &str| kind_of(&DatabaseErrorKind::Unknown, message);
        let transient = |kind: &str| codes::is_transient(&format!("database.{kind}"));
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
            assert!(transient(kind_of(&kind, "")), "{kind:?}");
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
            assert!(!transient(kind_of(&kind, "deadlock detected")), "{kind:?}");
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
        assert!(classify(DatabaseErrorKind::UniqueViolation, "", Some(INSTANCES_KEY)).is_key_taken());
        assert!(!classify(DatabaseErrorKind::UniqueViolation, "", Some("instances_pkey")).is_key_taken());
    }
}
