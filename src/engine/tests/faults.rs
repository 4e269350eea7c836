//! Attempts, errors caught and not, incidents.

use super::*;
use crate::engine::{EntryKind, Refusal, Status};
use crate::testkit::Error;
use expect_test::expect;

#[test]
fn a_transient_error_is_retried_and_then_becomes_an_incident() {
    check(
        "activities: [{ id: a, run: { handler: fail, input: { code: timeout } } }]",
        |scenario| {
            started(scenario);
            scenario.advance(seconds(60)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            ActivityRetryScheduled a {"attempt":1,"code":"timeout","due_at":"2026-01-01T00:00:02Z","message":"it failed"}
            TimerFired a
            ActivityRetryScheduled a {"attempt":2,"code":"timeout","due_at":"2026-01-01T00:00:06Z","message":"it failed"}
            TimerFired a
            ActivityFailed a {"attempt":3,"code":"timeout","message":"it failed"}
            IncidentOpened a {"code":"timeout","message":"it failed"}
            = suspended at a by timeout
        "#]],
    );
}

#[test]
fn a_permanent_error_is_tried_once() {
    check(
        "activities: [{ id: a, run: { handler: fail, input: { code: handler.bad } } }]",
        started,
        expect![[r#"
        InstanceStarted
        ActivityFailed a {"attempt":1,"code":"handler.bad","message":"it failed"}
        IncidentOpened a {"code":"handler.bad","message":"it failed"}
        = suspended at a by handler.bad
    "#]],
    );
}

#[test]
fn each_activity_counts_its_own_attempts() {
    let text = "
activities:
  - { id: a, run: { handler: flaky, input: '${ activity.attempt }' }, retry: { attempts: 2, base: 1s } }
  - { id: b, run: { handler: flaky, input: '${ activity.attempt }' }, retry: { attempts: 2, base: 1s } }
";
    let mut scenario = scenario(text).handler("flaky", |call| match call.attempt {
        1 => Err(Failure::new("timeout", "once")),
        _ => Ok(call.input.clone()),
    });
    started(&mut scenario);
    scenario.advance(seconds(9)).unwrap();
    assert_eq!(scenario.status(), Some(Status::Completed));
    let pauses = scenario.history().iter().filter(|entry| entry.kind == EntryKind::ActivityRetryScheduled);
    assert_eq!(pauses.count(), 2, "each failed at its first attempt");
}

#[test]
fn completed_work_is_not_retried_by_any_policy() {
    check(
        "
variables: { n: 0 }
activities:
  - id: a
    run: { handler: echo, input: {} }
    retry: { attempts: 5, codes: [expression] }
    output: { n: result.missing }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"expression","message":"`result.missing`: no member `missing` (reads result)"}
            IncidentOpened a {"code":"expression","message":"`result.missing`: no member `missing` (reads result)"}
            = suspended at a by expression
        "#]],
    );
}

#[test]
fn each_policy_counts_its_own_failures() {
    let text = "
activities:
  - id: a
    run: { handler: alternate, input: '${ activity.attempt }' }
    retry:
      - { attempts: 3, base: 1s, codes: [one] }
      - { attempts: 2, base: 10s, codes: [two] }
";
    let mut scenario = scenario(text).handler("alternate", |call| {
        let code = if call.input.as_i64().unwrap() % 2 == 1 { "one" } else { "two" };
        Err(Failure::new(code, "again"))
    });
    started(&mut scenario);
    scenario.advance(seconds(60)).unwrap();
    expect![[r#"
        InstanceStarted
        ActivityRetryScheduled a {"attempt":1,"code":"one","due_at":"2026-01-01T00:00:01Z","message":"again"}
        TimerFired a
        ActivityRetryScheduled a {"attempt":2,"code":"two","due_at":"2026-01-01T00:00:11Z","message":"again"}
        TimerFired a
        ActivityRetryScheduled a {"attempt":3,"code":"one","due_at":"2026-01-01T00:00:13Z","message":"again"}
        TimerFired a
        ActivityFailed a {"attempt":4,"code":"two","message":"again"}
        IncidentOpened a {"code":"two","message":"again"}
        = suspended at a by two
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn no_attempt_begins_after_the_time_a_policy_allows() {
    let text = "
activities:
  - id: a
    run: { handler: fail, input: { code: timeout } }
    retry: { attempts: 100, base: 4s, factor: 1, within: 10s }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    scenario.advance(seconds(600)).unwrap();
    let attempts = scenario.history().iter().filter(|entry| entry.details["attempt"].is_number()).count();
    assert_eq!(attempts, 3, "at 0, 4 and 8 seconds");
}

#[test]
fn a_wait_between_attempts_is_shortened_only_by_jitter() {
    let text = "
activities:
  - { id: a, run: { handler: fail, input: { code: timeout } }, retry: { attempts: 2, base: 10s, jitter: 0.5 } }
";
    let mut scenario = scenario(text).chance(0.5);
    started(&mut scenario);
    let due_at = scenario.bookmarks().next().unwrap().due_at.unwrap();
    assert_eq!(due_at.duration_since(scenario.now()).as_millis(), 7_500);
}

#[test]
fn an_error_is_caught_by_the_first_entry_that_matches() {
    check(
        "
variables: { seen: null }
on_error: [{ output: { seen: \"'definition'\" } }]
activities:
  - id: a
    run: { handler: fail, input: { code: handler.stock, data: { left: 2 } } }
    on_error:
      - { code: http, to: b }
      - { code: handler, when: error.data.left > 5, to: b }
      - { code: [other, handler], output: { seen: error.data.left }, to: c }
  - { id: b, set: {} }
  - { id: c, set: {} }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"handler.stock","data":{"left":2},"message":"it failed"}
            ErrorCaught a {"assigned":{"seen":2},"code":"handler.stock","next":"c"}
            ActivityCompleted c
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn an_error_the_activity_does_not_catch_goes_to_the_definition() {
    check(
        "
variables: { seen: null }
on_error: [{ code: handler, output: { seen: error.code } }]
activities:
  - { id: a, run: { handler: fail, input: {} }, on_error: [{ code: http, to: b }], next: c }
  - { id: b, set: {} }
  - { id: c, set: {} }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"handler.bad","message":"it failed"}
            ErrorCaught a {"assigned":{"seen":"handler.bad"},"code":"handler.bad","next":"c"}
            ActivityCompleted c
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn an_uncaught_error_may_end_the_instance() {
    check(
        "
on_failure: fail
activities: [{ id: a, raise: { code: no_stock, message: 'No ${ instance.key }' } }]
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"no_stock","message":"No k-1"}
            InstanceFailed {"code":"no_stock","message":"No k-1"}
            = failed by no_stock
        "#]],
    );
}

#[test]
fn an_error_in_an_error_handler_is_not_handled_again() {
    check(
        "
variables: { seen: null }
on_error: [{ to: b }]
activities:
  - { id: a, raise: { code: odd }, on_error: [{ output: { seen: error.data.nothing } }] }
  - { id: b, set: {} }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"odd","message":"odd"}
            IncidentOpened a {"code":"expression","data":{"error":{"code":"odd","message":"odd"}},"message":"while handling `odd`: `error.data.nothing`: `.nothing` needs a map, not null (reads error)"}
            = suspended at a by expression
        "#]],
    );
}

#[test]
fn completed_work_is_not_repeated_when_its_output_fails() {
    let text = "
variables: { n: 0 }
activities:
  - id: a
    run: { handler: count, input: {} }
    output: { n: n + 1 }
    next: [{ when: result.ready, to: b }, { to: exit }]
  - { id: b, set: {} }
";
    let runs = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = runs.clone();
    let mut scenario = scenario(text).handler("count", move |_| {
        counted.set(counted.get() + 1);
        Ok(json!({}))
    });
    started(&mut scenario);
    scenario.retry().unwrap();
    assert_eq!(runs.get(), 1, "the handler ran once");
    assert_eq!(variable(&scenario, "n"), json!(0), "the output was not assigned without the next activity");
    expect![[r#"
        InstanceStarted
        ActivityFailed a {"attempt":1,"code":"expression","message":"`result.ready`: no member `ready` (reads result)"}
        IncidentOpened a {"code":"expression","message":"`result.ready`: no member `ready` (reads result)"}
        IncidentRetried
        ActivityFailed a {"attempt":1,"code":"expression","message":"`result.ready`: no member `ready` (reads result)"}
        IncidentOpened a {"code":"expression","message":"`result.ready`: no member `ready` (reads result)"}
        = suspended at a by expression
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn a_result_is_kept_until_its_output_can_be_evaluated() {
    let text = "
variables: { got: null }
activities:
  - id: a
    run: { handler: nothing, input: {} }
    output:
      got: 'now > timestamp(\"2026-01-01T01:00:00Z\") ? [result] : result.missing'
  - { id: b, wait: { for: 1d } }
";
    let runs = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = runs.clone();
    let mut scenario = scenario(text).handler("nothing", move |_| {
        counted.set(counted.get() + 1);
        Ok(Value::Null)
    });
    started(&mut scenario);
    assert_eq!(scenario.status(), Some(Status::Suspended));
    scenario.advance(seconds(7_200)).unwrap();
    scenario.retry().unwrap();
    assert_eq!((scenario.standing(), runs.get()), (Some("b"), 1));
    assert_eq!(variable(&scenario, "got"), json!([null]), "a null is a result too");
    let told: Vec<&str> = scenario.events().iter().map(|event| event.name.as_str()).collect();
    assert_eq!(told, ["started", "suspended", "resumed"]);
}

#[test]
fn an_event_is_not_published_again_after_a_later_failure() {
    let mut scenario = scenario(
        "
events: { instance: false }
activities:
  - { id: a, emit: { event: told, body: {} }, next: [{ when: env.missing, to: a }, { to: exit }] }
",
    );
    started(&mut scenario);
    scenario.retry().unwrap();
    assert_eq!(scenario.status(), Some(Status::Suspended));
    assert_eq!(scenario.events().len(), 1);
}

#[test]
fn a_retry_begins_with_the_first_attempt() {
    check(
        "activities: [{ id: a, run: { handler: fail, input: { code: timeout } }, retry: { attempts: 2, base: 1s } }]",
        |scenario| {
            started(scenario);
            scenario.advance(seconds(10)).unwrap();
            assert_eq!(scenario.status(), Some(Status::Suspended));
            scenario.retry().unwrap();
        },
        expect![[r#"
            InstanceStarted
            ActivityRetryScheduled a {"attempt":1,"code":"timeout","due_at":"2026-01-01T00:00:01Z","message":"it failed"}
            TimerFired a
            ActivityFailed a {"attempt":2,"code":"timeout","message":"it failed"}
            IncidentOpened a {"code":"timeout","message":"it failed"}
            IncidentRetried
            ActivityRetryScheduled a {"attempt":1,"code":"timeout","due_at":"2026-01-01T00:00:11Z","message":"it failed"}
            = running at a
        "#]],
    );
}

#[test]
fn a_retry_restarts_the_time_limit() {
    let text = "
activities:
  - id: a
    run: { handler: fail, input: { code: timeout } }
    retry: { attempts: 9, base: 4s, factor: 1, within: 5s }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    scenario.advance(seconds(600)).unwrap();
    assert_eq!(scenario.status(), Some(Status::Suspended));
    scenario.retry().unwrap();
    assert_eq!(scenario.status(), Some(Status::Running), "the second attempt is waited for");
}

#[test]
fn an_error_entry_whose_transition_fails_assigns_nothing() {
    let mut scenario = scenario(
        "
variables: { seen: 0 }
activities:
  - id: a
    run: { handler: fail, input: {} }
    on_error: [{ output: { seen: 1 } }]
    next: [{ when: result.missing, to: a }, { to: exit }]
",
    );
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "expression");
    assert_eq!(variable(&scenario, "seen"), json!(0));
}

#[test]
fn a_retry_without_an_incident_is_refused() {
    let mut scenario = scenario("activities: [{ id: a, wait: { for: 1d } }]");
    started(&mut scenario);
    assert!(matches!(scenario.retry(), Err(Error::Refused(Refusal::NoIncident))));
}

#[test]
fn a_failing_condition_is_an_error_like_others() {
    check(
        "
variables: { n: null }
activities:
  - { id: a, when: n.missing, run: { handler: echo, input: {} }, on_error: [{ code: expression, to: b }] }
  - { id: b, set: {} }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityFailed a {"attempt":1,"code":"expression","message":"`n.missing`: `.missing` needs a map, not null (reads n)"}
            ErrorCaught a {"code":"expression"}
            ActivityCompleted b
            InstanceCompleted
            = completed with null
        "#]],
    );
}
