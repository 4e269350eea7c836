//! One run of a document in memory: its handlers answer what was typed in, and its clock jumps from timer to timer.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::ui;
use crate::contract;
use crate::definition::{Definition, Work};
use crate::engine::Failure;
use crate::testkit::Scenario;

/// The clock is advanced by this much at once, and at most this often: a year, day by day.
const STEP: Duration = Duration::from_secs(24 * 3_600);
const STEPS_MAX: usize = 366;
/// Steps and bytes of a run.
const ENGINE_STEPS_MAX: u32 = 1_000;
const VARIABLES_MAX: usize = 256 * 1024;

/// How it went.
pub(super) struct Trial {
    status: String,
    at: Option<String>,
    history: Vec<(String, Option<String>)>,
    variables: Value,
    output: Option<Value>,
    failure: Option<Failure>,
}

/// Runs a definition until it ends, or waits for something other than time.
///
/// # Errors
/// A sentence that says why it cannot be run.
pub(super) fn of(definition: &Definition, input: &str, results: &str) -> Result<Trial, String> {
    let input = object("the input", input)?;
    let results = object("the results", results)?;
    let mut scenario = Scenario::new(definition).key("trial").limits(ENGINE_STEPS_MAX, VARIABLES_MAX);
    for activity in &definition.activities {
        if let Work::Run { runs, .. } = &activity.work {
            let result = results.get(runs.name()).cloned();
            let name = runs.name().to_owned();
            scenario = scenario.handler(runs.name(), move |_| answer(&name, result.clone()));
            let (name, result) = (runs.name().to_owned(), results.get(runs.name()).cloned());
            scenario = scenario.statement(runs.name(), move |_| answer(&name, result.clone()));
        }
    }
    scenario.start(Value::Object(input)).map_err(|error| error.to_string())?;
    for _ in 0..STEPS_MAX {
        let ended = scenario.status().is_none_or(|status| status.has_ended());
        if ended || scenario.bookmarks().all(|bookmark| bookmark.due_at.is_none()) {
            break;
        }
        scenario.advance(STEP).map_err(|error| error.to_string())?;
    }
    Ok(told(&scenario))
}

/// What a handler answers: what was typed in for it, or a failure that says so.
fn answer(name: &str, result: Option<Value>) -> Result<Value, Failure> {
    result.ok_or_else(|| Failure::new("trial.no_result", format!("no result was given for the handler `{name}`")))
}

fn object(what: &str, text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match contract::json::read(text.as_bytes()) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(format!("{what} must be a JSON object")),
        Err(refused) => Err(format!("{what} {refused}")),
    }
}

fn told(scenario: &Scenario) -> Trial {
    let variables = scenario.instance().map(|instance| json!(instance.variables)).unwrap_or_default();
    Trial {
        status: scenario.status().map_or("not started".into(), |status| status.name().to_owned()),
        at: scenario.standing().map(str::to_owned),
        history: scenario
            .history()
            .iter()
            .map(|entry| (entry.kind.name().to_owned(), entry.activity.clone()))
            .collect(),
        variables,
        output: scenario.output().cloned(),
        failure: scenario.error().cloned(),
    }
}

/// A run on a page.
pub(super) fn shown(trial: &Trial) -> Markup {
    html! {
        section.card {
            header { h2 { "How it went" } (ui::badge(&trial.status)) }
            @if let Some(at) = &trial.at { p { "It is at " code { (at) } ", and only a message, a person, a call or a year could move it on." } }
            @if let Some(failure) = &trial.failure { div.note.is-failed { p { strong { (failure.code) } " " (failure.message) } } }
            ol { @for (kind, activity) in &trial.history { li { (kind) @if let Some(activity) = activity { span.quiet { " · " (activity) } } } } }
            div.cards {
                div { h3 { "Variables" } (ui::json(&trial.variables)) }
                @if let Some(output) = &trial.output { div { h3 { "Output" } (ui::json(output)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(document: &str, results: &str) -> Trial {
        of(&Definition::parse(document).unwrap().definition, "{}", results).unwrap()
    }

    #[test]
    fn a_run_waits_through_its_timers_and_ends() {
        let ended = tried(
            "name: a\nvariables: { n: 0 }\noutput: ${ n }\nactivities:\n  - { id: pause, wait: { for: 3d } }\n  - { id: one, set: { n: n + 1 } }\n",
            "",
        );
        assert_eq!((ended.status.as_str(), ended.output), ("completed", Some(json!(1))));
    }

    #[test]
    fn a_handler_answers_what_was_typed_in() {
        let document = "name: a\nvariables: { n: 0 }\noutput: ${ n }\nactivities:\n  - { id: one, run: { handler: book }, output: { n: result.n } }\n";
        assert_eq!(tried(document, "{\"book\": {\"n\": 7}}").output, Some(json!(7)));
        let failed = tried(document, "");
        assert_eq!(failed.failure.map(|failure| failure.code), Some("trial.no_result".into()));
        assert!(of(&Definition::parse(document).unwrap().definition, "[]", "").is_err());
    }
}
