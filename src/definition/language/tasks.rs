//! Tasks: who can do them, their decisions, reminders, escalations and votes.

use serde_json::{Value, json};

use super::values::{
    a, duration, expression, filled_whole, list_of, one_or_list, plain, template, time, whole, word_of,
};
use super::{Described, has, map, refuse};
use crate::definition::AssignBy;
use crate::definition::document::decisions::{DECISIONS_MAX, RULE};
use crate::definition::document::task::{ASSIGN, CANDIDATES, ESCALATION, REMIND, TASK, TIMERS_MAX, TIMES_MAX};

pub(super) fn definitions() -> Value {
    let mut task = map(&TASK, &[], task);
    task["anyOf"] = json!([has("candidates"), has("assignee"), has("assign")]);
    task["allOf"] = json!([
        refuse(has("assignee"), &["assign"]),
        refuse(has("vote"), &["form", "assignee", "assign"]),
        { "if": has("vote"), "then": has("decisions") },
    ]);
    let mut candidates = map(&CANDIDATES, &[], candidates);
    candidates["minProperties"] = json!(1);
    let mut escalation = map(&ESCALATION, &["after"], escalation);
    escalation["anyOf"] = json!([has("candidates"), has("priority")]);
    let mut times = one_or_list(time());
    times["anyOf"][1]["maxItems"] = json!(TIMERS_MAX);
    let name = json!({ "type": "string", "not": { "pattern": r"\$\{" } });
    let labelled = json!({ "type": "object", "additionalProperties": plain(), "minProperties": 1, "maxProperties": 1 });
    let decision = json!({ "anyOf": [name, labelled] });
    json!({
        "task": task,
        "people": one_or_list(json!({ "type": ["string", "number", "null"] })),
        "candidates": candidates,
        "assign": { "anyOf": [word_of(AssignBy::NAMES), map(&ASSIGN, &["strategy"], assign)] },
        "reminders": { "anyOf": [times, map(&REMIND, &["every"], remind)] },
        "escalation": escalation,
        "decisions": { "anyOf": [
            { "type": "array", "items": decision, "minItems": 1, "maxItems": DECISIONS_MAX, "uniqueItems": true },
            { "type": "object", "additionalProperties": plain(), "minProperties": 1, "maxProperties": DECISIONS_MAX },
        ] },
        "rule": map(&RULE, &["decide", "when"], rule),
    })
}

fn priority() -> Value {
    filled_whole(i64::from(i16::MIN), i64::from(i16::MAX))
}

fn task(key: &str) -> Described {
    Some(match key {
        "title" => (template(), "The title in lists; a template."),
        "description" => (template(), "A description for the person; a template."),
        "data" => (json!(true), "Values to show; strings are templates."),
        "priority" => (priority(), "Higher numbers come first."),
        "candidates" => (a("candidates"), "Who can do the task."),
        "exclude" => (a("people"), "Users who cannot do the task, even if they are candidates."),
        "assignee" => (template(), "The user to whom the task is assigned; a template."),
        "assign" => (a("assign"), "Chooses one of the candidates."),
        "form" => (a("schema"), "JSON Schema (2020-12) of the form."),
        "decisions" => (
            a("decisions"),
            "The possible decisions: a list of names, a map from names to labels, or a list of `name: label`.",
        ),
        "due" => {
            (json!({ "anyOf": [time(), { "type": "null" }] }), "A duration from now, or a timestamp; for information.")
        }
        "remind" => (a("reminders"), "A duration or timestamp, a list of them, or `{ every, times }`."),
        "escalate" => (one_or_list(a("escalation")), "Adds candidates or raises the priority after a time."),
        "vote" => (list_of(a("rule")), "Each user votes once; the first rule that holds closes the task."),
        _ => return None,
    })
}

fn candidates(key: &str) -> Described {
    Some(match key {
        "users" => (a("people"), "Users: a name, a list, or an expression."),
        "groups" => (a("people"), "Groups: a name, a list, or an expression."),
        _ => return None,
    })
}

fn assign(key: &str) -> Described {
    Some(match key {
        "strategy" => (word_of(AssignBy::NAMES), "How one of the users is chosen."),
        "users" => (a("people"), "The users to choose from; the candidates by default."),
        _ => return None,
    })
}

fn remind(key: &str) -> Described {
    Some(match key {
        "every" => (duration(), "The time between reminders."),
        "times" => (whole(1, i64::from(TIMES_MAX)), "How many reminders; 5 by default."),
        _ => return None,
    })
}

fn escalation(key: &str) -> Described {
    Some(match key {
        "after" => (time(), "A duration after the task opened, or a timestamp."),
        "candidates" => (a("candidates"), "Candidates that are added."),
        "priority" => (priority(), "The new priority."),
        _ => return None,
    })
}

fn rule(key: &str) -> Described {
    Some(match key {
        "decide" => (plain(), "The decision that closes the task."),
        "when" => (expression(), "A condition, which can read `votes` and `voters`."),
        _ => return None,
    })
}
