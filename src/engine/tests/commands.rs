//! Commands that come late, twice or too early, and crashes of workers.

use super::*;
use crate::engine::{self, Audit, Command, Control, Decision, Facts, Internal, Need, ROOT, Refusal, Sender, Status};
use crate::testkit::Error;
use expect_test::expect;

const WAITS: &str = "timeout: 9d\nactivities: [{ id: a, receive: { name: x }, timeout: 1d }]";

#[test]
fn only_the_newest_step_command_is_taken() {
    let mut scenario = scenario(WAITS);
    started(&mut scenario);
    for sequence in [-1, 0, 1, 2] {
        let command = Internal::Continue { branch: ROOT, sequence };
        assert!(matches!(scenario.apply(command), Err(Error::Refused(Refusal::Stale))), "{sequence}");
    }
}

#[test]
fn a_cancel_closes_everything_and_is_applied_once() {
    let mut scenario = scenario(WAITS);
    started(&mut scenario);
    assert_eq!(scenario.bookmarks().count(), 3);
    scenario.cancel("not wanted").unwrap();
    assert_eq!(scenario.bookmarks().count(), 0);
    assert!(matches!(scenario.cancel("again"), Err(Error::Refused(Refusal::Ended(Status::Cancelled)))));
    expect![[r#"
        InstanceStarted
        WaitOpened a {"messages":[{"key":"k-1","name":"x"}],"timeout_at":"2026-01-02T00:00:00Z"}
        InstanceCancelled {"reason":"not wanted"}
        = cancelled
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn crashes_leave_the_step_command_valid_until_there_are_too_many() {
    let definition = definition("activities: [{ id: a, run: { handler: deadly, input: {} } }]");
    let mut scenario = Scenario::new(&definition);
    assert!(matches!(scenario.start(json!({})), Err(Error::NoHandler(_))));
    let crash = || Internal::Crash { branch: ROOT, sequence: 0, crash_max: 2 };
    for crashes in 1..=2 {
        scenario.apply(crash()).unwrap();
        assert_eq!(scenario.instance().unwrap().state.branches[0].crashes, crashes);
        assert!(scenario.instance().unwrap().is_ready());
    }
    scenario.apply(crash()).unwrap();
    assert_eq!(scenario.error().unwrap().code, "worker.crashed");
    assert!(matches!(scenario.apply(crash()), Err(Error::Refused(Refusal::Stale))));
    scenario
        .apply(Command::Instance(Control::Retry, Audit { by: Some("ada".into()), reason: Some("fixed".into()) }))
        .unwrap();
    assert_eq!(scenario.instance().unwrap().state.branches[0].crashes, 0);
    expect![[r#"
        InstanceStarted
        WorkerCrashed a {"crashes":1}
        WorkerCrashed a {"crashes":2}
        WorkerCrashed a {"crashes":3}
        IncidentOpened a {"code":"worker.crashed","message":"3 workers died while they executed `a`"}
        IncidentRetried {"by":"ada","reason":"fixed"}
        = running at a
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn a_step_without_a_handler_is_an_incident_with_its_reason() {
    let definition = definition("activities: [{ id: a, run: { handler: deadly, input: {} } }]");
    let mut scenario = Scenario::new(&definition);
    assert!(matches!(scenario.start(json!({})), Err(Error::NoHandler(_))));
    let abandon = || Internal::Undeliverable { branch: ROOT, sequence: 0, why: "it is too much".into() };
    scenario.apply(abandon()).unwrap();
    assert!(matches!(scenario.apply(abandon()), Err(Error::Refused(Refusal::Stale))));
    scenario.apply(Command::Instance(Control::Retry, Audit::default())).unwrap();
    expect![[r#"
        InstanceStarted
        IncidentOpened a {"code":"worker.gave_up","message":"it is too much"}
        IncidentRetried
        = running at a
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn a_missing_handler_result_is_a_bug_of_the_caller() {
    let definition = definition("activities: [{ id: a, run: { handler: deadly, input: {} } }]");
    let mut scenario = Scenario::new(&definition);
    scenario.start(json!({})).unwrap_err();
    let retry = crate::definition::Retry {
        attempts: 1,
        base: seconds(1),
        max: seconds(1),
        factor: 1.0,
        jitter: 0.0,
        codes: Vec::new(),
        within: None,
    };
    let env = serde_json::Map::new();
    let context = crate::engine::Context {
        now: scenario.now(),
        chance: 0.0,
        env: &env,
        steps_max: 9,
        variables_max: 99,
        handler_timeout: seconds(30),
        http_timeout: seconds(120),
        call_timeout: seconds(300),
        retry: &retry,
        budget: crate::expression::step_budget::StepBudget::whole(),
    };
    let command = Internal::Continue { branch: ROOT, sequence: 0 }.into();
    let decided = engine::decide(&definition, scenario.instance().unwrap(), &command, Facts::default(), &context);
    assert!(matches!(decided, Decision::Need(Need::Handler(call)) if call.attempt == 1), "the handler is asked for");
}

#[test]
fn a_handler_is_called_with_its_input_and_time_limit() {
    let text = "
activities:
  - { id: a, run: { handler: told, input: {} } }
  - { id: b, run: { handler: told, input: {} }, timeout: 5s }
  - { id: c, run: { handler: told, input: {} }, timeout: none }
";
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = seen.clone();
    let mut scenario = scenario(text).handler("told", move |call| {
        told.borrow_mut().push(call.timeout);
        Ok(json!(null))
    });
    started(&mut scenario);
    assert_eq!(*seen.borrow(), [Some(seconds(30)), Some(seconds(5)), None]);
}

#[test]
fn a_timer_that_cannot_be_fired_is_an_incident_of_the_activity_that_waits() {
    let mut scenario = scenario(WAITS);
    started(&mut scenario);
    let abandon = |bookmark| Internal::Unfireable { bookmark, why: "it is too much".into() };
    assert!(matches!(scenario.apply(abandon(3)), Err(Error::Refused(Refusal::Early(_)))));
    scenario.pass(seconds(86_400)).unwrap();
    scenario.apply(abandon(3)).unwrap();
    assert!(matches!(scenario.apply(abandon(3)), Err(Error::Refused(Refusal::Closed(3)))));
    scenario.retry().unwrap();
    assert_eq!(scenario.bookmarks().count(), 3, "it waits again");
    // And the time limit of the whole instance.
    scenario.pass(seconds(9 * 86_400)).unwrap();
    scenario.apply(abandon(1)).unwrap();
    assert_eq!(scenario.bookmarks().count(), 1, "for a person only");
    expect![[r#"
        InstanceStarted
        WaitOpened a {"messages":[{"key":"k-1","name":"x"}],"timeout_at":"2026-01-02T00:00:00Z"}
        IncidentOpened a {"code":"worker.gave_up","message":"it is too much"}
        IncidentRetried
        WaitOpened a {"messages":[{"key":"k-1","name":"x"}],"timeout_at":"2026-01-03T00:00:00Z"}
        IncidentOpened a {"code":"worker.gave_up","message":"it is too much"}
        = suspended at a by worker.gave_up
    "#]]
    .assert_eq(&story(&scenario));
}

#[test]
fn the_first_entry_says_who_sent_the_command() {
    let sender = |user_id: Option<&str>| Sender { app_id: "shop".into(), user_id: user_id.map(Into::into) };
    let signed = |sender: Sender, mut details: serde_json::Value| {
        sender.sign(&mut details);
        details
    };
    assert_eq!(signed(sender(None), json!(null)), json!({ "by": "shop" }));
    assert_eq!(signed(sender(Some("s")), json!({ "by": "shop" })), json!({ "by": "shop", "user_id": "s" }));
    assert_eq!(signed(sender(None), json!({ "by": "mia" })), json!({ "by": "mia", "sender": "shop" }));
    assert_eq!(signed(sender(None), json!([1])), json!([1]));
}
