//! docs/faults.md, written from the table. A test compares it; `UPDATE_EXPECT=1` writes it.

use std::fmt::Write;

use super::{BROKER, BrokerAnswer, CODES, Class, DATABASE, DatabaseAnswer, Recovery};

/// The whole document.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    classes(&mut page);
    page.push_str(CODES_HEAD);
    for line in CODES {
        row(&mut page, &[&format!("`{}`", line.code), line.class.name(), line.cause, &proof(line.proof)]);
    }
    row(&mut page, &["any other", Class::Business.name(), "your own codes: `raise`, and `end` with `failed`", ""]);
    page.push_str(DATABASE_HEAD);
    for line in DATABASE {
        let state = if line.state.is_empty() { "any other" } else { line.state };
        let code = format!("`database.{}`", line.kind);
        row(&mut page, &[state, line.cause, &code, line.class.name(), answer(line.answer), &proof(line.proof)]);
    }
    page.push_str(BROKER_HEAD);
    for line in BROKER {
        let reply = line.reply.filter(|reply| *reply != 0).map(|reply| reply.to_string()).unwrap_or_default();
        let cells = [&reply, line.cause, line.class.name(), reported(line.answer), line.recovers, &proof(line.proof)];
        row(&mut page, &cells);
    }
    page.push_str(TAIL);
    page
}

const HEAD: &str = "\
# Faults

Every error is of one class, and its class says how Leveret recovers. This page is written from the table by which the program decides
([src/fault.rs](../src/fault.rs)); `UPDATE_EXPECT=1 cargo test --test documents` writes it. Each line names a test in which a real server, or the
engine, raises the error.

[Classes](#classes) · [Codes of activities](#codes-of-activities) · [PostgreSQL](#postgresql) · [RabbitMQ](#rabbitmq) · [Panics](#panics)

## Classes

| Class | Means | An activity that fails so | A command or a role that meets it |
|---|---|---|---|
";

const CODES_HEAD: &str = "
**Retry by timer** applies to `run`, `http` and `call`, as their `retry` says; without one, or without `codes` in it, the transient, the
rate-limited and the conflict class are retried, and no other ([retry](language.md#errors)). The pause is a timer in the database: it holds no
thread, connection or message, and survives a crash. **Route** is `on_error`, first of the activity, then of the document. **Incident** is
`on_failure: suspend`; with `on_failure: fail` the instance ends as failed. A poisonous activity always opens an incident, whatever the definition
says. **Retry in process** leaves the message unacknowledged, or takes the pass of the role again. A **dead letter** keeps the message with the
reason; its sender has the refusal as the answer.

## Codes of activities

A code stands for all codes that begin with it; the first line that fits counts. The kinds of `database` are [below](#postgresql).

| Code | Class | Cause | Test |
|---|---|---|---|
";

const DATABASE_HEAD: &str = "
## PostgreSQL

The error of a handler's query or of a registered statement has the code in the third column. When a statement of Leveret itself fails so, it
does what the fifth column says. Errors are recognised by their SQLSTATE where the client library gives it, else by how their message begins, so
the server's `lc_messages` must be English; `leveret doctor` says if it is not. The first line that fits counts.

| SQLSTATE | Cause | Code | Class | Leveret itself | Test |
|---|---|---|---|---|---|
";

const BROKER_HEAD: &str = "
A commit that the server refuses has written nothing: it is the failure of the handler whose constraint failed, and for any other command a
conflict. A commit without an answer may have been written: the command is executed again, and the revision and the inbox let it take effect once.

## RabbitMQ

RabbitMQ may lose, repeat or reorder everything; PostgreSQL says what there is to do. Nothing below fails an activity.

| Reply | Cause | Class | Reported as | Leveret | Test |
|---|---|---|---|---|---|
";

const TAIL: &str = "
## Panics

A panic in a handler fails its attempt with `handler.panic`, a bug of that activity: the writes of the handler are rolled back, its connection is
closed, `on_error` may catch it, and `leveret_handler_panics_total` counts it by handler. If the handler panicked because its connection was lost,
the step is taken again instead, and no attempt is spent. A panic in a role is logged, and the role restarted. A handler that ends its whole
process is counted on its branch: above `worker.crash_max` it is `worker.crashed`.
";

fn classes(page: &mut String) {
    for class in Class::ALL {
        let steps: Vec<&str> = class.of_activity().iter().map(|recovery| recovery.name()).collect();
        let command = match class.of_command() {
            Recovery::DeadLetter => "dead letter, with an answer to its sender",
            other => other.name(),
        };
        let of_activity = steps.join(", then ");
        row(page, &[&format!("`{}`", class.name()), class.meaning(), &of_activity, command]);
    }
}

fn row(page: &mut String, cells: &[&str]) {
    // Writing to a text cannot fail.
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn answer(answer: DatabaseAnswer) -> &'static str {
    match answer {
        DatabaseAnswer::Wait => "waits until the database answers, on a new connection",
        DatabaseAnswer::Again => "tries again after a pause",
        DatabaseAnswer::Exists => "a business key is taken: refuses, or starts nothing; anything else is a bug",
        DatabaseAnswer::Report => "a bug: dead letter, and an error in the log",
    }
}

fn reported(answer: BrokerAnswer) -> &'static str {
    match answer {
        BrokerAnswer::Away => "not available",
        BrokerAnswer::Different => "other arguments",
        BrokerAnswer::Declare => "missing",
        BrokerAnswer::Count => "returned",
    }
}

/// The name of a test and its file, as a link.
fn proof(proof: &str) -> String {
    match proof.split_once(' ') {
        Some((file, test)) => format!("[`{test}`](../{file})"),
        None => proof.to_owned(),
    }
}
