//! Work outside: what is sent, which answers are good, attempts, unknown outcomes, and people who find out.

use super::*;
use crate::engine::{
    Audit, CallCommand, CallEnd, CallKind, CallOutcome, CallReport, Command, Control, Failure, Refusal, Resolution,
    Status,
};
use crate::testkit::Error;
use expect_test::expect;

pub(super) const GET: &str = "
variables: { body: null }
output: ${ body }
activities:
  - { id: ask, http: { url: 'https://shop.example/a' }, output: { body: result.body } }
";

pub(super) fn unknown() -> CallOutcome {
    CallOutcome::Unknown { failure: Failure::new("timeout", "there was no whole response") }
}

pub(super) fn posting(more: &str) -> String {
    format!("activities: [{{ id: ask, http: {{ method: POST, url: 'https://a.example/x'{more} }} }}]")
}

#[test]
fn a_request_is_evaluated_once_and_keeps_its_secret_placeholders() {
    let text = r#"
variables: { id: "a b", tags: [x, y], odd: { $parts: [{ secret: STOLEN }] } }
activities:
  - id: ask
    http:
      method: PUT
      url: ${ env.BASE }/orders/${ id }?key=${ secrets.KEY }
      query: { q: "${ id }", tag: "${ tags }", none: null, n: 3 }
      headers: { Authorization: "Bearer ${ secrets.TOKEN }", X-Attempt: "${ activity.attempt }" }
      body: { id: "${ id }", back: "${ activity.token }", odd: "${ odd }", text: "$${ secrets.X }" }
    limits: { rate: 100/m, concurrency: 5, key: "${ id }" }
    timeout: 20s
"#;
    let mut scenario = scenario(text).env("BASE", "https://shop.example");
    started(&mut scenario);
    let known = scenario.open_call().unwrap();
    assert_eq!((known.call.kind, known.call.target.as_str()), (CallKind::Http, "https://shop.example:443"));
    assert_eq!(known.call.timeout, Some(seconds(20)));
    assert_eq!(
        known.call.limits,
        Some(json!({"rate": {"count": 100, "per_ms": 60_000}, "concurrency": 5, "key": "a b"}))
    );
    let expected = json!({
        "method": "PUT",
        "url": {"$parts": [{"text": "https://shop.example/orders/a%20b?key="}, {"secret": "KEY", "encode": true}]},
        "query": [["n", "3"], ["q", "a b"], ["tag", "x"], ["tag", "y"]],
        "headers": {"authorization": {"$parts": [{"text": "Bearer "}, {"secret": "TOKEN"}]}, "x-attempt": "1"},
        "body": {"json": {
            "id": "a b",
            "back": {"$parts": [{"token": true}]},
            "odd": {"$parts": [{"map": {"$parts": [{"secret": "STOLEN"}]}}]},
            "text": "${ secrets.X }",
        }},
    });
    assert_eq!(known.call.request, expected);
    let filled = crate::expression::filled(&expected, &mut |marker| match marker {
        crate::expression::Marker::Secret("STOLEN") => panic!("data is never a place"),
        crate::expression::Marker::Secret(name) => Some(format!("<{name}>")),
        crate::expression::Marker::Token => Some("t".into()),
    });
    let filled = filled.unwrap();
    assert_eq!(filled["url"], "https://shop.example/orders/a%20b?key=%3CKEY%3E");
    assert_eq!(filled["headers"]["authorization"], "Bearer <TOKEN>");
    assert_eq!(
        filled["body"]["json"],
        json!({"id": "a b", "back": "t", "odd": {"$parts": [{"secret": "STOLEN"}]}, "text": "${ secrets.X }"})
    );
    let missing = crate::expression::filled(&expected, &mut |_| None).unwrap_err();
    assert_eq!(missing, ["activity.token", "TOKEN", "KEY"]);
}

#[test]
fn a_limit_key_that_is_too_long_for_the_index_is_an_error_that_can_be_caught() {
    let text = r#"
variables: { tenant: eu, caught: null }
output: ${ caught }
activities:
  - id: ask
    http: { url: "https://shop.example/a" }
    limits: { rate: 100/m, key: "KEY" }
    on_error: [{ code: expression, output: { caught: error.message } }]
"#;
    let open = |key: &str| {
        let mut scenario = scenario(&text.replace("KEY", key));
        started(&mut scenario);
        scenario
    };
    assert!(open(&"k".repeat(255)).open_call().is_some());
    let caught = json!("the `key` of `limits` must have at most 255 bytes and no NUL");
    let long = open(&format!("${{ tenant }}{}", "k".repeat(254)));
    assert!(long.open_call().is_none());
    assert_eq!(long.output(), Some(&caught));
}

#[test]
fn a_good_answer_is_the_result() {
    check(
        GET,
        |scenario| {
            started(scenario);
            scenario.respond(200, json!({"n": 1})).unwrap();
        },
        expect![[r#"
            InstanceStarted
            CallOpened ask {"call":"23dfc4ff-90ba-58d4-9f40-17fa4d53972e","target":"https://shop.example:443"}
            ActivityCompleted ask {"assigned":{"body":{"n":1}},"result":{"body":{"n":1},"headers":{},"status":200}}
            InstanceCompleted
            = completed with {"n":1}
        "#]],
    );
}

#[test]
fn transient_errors_are_tried_again_with_the_same_key_and_the_last_one_counts() {
    let mut scenario = scenario(GET);
    started(&mut scenario);
    let id = scenario.open_call().unwrap().call.id;
    for (attempt, due_in) in [(1, 0), (2, 2), (3, 4)] {
        let known = scenario.open_call().unwrap();
        assert_eq!((known.call.id, known.attempt, known.dispatch), (id, attempt, attempt));
        assert_eq!(known.due_at, scenario.now() + seconds(due_in));
        scenario.respond(503, json!("busy")).unwrap();
    }
    assert!(scenario.open_call().is_none());
    assert_eq!(scenario.calls()[0].closed.as_ref().unwrap().end, CallEnd::Failed);
    assert_eq!(scenario.status(), Some(Status::Suspended));
    assert_eq!(scenario.error().unwrap().code, "http.503");
    // A person's retry of a definite error is another call.
    scenario.retry().unwrap();
    assert_ne!(scenario.open_call().unwrap().call.id, id);
}

#[test]
fn a_final_answer_is_not_retried() {
    let text = "
variables: { seen: null }
output: ${ seen }
activities:
  - id: ask
    http: { url: 'https://a.example', accept: [404, 5xx] }
    on_error: [{ code: http.409, output: { seen: error.data.body.why } }]
";
    let ending = |status: u16, body: Value| {
        let mut scenario = scenario(text);
        started(&mut scenario);
        scenario.respond(status, body).unwrap();
        (scenario.status(), scenario.output().cloned())
    };
    assert_eq!(ending(409, json!({"why": "taken"})), (Some(Status::Completed), Some(json!("taken"))));
    assert_eq!(ending(404, json!(null)), (Some(Status::Completed), Some(json!(null))));
    assert_eq!(ending(503, json!(null)), (Some(Status::Completed), Some(json!(null))));
    assert_eq!(ending(400, json!(null)), (Some(Status::Suspended), None));
}

#[test]
fn each_policy_of_a_list_counts_its_own_attempts() {
    let text = "
activities:
  - id: ask
    http: { url: 'https://a.example' }
    retry:
      - { attempts: 3, base: 10s, factor: 1, codes: [http.429] }
      - { attempts: 2, base: 1s, codes: [http.5xx] }
    on_error: [{ to: exit }]
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    let mut waits = Vec::new();
    for status in [500, 429, 429, 500] {
        scenario.respond(status, json!(null)).unwrap();
        waits.extend(scenario.open_call().map(|known| known.due_at.duration_since(scenario.now()).as_secs()));
    }
    assert_eq!(waits, [1, 10, 10]);
    assert_eq!(scenario.calls()[0].attempt, 4);
    assert_eq!(scenario.status(), Some(Status::Completed));
}

#[test]
fn a_retry_after_header_delays_the_next_attempt() {
    let mut scenario = scenario(GET);
    started(&mut scenario);
    let answer = |retry_after_ms| CallOutcome::Answered {
        status: 429,
        headers: serde_json::Map::new(),
        body: json!(null),
        cut: None,
        retry_after_ms: Some(retry_after_ms),
    };
    scenario.complete_call(answer(90_000)).unwrap();
    assert_eq!(scenario.open_call().unwrap().due_at, scenario.now() + seconds(90));
    // No longer than an hour, whatever it says.
    scenario.complete_call(answer(u64::MAX)).unwrap();
    assert_eq!(scenario.open_call().unwrap().due_at, scenario.now() + seconds(3_600));
}

#[test]
fn the_within_of_a_policy_bounds_all_attempts_of_a_call() {
    let text = "
activities:
  - id: ask
    http: { url: 'https://a.example' }
    retry: { attempts: 9, base: 20s, max: 20s, within: 1m }
    on_error: [{ to: exit }]
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    let until = scenario.now() + seconds(60);
    assert_eq!(scenario.open_call().unwrap().call.until, Some(until));
    for _ in 0..3 {
        scenario.pass(seconds(2)).unwrap();
        scenario.respond(503, json!(null)).unwrap();
    }
    assert_eq!(scenario.status(), Some(Status::Completed), "a third attempt would begin at 66 s");
    assert_eq!(scenario.calls()[0].attempt, 3);
}

#[test]
fn only_repeatable_requests_are_retried_after_an_unknown_outcome() {
    let after_one = |text: &str| {
        let mut scenario = scenario(text);
        started(&mut scenario);
        scenario.complete_call(unknown()).unwrap();
        let attempt = scenario.open_call().map(|known| known.attempt);
        (scenario.status().unwrap(), attempt)
    };
    assert_eq!(after_one(GET), (Status::Running, Some(2)));
    assert_eq!(after_one(&posting("")), (Status::Suspended, Some(1)));
    assert_eq!(after_one(&posting(", idempotent: true")), (Status::Running, Some(2)));
    assert_eq!(after_one(&posting(", on_unknown: retry")), (Status::Running, Some(2)));
    assert_eq!(after_one(&posting(", on_unknown: fail")), (Status::Suspended, None));
    assert_eq!(after_one("activities: [{ id: a, call: { name: pack } }]"), (Status::Running, Some(2)));
    assert_eq!(
        after_one("activities: [{ id: a, call: { name: pack, idempotent: false } }]"),
        (Status::Suspended, Some(1))
    );
}

#[test]
fn unknown_outcomes_count_as_attempts() {
    let mut scenario = scenario(GET);
    started(&mut scenario);
    for _ in 0..3 {
        scenario.complete_call(unknown()).unwrap();
    }
    assert!(scenario.open_call().is_none());
    assert_eq!(scenario.calls()[0].attempt, 3);
}

#[test]
fn a_person_resolves_an_unknown_outcome() {
    let text = "
variables: { got: null }
output: ${ got }
activities:
  - id: pay
    http: { method: POST, url: 'https://a.example' }
    output: { got: result.paid }
    on_error: [{ code: worker, output: { got: error.code } }]
";
    let lost = || {
        let mut scenario = scenario(text);
        started(&mut scenario);
        scenario.complete_call(unknown()).unwrap();
        assert_eq!(scenario.status(), Some(Status::Suspended));
        scenario
    };
    let mut done = lost();
    done.resolve(Resolution::Done { result: json!({"paid": 7}) }).unwrap();
    assert_eq!(done.output(), Some(&json!(7)));
    expect![[r#"
        InstanceStarted
        CallOpened pay {"call":"23dfc4ff-90ba-58d4-9f40-17fa4d53972e","target":"https://a.example:443"}
        CallUnknown pay {"attempt":1,"call":"23dfc4ff-90ba-58d4-9f40-17fa4d53972e","code":"timeout","message":"there was no whole response"}
        IncidentOpened pay {"call":"23dfc4ff-90ba-58d4-9f40-17fa4d53972e","code":"timeout","message":"there was no whole response","unknown":true}
        CallResolved pay {"as":"succeeded","by":"ada","call":"23dfc4ff-90ba-58d4-9f40-17fa4d53972e"}
        ActivityCompleted pay {"assigned":{"got":7},"result":{"paid":7}}
        InstanceCompleted
        = completed with 7
    "#]]
    .assert_eq(&story(&done));
    let mut failed = lost();
    failed.resolve(Resolution::Failed { failure: Failure::new("worker.declined", "no money") }).unwrap();
    assert_eq!(failed.output(), Some(&json!("worker.declined")));
    let mut again = lost();
    let id = again.open_call().unwrap().call.id;
    again.resolve(Resolution::Again).unwrap();
    let known = again.open_call().unwrap();
    assert_eq!((known.call.id, known.attempt, again.status()), (id, 2, Some(Status::Running)));
    // `retry` means the same.
    let mut retried = lost();
    let id = retried.open_call().unwrap().call.id;
    retried.retry().unwrap();
    let known = retried.open_call().unwrap();
    assert_eq!((known.call.id, known.attempt), (id, 2));
    retried.respond(200, json!(null)).unwrap();
    assert!(retried.open_call().is_none());
}

#[test]
fn a_call_that_is_given_up_is_left_to_a_person_whatever_its_definition_says() {
    let handled = "on_error: [{ output: { body: error.code } }], http: { on_unknown: retry,";
    let mut scenario = scenario(&GET.replace("http: {", handled));
    started(&mut scenario);
    let row = scenario.open_call().unwrap();
    let (id, bookmark, dispatch) = (row.call.id, row.call.bookmark, row.dispatch);
    let abandon = || CallCommand { bookmark, report: CallReport::GivenUp { dispatch, why: "it is too much".into() } };
    scenario.apply(Command::Instance(Control::Suspend, Audit::default())).unwrap();
    assert!(matches!(scenario.apply(abandon()), Err(Error::Refused(Refusal::Suspended))));
    scenario.apply(Command::Instance(Control::Resume, Audit::default())).unwrap();
    scenario.apply(abandon()).unwrap();
    assert!(matches!(scenario.apply(abandon()), Err(Error::Refused(Refusal::Closed(_)))));
    assert_eq!(scenario.error().unwrap().code, "worker.gave_up");
    assert_eq!(scenario.open_call().unwrap().call.id, id);
    scenario.resolve(Resolution::Done { result: json!({ "status": 200, "body": 7 }) }).unwrap();
    assert!(scenario.open_call().is_none());
}

#[test]
fn a_late_answer_changes_nothing() {
    let mut scenario = scenario(GET);
    started(&mut scenario);
    scenario.respond(503, json!(null)).unwrap();
    let bookmark = scenario.open_call().unwrap().call.bookmark;
    let outcome = CallOutcome::Done { result: json!(1) };
    let late = scenario.apply(CallCommand { bookmark, report: CallReport::Completed { dispatch: 1, outcome } });
    assert!(matches!(late, Err(Error::Refused(Refusal::Closed(_)))));
}

#[test]
fn the_end_of_an_instance_ends_its_calls() {
    let mut cancelled = scenario(GET);
    started(&mut cancelled);
    cancelled.cancel("not wanted").unwrap();
    assert_eq!(cancelled.calls()[0].closed.as_ref().unwrap().end, CallEnd::Cancelled);
    let mut late = scenario(&format!("timeout: 1h{GET}"));
    started(&mut late);
    late.advance(seconds(3_600)).unwrap();
    assert_eq!(late.calls()[0].closed.as_ref().unwrap().end, CallEnd::Cancelled);
}

#[test]
fn a_request_that_cannot_be_sent_is_an_error_without_a_call() {
    let failing = |url: &str| {
        let mut scenario =
            scenario(&format!("variables: {{ x: null }}\nactivities: [{{ id: a, http: {{ url: '{url}' }} }}]"));
        started(&mut scenario);
        assert!(scenario.calls().is_empty());
        scenario.error().unwrap().message.clone()
    };
    assert!(failing("https://a/${ x }").contains("is null, which is not allowed in a URL"));
    assert!(failing("${ instance.key }").contains("is not a URL"));
}

#[test]
fn a_name_of_work_from_data_is_checked_when_it_is_known() {
    let text =
        "input: { type: object, properties: { kind: {} } }\nactivities: [{ id: a, call: { name: '${ kind }' } }]";
    let opened = |kind: Value| {
        let mut scenario = scenario(text);
        scenario.start(json!({ "kind": kind })).unwrap();
        scenario.open_call().map(|known| known.call.target.clone()).ok_or(scenario.error().cloned())
    };
    assert_eq!(opened(json!("Größe 1/2")), Ok("work:Größe 1/2".into()));
    assert_eq!(opened(json!(7)), Ok("work:7".into()));
    for kind in [json!(null), json!(""), json!("a\nb"), json!(" a"), json!("x".repeat(128))] {
        let error = opened(kind.clone()).unwrap_err().unwrap();
        assert_eq!(error.code, "expression", "{kind}");
        assert!(error.message.starts_with("the value of `${ kind }` is not a name of work"), "{}", error.message);
    }
}

#[test]
fn a_value_that_would_lead_a_request_elsewhere_is_an_error_without_a_call() {
    let opened = |url: &str, value: &str| {
        let mut scenario = scenario(&format!(
            "input: {{ type: object, properties: {{ x: {{}} }} }}\nactivities: [{{ id: a, http: {{ method: DELETE, url: '{url}' }} }}]"
        ))
        .env("BASE", "https://shop.example/v1");
        scenario.start(json!({ "x": value })).unwrap();
        let url = scenario.open_call().map(|known| known.call.request["url"].clone());
        url.ok_or_else(|| scenario.error().map(|error| error.code.clone()).unwrap_or_default())
    };
    for (url, value) in [
        ("${ env.BASE }/orders/${ x }", ".."),
        ("${ env.BASE }/orders/${ x }/lines", ""),
        ("https://shop.example/${ x }", "%2e%2E"),
        ("https://shop.example/${ x }?all=true", "..\\x"),
        ("https://${ x }.shop.example/", "evil.example/"),
        ("https://shop.example${ x }/", ".evil.example"),
        ("https://shop.example:${ x }/", "80@evil.example"),
        ("https://shop.example/#${ x }", "y"),
        ("${ x }://shop.example/", "https://evil.example/?"),
    ] {
        assert_eq!(opened(url, value), Err("expression".into()), "{url} with {value:?}");
    }
    for (url, value, expected) in [
        ("${ env.BASE }/orders/${ x }", "7", "https://shop.example/v1/orders/7"),
        ("${ env.BASE }/orders/${ x }", "2024/7", "https://shop.example/v1/orders/2024%2F7"),
        ("${ env.BASE }/orders?q=${ x }", "../&a=b#c", "https://shop.example/v1/orders?q=..%2F%26a%3Db%23c"),
        ("https://${ x }.shop.example/", "eu", "https://eu.shop.example/"),
        ("${ x }", "https://any.example/a/../b", "https://any.example/a/../b"),
    ] {
        assert_eq!(opened(url, value), Ok(json!(expected)), "{url} with {value:?}");
    }
}
