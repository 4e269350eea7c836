//! The kinds of work, except tasks and requests.

use serde_json::{Value, json};

use super::values::{
    a, assignments, code, described, duration, expression, filled_code, list_of, one_or_list, template, time, word_of,
};
use super::{Described, extend, has, map, refuse};
use crate::definition::document::work::{EMIT, END, END_ERROR, RAISE, RECEIVE, RUN, WAIT};

/// The value of the key of a kind of work.
pub(super) fn work(kind: &str) -> Described {
    Some(match kind {
        "set" => (assignments(), "Assigns variables: `name: expression`."),
        "switch" => (list_of(a("choice")), "Chooses the next activity."),
        "run" => (a("run"), "Runs a handler or a registered SQL statement in the transaction of the step."),
        "emit" => (a("emit"), "Publishes an event."),
        "wait" => (a("wait"), "Waits for a duration, until a time, or for a cron expression."),
        "receive" => (one_or_list(a("message")), "Waits for a message, or for the first of several."),
        "raise" => (a("raise"), "Fails with a code of your own."),
        "end" => (json!({ "anyOf": [{ "type": "null" }, a("end")] }), "Ends the whole instance."),
        "task" => (a("task"), "Waits for a person."),
        "http" => (a("http"), "Sends a request."),
        "call" => (a("call"), "Calls an external worker."),
        _ => return None,
    })
}

pub(super) fn definitions() -> Value {
    let mut run = map(&RUN, &[], run);
    run["oneOf"] = json!([has("handler"), has("sql")]);
    run["allOf"] = json!([refuse(has("sql"), &["input"]), refuse(has("handler"), &["params"])]);
    let mut wait = map(&WAIT, &[], wait);
    wait["oneOf"] = json!([has("for"), has("until"), has("cron")]);
    wait["dependencies"] = json!({ "zone": ["cron"] });
    let mut end = map(&END, &[], end);
    let is = |outcome: &str| json!({ "required": ["outcome"], "properties": { "outcome": { "const": outcome } } });
    let mut failed = refuse(is("failed"), &["output"]);
    extend(&mut failed["then"], has("error"));
    let completed = json!({ "properties": { "outcome": { "const": "completed" } } });
    end["allOf"] = json!([failed, refuse(is("cancelled"), &["output", "error"]), refuse(completed, &["error"])]);
    json!({
        "run": run,
        "emit": map(&EMIT, &["event"], emit),
        "wait": wait,
        "message": map(&RECEIVE, &["name"], message),
        "raise": map(&RAISE, &["code"], failure),
        "error": map(&END_ERROR, &["code"], failure),
        "end": end,
    })
}

fn run(key: &str) -> Described {
    Some(match key {
        "handler" => (code(), "The name under which the program registers the handler."),
        "input" => (json!(true), "The input of the handler; strings are templates."),
        "sql" => (code(), "The name of a statement in the settings of the workers."),
        "params" => (json!({ "type": "object" }), "A value for each parameter; strings are templates."),
        _ => return None,
    })
}

fn emit(key: &str) -> Described {
    Some(match key {
        "event" => (code(), "The name of the event."),
        "body" => (json!(true), "The body of the event; strings are templates."),
        _ => return None,
    })
}

fn wait(key: &str) -> Described {
    Some(match key {
        "for" => (duration(), "A duration; `0s` does not wait."),
        "until" => (time(), "A timestamp with its UTC offset; a time in the past does not wait."),
        "cron" => (template(), "Waits until the cron expression next matches."),
        "zone" => (template(), "The time zone of `cron`; UTC by default."),
        _ => return None,
    })
}

fn message(key: &str) -> Described {
    Some(match key {
        "name" => (template(), "The name of the message."),
        "key" => {
            (template(), "The key of the message; the key of the instance by default. A template: `${ order_id }`.")
        }
        "when" => (expression(), "A condition, which can read `data`."),
        _ => return None,
    })
}

fn failure(key: &str) -> Described {
    Some(match key {
        "code" => (filled_code(), "The error code."),
        "message" => (template(), "The message for people; a template."),
        "data" => (json!(true), "Values with the error; strings are templates."),
        _ => return None,
    })
}

fn end(key: &str) -> Described {
    Some(match key {
        "outcome" => (word_of(&["completed", "failed", "cancelled"]), "`completed` by default."),
        "output" => (json!(true), "The output of the instance; the output of the document by default."),
        "error" => (described(a("error"), "The error of a failed instance."), "The error of a failed instance."),
        _ => return None,
    })
}
