//! Timers, messages, and the instance's own deadline.

use super::*;
use crate::engine::{
    self, Audit, Command, Context, Control, Decision, Facts, Internal, KeptMessages, Message, Need, ROOT, Refusal,
    Status,
};
use crate::testkit::Error;
use expect_test::expect;

const RECEIVE: &str = "
variables: { paid: null }
activities:
  - { id: a, receive: { name: paid, when: data.amount > 10 }, timeout: 1h, output: { paid: result.data.amount } }
  - { id: b, set: {} }
";

#[test]
fn a_due_timer_moves_its_branch() {
    check(
        "activities: [{ id: a, wait: { for: 90s } }]",
        |scenario| {
            started(scenario);
            scenario.advance(seconds(89)).unwrap();
            assert_eq!(scenario.status(), Some(Status::Running));
            scenario.advance(seconds(1)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"due_at":"2026-01-01T00:01:30Z"}
            TimerFired a
            ActivityCompleted a
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn an_early_or_closed_timer_is_refused() {
    let mut scenario = scenario("activities: [{ id: a, wait: { for: 90s } }, { id: b, wait: { for: 1d } }]");
    started(&mut scenario);
    assert!(matches!(scenario.apply(Internal::Fire { bookmark: 1 }), Err(Error::Refused(Refusal::Early(_)))));
    scenario.advance(seconds(90)).unwrap();
    assert!(matches!(scenario.apply(Internal::Fire { bookmark: 1 }), Err(Error::Refused(Refusal::Closed(1)))));
}

#[test]
fn a_time_in_the_past_is_not_waited_for() {
    check(
        "activities: [{ id: a, wait: { until: '2001-01-01T00:00:00Z' } }]",
        started,
        expect![[r#"
        InstanceStarted
        ActivityCompleted a
        InstanceCompleted
        = completed with null
    "#]],
    );
}

#[test]
fn an_invalid_duration_is_an_error_that_does_not_show_its_value() {
    let mut scenario = scenario("variables: { d: secret }\nactivities: [{ id: a, wait: { for: '${ d }' } }]");
    started(&mut scenario);
    let error = scenario.error().unwrap();
    assert_eq!(error.code, "expression");
    assert!(!error.message.contains("secret"), "{}", error.message);
}

#[test]
fn a_message_moves_the_branch_that_waits_for_it() {
    check(
        RECEIVE,
        |scenario| {
            started(scenario);
            scenario.send("paid", "k-1", json!({ "amount": 5 })).unwrap();
            scenario.send("paid", "other", json!({ "amount": 50 })).unwrap();
            assert_eq!(scenario.standing(), Some("a"));
            scenario.send("paid", "k-1", json!({ "amount": 50 })).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-01T01:00:00Z"}
            MessageReceived a {"key":"k-1","name":"paid"}
            ActivityCompleted a {"assigned":{"paid":50},"result":{"data":{"amount":50},"key":"k-1","name":"paid"}}
            ActivityCompleted b
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn the_oldest_kept_message_that_fits_is_taken() {
    let mut scenario = scenario(&RECEIVE.replace("activities:", "activities:\n  - { id: before, wait: { for: 1s } }"));
    started(&mut scenario);
    for amount in [1, 20, 30] {
        scenario.send("paid", "k-1", json!({ "amount": amount })).unwrap();
    }
    scenario.advance(seconds(1)).unwrap();
    assert_eq!(variable(&scenario, "paid"), json!(20));
    assert_eq!(scenario.kept().count(), 2);
    assert_eq!(scenario.bookmarks().count(), 0);
}

#[test]
fn a_kept_message_resets_the_count_of_steps() {
    let text = "
variables: { n: 0 }
activities:
  - { id: a, receive: { name: more }, output: { n: n + 1 }, next: [{ when: n < 20, to: a }, { to: exit }] }
";
    let mut scenario = scenario(text).limits(5, 1_000);
    for n in 0..20 {
        scenario.keep("more", "k-1", json!(n));
    }
    started(&mut scenario);
    assert_eq!((scenario.status(), scenario.kept().count()), (Some(Status::Completed), 0));
}

#[test]
fn a_filter_with_an_error_does_not_match() {
    let mut scenario = scenario(RECEIVE);
    started(&mut scenario);
    scenario.send("paid", "k-1", json!({})).unwrap();
    assert_eq!((scenario.status(), scenario.kept().count()), (Some(Status::Running), 1));
}

#[test]
fn a_wait_that_takes_too_long_is_an_error() {
    check(
        RECEIVE,
        |scenario| {
            started(scenario);
            scenario.advance(seconds(3_600)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-01T01:00:00Z"}
            WaitTimedOut a
            IncidentOpened a {"code":"timeout","message":"`a` waited longer than its timeout"}
            = suspended at a by timeout
        "#]],
    );
}

#[test]
fn a_timeout_may_lead_to_another_activity() {
    check(
        &RECEIVE.replace("timeout: 1h", "timeout: 1h, on_timeout: b"),
        |scenario| {
            started(scenario);
            scenario.advance(seconds(3_600)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-01T01:00:00Z"}
            WaitTimedOut a
            ErrorCaught a {"code":"timeout"}
            ActivityCompleted b
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn the_first_of_several_messages_chooses_the_next_activity() {
    check(
        "
activities:
  - { id: a, receive: [{ name: approved }, { name: rejected, key: r }], next: { approved: x, rejected: y } }
  - { id: x, end: {} }
  - { id: y, end: { outcome: cancelled } }
",
        |scenario| {
            started(scenario);
            assert_eq!(scenario.bookmarks().count(), 2);
            scenario.send("rejected", "r", json!(null)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"messages":[{"key":"k-1","name":"approved"},{"key":"r","name":"rejected"}]}
            MessageReceived a {"key":"r","name":"rejected"}
            ActivityCompleted a {"next":"y","result":{"data":null,"key":"r","name":"rejected"}}
            ActivityCompleted y
            InstanceCancelled
            = cancelled
        "#]],
    );
}

#[test]
fn a_wait_for_a_message_needs_a_key() {
    let text = "activities: [{ id: a, receive: { name: paid } }]";
    let mut scenario = Scenario::new(&definition(text));
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "expression");
    let mut scenario =
        super::scenario("variables: { k: null }\nactivities: [{ id: a, receive: { name: paid, key: '${ k }' } }]");
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "expression", "a null key is not the instance's own");
}

#[test]
fn the_deadline_of_the_instance_closes_every_wait() {
    check(
        "
timeout: 1d
on_timeout: late
activities:
  - { id: a, receive: { name: paid }, timeout: 2d, next: exit }
  - { id: late, wait: { for: 1h } }
",
        |scenario| {
            started(scenario);
            scenario.advance(seconds(86_400)).unwrap();
            assert_eq!(scenario.bookmarks().count(), 1);
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-03T00:00:00Z"}
            WaitTimedOut
            ErrorCaught a {"code":"timeout"}
            WaitOpened late {"due_at":"2026-01-02T01:00:00Z"}
            = running at late
        "#]],
    );
}

#[test]
fn a_deadline_is_closed_with_the_instance() {
    let mut scenario = scenario("timeout: 1d\nactivities: [{ id: a, set: {} }]");
    started(&mut scenario);
    assert_eq!(scenario.status(), Some(Status::Completed));
    assert_eq!(scenario.bookmarks().count(), 0);
}

#[test]
fn a_suspended_instance_fires_no_timers_before_it_is_retried_and_then_at_once() {
    let mut scenario = scenario(
        "
timeout: 1d
activities: [{ id: a, run: { handler: fail, input: {} } }]
",
    );
    started(&mut scenario);
    scenario.advance(seconds(100_000)).unwrap();
    assert!(matches!(scenario.apply(Internal::Fire { bookmark: 1 }), Err(Error::Refused(Refusal::Suspended))));
    scenario.apply(Command::Instance(Control::Retry, Audit::default())).unwrap();
    assert_eq!(scenario.error().unwrap().code, "timeout");
    assert!(matches!(scenario.apply(Internal::Fire { bookmark: 1 }), Err(Error::Refused(Refusal::Closed(1)))));
}

#[test]
fn a_key_that_no_message_can_have_is_an_error_of_the_wait() {
    let key = "${ instance.id }".repeat(8);
    check(
        &format!("activities: [{{ id: a, receive: {{ name: paid, key: '{key}' }} }}]"),
        started,
        expect![[r#"
        InstanceStarted
        ActivityFailed a {"attempt":1,"code":"expression","message":"name and key of a message must have at most 255 bytes each"}
        IncidentOpened a {"code":"expression","message":"name and key of a message must have at most 255 bytes each"}
        = suspended at a by expression
    "#]],
    );
}

#[test]
fn a_cron_expression_is_waited_for_by_the_clock_of_its_zone() {
    check(
        "activities: [{ id: a, wait: { cron: '0 9 * * 1-5', zone: Europe/Berlin } }, { id: b, wait: { cron: '0 12 L 2 *' } }]",
        |scenario| {
            started(scenario);
            // Thursday, the first of January: the clock there is an hour ahead.
            scenario.advance(seconds(8 * 3_600 - 1)).unwrap();
            assert_eq!(scenario.standing(), Some("a"));
            scenario.advance(seconds(1)).unwrap();
        },
        expect![[r#"
            InstanceStarted
            WaitOpened a {"due_at":"2026-01-01T08:00:00Z"}
            TimerFired a
            ActivityCompleted a
            WaitOpened b {"due_at":"2026-02-28T12:00:00Z"}
            = running at b
        "#]],
    );
}

#[test]
fn cron_and_zone_may_be_variables_of_the_instance() {
    let text = "
input: { type: object, properties: { cron: { type: string }, zone: { type: string } } }
activities: [{ id: a, wait: { cron: '${ cron }', zone: '${ zone }' } }]
";
    let told = |input: Value| {
        let mut scenario = scenario(text);
        scenario.start(input).unwrap();
        story(&scenario)
    };
    expect![[r#"
        InstanceStarted
        WaitOpened a {"due_at":"2026-01-01T00:45:00Z"}
        = running at a
    "#]]
    .assert_eq(&told(json!({ "cron": "30 6 1 * *", "zone": "Asia/Kathmandu" })));
    expect![[r#"
        InstanceStarted
        ActivityFailed a {"attempt":1,"code":"expression","message":"the value of `${ cron }` is not a valid cron expression: write five fields, as in 0 9 * * 1-5"}
        IncidentOpened a {"code":"expression","message":"the value of `${ cron }` is not a valid cron expression: write five fields, as in 0 9 * * 1-5"}
        = suspended at a by expression
    "#]].assert_eq(&told(json!({ "cron": "never", "zone": "UTC" })));
    expect![[r#"
        InstanceStarted
        ActivityFailed a {"attempt":1,"code":"expression","message":"the value of `${ zone }` is not a valid time zone: write a name, as in Europe/Berlin"}
        IncidentOpened a {"code":"expression","message":"the value of `${ zone }` is not a valid time zone: write a name, as in Europe/Berlin"}
        = suspended at a by expression
    "#]].assert_eq(&told(json!({ "cron": "0 9 * * *", "zone": "Mars" })));
}

#[test]
fn a_receive_reads_kept_messages_page_by_page_until_one_fits() {
    let definition = definition("activities: [{ id: a, receive: { name: paid, when: data.n > 1 } }]");
    let mut scenario = Scenario::new(&definition).key("k-1");
    scenario.begin(json!({})).unwrap();
    let (env, instance) = (serde_json::Map::new(), scenario.instance().unwrap());
    let retry = crate::definition::Retry {
        attempts: 1,
        base: seconds(1),
        max: seconds(1),
        factor: 1.0,
        jitter: 0.0,
        codes: Vec::new(),
        within: None,
    };
    let context = Context {
        now: scenario.now(),
        chance: 0.0,
        env: &env,
        steps_max: 9,
        variables_max: 99,
        handler_timeout: seconds(1),
        http_timeout: seconds(1),
        call_timeout: seconds(1),
        retry: &retry,
        budget: crate::expression::step_budget::StepBudget::whole(),
    };
    let command: Command = Internal::Continue { branch: ROOT, sequence: 0 }.into();
    let kept = |n: i64| Message {
        name: "paid".into(),
        key: "k-1".into(),
        data: json!({ "n": n }),
        kept: Some(n),
        sender: None,
    };
    let decide = |messages: Option<KeptMessages>| {
        engine::decide(&definition, instance, &command, Facts { messages, ..Facts::default() }, &context)
    };
    let address = || vec![("paid".to_owned(), "k-1".to_owned())];
    assert_eq!(decide(None), Decision::Need(Need::Messages { addresses: address(), after: None }));
    let page = |list: Vec<Message>, more| Some(KeptMessages { list, more });
    let next = decide(page(vec![kept(0), kept(1)], true));
    assert_eq!(next, Decision::Need(Need::Messages { addresses: address(), after: Some(1) }));
    let fits = decide(page(vec![kept(1), kept(2)], true));
    assert!(matches!(fits, Decision::Commit(step) if step.instance.status == Status::Completed));
    let waits = decide(page(vec![kept(1)], false));
    assert!(matches!(waits, Decision::Commit(step) if step.instance.status == Status::Running));
}
