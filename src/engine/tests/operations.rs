//! Operations of a person on one instance: terminate, skip, jump, rerun, set variables, set the queue.

use serde_json::Map;

use super::*;
use crate::engine::{
    self, Audit, Command, Context, Control, Instance, InstanceId, Internal, ROOT, Refusal, Restart, Status,
};
use crate::testkit::Error;
use expect_test::expect;

const ORDER: &str = "
timeout: 9d
input: { type: object, properties: { amount: { type: number, maximum: 100, default: 1.0 } } }
variables: { amount: 0.0, by: null }
output: ${ by }
activities:
  - { id: pay, receive: { name: paid }, timeout: 1h, output: { by: result.data.by } }
  - { id: check, task: { candidates: { users: [ann] }, decisions: [go, stop] }, next: { go: ship, stop: exit } }
  - { id: ship, run: { handler: fail, input: {} }, retry: none, output: { by: result.by } }
  - { id: choose, switch: [{ when: amount > 5, to: pay }, { to: exit }] }
";

const RAISED: &str = "
variables: { n: 1 }
activities: [{ id: a, when: n > 0, raise: { code: broken } }, { id: b, set: { n: 2 } }]
";

fn by_ada(what: Control) -> Command {
    Command::Instance(what, Audit { by: Some("ada".into()), reason: Some("it is known".into()) })
}

fn skip(result: Value) -> Command {
    by_ada(Control::Skip { activity: None, result })
}

fn jump(to: &str) -> Command {
    by_ada(Control::Jump { to: to.into() })
}

fn rerun(from: &str) -> Command {
    by_ada(Control::Rerun { from: from.into() })
}

fn set(values: Value) -> Command {
    let Value::Object(values) = values else { panic!("a map") };
    by_ada(Control::SetVariables { values })
}

fn refusal(scenario: &mut Scenario, command: Command) -> String {
    let before = scenario.instance().cloned();
    match scenario.apply(command) {
        Err(Error::Refused(refusal)) => {
            assert_eq!(scenario.instance().cloned(), before);
            refusal.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_a_task_and_an_incident_are_skipped_as_if_they_had_succeeded() {
    let skipped = |scenario: &mut Scenario| {
        started(scenario);
        scenario.apply(skip(json!({ "data": { "by": "hand" } }))).unwrap();
        scenario.drive().unwrap();
        scenario.apply(skip(json!({ "decision": "go" }))).unwrap();
        scenario.drive().unwrap();
        assert_eq!(scenario.status(), Some(Status::Suspended));
        scenario.apply(skip(json!({ "by": "nobody" }))).unwrap();
        scenario.drive().unwrap();
        assert_eq!(scenario.bookmarks().count(), 0);
    };
    check(
        ORDER,
        skipped,
        expect![[r#"
            InstanceStarted
            WaitOpened pay {"messages":[{"key":"k-1","name":"paid"}],"timeout_at":"2026-01-01T01:00:00Z"}
            WaitSkipped pay {"by":"ada","reason":"it is known"}
            ActivityCompleted pay {"assigned":{"by":"hand"},"result":{"data":{"by":"hand"}}}
            TaskOpened check {"groups":[],"task":"b71194f6-9e58-5036-9593-13849ee0ca05","users":["ann"]}
            WaitSkipped check {"by":"ada","reason":"it is known"}
            ActivityCompleted check {"result":{"decision":"go"}}
            ActivityFailed ship {"attempt":1,"code":"handler.bad","message":"it failed"}
            IncidentOpened ship {"code":"handler.bad","message":"it failed"}
            WaitSkipped ship {"by":"ada","reason":"it is known"}
            ActivityCompleted ship {"assigned":{"by":"nobody"},"result":{"by":"nobody"}}
            ActivityCompleted choose
            InstanceCompleted
            = completed with "nobody"
        "#]],
    );
}

#[test]
fn a_skip_is_refused_where_there_is_nothing_to_skip_and_with_a_result_that_does_not_fit() {
    let mut scenario = scenario(ORDER);
    scenario.begin(json!({})).unwrap();
    assert!(refusal(&mut scenario, skip(Value::Null)).contains("`pay` does not wait and has no incident"));
    scenario.drive().unwrap();
    let other = by_ada(Control::Skip { activity: Some("ship".into()), result: Value::Null });
    assert_eq!(refusal(&mut scenario, other), "the instance is at `pay`, not at `ship`");
    assert!(refusal(&mut scenario, skip(json!(7))).starts_with("the result does not fit `pay`: "));
    scenario.apply(skip(json!({ "data": { "by": "hand" } }))).unwrap();
    scenario.drive().unwrap();
    assert!(refusal(&mut scenario, skip(json!({ "decision": "no" }))).contains("does not name `no`"));
    let mut scenario = super::scenario(RAISED);
    started(&mut scenario);
    assert!(refusal(&mut scenario, skip(Value::Null)).contains("`a` is a `raise`"));
}

#[test]
fn the_result_of_a_skip_is_kept_while_the_instance_is_suspended_by_a_command() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    scenario.suspend("wait").unwrap();
    scenario.apply(skip(json!({ "data": { "by": "hand" } }))).unwrap();
    assert_eq!((scenario.status(), scenario.standing()), (Some(Status::Suspended), Some("pay")));
    assert!(refusal(&mut scenario, skip(Value::Null)).contains("does not wait"));
    scenario.resume("go").unwrap();
    assert_eq!((scenario.standing(), variable(&scenario, "by")), (Some("check"), json!("hand")));
}

#[test]
fn a_jump_ends_every_wait_and_makes_older_step_commands_stale() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    assert_eq!(scenario.bookmarks().count(), 3);
    let sequence = scenario.instance().unwrap().state.branches[0].sequence;
    scenario.apply(jump("check")).unwrap();
    assert_eq!(scenario.bookmarks().count(), 1, "only the deadline of the instance");
    let old = scenario.apply(Internal::Continue { branch: ROOT, sequence });
    assert!(matches!(old, Err(Error::Refused(Refusal::Stale))));
    scenario.drive().unwrap();
    assert_eq!(scenario.standing(), Some("check"));
    // The task is closed with its wait.
    scenario.apply(jump("ship")).unwrap();
    scenario.drive().unwrap();
    assert_eq!(scenario.status(), Some(Status::Suspended));
    // An incident goes on with the jump, and a suspension by a command does not.
    scenario.apply(jump("pay")).unwrap();
    assert_eq!(scenario.status(), Some(Status::Running));
    scenario.drive().unwrap();
    scenario.suspend("wait").unwrap();
    scenario.apply(jump("check")).unwrap();
    assert_eq!((scenario.status(), scenario.standing()), (Some(Status::Suspended), Some("check")));
    assert_eq!(refusal(&mut scenario, jump("nowhere")), "version 1 of the definition has no activity `nowhere`");
    scenario.resume("go").unwrap();
    assert_eq!(scenario.standing(), Some("check"));
}

#[test]
fn a_deadline_that_passed_during_an_incident_fires_with_the_jump() {
    let text = "
timeout: 1h
on_error: [{ code: timeout, to: late }]
activities:
  - { id: a, run: { handler: fail, input: {} }, retry: none }
  - { id: b, wait: { for: 1d } }
  - { id: late, end: { output: late } }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    scenario.pass(seconds(7_200)).unwrap();
    scenario.apply(jump("b")).unwrap();
    assert_eq!(scenario.standing(), Some("late"));
}

#[test]
fn a_live_instance_runs_again_only_from_what_it_has_begun() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    assert!(refusal(&mut scenario, rerun("ship")).contains("`ship` was never begun"));
    assert!(refusal(&mut scenario, rerun("nowhere")).contains("has no activity `nowhere`"));
    scenario.apply(skip(json!({ "data": { "by": "hand" } }))).unwrap();
    scenario.drive().unwrap();
    scenario.apply(rerun("pay")).unwrap();
    scenario.drive().unwrap();
    assert_eq!((scenario.standing(), variable(&scenario, "by")), (Some("pay"), json!("hand")), "what was done is kept");
    assert_eq!(scenario.instance().unwrap().state.visits["pay"], 2);
}

#[test]
fn variables_are_set_all_or_none_and_keep_to_the_schema_of_the_input() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    let both = refusal(&mut scenario, set(json!({ "amount": 7, "nobody": 1 })));
    assert!(both.contains("/nobody: the definition declares no variable of this name"), "{both}");
    assert!(refusal(&mut scenario, set(json!({ "amount": 101 }))).contains("/amount"));
    assert!(refusal(&mut scenario, set(json!({}))).contains("at least one variable"));
    scenario.apply(set(json!({ "amount": 7, "by": "hand" }))).unwrap();
    assert_eq!(variable(&scenario, "amount"), json!(7.0), "as the schema says");
    assert_eq!(scenario.standing(), Some("pay"), "it still waits");
    let told = story(&scenario);
    let entry = r#"VariablesSet {"assigned":{"amount":7.0,"by":"hand"},"by":"ada","reason":"it is known"}"#;
    assert!(told.contains(entry), "{told}");
    let mut scenario = super::scenario(ORDER).limits(50, 100);
    started(&mut scenario);
    assert!(refusal(&mut scenario, set(json!({ "by": "x".repeat(200) }))).contains("more than the allowed 100"));
}

#[test]
fn the_queue_changes_and_its_step_commands_stay_valid() {
    let mut scenario = scenario(ORDER);
    scenario.begin(json!({})).unwrap();
    let queue = |name: &str| by_ada(Control::SetQueue { queue: name.into() });
    assert_eq!(refusal(&mut scenario, queue("default")), "the queue is `default` already");
    assert!(refusal(&mut scenario, queue("No Queue")).contains("is not the name of a queue"));
    let sequence = scenario.instance().unwrap().state.branches[0].sequence;
    scenario.apply(queue("slow")).unwrap();
    assert_eq!(scenario.instance().unwrap().queue, "slow");
    scenario.apply(Internal::Continue { branch: ROOT, sequence }).unwrap();
}

#[test]
fn the_priority_changes_and_is_that_of_the_definition_unless_the_start_names_one() {
    let mut scenario = scenario(&ORDER.replacen("activities:", "priority: 3\nactivities:", 1));
    scenario.begin(json!({})).unwrap();
    assert_eq!(scenario.instance().unwrap().priority, 3);
    let priority = |priority| by_ada(Control::SetPriority { priority });
    assert_eq!(refusal(&mut scenario, priority(3)), "the priority is 3 already");
    let sequence = scenario.instance().unwrap().state.branches[0].sequence;
    scenario.apply(priority(-7)).unwrap();
    assert_eq!(scenario.instance().unwrap().priority, -7);
    scenario.apply(Internal::Continue { branch: ROOT, sequence }).unwrap();
    let told = story(&scenario);
    assert!(told.contains(r#"PriorityChanged {"by":"ada","from":3,"reason":"it is known","to":-7}"#), "{told}");
}

#[test]
fn what_has_ended_is_revived_by_no_command() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    scenario.apply(by_ada(Control::Terminate)).unwrap();
    assert_eq!((scenario.status(), scenario.bookmarks().count()), (Some(Status::Cancelled), 0));
    assert!(story(&scenario).contains(r#"InstanceTerminated {"by":"ada","reason":"it is known"}"#));
    let commands = [
        by_ada(Control::Terminate),
        by_ada(Control::Cancel),
        by_ada(Control::Retry),
        by_ada(Control::Suspend),
        by_ada(Control::Resume),
        skip(Value::Null),
        jump("pay"),
        rerun("pay"),
        set(json!({ "by": "hand" })),
        by_ada(Control::SetQueue { queue: "slow".into() }),
        by_ada(Control::SetPriority { priority: 9 }),
        Internal::Continue { branch: ROOT, sequence: 1 }.into(),
        Internal::Fire { bookmark: 1 }.into(),
        Internal::Crash { branch: ROOT, sequence: 1, crash_max: 0 }.into(),
        Internal::Undeliverable { branch: ROOT, sequence: 1, why: "late".into() }.into(),
    ];
    for command in commands {
        assert_eq!(refusal(&mut scenario, command), "the instance has already ended as cancelled");
    }
}

fn again(ended: &Instance, from: &str) -> Result<engine::Step, Refusal> {
    let (env, definition) = (Map::new(), definition(ORDER));
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
        now: ended.started_at,
        chance: 0.0,
        env: &env,
        steps_max: 50,
        variables_max: 1_000,
        handler_timeout: seconds(3),
        http_timeout: seconds(3),
        call_timeout: seconds(3),
        retry: &retry,
        budget: crate::expression::step_budget::StepBudget::whole(),
    };
    let restart = Restart {
        id: InstanceId(uuid::Uuid::from_u128(2)),
        from: from.into(),
        audit: Audit { by: Some("ada".into()), reason: None },
        user_id: None,
        trace: None,
    };
    engine::restart(&definition, ended, restart, &context)
}

#[test]
fn an_ended_instance_runs_again_as_a_new_one_with_its_variables() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    let living = scenario.instance().unwrap().clone();
    assert_eq!(again(&living, "pay").unwrap_err(), Refusal::NotEnded);
    scenario.apply(skip(json!({ "data": { "by": "hand" } }))).unwrap();
    scenario.drive().unwrap();
    scenario.apply(by_ada(Control::Terminate)).unwrap();
    let ended = scenario.instance().unwrap().clone();
    assert_eq!(again(&ended, "ship").unwrap_err(), Refusal::NeverBegun("ship".into()));
    let step = again(&ended, "check").unwrap();
    let new = &step.instance;
    assert_eq!((new.status, new.revision, new.history_count, new.ended_at), (Status::Running, 0, 0, None));
    assert_eq!((&new.variables["by"], &new.key, new.version), (&json!("hand"), &ended.key, ended.version));
    assert_eq!((new.state.branches[0].activity.as_str(), new.state.visits["pay"]), ("check", 1));
    assert!(new.state.deadline.is_some(), "its time begins anew");
    let recorded = step.effects.iter().find_map(|effect| match effect {
        engine::Effect::Record(entry) => Some((entry.kind.name(), entry.details.clone())),
        _ => None,
    });
    let details = json!({ "by": "ada", "rerun_of": ended.id, "next": "check" });
    assert_eq!(recorded, Some(("InstanceStarted", details)));
}

#[test]
fn a_command_upon_another_revision_is_refused() {
    let mut scenario = scenario(ORDER);
    started(&mut scenario);
    let instance = scenario.instance().unwrap();
    assert_eq!(engine::require_revision(instance, None), Ok(()));
    assert_eq!(engine::require_revision(instance, Some(instance.revision)), Ok(()));
    let refused = engine::require_revision(instance, Some(1)).unwrap_err().to_string();
    assert!(refused.contains("not 1; read it again"), "{refused}");
}

#[test]
fn search_attributes_follow_the_variables_and_never_stop_an_instance() {
    let text = "
variables: { n: 1, due: null }
search: { n: n, twice: { number: n * 2 }, due: { time: due }, never: { number: 1 / (n - n) }, at: instance.key }
activities:
  - { id: a, receive: { name: go } }
  - { id: b, set: { n: 5, due: \"'2026-01-31T09:00:00Z'\" } }
  - { id: c, receive: { name: go } }
";
    let mut scenario = scenario(text);
    started(&mut scenario);
    let known = |scenario: &Scenario| -> Vec<String> {
        let value = |attribute: &engine::Attribute| Some(format!("{} {:?}", attribute.name, attribute.value.as_ref()?));
        scenario.search().iter().filter_map(value).collect()
    };
    let first = ["at Text(\"k-1\")", "n Number(1.0)", "twice Number(2.0)"];
    assert_eq!(known(&scenario), first);
    scenario.apply(skip(Value::Null)).unwrap();
    assert_eq!(known(&scenario), first, "no variable was assigned");
    scenario.drive().unwrap();
    let then = ["at Text(\"k-1\")", "due Time(2026-01-31T09:00:00Z)", "n Number(5.0)", "twice Number(10.0)"];
    assert_eq!(known(&scenario), then);
    scenario.apply(set(json!({ "n": 7 }))).unwrap();
    assert!(known(&scenario).contains(&"twice Number(14.0)".to_owned()));
}
