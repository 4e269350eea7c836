//! Tasks of people: who may do them, what becomes of them, and what their timers do.

use super::*;
use crate::engine::{Act, Person, Refusal, Status, TaskOutcome, TaskRefusal};
use crate::testkit::Error;
use expect_test::expect;

const APPROVE: &str = "
input: { type: object, properties: { by: { type: string, default: ann } } }
variables: { approver: null, note: null }
output: { approver: '${ approver }', note: '${ note }' }
activities:
  - id: approve
    title: Approve
    task:
      title: Approve what ${ by } wants
      candidates: { users: [bob, '${ by }'], groups: [managers] }
      exclude: ['${ by }']
      decisions: { approve: Let it pass, reject: Transition it down }
      form: { type: object, required: [limit], properties: { limit: { type: number }, reason: { type: string } } }
    timeout: 5d
    on_timeout: late
    output: { approver: result.actor, note: result.form.limit }
    next: { approve: exit, reject: late }
  - { id: late, end: { outcome: failed, error: { code: late } } }
";

fn open() -> Scenario {
    let mut scenario = scenario(APPROVE);
    started(&mut scenario);
    scenario
}

fn refusal(outcome: Result<(), Error>) -> TaskRefusal {
    match outcome {
        Err(Error::Refused(Refusal::Task(refusal))) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn claim() -> Act {
    Act::Claim { lease_for: seconds(60) }
}

fn manager(name: &str) -> Person {
    Person { user: name.into(), groups: vec!["managers".into()] }
}

#[test]
fn a_task_waits_for_a_decision_and_its_form() {
    check(
        APPROVE,
        |scenario| {
            started(scenario);
            let task = scenario.task().unwrap();
            assert_eq!(
                (task.title.as_str(), &task.users, &task.excluded),
                ("Approve what ann wants", &vec!["bob".to_owned()], &vec!["ann".to_owned()])
            );
            assert_eq!(task.decisions[0].label, "Let it pass");
            scenario.complete("bob", Some("approve"), json!({ "limit": 5 })).unwrap();
            let closed = scenario.task().unwrap().closed.clone().unwrap();
            assert_eq!((closed.outcome, closed.by.as_deref()), (TaskOutcome::Completed, Some("bob")));
        },
        expect![[r#"
            InstanceStarted
            TaskOpened approve {"groups":["managers"],"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452","timeout_at":"2026-01-06T00:00:00Z","users":["bob"]}
            TaskCompleted approve {"by":"bob","decision":"approve","task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            ActivityCompleted approve {"assigned":{"approver":"bob","note":5.0},"next":"exit","result":{"actor":"bob","comment":null,"decision":"approve","form":{"limit":5.0,"reason":null}}}
            InstanceCompleted
            = completed with {"approver":"bob","note":5.0}
        "#]],
    );
}

#[test]
fn a_refused_task_command_has_its_reason_and_changes_nothing() {
    let mut scenario = open();
    let before = scenario.instance().unwrap().clone();
    let form = json!({ "limit": 5 });
    let no = |outcome| refusal(outcome);
    assert_eq!(no(scenario.complete("eve", Some("approve"), form.clone())), TaskRefusal::NotCandidate("eve".into()));
    assert_eq!(no(scenario.complete("ann", Some("approve"), form.clone())), TaskRefusal::Excluded("ann".into()));
    assert!(matches!(no(scenario.complete("bob", Some("maybe"), form.clone())), TaskRefusal::Decision(_)));
    assert!(matches!(no(scenario.complete("bob", None, form.clone())), TaskRefusal::Decision(_)));
    let TaskRefusal::Form(problems) = no(scenario.complete("bob", Some("approve"), json!({ "limit": "x" }))) else {
        panic!()
    };
    assert!(problems[0].starts_with("/limit: "), "{problems:?}");
    assert!(matches!(no(scenario.complete("bob", Some("approve"), Value::Null)), TaskRefusal::Form(_)));
    let stale = scenario.act_as(manager("mia"), Some(7), claim());
    assert_eq!(no(stale), TaskRefusal::Stale { expected: 7, found: 0 });
    assert_eq!(scenario.instance().unwrap(), &before);
    scenario.complete("bob", Some("approve"), form.clone()).unwrap();
    let TaskRefusal::Closed(why) = no(scenario.complete("bob", Some("approve"), form)) else { panic!() };
    assert_eq!(why, "completed by `bob` with `approve`");
}

#[test]
fn a_claim_by_a_group_member_excludes_others_while_the_lease_lasts() {
    let mut scenario = open();
    scenario.act_as(manager("mia"), None, claim()).unwrap();
    assert!(matches!(refusal(scenario.act("bob", claim())), TaskRefusal::Claimed { by, .. } if by == "mia"));
    assert!(matches!(
        refusal(scenario.complete("bob", Some("approve"), json!({ "limit": 1 }))),
        TaskRefusal::Claimed { .. }
    ));
    assert_eq!(
        refusal(scenario.act("eve", Act::Release)),
        TaskRefusal::Claimed { by: "mia".into(), until: scenario.task().unwrap().claim.as_ref().unwrap().until }
    );
    scenario.advance(seconds(59)).unwrap();
    scenario.act_as(manager("mia"), None, Act::Extend { lease_for: seconds(60) }).unwrap();
    scenario.advance(seconds(59)).unwrap();
    assert!(matches!(refusal(scenario.act("bob", claim())), TaskRefusal::Claimed { .. }));
    scenario.advance(seconds(1)).unwrap();
    let extend = Act::Extend { lease_for: seconds(60) };
    assert_eq!(refusal(scenario.act_as(manager("mia"), None, extend)), TaskRefusal::NotHeld("mia".into()));
    scenario.act("bob", claim()).unwrap();
    assert!(scenario.history().iter().any(|entry| entry.details["lapsed"] == "mia"));
    scenario.act("bob", Act::Release).unwrap();
    scenario.act_as(manager("mia"), None, claim()).unwrap();
}

#[test]
fn a_draft_is_kept_for_the_holder_of_the_task() {
    let mut scenario = open();
    let draft = || Act::Draft { form: json!({ "limit": "not yet" }) };
    assert_eq!(refusal(scenario.act("bob", draft())), TaskRefusal::NotHeld("bob".into()));
    scenario.act("bob", claim()).unwrap();
    let told = scenario.history().len();
    scenario.act("bob", draft()).unwrap();
    assert_eq!(scenario.task().unwrap().draft, Some(json!({ "limit": "not yet" })));
    assert_eq!(scenario.history().len(), told);
}

#[test]
fn a_reassigned_task_belongs_to_its_assignee_and_a_delegated_one_returns() {
    let mut scenario = open();
    let to = |to: &str| Act::Reassign { to: Some(to.into()), comment: Some("you know it best".into()) };
    assert_eq!(refusal(scenario.act("boss", to("ann"))), TaskRefusal::Excluded("ann".into()));
    scenario.act("bob", claim()).unwrap();
    scenario.act("boss", to("zoe")).unwrap();
    assert_eq!(refusal(scenario.act("bob", claim())), TaskRefusal::Assigned("zoe".into()));
    scenario.act("zoe", Act::Delegate { to: "kim".into(), comment: None }).unwrap();
    assert_eq!(refusal(scenario.act("zoe", claim())), TaskRefusal::Assigned("kim".into()));
    scenario.act("kim", Act::Release).unwrap();
    assert_eq!(scenario.task().unwrap().assignee.as_deref(), Some("zoe"));
    scenario.act("boss", Act::Reassign { to: None, comment: None }).unwrap();
    scenario.complete("bob", Some("reject"), json!({ "limit": 0 })).unwrap();
    assert_eq!(scenario.status(), Some(Status::Failed));
}

#[test]
fn a_task_without_a_possible_candidate_is_an_error() {
    let mut scenario = scenario(
        "activities: [{ id: a, task: { candidates: { users: [ann] }, exclude: ann }, on_error: [{ code: task.candidates, to: exit }] }]",
    );
    started(&mut scenario);
    assert_eq!(scenario.status(), Some(Status::Completed));
}

#[test]
fn a_task_closes_at_its_timeout() {
    let mut scenario = open();
    scenario.advance(seconds(5 * 86_400)).unwrap();
    assert_eq!(scenario.status(), Some(Status::Failed));
    let TaskRefusal::Closed(why) = refusal(scenario.complete("bob", Some("approve"), json!({ "limit": 1 }))) else {
        panic!()
    };
    assert_eq!(why, "timed out");
}

#[test]
fn a_decision_is_kept_when_its_output_fails() {
    let mut scenario = scenario(
        "
variables: { n: null }
activities:
  - { id: a, task: { candidates: { users: [ann] }, decisions: [good] }, output: { n: int(result.decision) } }
",
    );
    started(&mut scenario);
    scenario.complete("ann", Some("good"), Value::Null).unwrap();
    assert_eq!((scenario.status(), scenario.error().unwrap().code.as_str()), (Some(Status::Suspended), "expression"));
    assert!(matches!(refusal(scenario.complete("ann", Some("good"), Value::Null)), TaskRefusal::Closed(_)));
    scenario.retry().unwrap();
    let done = scenario.history().iter().filter(|entry| entry.kind.name() == "TaskCompleted").count();
    assert_eq!((done, scenario.status()), (1, Some(Status::Suspended)), "the output is tried again, the task is not");
}

#[test]
fn a_cancelled_instance_closes_its_task() {
    let mut scenario = open();
    scenario.cancel("no longer wanted").unwrap();
    assert_eq!(scenario.task().unwrap().closed.as_ref().unwrap().outcome, TaskOutcome::Cancelled);
    let TaskRefusal::Closed(why) = refusal(scenario.act("bob", claim())) else { panic!() };
    assert_eq!(why, "cancelled");
}

#[test]
fn reminders_due_and_escalation_fire_while_the_task_waits() {
    check(
        "
activities:
  - id: a
    task:
      assignee: ann
      candidates: { users: [bob] }
      due: 3h
      remind: { every: 1h, times: 2 }
      escalate: [{ after: 4h, candidates: { users: [carl], groups: [heads] }, priority: 9 }]
",
        |scenario| {
            started(scenario);
            assert_eq!(refusal(scenario.complete("bob", None, Value::Null)), TaskRefusal::Assigned("ann".into()));
            scenario.advance(seconds(5 * 3_600)).unwrap();
            let task = scenario.task().unwrap();
            assert_eq!((task.priority, task.assignee.as_deref()), (9, None));
            let told: Vec<&str> = scenario.events().iter().map(|event| event.name.as_str()).collect();
            assert_eq!(
                told,
                ["started", "task_opened", "task_reminded", "task_reminded", "task_overdue", "task_escalated"]
            );
            scenario.complete("carl", None, Value::Null).unwrap();
        },
        expect![[r#"
            InstanceStarted
            TaskOpened a {"assignee":"ann","due_at":"2026-01-01T03:00:00Z","groups":[],"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452","users":["bob","ann"]}
            TaskReminded a {"number":1,"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            TaskReminded a {"number":2,"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            TaskOverdue a {"due_at":"2026-01-01T03:00:00Z","task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            TaskEscalated a {"groups":["heads"],"priority":9,"task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452","users":["bob","ann","carl"]}
            TaskCompleted a {"by":"carl","task":"2d726b8a-e1d9-5e9a-8afe-8ad6ae145452"}
            ActivityCompleted a {"result":{"actor":"carl","comment":null,"decision":null,"form":null}}
            InstanceCompleted
            = completed with null
        "#]],
    );
}

#[test]
fn a_task_in_a_loop_gets_a_new_bookmark_each_time_and_remembers_earlier_actors() {
    let mut scenario = scenario(
        "
variables: { seen: null }
activities:
  - id: make
    task: { title: 'Transition ${ activity.visit }', candidates: { users: [ann, bob] }, assign: previous }
  - id: check
    task: { candidates: { users: [ann, bob, carl] }, exclude: ['${ actors.make }'], decisions: [good, again] }
    output: { seen: actors.check }
    next: { good: exit, again: make }
",
    );
    started(&mut scenario);
    let first = scenario.task().unwrap().clone();
    assert_eq!((first.title.as_str(), first.assignee), ("Transition 1", None));
    scenario.complete("bob", None, Value::Null).unwrap();
    assert_eq!(refusal(scenario.complete("bob", Some("good"), Value::Null)), TaskRefusal::Excluded("bob".into()));
    scenario.complete("ann", Some("again"), Value::Null).unwrap();
    let second = scenario.task().unwrap();
    assert_eq!((second.title.as_str(), second.assignee.as_deref()), ("Transition 2", Some("bob")));
    assert!(second.bookmark > first.bookmark && second.id != first.id);
    scenario.complete("bob", None, Value::Null).unwrap();
    scenario.complete("carl", Some("good"), Value::Null).unwrap();
    assert_eq!(scenario.status(), Some(Status::Completed));
    assert_eq!(variable(&scenario, "seen"), json!("carl"));
}

const IN_TURN: &str = "
variables: { n: 0 }
activities:
  - id: a
    task: { assign: { strategy: STRATEGY, users: '${ [\"ann\", \"bob\", \"carl\"] }' }, exclude: carl }
    next: { to: a }
";

fn assignees(strategy: &str, chances: &[f64]) -> Vec<String> {
    let text = IN_TURN.replace("STRATEGY", strategy).replace("next: { to: a }", "next: a");
    let mut scenario = Scenario::new(&definition(&format!("timeout: 1d\n{text}"))).chance(chances[0]);
    started(&mut scenario);
    let mut given = Vec::new();
    for chance in chances {
        let assignee = scenario.task().unwrap().assignee.clone().unwrap();
        given.push(assignee.clone());
        scenario = scenario.chance(*chance);
        scenario.complete(&assignee, None, Value::Null).unwrap();
    }
    given
}

#[test]
fn each_strategy_chooses_from_its_list_without_those_who_are_excluded() {
    assert_eq!(assignees("round_robin", &[0.0; 4]), ["ann", "bob", "ann", "bob"]);
    assert_eq!(assignees("least_loaded", &[0.0; 2]), ["ann", "ann"]);
    assert_eq!(assignees("random", &[0.9, 0.1, 0.99]), ["bob", "bob", "ann"]);
}
