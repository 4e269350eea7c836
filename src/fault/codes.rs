//! The error codes with which an activity can fail, and their classes.

use super::Class;
use super::database;

/// A code, or what codes begin with.
#[derive(Debug, Clone, Copy)]
pub struct CodeFault {
    /// The code: it stands for all codes that it [`matches`].
    pub code: &'static str,
    /// Its class.
    pub class: Class,
    /// What causes it.
    pub cause: &'static str,
    /// The file of a test that raises it, and the name of the test.
    pub proof: &'static str,
}

const fn line(code: &'static str, class: Class, cause: &'static str, proof: &'static str) -> CodeFault {
    CodeFault { code, class, cause, proof }
}

/// The first line that matches a code is its line. The kinds of `database` have lines of their own: see [`database::DATABASE`].
pub const CODES: &[CodeFault] = &[
    line(
        "timeout",
        Class::Transient,
        "a `timeout` expired",
        "tests/it/crash/handlers.rs a_handler_that_takes_too_long_fails_its_attempt_and_its_connection_is_closed",
    ),
    line(
        "http.connect",
        Class::Transient,
        "no connection: TCP, host name or TLS",
        "tests/it/outgoing/responses.rs a_request_without_a_connection_was_not_sent",
    ),
    line(
        "http.broken",
        Class::Transient,
        "the connection broke before the response was complete: the outcome is unknown, and `on_unknown` decides first",
        "tests/it/outgoing/responses.rs an_invalid_or_incomplete_response_is_unknown",
    ),
    line(
        "http.408",
        Class::Transient,
        "the target waited too long for the request",
        "src/engine/tests/classes.rs every_code_is_retried_by_its_class",
    ),
    line(
        "http.425",
        Class::Transient,
        "the target does not take early data",
        "src/engine/tests/classes.rs every_code_is_retried_by_its_class",
    ),
    line(
        "http.429",
        Class::RateLimited,
        "the target asks for fewer requests; its `Retry-After` counts, up to 1 h",
        "src/engine/tests/classes.rs every_code_is_retried_by_its_class",
    ),
    line(
        "http.5xx",
        Class::Transient,
        "the target failed; its `Retry-After` counts, up to 1 h",
        "tests/it/outgoing/supplier.rs orders_survive_an_outage_and_never_exceed_the_rate",
    ),
    line(
        "http.refused",
        Class::Permanent,
        "the address is not allowed",
        "tests/it/outgoing/addresses.rs a_private_address_is_refused_in_every_notation",
    ),
    line(
        "http.request",
        Class::Permanent,
        "the request is not valid",
        "tests/it/outgoing/security.rs a_line_end_or_nul_is_refused_before_anything_is_sent",
    ),
    line(
        "http.response",
        Class::Permanent,
        "the body of the response cannot be stored, and the activity reads it",
        "src/engine/tests/outcomes.rs a_success_with_a_cut_body_is_a_success_where_the_body_is_unused",
    ),
    line(
        "http",
        Class::Business,
        "any other status that the activity does not accept",
        "src/engine/tests/classes.rs every_code_is_retried_by_its_class",
    ),
    line(
        "worker.unavailable",
        Class::Transient,
        "an external worker missed a heartbeat",
        "tests/it/calls/work.rs a_missed_heartbeat_ends_an_attempt_and_a_timely_one_keeps_it",
    ),
    line(
        "worker.crashed",
        Class::Poison,
        "more than `worker.crash_max` workers crashed at this activity; no handler of errors sees it",
        "tests/it/crash/handlers.rs a_handler_that_kills_its_process_each_time_becomes_an_incident_and_others_are_not_affected",
    ),
    line(
        "worker.gave_up",
        Class::Poison,
        "no worker could execute a step; no handler of errors sees it",
        "tests/it/poison.rs a_step_command_past_its_delivery_limit_is_a_dead_letter_and_an_incident",
    ),
    line(
        "worker.unexpected",
        Class::Bug,
        "an external worker in Rust panicked",
        "tests/it/faults/codes.rs a_worker_in_rust_that_panics_says_so",
    ),
    line(
        "worker",
        Class::Business,
        "an external worker, or a callback, replied with an error",
        "tests/it/calls/work.rs an_error_of_an_external_worker_has_its_code_and_a_forged_reply_is_a_dead_letter",
    ),
    line(
        "handler.panic",
        Class::Bug,
        "a handler panicked; counted in `leveret_handler_panics_total`",
        "tests/it/faults/codes.rs a_panic_of_a_handler_is_counted_by_its_name",
    ),
    line(
        "handler.result",
        Class::Bug,
        "the result of a handler cannot be stored",
        "tests/it/numbers.rs a_column_of_doubles_has_doubles_in_every_row",
    ),
    line(
        "handler",
        Class::Business,
        "a handler returned `Error::new(…)`",
        "tests/it/poison.rs definitions_that_always_fail_do_not_stop_other_instances",
    ),
    line(
        "database.not_found",
        Class::Business,
        "a handler asked for one row and there is none",
        "tests/it/faults/answers.rs an_error_of_the_client_library_is_never_retried",
    ),
    line(
        "database.client",
        Class::Bug,
        "a value of a handler's query could not be written or read",
        "tests/it/faults/answers.rs an_error_of_the_client_library_is_never_retried",
    ),
    line(
        "database.aborted",
        Class::Bug,
        "a handler ignored the error of a query",
        "tests/it/availability/connections.rs an_ignored_error_of_a_statement_still_is_the_failure_of_the_handler",
    ),
    line(
        "statement",
        Class::Permanent,
        "the parameters do not match a registered statement, or its rows cannot be stored",
        "tests/it/statements.rs unsuitable_parameters_are_named_and_nothing_is_run",
    ),
    line(
        "secrets",
        Class::Permanent,
        "a request needs a secret that is not allowed, or has no value",
        "tests/it/faults/codes.rs a_secret_that_is_not_allowed_fails_the_activity",
    ),
    line(
        "expression",
        Class::Permanent,
        "an expression failed, or its value is not what its place needs",
        "tests/it/poison.rs definitions_that_always_fail_do_not_stop_other_instances",
    ),
    line(
        "limit.steps",
        Class::Poison,
        "too many steps without a wait; no handler of errors sees it",
        "tests/it/poison.rs definitions_that_always_fail_do_not_stop_other_instances",
    ),
    line(
        "limit",
        Class::Permanent,
        "a value is too large, too deep, or there are too many",
        "src/engine/tests/flow.rs events_and_outputs_have_a_size_limit_and_an_excess_can_be_caught",
    ),
    line(
        "task.undecided",
        Class::Business,
        "everyone has voted, and no rule holds",
        "src/engine/tests/votes.rs a_vote_without_remaining_voters_is_undecided",
    ),
    line(
        "task.candidates",
        Class::Business,
        "no one can do the task after the exclusions",
        "src/engine/tests/tasks.rs a_task_without_a_possible_candidate_is_an_error",
    ),
];

/// The class of an activity's error. A code without a line is one of the author: of a `raise`, or of an `end` with `failed`.
pub fn class_of(code: &str) -> Class {
    if let Some(line) = CODES.iter().find(|line| matches(line.code, code)) {
        return line.class;
    }
    let kind = code.strip_prefix("database.").and_then(|rest| rest.split('.').next());
    kind.and_then(database::class_of_kind).unwrap_or(Class::Business)
}

/// Whether the code `pattern` matches `code`: equal, a prefix of its words, or `http.5xx` for any `http.5??`.
pub fn matches(pattern: &str, code: &str) -> bool {
    let mut parts = code.split('.');
    pattern.split('.').all(|wanted| {
        parts.next().is_some_and(|part| {
            part == wanted
                || (wanted.ends_with("xx")
                    && wanted.len() == 3
                    && part.len() == 3
                    && part.as_bytes()[0] == wanted.as_bytes()[0])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_hides_a_later_one() {
        for (at, line) in CODES.iter().enumerate() {
            let first = CODES.iter().position(|earlier| matches(earlier.code, line.code));
            assert_eq!(first, Some(at), "{}", line.code);
        }
    }

    #[test]
    fn every_code_has_a_class() {
        for (code, class) in [
            ("timeout", Class::Transient),
            ("http.connect.dns", Class::Transient),
            ("http.500", Class::Transient),
            ("http.429", Class::RateLimited),
            ("http.404", Class::Business),
            ("http.refused", Class::Permanent),
            ("worker.unavailable", Class::Transient),
            ("worker.declined", Class::Business),
            ("worker.crashed", Class::Poison),
            ("limit.steps", Class::Poison),
            ("limit.rows", Class::Permanent),
            ("handler.panic", Class::Bug),
            ("handler.busy", Class::Business),
            ("database.deadlock", Class::Conflict),
            ("database.lock", Class::Conflict),
            ("database.resources", Class::Transient),
            ("database.unique", Class::Business),
            ("database.error", Class::Permanent),
            ("database.aborted", Class::Bug),
            ("database.of_a_newer_version", Class::Business),
            ("order.too_late", Class::Business),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }
}
