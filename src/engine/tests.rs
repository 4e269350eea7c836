//! What the engine does, shown on small definitions.

mod calls;
mod classes;
mod commands;
mod faults;
mod flow;
mod incidents;
mod interventions;
mod laws;
mod operations;
mod outcomes;
mod tasks;
mod values;
mod votes;
mod waits;

use std::time::Duration;

use serde_json::{Value, json};

use crate::definition::Definition;
use crate::engine::Failure;
use crate::testkit::Scenario;

/// Reads a document whose name does not matter.
fn definition(text: &str) -> Definition {
    match Definition::parse(&format!("name: test\n{text}")) {
        Ok(parsed) => parsed.definition,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// A scenario with two handlers: `echo` returns its input, `fail` fails with the code it is given.
fn scenario(text: &str) -> Scenario {
    Scenario::new(&definition(text)).key("k-1").handler("echo", |call| Ok(call.input.clone())).handler("fail", |call| {
        Err(Failure {
            code: call.input["code"].as_str().unwrap_or("handler.bad").to_owned(),
            message: "it failed".into(),
            data: call.input["data"].clone(),
        })
    })
}

/// What happened, line by line, and where that left the instance.
fn story(scenario: &Scenario) -> String {
    let mut lines: Vec<String> = scenario
        .history()
        .iter()
        .map(|entry| {
            let place = entry.activity.as_ref().map(|activity| format!(" {activity}")).unwrap_or_default();
            let details = if entry.details.is_null() { String::new() } else { format!(" {}", entry.details) };
            format!("{}{place}{details}", entry.kind.name())
        })
        .collect();
    let status = scenario.status().map_or("none", |status| status.name());
    let place = scenario.standing().map(|activity| format!(" at {activity}")).unwrap_or_default();
    let output = scenario.output().map(|output| format!(" with {output}")).unwrap_or_default();
    let error = scenario.error().map(|error| format!(" by {}", error.code)).unwrap_or_default();
    lines.push(format!("= {status}{place}{output}{error}"));
    lines.join("\n") + "\n"
}

/// Runs a scenario and compares its story.
fn check(text: &str, run: impl FnOnce(&mut Scenario), expected: expect_test::Expect) {
    let mut scenario = scenario(text);
    run(&mut scenario);
    expected.assert_eq(&story(&scenario));
}

fn started(scenario: &mut Scenario) {
    scenario.start(json!({})).unwrap();
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn variable(scenario: &Scenario, name: &str) -> Value {
    scenario.variable(name).cloned().unwrap_or_default()
}
