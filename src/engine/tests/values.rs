//! Values that come from outside or from data, and what they must not silently become: nulls, keys, codes, moments, numbers.

use super::*;
use crate::engine::{BookmarkKind, Status};

fn started_with(text: &str, input: Value) -> Scenario {
    let mut scenario = scenario(text);
    scenario.start(input).unwrap();
    scenario
}

fn failed_code(text: &str, input: Value) -> Option<String> {
    started_with(text, input).error().map(|error| error.code.clone())
}

#[test]
fn a_default_replaces_what_a_form_an_input_or_an_actor_left_out() {
    let mut scenario = started_with(
        "
variables: { issues: [], flag: true }
input: { type: object, properties: { x: { type: string } } }
output: { issues: '${ issues }', flag: '${ flag }', in: \"${ input.?x.orValue('dflt') }\", who: \"${ actors.?b.orValue('nobody') }\" }
activities:
  - id: a
    task:
      assignee: ann
      form: { type: object, properties: { issues: { type: array }, flag: { type: boolean }, level: { type: integer, default: 3 } } }
    output:
      issues: \"result.form.?issues.orValue(['none'])\"
      flag: coalesce(result.form.flag, flag)
  - { id: b, when: flag == false, task: { assignee: ann } }
",
        json!({}),
    );
    scenario.complete("ann", None, json!({})).unwrap();
    let output = scenario.output().unwrap();
    assert_eq!(*output, json!({"issues": ["none"], "flag": true, "in": "dflt", "who": "nobody"}));
}

#[test]
fn an_error_code_that_no_handler_could_name_fails_as_an_expression() {
    let input = "input: { type: object, properties: { c: {} } }";
    for work in ["raise: { code: '${ c }' }", "end: { outcome: failed, error: { code: '${ c }' } }"] {
        let text = format!("{input}\non_failure: fail\nactivities: [{{ id: a, {work} }}]");
        for wrong in
            [json!(""), json!("  "), json!({"a": 1}), json!(null), json!("not a code!"), json!("a."), json!(["a"])]
        {
            assert_eq!(failed_code(&text, json!({ "c": wrong })).as_deref(), Some("expression"), "{work}: {wrong}");
        }
        for (right, code) in [(json!("shop.no_stock"), "shop.no_stock"), (json!(404), "404")] {
            assert_eq!(failed_code(&text, json!({ "c": right })).as_deref(), Some(code), "{work}");
        }
    }
    let text = "activities: [{ id: a, raise: { code: 'http.${ null }' } }]";
    assert_eq!(failed_code(text, json!({})).as_deref(), Some("expression"));
}

#[test]
fn a_name_or_key_that_nothing_could_have_fails_as_an_expression() {
    let input = "input: { type: object, properties: { k: {} } }";
    for work in [
        "receive: { name: paid, key: '${ k }' }",
        "receive: { name: '${ k }' }",
        "http: { url: 'https://a.example' }, limits: { concurrency: 1, key: '${ k }' }",
        "call: { name: pack }, limits: { concurrency: 1, key: '${ k }' }",
    ] {
        let text = format!("{input}\nactivities: [{{ id: a, {work} }}]");
        for wrong in [json!(""), json!(null)] {
            assert_eq!(failed_code(&text, json!({ "k": wrong })).as_deref(), Some("expression"), "{work}: {wrong}");
        }
        assert_eq!(failed_code(&text, json!({ "k": 7 })), None, "{work}");
    }
}

#[test]
fn a_task_without_a_due_time_says_null() {
    let input = "input: { type: object, properties: { d: {} } }";
    for due in ["null", "'${ d }'", "'${ input.?d }'"] {
        let text = format!("{input}\nactivities: [{{ id: a, task: {{ assignee: ann, due: {due} }} }}]");
        let scenario = started_with(&text, json!({ "d": null }));
        assert_eq!(scenario.task().unwrap().due_at, None, "{due}");
        assert!(scenario.bookmarks().all(|bookmark| bookmark.kind == BookmarkKind::Task), "{due}");
    }
    let text = format!("{input}\nactivities: [{{ id: a, task: {{ assignee: ann, due: '${{ d }}' }} }}]");
    assert_eq!(failed_code(&text, json!({ "d": "" })).as_deref(), Some("expression"));
    assert!(started_with(&text, json!({ "d": "2h" })).task().unwrap().due_at.is_some());
}

#[test]
fn the_last_second_of_the_year_9999_is_a_time() {
    let text = "
input: { type: object, properties: { t: { type: string } } }
activities:
  - { id: a, task: { assignee: ann, due: '9999-12-31T23:59:59Z' } }
  - { id: b, when: 'timestamp(t) > now', wait: { until: '${ t }' } }
";
    let mut scenario = started_with(text, json!({ "t": "9999-12-31T23:59:59.999999Z" }));
    assert_eq!(scenario.task().unwrap().due_at, Some(crate::time::moment::LAST));
    scenario.complete("ann", None, Value::Null).unwrap();
    assert_eq!(scenario.status(), Some(Status::Running));
    assert_eq!(scenario.bookmarks().next().unwrap().due_at, Some(crate::time::moment::LAST));
}

#[test]
fn an_integer_divides_like_one_and_a_number_does_not() {
    let text = "
input:
  type: object
  properties: { i: { type: integer }, n: { type: [number, 'null'] }, large: { type: integer } }
output: { i: '${ i / 2 }', n: '${ n / 2 }', large: '${ large }' }
activities: [{ id: a, set: {} }]
";
    let scenario = started_with(text, json!({ "i": 7.0, "n": 7, "large": 9_007_199_254_740_993_i64 }));
    let output = scenario.output().unwrap().to_string();
    assert_eq!(output, r#"{"i":3,"large":9007199254740993,"n":3.5}"#);
}
