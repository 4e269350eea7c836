//! Standing still because somebody asked for it, going on, and timers that are put off.

use std::time::Duration;

use super::*;
use crate::engine::{Audit, Command, Control, Due, Internal, Refusal, Status, TaskRefusal};
use crate::testkit::Error;
use expect_test::expect;

const PAYMENT: &str = "
timeout: 9d
variables: { amount: 0 }
output: ${ amount }
activities:
  - { id: pay, receive: { name: paid, when: data.amount > 1 }, timeout: 1h, on_timeout: late, output: { amount: result.data.amount } }
  - { id: done, end: {} }
  - { id: late, end: { output: expired } }
";

fn reschedule(bookmark: i64, due: Due) -> Command {
    Command::Instance(Control::Reschedule { bookmark, due }, Audit { by: Some("ada".into()), reason: None })
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(3_600 * count)
}

#[test]
fn commands_received_during_a_suspension_are_replayed_in_the_order_of_their_times() {
    let paid_first = |scenario: &mut Scenario| {
        started(scenario);
        scenario.suspend("look at it").unwrap();
        scenario.send("paid", "k-1", json!({ "amount": 1 })).unwrap();
        scenario.pass(seconds(60)).unwrap();
        scenario.send("paid", "k-1", json!({ "amount": 2 })).unwrap();
        scenario.send("paid", "k-1", json!({ "amount": 3 })).unwrap();
        scenario.pass(hours(2)).unwrap();
        scenario.resume("looked at").unwrap();
        assert_eq!(scenario.kept().count(), 2);
    };
    let expected = expect![[r#"
        InstanceStarted
        WaitOpened pay {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-01T01:00:00Z"}
        InstanceSuspended {"reason":"look at it"}
        InstanceResumed {"reason":"looked at"}
        MessageReceived pay {"key":"k-1","name":"paid"}
        ActivityCompleted pay {"assigned":{"amount":2},"result":{"data":{"amount":2},"key":"k-1","name":"paid"}}
        ActivityCompleted done
        InstanceCompleted
        = completed with 2
    "#]];
    check(PAYMENT, paid_first, expected);
    let expired_first = |scenario: &mut Scenario| {
        started(scenario);
        scenario.suspend("look at it").unwrap();
        scenario.pass(hours(2)).unwrap();
        scenario.send("paid", "k-1", json!({ "amount": 2 })).unwrap();
        scenario.resume("looked at").unwrap();
        assert_eq!((scenario.output(), scenario.kept().count()), (Some(&json!("expired")), 1));
    };
    let mut scenario = scenario(PAYMENT);
    expired_first(&mut scenario);
}

#[test]
fn a_suspended_instance_does_not_move() {
    let mut scenario = scenario(PAYMENT);
    scenario.begin(json!({})).unwrap();
    scenario.suspend("wait").unwrap();
    assert!(!scenario.instance().unwrap().is_ready());
    let command = Internal::Continue { branch: crate::engine::ROOT, sequence: 0 };
    assert!(matches!(scenario.apply(command), Err(Error::Refused(Refusal::Suspended))));
    let refused = scenario.apply(reschedule(1, Due::After(hours(1))));
    assert!(matches!(refused, Err(Error::Refused(Refusal::Suspended))));
    assert!(matches!(scenario.suspend("again"), Err(Error::Refused(Refusal::AlreadySuspended))));
    assert!(matches!(scenario.retry(), Err(Error::Refused(Refusal::SuspendedByCommand))));
    scenario.resume("go").unwrap();
    assert_eq!(scenario.standing(), Some("pay"));
    assert!(matches!(scenario.resume("go"), Err(Error::Refused(Refusal::NotSuspended))));
}

#[test]
fn a_suspended_instance_can_be_cancelled() {
    let mut scenario = scenario(PAYMENT);
    started(&mut scenario);
    scenario.suspend("wait").unwrap();
    assert_eq!(scenario.bookmarks().count(), 4);
    scenario.cancel("enough").unwrap();
    assert_eq!((scenario.bookmarks().count(), scenario.status()), (0, Some(Status::Cancelled)));
}

#[test]
fn an_incident_is_retried_and_not_resumed() {
    let mut scenario = scenario("activities: [{ id: a, raise: { code: broken } }]");
    started(&mut scenario);
    assert!(matches!(scenario.resume("go"), Err(Error::Refused(Refusal::SuspendedByFailure))));
    assert!(matches!(scenario.suspend("wait"), Err(Error::Refused(Refusal::AlreadySuspended))));
}

#[test]
fn a_deadline_that_passed_during_a_suspension_fires_with_the_retry() {
    let text = "
timeout: 1h
on_error: [{ code: timeout, to: late }]
activities:
  - { id: a, run: { handler: fail, input: {} }, retry: none }
  - { id: late, end: { output: late } }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    scenario.pass(hours(2)).unwrap();
    scenario.apply(Command::Instance(Control::Retry, Audit::default())).unwrap();
    assert_eq!(scenario.standing(), Some("late"));
    scenario.drive().unwrap();
    assert_eq!(scenario.output(), Some(&json!("late")));
}

#[test]
fn a_timer_is_rescheduled_to_a_later_and_an_earlier_time() {
    let mut scenario = scenario("timeout: 9d\nactivities: [{ id: a, wait: { for: 1h } }]");
    started(&mut scenario);
    scenario.apply(reschedule(2, Due::After(hours(5)))).unwrap();
    assert!(matches!(scenario.apply(reschedule(2, Due::After(hours(5)))), Err(Error::Refused(Refusal::Closed(2)))));
    scenario.advance(hours(4)).unwrap();
    assert_eq!(scenario.standing(), Some("a"));
    scenario.apply(reschedule(3, Due::At("2020-01-01T00:00:00Z".parse().unwrap()))).unwrap();
    scenario.apply(reschedule(1, Due::After(Duration::ZERO))).unwrap();
    expect![[r#"
        InstanceStarted
        WaitOpened a {"due_at":"2026-01-01T01:00:00Z"}
        TimerRescheduled a {"bookmark":3,"by":"ada","due_at":"2026-01-01T05:00:00Z","was_due_at":"2026-01-01T01:00:00Z"}
        TimerRescheduled a {"bookmark":4,"by":"ada","due_at":"2026-01-01T04:00:00Z","was_due_at":"2026-01-01T05:00:00Z"}
        TimerRescheduled {"bookmark":5,"by":"ada","due_at":"2026-01-01T04:00:00Z","was_due_at":"2026-01-10T00:00:00Z"}
        = running at a
    "#]]
    .assert_eq(&story(&scenario));
    scenario.advance(Duration::ZERO).unwrap();
    assert_eq!(scenario.status(), Some(Status::Completed));
}

#[test]
fn only_open_timers_are_rescheduled_to_times_within_the_calendar() {
    let mut scenario = scenario(PAYMENT);
    started(&mut scenario);
    let far = scenario.apply(reschedule(1, Due::After(Duration::MAX)));
    assert!(matches!(far, Err(Error::Refused(Refusal::TooFar))));
    assert!(matches!(scenario.apply(reschedule(2, Due::After(hours(1)))), Err(Error::Refused(Refusal::NotATimer(2)))));
    assert!(matches!(scenario.apply(reschedule(9, Due::After(hours(1)))), Err(Error::Refused(Refusal::Closed(9)))));
    scenario.cancel("enough").unwrap();
    let ended = scenario.apply(reschedule(3, Due::After(hours(1))));
    assert!(matches!(ended, Err(Error::Refused(Refusal::Ended(Status::Cancelled)))));
}

const REVIEW: &str = "
variables: { by: null }
output: ${ by }
activities:
  - id: review
    task: { candidates: { users: [ann, bob] }, remind: [1h] }
    timeout: 1d
    on_timeout: late
    output: { by: result.actor }
  - { id: done, end: {} }
  - { id: late, end: { output: expired } }
";

#[test]
fn a_task_completed_during_a_suspension_continues_after_the_resume() {
    check(
        REVIEW,
        |scenario| {
            started(scenario);
            scenario.suspend("look at it").unwrap();
            scenario.pass(hours(2)).unwrap();
            scenario.complete("ann", None, Value::Null).unwrap();
            let Err(Error::Refused(Refusal::Task(TaskRefusal::Closed(why)))) =
                scenario.complete("bob", None, Value::Null)
            else {
                panic!("done twice")
            };
            assert_eq!((why.as_str(), scenario.status()), ("completed by `ann`", Some(Status::Suspended)));
            // The timeout was closed with the task, so that nothing else comes true.
            scenario.pass(hours(48)).unwrap();
            scenario.resume("looked at").unwrap();
        },
        expect![[r#"
            InstanceStarted
            TaskOpened review {"groups":[],"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452","timeout_at":"2026-01-02T00:00:00Z","users":["ann","bob"]}
            InstanceSuspended {"reason":"look at it"}
            TaskCompleted review {"by":"ann","task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            InstanceResumed {"reason":"looked at"}
            ActivityCompleted review {"assigned":{"by":"ann"},"result":{"actor":"ann","comment":null,"decision":null,"form":null}}
            ActivityCompleted done
            InstanceCompleted
            = completed with "ann"
        "#]],
    );
}

#[test]
fn a_task_cannot_be_completed_after_its_timeout_passed_during_a_suspension() {
    let mut scenario = scenario(REVIEW);
    started(&mut scenario);
    scenario.suspend("look at it").unwrap();
    scenario.pass(hours(25)).unwrap();
    let refused = scenario.complete("ann", None, Value::Null);
    assert!(matches!(refused, Err(Error::Refused(Refusal::Task(TaskRefusal::Closed(_))))), "{refused:?}");
    scenario.resume("looked at").unwrap();
    assert_eq!(scenario.output(), Some(&json!("expired")));
}
