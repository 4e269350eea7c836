//! Outcomes of calls that come in another way than as an answer in time: probes, callbacks, suspensions, bodies that are missing.

use super::calls::{GET, posting, unknown};
use super::*;
use crate::engine::{CallOutcome, CallPurpose, Cut, Failure, Resolution, Status};

#[test]
fn a_probe_resolves_an_unknown_outcome() {
    let text = "
variables: { got: null }
output: ${ got }
activities:
  - id: pay
    http:
      method: POST
      url: https://a.example/pay
      on_unknown: probe
      probe: { url: 'https://a.example/pay/${ instance.key }', accept: 404, done: result.status == 200 }
    output: { got: result.body }
";
    let lost = || {
        let mut scenario = scenario(text);
        started(&mut scenario);
        scenario.complete_call(unknown()).unwrap();
        let known = scenario.open_call().unwrap();
        assert_eq!((known.purpose, known.attempt, known.dispatch), (CallPurpose::Probe, 1, 2));
        assert_eq!(known.call.probe, Some(json!({"method": "GET", "url": "https://a.example/pay/k-1"})));
        scenario
    };
    let mut done = lost();
    done.respond(200, json!("paid")).unwrap();
    assert_eq!(done.output(), Some(&json!("paid")));
    let mut not_done = lost();
    not_done.respond(404, json!(null)).unwrap();
    let known = not_done.open_call().unwrap();
    assert_eq!((known.purpose, known.attempt, known.dispatch), (CallPurpose::Attempt, 2, 3));
    // The system that was called may report it by itself.
    let mut told = lost();
    told.complete_call(CallOutcome::Done { result: json!({"body": "told"}) }).unwrap();
    assert_eq!(told.output(), Some(&json!("told")));
    let mut declined = lost();
    declined.complete_call(CallOutcome::Failed { failure: Failure::new("worker.declined", "no money") }).unwrap();
    assert_eq!(declined.error().unwrap().code, "worker.declined");
    let mut unreached = lost();
    unreached.complete_call(CallOutcome::Failed { failure: Failure::new("http.connect", "nobody there") }).unwrap();
    assert_eq!(unreached.open_call().unwrap().purpose, CallPurpose::Probe);
    let mut silent = lost();
    for _ in 0..3 {
        assert_eq!(silent.status(), Some(Status::Running));
        silent.complete_call(unknown()).unwrap();
    }
    assert_eq!(silent.status(), Some(Status::Suspended), "after as many tries as an attempt would have, a person");
}

#[test]
fn a_callback_ends_an_accepted_call() {
    let text = posting(", await: callback, body: { token: '${ activity.token }' }");
    let mut scenario = scenario(&text);
    started(&mut scenario);
    scenario.respond(202, json!("later")).unwrap();
    let known = scenario.open_call().unwrap();
    assert!(known.accepted && known.call.callback);
    scenario.complete_call(CallOutcome::Done { result: json!({"ok": true}) }).unwrap();
    assert_eq!(scenario.status(), Some(Status::Completed));
    assert_eq!(scenario.calls()[0].closed.as_ref().unwrap().result, Some(json!({"ok": true})));
}

#[test]
fn outcomes_of_a_suspended_instance_are_replayed_in_their_order() {
    let mut scenario = scenario(GET);
    started(&mut scenario);
    scenario.suspend("maintenance").unwrap();
    scenario.respond(200, json!("while you slept")).unwrap();
    assert_eq!(scenario.status(), Some(Status::Suspended));
    scenario.resume("done").unwrap();
    assert_eq!(scenario.output(), Some(&json!("while you slept")));
}

#[test]
fn a_suspended_instance_keeps_the_acceptance_and_the_callback_of_a_call() {
    let waits = || {
        let mut scenario = scenario(&posting(", await: callback"));
        started(&mut scenario);
        scenario.suspend("maintenance").unwrap();
        scenario.respond(202, json!("later")).unwrap();
        let known = scenario.open_call().unwrap();
        assert!(known.accepted && known.reported.is_none(), "nothing is left to be replayed");
        assert_eq!(scenario.status(), Some(Status::Suspended));
        scenario
    };
    let done = || CallOutcome::Done { result: json!({"ok": true}) };
    let mut asleep = waits();
    asleep.complete_call(done()).unwrap();
    assert_eq!(asleep.status(), Some(Status::Suspended));
    asleep.resume("done").unwrap();
    assert_eq!(asleep.status(), Some(Status::Completed));
    let mut awake = waits();
    awake.resume("done").unwrap();
    assert_eq!(awake.status(), Some(Status::Running));
    awake.complete_call(done()).unwrap();
    assert_eq!(awake.status(), Some(Status::Completed));
    // A refused request is an error, and waits like any other.
    let mut refused = scenario(&posting(", await: callback"));
    started(&mut refused);
    refused.suspend("maintenance").unwrap();
    refused.respond(400, json!("no")).unwrap();
    let known = refused.open_call().unwrap();
    assert!(!known.accepted && known.reported.is_some());
}

fn cut(status: u16) -> CallOutcome {
    let (headers, body, cut) = (serde_json::Map::new(), json!(null), Some(Cut::Long));
    CallOutcome::Answered { status, headers, body, cut, retry_after_ms: None }
}

#[test]
fn a_success_with_a_cut_body_is_a_success_where_the_body_is_unused() {
    let after = |http: &str, output: &str, outcome: CallOutcome| {
        let text = format!(
            "variables: {{ got: null }}\noutput: '${{ got }}'\nactivities:\n  - id: ask\n    http: {{ url: 'https://a.example', {http} }}
    output: {{ got: {output} }}\n    on_error: [{{ code: limit, output: {{ got: error.code }} }}]"
        );
        let mut scenario = scenario(&text);
        started(&mut scenario);
        scenario.complete_call(outcome).unwrap();
        let open = scenario.open_call().map(|known| (known.dispatch, known.purpose));
        (scenario.status().unwrap(), scenario.output().cloned().unwrap_or_default(), open)
    };
    let done = |got: &str| (Status::Completed, json!(got), None);
    assert_eq!(after("method: POST", "result.cut", cut(201)), done("limit.response"));
    // What can be repeated is an error, and no more than that; what cannot stays the call it is, with its key.
    assert_eq!(after("method: PUT", "result.body", cut(200)), done("limit.response"));
    let asked = (Status::Suspended, json!(null), Some((2, CallPurpose::Attempt)));
    assert_eq!(after("method: POST", "result.body", cut(200)), asked);
    assert_eq!(after("method: POST, idempotent: true", "result.body", cut(200)), asked);
    let probe = "method: POST, on_unknown: probe, probe: { url: 'https://a.example', done: 'true' }";
    assert_eq!(after(probe, "result.body", cut(200)), (Status::Running, json!(null), Some((2, CallPurpose::Probe))));
    // A refusal is one by its status, however long it is.
    assert_eq!(
        after("method: POST", "result.body", cut(503)),
        (Status::Running, json!(null), Some((2, CallPurpose::Attempt)))
    );
}

#[test]
fn a_call_that_expired_before_it_began_is_not_retried() {
    let mut scenario = scenario(
        "
variables: { got: null }
output: ${ got }
activities:
  - id: ask
    http: { url: 'https://a.example' }
    retry: { attempts: 9, within: 1m }
    on_error: [{ output: { got: error.code } }]
",
    );
    started(&mut scenario);
    scenario.pass(seconds(60)).unwrap();
    let failure = Failure::new("timeout", "the time was over");
    scenario.complete_call(CallOutcome::Failed { failure }).unwrap();
    assert_eq!((scenario.status(), scenario.output()), (Some(Status::Completed), Some(&json!("timeout"))));
}

/// A request whose handlers are `more`, and where they lead.
fn handled(http: &str, more: &str) -> Scenario {
    let mut scenario = scenario(&format!(
        "
activities:
  - id: ask
    http: {{ method: POST, url: 'https://a.example/x'{http} }}
{more}
    next: [{{ when: instance.version > 99, to: late }}, {{ to: exit }}]
  - {{ id: late, end: {{ outcome: failed, error: {{ code: too_late }} }} }}
"
    ));
    started(&mut scenario);
    scenario
}

fn ending(scenario: &Scenario) -> String {
    let code = scenario.error().map_or("none", |error| error.code.as_str());
    format!("{:?} {code}, attempt {:?}", scenario.status().unwrap(), scenario.open_call().map(|known| known.attempt))
}

#[test]
fn a_callback_that_does_not_come_is_a_timeout() {
    let late = |http: &str, more: &str| {
        let mut scenario = handled(&format!(", await: callback{http}"), &format!("    on_timeout: late\n{more}"));
        scenario.respond(202, json!(null)).unwrap();
        scenario.complete_call(unknown()).unwrap();
        ending(&scenario)
    };
    for http in ["", ", on_unknown: fail", ", on_unknown: suspend", ", idempotent: false"] {
        assert_eq!(late(http, ""), "Failed too_late, attempt None", "{http}");
    }
    // Another request is sent only where it may be, or where a policy says so.
    assert_eq!(late("", "    retry: { attempts: 3 }"), "Failed too_late, attempt None");
    assert_eq!(late("", "    retry: { attempts: 3, codes: [timeout] }"), "Running none, attempt Some(2)");
    assert_eq!(late(", idempotent: true", ""), "Running none, attempt Some(2)");
    let message = {
        let mut scenario = handled(", await: callback", "");
        scenario.respond(202, json!(null)).unwrap();
        scenario.complete_call(unknown()).unwrap();
        assert!(!story(&scenario).contains("CallUnknown"), "{}", story(&scenario));
        scenario.error().unwrap().message.clone()
    };
    assert_eq!(message, "the target accepted the request and did not call back in time");
}

#[test]
fn a_request_that_was_not_accepted_yet_is_an_unknown_outcome() {
    let mut scenario = handled(", await: callback", "");
    scenario.complete_call(unknown()).unwrap();
    assert_eq!(ending(&scenario), "Suspended timeout, attempt Some(1)");
    scenario.resolve(Resolution::Again).unwrap();
    scenario.respond(202, json!(null)).unwrap();
    scenario.complete_call(unknown()).unwrap();
    assert_eq!(ending(&scenario), "Suspended timeout, attempt None");
    assert!(scenario.calls()[0].closed.is_some(), "a definite error, not a call that waits for a person");
}

#[test]
fn a_callback_that_did_not_come_during_a_suspension_counts_when_it_ends() {
    let asleep = || {
        let mut scenario = handled(", await: callback", "    on_timeout: late");
        scenario.respond(202, json!(null)).unwrap();
        scenario.suspend("maintenance").unwrap();
        scenario.complete_call(unknown()).unwrap();
        scenario
    };
    let mut late = asleep();
    late.resume("done").unwrap();
    assert_eq!(ending(&late), "Failed too_late, attempt None");
    let mut in_time = asleep();
    in_time.complete_call(CallOutcome::Done { result: json!(1) }).unwrap();
    in_time.resume("done").unwrap();
    assert_eq!(ending(&in_time), "Completed none, attempt None");
}

#[test]
fn a_callback_that_does_not_come_is_probed_where_a_probe_is_written() {
    let probed = || {
        let http =
            ", await: callback, on_unknown: probe, probe: { url: 'https://a.example/y', done: 'result.body.done' }";
        let mut scenario = handled(http, "    on_timeout: late");
        scenario.respond(202, json!(null)).unwrap();
        scenario.complete_call(unknown()).unwrap();
        assert_eq!(scenario.open_call().unwrap().purpose, CallPurpose::Probe);
        scenario
    };
    for (body, expected) in [
        (json!({ "done": true }), "Completed none, attempt None"),
        // It may still be working.
        (json!({ "done": false }), "Failed too_late, attempt None"),
        (json!({}), "Failed too_late, attempt None"),
    ] {
        let mut scenario = probed();
        scenario.respond(200, body).unwrap();
        assert_eq!(ending(&scenario), expected);
    }
    let mut silent = probed();
    for _ in 0..3 {
        silent.complete_call(unknown()).unwrap();
    }
    assert_eq!(ending(&silent), "Failed too_late, attempt None");
}

#[test]
fn a_handler_of_the_very_code_answers_an_unknown_outcome() {
    let broken = || CallOutcome::Unknown { failure: Failure::new("http.broken", "it closed the connection") };
    let after = |http: &str, more: &str, outcome: CallOutcome| {
        let mut scenario = handled(http, more);
        scenario.complete_call(outcome).unwrap();
        ending(&scenario)
    };
    let (late, asked) = ("Failed too_late, attempt None", "Suspended timeout, attempt Some(1)");
    assert_eq!(after("", "    on_timeout: late", unknown()), late);
    assert_eq!(after("", "    on_error: [{ code: timeout, to: late }]", unknown()), late);
    assert_eq!(after("", "    on_error: [{ code: [http.broken, http.500], to: late }]", broken()), late);
    assert_eq!(after("", "    on_error: [{ code: timeout, when: error.attempt == 1, to: late }]", unknown()), late);
    // No other attempt is made.
    assert_eq!(after("", "    on_timeout: late\n    retry: { attempts: 3, codes: [timeout] }", unknown()), late);
    // What does not name the code says nothing about a request that may have taken effect.
    for more in [
        "",
        "    on_error: [{ to: late }]",
        "    on_error: [{ code: http, to: late }]",
        "    on_error: [{ code: timeout, when: error.attempt > 1, to: late }]",
    ] {
        assert_eq!(after("", more, unknown()), asked, "{more}");
    }
    assert_eq!(after("", "    on_timeout: late", broken()), "Suspended http.broken, attempt Some(1)");
    // What the author has written about it counts more.
    assert_eq!(after(", on_unknown: suspend", "    on_timeout: late", unknown()), asked);
    assert_eq!(after(", on_unknown: retry", "    on_timeout: late", unknown()), "Running none, attempt Some(2)");
}
