//! Sequence, choice, going on and ending.

use super::*;
use expect_test::expect;

#[test]
fn a_straight_line_runs_to_its_end() {
    check(
        "
variables: { n: 1 }
output: { n: '${ n }' }
activities:
  - { id: a, set: { n: n + 1 } }
  - { id: b, run: { handler: echo, input: { twice: '${ n * 2 }' } }, output: { n: result.twice } }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityCompleted a {"assigned":{"n":2}}
            ActivityCompleted b {"assigned":{"n":4},"result":{"twice":4}}
            InstanceCompleted
            = completed with {"n":4}
        "#]],
    );
}

#[test]
fn assignments_see_the_values_from_before() {
    let mut scenario = scenario("variables: { a: 1, b: 2 }\nactivities: [{ id: swap, set: { a: b, b: a } }]");
    started(&mut scenario);
    assert_eq!((variable(&scenario, "a"), variable(&scenario, "b")), (json!(2), json!(1)));
}

#[test]
fn a_switch_takes_the_first_entry_that_holds() {
    check(
        "
variables: { n: 5 }
activities:
  - { id: s, switch: [{ when: n > 9, to: big }, { when: n > 3, to: some }, { to: few }] }
  - { id: big, end: {} }
  - { id: some, end: { outcome: failed, error: { code: too.many, message: 'n is ${ n }', data: { n: '${ n }' } } } }
  - { id: few, end: {} }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityCompleted s {"next":"some"}
            ActivityCompleted some
            InstanceFailed {"code":"too.many","data":{"n":5},"message":"n is 5"}
            = failed by too.many
        "#]],
    );
}

#[test]
fn an_activity_with_a_false_condition_is_skipped_as_if_absent() {
    check(
        "
variables: { n: 0 }
activities:
  - { id: start, switch: [{ when: n > 0, to: b }, { to: a }] }
  - { id: a, when: n > 0, set: { n: 7 }, output: { n: 8 }, next: c }
  - { id: b, set: { n: 9 }, next: exit }
  - { id: c, run: { handler: nobody, input: {} }, when: n > 0 }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityCompleted start
            ActivitySkipped a {"next":"c"}
            ActivitySkipped c
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn a_loop_counts_its_visits() {
    let mut scenario = scenario(
        "
variables: { seen: 0 }
activities:
  - { id: a, set: { seen: activity.visit } , next: [{ when: seen < 3, to: a }, { to: exit }] }
",
    );
    started(&mut scenario);
    assert_eq!(variable(&scenario, "seen"), json!(3));
    assert_eq!(scenario.instance().unwrap().state.visits["a"], 3);
}

#[test]
fn a_loop_that_never_waits_becomes_an_incident() {
    let text = "variables: { n: 0 }\nactivities: [{ id: a, set: { n: n + 1 }, next: [{ when: n < 99, to: a }, { to: exit }] }]";
    let mut scenario = scenario(text).limits(10, 1_000);
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "limit.steps");
    assert_eq!(variable(&scenario, "n"), json!(10));
    scenario.retry().unwrap();
    assert_eq!(variable(&scenario, "n"), json!(20), "a person may let it run as far again");
}

#[test]
fn no_handler_runs_beyond_the_bound_of_steps() {
    let text = "activities: [{ id: a, run: { handler: counted, input: {} }, next: [{ when: result < 99, to: a }, { to: exit }] }]";
    let mut runs = 0;
    let mut scenario = scenario(text).limits(10, 1_000).handler("counted", move |_| {
        runs += 1;
        Ok(json!(runs))
    });
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "limit.steps");
    let last = scenario.history().iter().filter_map(|entry| entry.details["result"].as_i64()).max();
    assert_eq!(last, Some(10));
    scenario.retry().unwrap();
    let last = scenario.history().iter().filter_map(|entry| entry.details["result"].as_i64()).max();
    assert_eq!(last, Some(20), "the run that was refused has not taken place");
}

#[test]
fn a_wait_resets_the_count_of_steps() {
    let text = "
variables: { n: 0 }
activities:
  - { id: a, set: { n: n + 1 } }
  - { id: b, wait: { for: 1s }, next: [{ when: n < 99, to: a }, { to: exit }] }
";
    let mut scenario = scenario(text).limits(10, 1_000);
    started(&mut scenario);
    scenario.advance(seconds(50)).unwrap();
    assert_eq!(variable(&scenario, "n"), json!(51));
}

#[test]
fn an_event_is_published_and_those_of_activities_on_request() {
    let mut scenario = scenario(
        "
events: { activity: true }
activities:
  - { id: a, emit: { event: shipped, body: { key: '${ instance.key }' } } }
",
    );
    started(&mut scenario);
    let told: Vec<String> = scenario.events().iter().map(|event| format!("{} {}", event.name, event.data)).collect();
    expect![[r#"
        started {"key":"k-1"}
        shipped {"key":"k-1"}
        activity_completed {"activity":"a"}
        completed {"key":"k-1","output":null}"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn an_end_leaves_from_anywhere_with_its_own_output() {
    check(
        "
output: theirs
activities:
  - { id: s, switch: [{ when: instance.version == 1, to: a }, { to: b }] }
  - { id: b, wait: { for: 1d } }
  - { id: a, end: { output: { mine: true } } }
",
        started,
        expect![[r#"
            InstanceStarted
            ActivityCompleted s {"next":"a"}
            ActivityCompleted a
            InstanceCompleted
            = completed with {"mine":true}
        "#]],
    );
}

#[test]
fn variables_that_grow_too_large_are_a_failure_and_stay_as_they_were() {
    let mut scenario =
        scenario("variables: { t: x }\nactivities: [{ id: a, set: { t: t + t }, next: [{ when: size(t) < 999, to: a }, { to: exit }] }]").limits(99, 100);
    started(&mut scenario);
    assert_eq!(scenario.error().unwrap().code, "limit.variables");
    assert_eq!(variable(&scenario, "t").as_str().unwrap().len(), 64);
}

#[test]
fn events_and_outputs_have_a_size_limit_and_an_excess_can_be_caught() {
    let mut scenario = scenario(
        "
variables: { seen: '' }
output: ${ seen }
activities:
  - { id: a, emit: { event: much, body: { t: '${ input.t + input.t }' } }, on_error: [{ code: limit.event, output: { seen: error.code } }] }
  - { id: b, end: { output: '${ input.t + input.t }' }, on_error: [{ code: limit.output, output: { seen: seen + error.code }, to: exit }] }
",
    );
    scenario.start(json!({ "t": "x".repeat(600 * 1024) })).unwrap();
    assert_eq!(scenario.output(), Some(&json!("limit.eventlimit.output")));
    assert!(!scenario.events().iter().any(|event| event.name == "much"));
}

#[test]
fn a_value_that_nests_too_deep_is_an_error_that_can_be_caught() {
    let mut scenario = scenario(
        "
variables: { path: null, turns: 0 }
output: ${ turns }
activities:
  - id: a
    set: { path: '{\"prev\": path}', turns: turns + 1 }
    on_error: [{ code: limit.depth, to: exit }]
    next: a
",
    );
    started(&mut scenario);
    assert_eq!(scenario.output(), Some(&json!(64)));
    assert!(!crate::contract::is_too_deep(&variable(&scenario, "path")));
}

#[test]
fn a_large_value_is_cut_in_the_history_and_whole_in_the_instance() {
    let mut scenario =
        scenario("input: { type: object }\nvariables: { t: null }\nactivities: [{ id: a, set: { t: input } }]");
    scenario.start(json!({ "long": "x".repeat(3_000) })).unwrap();
    assert_eq!(scenario.history()[1].details, json!({ "assigned": { "t": { "cut": 3011 } } }));
    assert_eq!(variable(&scenario, "t")["long"].as_str().unwrap().len(), 3_000);
}

#[test]
fn a_variable_with_the_name_of_an_input_begins_with_its_value() {
    let mut scenario = scenario(
        "
input: { type: object, properties: { amount: { type: number } } }
variables: { amount: 1, other: 2 }
activities: [{ id: a, wait: { for: 1d } }]
",
    );
    scenario.start(json!({ "amount": 7 })).unwrap();
    assert_eq!((variable(&scenario, "amount"), variable(&scenario, "other")), (json!(7.0), json!(2)));
}

#[test]
fn an_input_that_does_not_fit_is_refused() {
    let mut scenario = scenario(
        "
input: { type: object, required: [amount], properties: { amount: { type: number } } }
activities: [{ id: a, wait: { for: 1d } }]
",
    );
    assert!(matches!(scenario.start(json!({})), Err(crate::testkit::Error::Refused(crate::engine::Refusal::Input(_)))));
    assert!(scenario.instance().is_none());
}

#[test]
fn a_timeout_until_a_moment_is_the_time_that_is_left() {
    let text = "
input: { type: object, properties: { until: { type: string } } }
activities:
  - id: a
    receive: { name: paid }
    timeout: ${ timestamp(until) - now }
    on_timeout: exit
";
    let left = |seconds: u64| scenario(text).now() + Duration::from_secs(seconds);
    let mut in_time = scenario(text);
    in_time.start(json!({ "until": left(5_400) })).unwrap();
    in_time.advance(seconds(5_399)).unwrap();
    assert_eq!(in_time.status().map(|status| status.name()), Some("running"));
    in_time.advance(seconds(1)).unwrap();
    assert_eq!(in_time.status().map(|status| status.name()), Some("completed"));
    let mut passed = scenario(text);
    passed.start(json!({ "until": "2020-01-01T00:00:00Z" })).unwrap();
    assert_eq!(passed.error().map(|error| error.code.as_str()), Some("expression"));
}
