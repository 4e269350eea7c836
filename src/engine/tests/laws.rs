//! What holds whatever happens.

use std::collections::BTreeSet;

use super::*;
use crate::definition::VariableTypes;
use crate::engine::{
    self, Act, Audit, Branch, CallCommand, CallOutcome, CallReport, Command, Context, Control, Decision, Due, Facts,
    Instance, Internal, KeptMessages, Message, Missed, Need, Phase, ROOT, Remedy, Resolution, State, Status, Wait,
    WaitOn,
};
use crate::testkit::Error;
use proptest::prelude::*;

const DEFINITIONS: [&str; 6] = [
    "
variables: { n: 0 }
output: { n: '${ n }' }
activities:
  - { id: count, set: { n: n + 1 } }
  - { id: pause, wait: { for: 10s }, timeout: 5s, on_timeout: count }
",
    "
timeout: 60s
on_timeout: late
variables: { n: 0, got: null }
activities:
  - { id: ask, receive: [{ name: yes, when: data.n > 1 }, { name: no }], timeout: 30s, output: { got: result.data }, next: { yes: work, no: ask } }
  - { id: work, run: { handler: fail, input: { code: timeout } }, on_error: [{ code: timeout, when: activity.visit > 1, to: ask }] }
  - { id: late, wait: { for: 5s }, next: ask }
",
    "
on_failure: fail
on_error: [{ code: odd, to: again }]
activities:
  - { id: again, when: activity.visit < 4, raise: { code: odd } }
  - { id: choose, switch: [{ when: instance.key == 'k-1', to: work }, { to: exit }] }
  - { id: work, run: { handler: fail, input: { code: timeout } } }
",
    "
activities:
  - id: ask
    task: { candidates: { users: [yes] }, decisions: [go, stop], remind: 3s, due: 4s, escalate: { after: 6s, candidates: { users: [no] } } }
    timeout: 20s
    on_timeout: ask
    next: { go: ask, stop: board }
  - id: board
    task: { candidates: { users: [yes, no] }, decisions: [go, stop], vote: [{ decide: go, when: votes.go > 1 }] }
    on_error: [{ code: task.undecided, to: ask }]
",
    "
activities:
  - { id: work, run: { handler: echo, input: { name: x } }, next: [{ when: result.missing, to: work }, { to: exit }] }
",
    "
timeout: 90s
activities:
  - { id: ask, http: { url: 'https://a.example' }, retry: { attempts: 2, base: 1s, within: 20s }, on_error: [{ code: http, to: pay }] }
  - { id: pay, http: { method: POST, url: 'https://a.example', await: callback, body: { t: '${ activity.token }' } } }
  - id: ship
    http:
      method: POST
      url: https://a.example
      on_unknown: probe
      probe: { url: 'https://a.example', done: result.body == 1 }
    on_error: [{ code: worker, to: work }]
  - { id: work, call: { name: pack }, output: {}, next: [{ when: activity.visit > 3, to: exit }, { to: ask }] }
",
];

/// Whether an instance is in a state that the protocol knows.
fn legal(definition: &Definition, instance: &Instance) -> Result<(), String> {
    let State { branches, bookmarks, deadline, suspension, .. } = &instance.state;
    let ended = instance.status.has_ended();
    let waits: Vec<&Wait> = branches.iter().flat_map(Branch::waits).collect();
    let whole = deadline.iter().map(|deadline| deadline.bookmark).chain(*suspension);
    let numbers: Vec<i64> = waits.iter().map(|wait| wait.bookmark).chain(whole).collect();
    let unique: BTreeSet<&i64> = numbers.iter().collect();
    let suspended = suspension.is_some() || waits.iter().any(|wait| matches!(wait.on, WaitOn::Intervention { .. }));
    let stored = serde_json::to_value(&instance.state).map_err(|error| error.to_string())?;
    let read: State = serde_json::from_value(stored).map_err(|error| error.to_string())?;
    let rules = [
        (
            instance.status == Status::Suspended
                || branches.iter().all(|branch| !matches!(branch.phase, Phase::Concluded(_))),
            "what moves does not keep results",
        ),
        (ended == branches.is_empty(), "branches live as long as the instance"),
        (ended == instance.ended_at.is_some(), "an end has a moment"),
        (!ended || (deadline.is_none() && suspension.is_none()), "nothing is waited for after the end"),
        ((instance.status == Status::Completed) == instance.output.is_some(), "completed with an output"),
        ((instance.status == Status::Failed) == instance.error.is_some(), "failed with an error"),
        ((instance.status == Status::Suspended) == suspended, "suspended with an incident"),
        (unique.len() == numbers.len(), "bookmarks are not shared"),
        (numbers.iter().all(|number| (1..*bookmarks).contains(number)), "bookmarks are numbered"),
        (branches.iter().all(|branch| branch.phase != Phase::Waiting(Vec::new())), "who waits, waits for something"),
        (
            branches.iter().all(|branch| definition.activity(&branch.activity).is_some()),
            "every branch stands at an activity",
        ),
        (branches.iter().all(|branch| branch.attempt >= 1), "attempts count from 1"),
        (
            branches
                .iter()
                .filter(|branch| branch.phase == Phase::Ready)
                .all(|branch| branch.attempt > 1 || (branch.failures.is_empty() && branch.tried_at.is_none())),
            "what failed before is not counted against a first attempt",
        ),
        (read == instance.state, "what is stored reads back"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(format!("not so: {rule}: {instance:#?}")),
        None => Ok(()),
    }
}

/// One thing that happens; places and numbers are chosen without knowing whether they mean anything.
#[derive(Debug, Clone)]
enum Happens {
    Step,
    Old(i64),
    Fire(i64),
    Message { bookmark: i64, n: i64 },
    Sent { name: &'static str, n: i64 },
    Time(u64),
    Retry,
    Cancel,
    Crash,
    Act { user: &'static str, what: u8 },
    Suspend,
    Resume,
    Reschedule { bookmark: i64, by: i64 },
    CompleteCall { what: u8 },
    Late { bookmark: i64, dispatch: u32, what: u8 },
    Resolve { what: u8 },
    Operate { what: u8, at: u8 },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => Just(Happens::Step),
        1 => (-1i64..20).prop_map(Happens::Old),
        2 => (0i64..12).prop_map(Happens::Fire),
        2 => (0i64..12, 0i64..4).prop_map(|(bookmark, n)| Happens::Message { bookmark, n }),
        2 => (prop_oneof![Just("yes"), Just("no")], 0i64..4).prop_map(|(name, n)| Happens::Sent { name, n }),
        3 => (1u64..30).prop_map(Happens::Time),
        2 => Just(Happens::Retry),
        1 => Just(Happens::Cancel),
        1 => Just(Happens::Crash),
        6 => (prop_oneof![Just("yes"), Just("no")], 0u8..6).prop_map(|(user, what)| Happens::Act { user, what }),
        2 => Just(Happens::Suspend),
        3 => Just(Happens::Resume),
        2 => (0i64..12, -5i64..20).prop_map(|(bookmark, by)| Happens::Reschedule { bookmark, by }),
        8 => (0u8..7).prop_map(|what| Happens::CompleteCall { what }),
        2 => (0i64..12, 0u32..5, 0u8..7).prop_map(|(bookmark, dispatch, what)| Happens::Late { bookmark, dispatch, what }),
        2 => (0u8..3).prop_map(|what| Happens::Resolve { what }),
        4 => (0u8..8, 0u8..9).prop_map(|(what, at)| Happens::Operate { what, at }),
    ]
}

fn command(what: &Happens, definition: &Definition, instance: &Instance) -> Option<Command> {
    let sequence = instance.state.branches.first().map_or(0, |branch| branch.sequence);
    Some(match *what {
        Happens::Step => Internal::Continue { branch: ROOT, sequence }.into(),
        Happens::Old(sequence) => Internal::Continue { branch: ROOT, sequence }.into(),
        Happens::Fire(bookmark) => Internal::Fire { bookmark }.into(),
        Happens::Message { bookmark, n } => {
            let message =
                Message { name: "yes".into(), key: "k-1".into(), data: json!({ "n": n }), kept: None, sender: None };
            Internal::Deliver { bookmark, message }.into()
        }
        Happens::Retry => Command::Instance(Control::Retry, Audit::default()),
        Happens::Cancel => Command::Instance(Control::Cancel, Audit::default()),
        Happens::Crash => Internal::Crash { branch: ROOT, sequence, crash_max: 1 }.into(),
        Happens::Suspend => Command::Instance(Control::Suspend, Audit::default()),
        Happens::Resume => Command::Instance(Control::Resume, Audit::default()),
        Happens::Reschedule { bookmark, by } => {
            let moment = instance.started_at.checked_add(jiff::SignedDuration::from_secs(by)).unwrap();
            Command::Instance(Control::Reschedule { bookmark, due: Due::At(moment) }, Audit::default())
        }
        Happens::Late { bookmark, dispatch, what } => {
            CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome: outcome(what) } }.into()
        }
        Happens::Operate { what, at } => {
            let activity = definition.activities[usize::from(at) % definition.activities.len()].id.clone();
            Command::Instance(operation(what, activity), Audit::default())
        }
        Happens::Sent { .. } | Happens::Time(_) | Happens::Act { .. } => return None,
        Happens::CompleteCall { .. } | Happens::Resolve { .. } => return None,
    })
}

/// An operation; most of them at an activity that was not asked whether it can.
fn operation(what: u8, activity: String) -> Control {
    match what {
        0 => Control::Terminate,
        1 => Control::Skip { activity: None, result: json!({ "decision": "go", "name": "yes", "data": { "n": 1 } }) },
        2 => Control::Jump { to: activity },
        3 => Control::Rerun { from: activity },
        4 => Control::SetVariables { values: serde_json::Map::from_iter([("n".to_owned(), json!(1))]) },
        5 => Control::SetQueue { queue: activity },
        6 => Control::Resolve { remedy: Remedy::Fail },
        _ => Control::SetPriority { priority: i16::try_from(activity.len()).unwrap_or_default() },
    }
}

fn outcome(what: u8) -> CallOutcome {
    let answered = |status: u16, body: Value| CallOutcome::Answered {
        status,
        headers: serde_json::Map::new(),
        body,
        cut: None,
        retry_after_ms: (status == 429).then_some(3_000),
    };
    match what {
        0 => answered(200, json!(1)),
        1 => answered(200, json!(2)),
        2 => answered(429, json!(null)),
        3 => answered(409, json!(null)),
        4 => CallOutcome::Done { result: json!(1) },
        5 => CallOutcome::Failed { failure: Failure::new("worker.broken", "it fell") },
        _ => CallOutcome::Unknown { failure: Failure::new("timeout", "nothing came back") },
    }
}

fn resolution(what: u8) -> Resolution {
    match what {
        0 => Resolution::Done { result: json!(1) },
        1 => Resolution::Failed { failure: Failure::new("worker.broken", "it fell") },
        _ => Resolution::Again,
    }
}

fn act(what: u8) -> Act {
    let decide = |name: &str| Act::Complete { decision: Some(name.into()), form: Value::Null, comment: None };
    match what {
        0 => Act::Claim { lease_for: seconds(5) },
        1 => Act::Release,
        2 => Act::Reassign { to: Some("no".into()), comment: None },
        3 => Act::Delegate { to: "no".into(), comment: None },
        4 => decide("go"),
        _ => decide("stop"),
    }
}

/// Whether a command that was taken must be refused when it comes again.
fn once(command: &Command) -> bool {
    match command {
        Command::Internal(Internal::Continue { .. } | Internal::Fire { .. } | Internal::Deliver { .. }) => true,
        Command::Instance(Control::Cancel | Control::Suspend | Control::Resume | Control::Reschedule { .. }, _) => true,
        // The repetition of a retry may find the next incident; crashes are counted.
        Command::Instance(Control::Retry, _) => false,
        Command::Instance(Control::Terminate | Control::SetQueue { .. } | Control::SetPriority { .. }, _) => true,
        // The next wait may be skipped too, and the same place may be gone to twice.
        Command::Instance(Control::Skip { .. } | Control::Jump { .. } | Control::Rerun { .. }, _) => false,
        Command::Instance(Control::SetVariables { .. }, _) => false,
        Command::Instance(Control::Resolve { remedy: Remedy::Fail }, _) => true,
        Command::Instance(Control::Resolve { remedy: Remedy::Retry { .. } }, _) => false,
        Command::Internal(Internal::Crash { .. } | Internal::Unfireable { .. } | Internal::Undeliverable { .. }) => {
            false
        }
        Command::Incident(Remedy::Fail, _) => true,
        Command::Incident(Remedy::Retry { .. }, _) | Command::Task(_) | Command::Call(_) => false,
    }
}

/// Two decisions upon the same things are the same.
fn same_again(definition: &Definition, scenario: &Scenario, command: &Command) -> bool {
    let (Some(instance), env) = (scenario.instance(), serde_json::Map::new()) else { return true };
    let retry = crate::definition::Retry {
        attempts: 2,
        base: seconds(1),
        max: seconds(9),
        factor: 2.0,
        jitter: 0.3,
        codes: Vec::new(),
        within: None,
    };
    let context = Context {
        now: scenario.now(),
        chance: 0.4,
        env: &env,
        steps_max: 50,
        variables_max: 1_000,
        handler_timeout: seconds(3),
        http_timeout: seconds(3),
        call_timeout: seconds(3),
        retry: &retry,
        budget: crate::expression::step_budget::StepBudget::whole(),
    };
    let decide = || {
        let first = engine::decide(definition, instance, command, Facts::default(), &context);
        let Decision::Need(need) = first else { return first };
        let facts = match need {
            Need::Handler(call) => Facts { handler: Some(Ok(call.input)), ..Facts::default() },
            Need::Messages { .. } => {
                let list = scenario.kept().cloned().collect();
                Facts { messages: Some(KeptMessages { list, more: false }), ..Facts::default() }
            }
            Need::Task(_) => Facts { task: Some(None), ..Facts::default() },
            Need::Ranks(_) => Facts { ranks: Some(Vec::new()), ..Facts::default() },
            Need::Missed => Facts { missed: Some(Missed::default()), ..Facts::default() },
            Need::VariableTypes => Facts { variable_types: Some(VariableTypes::default()), ..Facts::default() },
        };
        engine::decide(definition, instance, command, facts, &context)
    };
    decide() == decide()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_commands_keeps_an_instance_legal(which in 0..DEFINITIONS.len(), life in prop::collection::vec(happens(), 1..60)) {
        let definition = definition(DEFINITIONS[which]);
        let mut scenario = scenario(DEFINITIONS[which]).limits(50, 1_000);
        scenario.begin(json!({})).unwrap();
        for what in life {
            let before = scenario.instance().unwrap().clone();
            match (&what, command(&what, &definition, &before)) {
                (Happens::Time(count), _) => scenario.pass(seconds(*count)).unwrap(),
                (Happens::Sent { name, n }, _) => scenario.keep(name, "k-1", json!({ "n": n })),
                (Happens::Act { user, what }, _) => match scenario.act(user, act(*what)) {
                    Ok(()) | Err(Error::NoTask) => {}
                    Err(Error::Refused(_)) => prop_assert_eq!(scenario.instance().unwrap(), &before),
                    Err(other) => prop_assert!(false, "{}", other),
                },
                (Happens::CompleteCall { what }, _) => match scenario.complete_call(outcome(*what)) {
                    Ok(()) | Err(Error::NotStarted) => {}
                    Err(Error::Refused(_)) => prop_assert_eq!(scenario.instance().unwrap(), &before),
                    Err(other) => prop_assert!(false, "{}", other),
                },
                (Happens::Resolve { what }, _) => match scenario.resolve(resolution(*what)) {
                    Ok(()) | Err(Error::NotStarted) => {}
                    Err(Error::Refused(_)) => prop_assert_eq!(scenario.instance().unwrap(), &before),
                    Err(other) => prop_assert!(false, "{}", other),
                },
                (_, None) => {}
                (_, Some(command)) => {
                    prop_assert!(same_again(&definition, &scenario, &command));
                    match scenario.apply(command.clone()) {
                        Ok(()) if once(&command) => {
                            let after = scenario.instance().unwrap().clone();
                            prop_assert!(matches!(scenario.apply(command), Err(Error::Refused(_))));
                            prop_assert_eq!(scenario.instance().unwrap(), &after);
                        }
                        Ok(()) => {}
                        Err(Error::Refused(_)) => prop_assert_eq!(scenario.instance().unwrap(), &before),
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
            }
            prop_assert_eq!(legal(&definition, scenario.instance().unwrap()), Ok(()));
        }
    }
}
