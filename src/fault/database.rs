//! The errors of PostgreSQL, and of PgBouncer in between, by SQLSTATE: what they are for a handler, and for Leveret's own statements.
//!
//! diesel-async gives the SQLSTATE of a few errors only. The others are recognised by how their message begins: the words are those of
//! PostgreSQL, in English (`doctor` reports a server that speaks otherwise), and at the beginning, so that the text of somebody's
//! trigger is not taken for one of them.

use super::Class;

/// What Leveret does when its own statement fails so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseAnswer {
    /// Wait until the database is back: the connection is lost, or does not take writes.
    Wait,
    /// Try again after a pause; callers bound how often.
    Again,
    /// A row with this value exists: the caller knows what that means.
    Exists,
    /// Give up and report it.
    Report,
}

/// An error of the database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseFault {
    /// The SQLSTATE; empty for errors of any other.
    pub state: &'static str,
    /// What happened.
    pub cause: &'static str,
    /// The error of a handler or statement is `database.<kind>`.
    pub kind: &'static str,
    /// The class of that error.
    pub class: Class,
    /// What Leveret does when its own statement fails so.
    pub answer: DatabaseAnswer,
    /// How the message begins, in English.
    begins: &'static [&'static str],
    /// What the message contains; only for errors that are no particular kind.
    contains: &'static [&'static str],
    /// The file of a test that makes a server raise it, and the name of the test.
    pub proof: &'static str,
}

/// A line without words, for errors that have their SQLSTATE.
const PLAIN: DatabaseFault = DatabaseFault {
    state: "",
    cause: "",
    kind: "error",
    class: Class::Permanent,
    answer: DatabaseAnswer::Again,
    begins: &[],
    contains: &[],
    proof: "",
};

/// How errors about the name of a prepared statement begin: behind a pooler it may be missing, or taken.
pub(crate) const STATEMENT_NAME: &str = "prepared statement \"";

/// The first line that fits an error is its line; the last one fits every error.
pub const DATABASE: &[DatabaseFault] = &[
    DatabaseFault {
        state: "40001",
        cause: "a transaction could not be serialized, or a deferred trigger said so at the commit",
        kind: "serialization",
        class: Class::Conflict,
        begins: &["could not serialize access"],
        proof: "tests/it/faults/answers.rs a_serialization_failure_at_the_commit_is_retried_by_a_timer",
        ..PLAIN
    },
    DatabaseFault {
        state: "40P01",
        cause: "a deadlock; PostgreSQL has rolled back this side",
        kind: "deadlock",
        class: Class::Conflict,
        begins: &["deadlock detected"],
        proof: "tests/it/faults/answers.rs a_deadlock_is_a_conflict",
        ..PLAIN
    },
    DatabaseFault {
        state: "55P03",
        cause: "a lock was not free within `lock_timeout`, or at once with `NOWAIT`",
        kind: "lock",
        class: Class::Conflict,
        begins: &["canceling statement due to lock timeout", "could not obtain lock on"],
        proof: "tests/it/faults/answers.rs a_lock_that_is_not_free_is_a_conflict",
        ..PLAIN
    },
    DatabaseFault {
        state: "57014",
        cause: "a statement took longer than `statement_timeout`",
        kind: "timeout",
        class: Class::Transient,
        begins: &["canceling statement due to statement timeout"],
        proof: "tests/it/faults/answers.rs a_statement_that_is_stopped_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "57014",
        cause: "somebody cancelled the statement",
        kind: "cancelled",
        class: Class::Transient,
        begins: &["canceling statement due to user request", "canceling statement due to conflict with recovery"],
        proof: "tests/it/faults/answers.rs a_statement_that_is_stopped_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "57P01",
        cause: "an administrator ended the session, or stops the server; or a session was idle for too long (57P05, 25P03)",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["terminating connection due to"],
        proof: "tests/it/faults/answers.rs a_session_that_is_ended_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "57P02",
        cause: "another server process crashed, and all sessions end",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["terminating connection because of crash", "terminating connection"],
        proof: "tests/it/faults/answers.rs a_crash_of_another_session_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "57P03",
        cause: "the server starts, stops or recovers, and takes no sessions",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["the database system is"],
        proof: "tests/it/faults/answers.rs a_server_that_stops_takes_no_sessions",
        ..PLAIN
    },
    DatabaseFault {
        state: "08006",
        cause: "the connection was lost",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["could not receive data", "canceling authentication"],
        proof: "tests/it/availability/connections.rs a_connection_whose_loss_a_handler_returns_costs_no_attempt",
        ..PLAIN
    },
    DatabaseFault {
        state: "08P01",
        cause: "PgBouncer lost its server, waits for one, or stops",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &[
            "server conn crashed",
            "server login",
            "server shutting down",
            "pooler is shutting down",
            "query_wait_timeout",
            "query timeout",
            "idle transaction timeout",
            "client_login_timeout",
        ],
        proof: "src/store/error.rs what_a_pooler_says_of_its_server_is_unavailable",
        ..PLAIN
    },
    DatabaseFault {
        state: "26000",
        cause: "a prepared statement is another session's (26000), or its name is taken (42P05), behind a pooler",
        kind: "connection",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &[STATEMENT_NAME],
        proof: "tests/it/faults/answers.rs a_prepared_statement_that_is_missing_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "25006",
        cause: "the server takes no writes: it is a standby, or was made read-only",
        kind: "read_only",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["cannot execute"],
        proof: "tests/it/faults/answers.rs a_server_that_takes_no_writes_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "53300",
        cause: "the server, the database or the role has no connection left",
        kind: "resources",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["sorry, too many clients already", "too many connections for", "remaining connection slots"],
        proof: "tests/it/faults/answers.rs a_role_without_a_connection_left_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "53100",
        cause: "the disk is full",
        kind: "resources",
        class: Class::Transient,
        answer: DatabaseAnswer::Wait,
        begins: &["could not extend file", "could not write", "could not resize shared memory segment"],
        proof: "tests/it/faults/answers.rs a_full_disk_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "53200",
        cause: "the server has no memory left, or no room for locks",
        kind: "resources",
        class: Class::Transient,
        begins: &["out of memory", "out of shared memory"],
        proof: "tests/it/faults/answers.rs a_server_without_room_for_locks_is_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "53400",
        cause: "a statement needs more temporary space than `temp_file_limit`",
        kind: "resources",
        class: Class::Transient,
        begins: &["temporary file size exceeds"],
        proof: "tests/it/faults/answers.rs too_large_temporary_files_are_transient",
        ..PLAIN
    },
    DatabaseFault {
        state: "23505",
        cause: "a row with this value exists",
        kind: "unique",
        class: Class::Business,
        answer: DatabaseAnswer::Exists,
        proof: "tests/it/faults/answers.rs a_broken_constraint_is_an_answer_for_the_definition",
        ..PLAIN
    },
    DatabaseFault {
        state: "23503",
        cause: "a row is missing, or still needed (23001)",
        kind: "foreign_key",
        class: Class::Business,
        answer: DatabaseAnswer::Report,
        proof: "tests/it/faults/answers.rs a_broken_constraint_is_an_answer_for_the_definition",
        ..PLAIN
    },
    DatabaseFault {
        state: "23502",
        cause: "a column must not be null",
        kind: "not_null",
        class: Class::Business,
        answer: DatabaseAnswer::Report,
        proof: "tests/it/faults/answers.rs a_broken_constraint_is_an_answer_for_the_definition",
        ..PLAIN
    },
    DatabaseFault {
        state: "23514",
        cause: "a check does not hold",
        kind: "check",
        class: Class::Business,
        answer: DatabaseAnswer::Report,
        proof: "tests/it/faults/answers.rs a_broken_constraint_is_an_answer_for_the_definition",
        ..PLAIN
    },
    DatabaseFault {
        state: "23P01",
        cause: "a row excludes this one",
        kind: "exclusion",
        class: Class::Business,
        answer: DatabaseAnswer::Report,
        proof: "tests/it/faults/answers.rs a_broken_constraint_is_an_answer_for_the_definition",
        ..PLAIN
    },
    DatabaseFault {
        state: "42P01",
        cause: "something does not exist, is not allowed, or a statement or value is not valid (classes 22 and 42, 25P02)",
        answer: DatabaseAnswer::Report,
        contains: &[
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
        ],
        proof: "tests/it/faults/answers.rs a_wrong_statement_is_permanent",
        ..PLAIN
    },
    DatabaseFault {
        state: "08000",
        cause: "an error in other words that speaks of a connection, of a disk or of a server that takes no writes",
        answer: DatabaseAnswer::Wait,
        contains: &["connection", "too many clients", "read-only", "No space left"],
        proof: "tests/it/links/hosts.rs the_error_names_each_host",
        ..PLAIN
    },
    DatabaseFault {
        state: "",
        cause: "any other error, or a message in another language",
        contains: &[""],
        proof: "tests/it/faults/answers.rs a_wrong_statement_is_permanent",
        ..PLAIN
    },
];

/// The line of errors that have no other.
const OTHER: &DatabaseFault = &DATABASE[DATABASE.len() - 1];

/// The line of a SQLSTATE.
pub fn of_state(state: &str) -> &'static DatabaseFault {
    DATABASE.iter().find(|line| line.state == state).unwrap_or(OTHER)
}

/// The line of an error whose SQLSTATE is not known, by its message.
pub fn of_message(message: &str) -> &'static DatabaseFault {
    let fits = |line: &&DatabaseFault| {
        line.begins.iter().any(|words| message.starts_with(words))
            || line.contains.iter().any(|words| message.contains(words))
    };
    DATABASE.iter().find(fits).unwrap_or(OTHER)
}

/// The class of `database.<kind>`.
pub(super) fn class_of_kind(kind: &str) -> Option<Class> {
    DATABASE.iter().find(|line| line.kind == kind).map(|line| line.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_class() {
        for line in DATABASE {
            assert_eq!(class_of_kind(line.kind), Some(line.class), "{}", line.cause);
        }
    }

    #[test]
    fn a_line_is_found_by_each_of_its_words() {
        for line in DATABASE {
            for words in line.begins.iter().chain(line.contains) {
                assert_eq!(of_message(words).cause, line.cause, "{words}");
            }
        }
    }

    #[test]
    fn only_lines_without_a_kind_are_found_by_words_in_the_middle() {
        for line in DATABASE.iter().filter(|line| !line.contains.is_empty()) {
            assert_eq!((line.kind, line.begins.len()), ("error", 0), "{}", line.cause);
        }
    }
}
