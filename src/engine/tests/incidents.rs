//! Incidents: what a person is told, the event for a pager, and how one is resolved.

use super::*;
use crate::engine::{Audit, Bookmark, Command, EntryKind, Refusal, Remedy, Status};
use crate::fault::is_fingerprint;
use crate::testkit::Error;

const ORDER: &str = "
variables: { n: 1, reached: null }
on_failure: { notify: order.stuck }
activities:
  - { id: work, run: { handler: fail, input: { code: handler.empty, n: '${ n }' } }, retry: none }
  - { id: end, set: { reached: n } }
";

fn incident(scenario: &Scenario) -> Bookmark {
    scenario.bookmarks().find(|bookmark| bookmark.fingerprint.is_some()).unwrap().clone()
}

fn audit() -> Audit {
    Audit { by: Some("ada".into()), reason: Some("refilled".into()) }
}

fn retry(variables: Value) -> Command {
    let Value::Object(variables) = variables else { panic!("variables have names") };
    Command::Incident(Remedy::Retry { variables }, audit())
}

#[test]
fn an_incident_says_what_failed_with_what_and_where() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    let Bookmark { activity, details, fingerprint, .. } = incident(&scenario);
    assert_eq!(activity.as_deref(), Some("work"));
    assert_eq!(
        details,
        json!({ "code": "handler.empty", "message": "it failed", "attempt": 1, "input": { "code": "handler.empty", "n": 1 } })
    );
    assert!(is_fingerprint(&fingerprint.unwrap()));
}

#[test]
fn an_incident_of_an_expression_has_no_input() {
    let mut scenario = scenario("activities: [{ id: a, run: { handler: echo, input: { n: '${ 1 / 0 }' } } }]");
    started(&mut scenario);
    let details = incident(&scenario).details;
    assert_eq!((&details["code"], details.get("input")), (&json!("expression"), None));
}

#[test]
fn an_unknown_outcome_is_an_incident_with_its_call() {
    let mut scenario = scenario(&calls::posting(""));
    started(&mut scenario);
    scenario.complete_call(calls::unknown()).unwrap();
    let Bookmark { details, fingerprint, .. } = incident(&scenario);
    assert_eq!((&details["unknown"], &details["attempt"]), (&json!(true), &json!(1)));
    assert!(details["call"].is_string() && fingerprint.is_some_and(|text| is_fingerprint(&text)));
}

#[test]
fn a_suspension_by_a_person_has_no_fingerprint() {
    let mut scenario = scenario("activities: [{ id: a, wait: { for: 1h } }]");
    started(&mut scenario);
    scenario.suspend("a look").unwrap();
    assert!(scenario.bookmarks().all(|bookmark| bookmark.fingerprint.is_none()));
}

#[test]
fn the_event_that_on_failure_names_is_published_with_the_incident() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    let Bookmark { number, fingerprint, .. } = incident(&scenario);
    let told: Vec<&Value> =
        scenario.events().iter().filter(|event| event.name == "order.stuck").map(|event| &event.data).collect();
    let error = json!({ "code": "handler.empty", "message": "it failed" });
    assert_eq!(
        told,
        [&json!({
            "activity": "work", "error": error, "attempt": 1, "fingerprint": fingerprint, "version": 1,
            "bookmark": number, "key": "k-1",
        })]
    );
}

#[test]
fn the_event_is_published_too_where_the_instance_ends() {
    let text = "
on_failure: { suspend: false, notify: gone }
activities: [{ id: a, raise: { code: no_stock } }]
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    assert_eq!(scenario.status(), Some(Status::Failed));
    let told: Vec<&str> = scenario.events().iter().map(|event| event.name.as_str()).collect();
    assert_eq!(told, ["started", "gone", "failed"]);
    assert!(scenario.events()[1].data.get("bookmark").is_none());
}

#[test]
fn a_retry_may_change_variables() {
    let mut scenario =
        scenario(&ORDER.replace("handler: fail", "handler: half")).handler("half", |call| match call.input["n"] == 2 {
            true => Ok(Value::Null),
            false => Err(Failure::new("handler.empty", "it failed")),
        });
    started(&mut scenario);
    scenario.apply(retry(json!({ "n": 2 }))).unwrap();
    scenario.drive().unwrap();
    assert_eq!((scenario.status(), variable(&scenario, "reached")), (Some(Status::Completed), json!(2)));
    let entry = scenario.history().iter().find(|entry| entry.kind == EntryKind::IncidentRetried).unwrap();
    assert_eq!(entry.details, json!({ "by": "ada", "reason": "refilled", "assigned": { "n": 2 } }));
}

#[test]
fn a_retry_with_variables_that_are_not_declared_or_too_large_changes_nothing() {
    let mut scenario = scenario(ORDER).limits(100, 100);
    started(&mut scenario);
    let before = scenario.instance().cloned();
    let refused = scenario.apply(retry(json!({ "n": 2, "m": 1 })));
    let why = ["/m: the definition declares no variable of this name"];
    assert!(matches!(refused, Err(Error::Refused(Refusal::Variables(problems))) if problems == why));
    let refused = scenario.apply(retry(json!({ "n": "x".repeat(100) })));
    assert!(matches!(refused, Err(Error::Refused(Refusal::Variables(_)))));
    assert_eq!(scenario.instance().cloned(), before);
}

#[test]
fn an_instance_may_end_by_its_incident() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    scenario.apply(Command::Incident(Remedy::Fail, audit())).unwrap();
    assert_eq!(scenario.status(), Some(Status::Failed));
    assert_eq!(scenario.error().unwrap().code, "handler.empty");
    let ended: Vec<_> =
        scenario.history().iter().rev().take(2).map(|entry| (entry.kind, entry.details.clone())).collect();
    assert_eq!(ended[1], (EntryKind::IncidentFailed, json!({ "by": "ada", "reason": "refilled" })));
    assert_eq!(ended[0].0, EntryKind::InstanceFailed);
    assert_eq!(scenario.bookmarks().count(), 0);
    let again = scenario.apply(Command::Incident(Remedy::Fail, audit()));
    assert!(matches!(again, Err(Error::Refused(Refusal::Ended(Status::Failed)))));
}

#[test]
fn without_an_incident_there_is_nothing_to_resolve() {
    let mut scenario = scenario("activities: [{ id: a, wait: { for: 1h } }]");
    started(&mut scenario);
    for command in [retry(json!({})), Command::Incident(Remedy::Fail, audit())] {
        assert!(matches!(scenario.apply(command), Err(Error::Refused(Refusal::NoIncident))));
    }
    scenario.suspend("a look").unwrap();
    for command in [retry(json!({})), Command::Incident(Remedy::Fail, audit())] {
        assert!(matches!(scenario.apply(command), Err(Error::Refused(Refusal::SuspendedByCommand))));
    }
}
