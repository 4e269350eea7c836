//! Requests over HTTP and calls of external workers.

use serde_json::{Value, json};

use super::values::{a, boolean, duration, expression, one_or_list, template, whole, word_of};
use super::{Described, has, map, refuse};
use crate::definition::OnUnknown;
use crate::definition::document::call::{CALL, LIMIT_MAX, LIMITS, WAYS};
use crate::definition::document::http::{ENTRIES_MAX, HTTP, METHODS, PROBE};
use crate::definition::document::limits::START_LIMITS;

pub(super) fn definitions() -> Value {
    let mut http = map(&HTTP, &["url"], http);
    let probes = json!({ "required": ["on_unknown"], "properties": { "on_unknown": { "const": "probe" } } });
    http["allOf"] = json!([
        refuse(has("body"), &["form", "text"]),
        refuse(has("form"), &["text"]),
        { "if": probes, "then": has("probe"), "else": { "properties": { "probe": false } } },
    ]);
    let mut limits = map(&LIMITS, &[], limits);
    limits["anyOf"] = json!([has("rate"), has("concurrency")]);
    let mut start_limits = map(&START_LIMITS, &[], self::start_limits);
    start_limits["anyOf"] = json!([has("starts"), has("live")]);
    let status = json!({ "anyOf": [
        { "type": "integer", "minimum": 200, "maximum": 599 },
        { "type": "string", "pattern": "^0*[2-5]xx$" },
    ] });
    json!({
        "http": http,
        "probe": map(&PROBE, &["url", "done"], probe),
        "call": map(&CALL, &["name"], call),
        "limits": limits,
        "startLimits": start_limits,
        "statuses": one_or_list(status),
        "headers": { "type": "object", "additionalProperties": template(), "maxProperties": ENTRIES_MAX },
        "parameters": { "type": "object", "maxProperties": ENTRIES_MAX },
    })
}

fn url() -> Value {
    json!({ "type": "string", "pattern": r"^https?://|\$\{" })
}

fn http(key: &str) -> Described {
    let ways: Vec<&str> = OnUnknown::ALL.iter().map(|way| way.name()).collect();
    Some(match key {
        "method" => (word_of(&METHODS), "`POST` with a body, else `GET`, by default."),
        "url" => (url(), "The address; every `${ }` except a leading one is percent-encoded."),
        "query" => (a("parameters"), "Query parameters; null is left out, a list repeats its name."),
        "headers" => (a("headers"), "Headers; the values are templates."),
        "body" => (json!(true), "A JSON body; strings are templates."),
        "form" => (a("parameters"), "An urlencoded body."),
        "text" => (template(), "A plain text body; a template."),
        "accept" => (a("statuses"), "Accepted statuses besides 200 to 299: `404`, `4xx`, or a list."),
        "idempotent" => (boolean(), "Whether the request may be sent again if its outcome is unknown."),
        "on_unknown" => (word_of(&ways), "What happens if the outcome is unknown."),
        "probe" => (a("probe"), "Asks the target whether the request took effect."),
        "await" => (word_of(&["response", "callback"]), "What completes the activity; `response` by default."),
        _ => return None,
    })
}

fn probe(key: &str) -> Described {
    Some(match key {
        "url" => (url(), "The address to ask."),
        "query" => (a("parameters"), "Query parameters."),
        "headers" => (a("headers"), "Headers."),
        "accept" => (a("statuses"), "Accepted statuses besides 200 to 299."),
        "done" => (expression(), "Whether the request took effect; can read `result`."),
        _ => return None,
    })
}

fn call(key: &str) -> Described {
    let ways: Vec<&str> = WAYS.iter().map(|way| way.name()).collect();
    Some(match key {
        "name" => (template(), "The name of the work; a template."),
        "input" => (json!(true), "The input of the worker; strings are templates."),
        "heartbeat" => (duration(), "A worker that is silent for longer after its first heartbeat loses the attempt."),
        "idempotent" => (boolean(), "Whether the work may be done again if its outcome is unknown; true by default."),
        "on_unknown" => (word_of(&ways), "What happens if the outcome is unknown."),
        _ => return None,
    })
}

fn rate() -> Value {
    json!({ "type": "string", "pattern": r"^\s*[0-9]+\s*/\s*[smhd]\s*$" })
}

fn start_limits(key: &str) -> Described {
    Some(match key {
        "starts" => (rate(), "How many instances may start in a time: 10/s, 100/m, 5/h or 1000/d."),
        "live" => (whole(1, i64::from(LIMIT_MAX)), "How many instances may live at once."),
        _ => return None,
    })
}

fn limits(key: &str) -> Described {
    Some(match key {
        "rate" => (rate(), "How many requests in a time: 10/s, 100/m, 5/h or 1000/d."),
        "concurrency" => (whole(1, i64::from(LIMIT_MAX)), "How many requests at once."),
        "key" => (template(), "What is limited together; a template. The target by default."),
        _ => return None,
    })
}
