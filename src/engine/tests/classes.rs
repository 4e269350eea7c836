//! The class of an error decides what its activity does.

use super::*;
use crate::engine::{EntryKind, Status};
use crate::fault::{CODES, Class, DATABASE, class_of};

/// Whether an activity whose handler fails with this code has another attempt.
fn is_retried(code: &str) -> bool {
    let text = format!("activities: [{{ id: a, run: {{ handler: fail, input: {{ code: {code} }} }} }}]");
    let mut scenario = scenario(&text);
    started(&mut scenario);
    scenario.history().iter().any(|entry| entry.kind == EntryKind::ActivityRetryScheduled)
}

#[test]
fn every_code_is_retried_by_its_class() {
    for line in CODES {
        let code = line.code.replace("5xx", "503");
        assert_eq!(is_retried(&code), line.class.is_retried(), "{code}");
    }
    for line in DATABASE {
        assert_eq!(is_retried(&format!("database.{}", line.kind)), line.class.is_retried(), "{}", line.cause);
    }
    for (status, class) in [
        (404, Class::Business),
        (408, Class::Transient),
        (425, Class::Transient),
        (429, Class::RateLimited),
        (503, Class::Transient),
    ] {
        assert_eq!(class_of(&format!("http.{status}")), class);
        let mut scenario = scenario("activities: [{ id: a, http: { url: 'https://a.example' } }]");
        started(&mut scenario);
        scenario.respond(status, json!(null)).unwrap();
        assert_eq!(scenario.open_call().is_some(), class.is_retried(), "{status}");
    }
}

/// What never ends is never caught: a handler of errors could begin it again.
#[test]
fn poisonous_work_is_an_incident_whatever_the_definition_says() {
    let text = "
on_failure: fail
variables: { n: 0 }
on_error: [{ to: exit }]
activities: [{ id: a, set: { n: n + 1 }, next: [{ when: n > 0, to: a }, { to: exit }] }]
";
    let mut scenario = scenario(text).limits(3, 1_000);
    started(&mut scenario);
    assert_eq!(scenario.status(), Some(Status::Suspended));
    assert_eq!(class_of(&scenario.error().unwrap().code), Class::Poison);
}
