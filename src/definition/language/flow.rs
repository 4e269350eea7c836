//! Where a branch continues: choices, `next`, `on_error`, `retry`.

use serde_json::{Value, json};

use super::values::{a, assignments, code, expression, fixed_duration, list_of, map_of, one_or_list, target, whole};
use super::{Described, map};
use crate::definition::document::failure::ON_FAILURE;
use crate::definition::document::flow::{CHOICE, ON_ERROR};
use crate::definition::document::retry::{ATTEMPTS_MAX, POLICY};

pub(super) fn definitions() -> Value {
    let plain = json!([target(), list_of(a("choice"))]);
    let mut next = plain.clone();
    if let Some(ways) = next.as_array_mut() {
        ways.push(map_of(json!({ "anyOf": plain })));
    }
    json!({
        "choice": map(&CHOICE, &["to"], choice),
        "next": { "anyOf": next },
        "onError": map(&ON_ERROR, &[], on_error),
        "onFailure": map(&ON_FAILURE, &[], on_failure),
        "policy": map(&POLICY, &[], policy),
        "retry": { "anyOf": [{ "const": "none" }, a("policy"), list_of(a("policy"))] },
    })
}

fn choice(key: &str) -> Described {
    Some(match key {
        "when" => (expression(), "The condition; the last entry has none."),
        "to" => (target(), "The id of an activity, or `exit`."),
        _ => return None,
    })
}

fn on_error(key: &str) -> Described {
    Some(match key {
        "code" => (one_or_list(code()), "A code or a list of codes; without it, every code matches."),
        "when" => (expression(), "A condition, which can read `error`."),
        "output" => (assignments(), "Assigns variables; the expressions can read `error`."),
        "to" => (target(), "The id of an activity, or `exit`. Without it the branch continues as after success."),
        _ => return None,
    })
}

fn on_failure(key: &str) -> Described {
    Some(match key {
        "suspend" => (
            json!({ "type": "boolean" }),
            "Whether an incident opens for a person, as by default; otherwise the instance ends as failed.",
        ),
        "notify" => (code(), "The event that is published then, for a pager."),
        _ => return None,
    })
}

fn policy(key: &str) -> Described {
    Some(match key {
        "attempts" => (whole(1, i64::from(ATTEMPTS_MAX)), "Attempts in total; 3 by default."),
        "base" => (fixed_duration(), "The pause before the second attempt; 2s by default."),
        "max" => (fixed_duration(), "The longest pause; 30s by default."),
        "factor" => (
            json!({ "type": "number", "minimum": 1, "maximum": 100 }),
            "Each pause is longer by this factor; 2 by default.",
        ),
        "jitter" => (
            json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            "The share of a pause that may randomly be subtracted.",
        ),
        "codes" => (one_or_list(code()), "The codes to retry; those that can pass by themselves by default."),
        "within" => (fixed_duration(), "No attempt begins later than this after the first failure."),
        _ => return None,
    })
}
