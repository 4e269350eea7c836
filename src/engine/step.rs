//! One transition of an instance: which command does what, once it is admitted.

use serde_json::{Value, json};

use crate::definition::Definition;

use super::admit::{self, Stand, Timer};
use super::fault::{Fault, Stop};
use super::flow::Ending;
use super::task::{self, Actor};
use super::turn::Turn;
use super::{Command, Context, Effect, EntryKind, Facts, Failure, Instance, Message, Refusal, Step, WaitOn};

/// Decides what a command does to an instance.
///
/// `facts` answer what [`super::needs()`] asked for. The step's instance keeps the revision that was loaded.
///
/// # Errors
/// Why the command changes nothing.
pub fn step(
    definition: &Definition,
    instance: &Instance,
    command: Command,
    facts: Facts,
    context: &Context<'_>,
) -> Result<Step, Refusal> {
    let turn = |kind| Turn::new(definition, context, instance.clone(), kind);
    match command {
        Command::Continue { branch, sequence } => {
            let stand = admit::ready(definition, instance, branch, sequence)?;
            proceed(turn(stand.activity.work.kind()), stand, facts)
        }
        Command::Fire { bookmark } => match admit::due(definition, instance, bookmark, context.now)? {
            Timer::Deadline => expire(turn("fire"), bookmark),
            Timer::Wait(stand, on) => fire(turn(stand.activity.work.kind()), stand, (bookmark, on), facts),
        },
        Command::Deliver { bookmark, message } => {
            let (stand, index) = admit::listening(definition, instance, bookmark)?;
            let mut turn = turn(stand.activity.work.kind());
            if !turn.fits(stand, index, &message) {
                return Err(Refusal::NotMatching);
            }
            turn.take_wait(stand, bookmark);
            deliver(turn, stand, message)
        }
        Command::Retry { by, reason } => {
            admit::alive(instance)?;
            let failed = incidents(instance);
            if failed.is_empty() {
                return Err(Refusal::NoIncident);
            }
            let mut turn = turn("retry");
            turn.resume(by, reason);
            retry(turn, failed)
        }
        Command::Cancel { by, reason } => {
            admit::alive(instance)?;
            let mut turn = turn("cancel");
            turn.end(Ending::Cancelled { by, reason });
            Ok(turn.done())
        }
        Command::Crash { branch, sequence, crash_max } => {
            let stand = admit::ready(definition, instance, branch, sequence)?;
            Ok(crash(turn("crash"), stand, crash_max))
        }
        Command::Act { person, seen, act, .. } => task::act(turn("task"), Actor { person, seen }, act, facts.task),
    }
}

fn proceed<'a>(mut turn: Turn<'a>, stand: Stand<'a>, facts: Facts) -> Result<Step, Refusal> {
    let steps_max = turn.context.steps_max;
    let exhausted = turn.branch(stand).steps >= steps_max;
    turn.advance(stand);
    if exhausted {
        let message = format!("the branch took {steps_max} steps without a wait");
        turn.incident(stand, Fault::from(Failure::new("limit.steps", message)));
        return Ok(turn.done());
    }
    let outcome = turn.execute(stand, facts);
    settle(turn, stand, outcome)
}

fn fire<'a>(
    mut turn: Turn<'a>,
    stand: Stand<'a>,
    (bookmark, on): (i64, WaitOn),
    facts: Facts,
) -> Result<Step, Refusal> {
    match &on {
        WaitOn::Due { .. } | WaitOn::Remind { .. } | WaitOn::Escalate { .. } => {
            let outcome = turn.fire_for_task(stand, bookmark, &on, facts.task);
            return settle(turn, stand, outcome);
        }
        WaitOn::Timer { .. }
        | WaitOn::Timeout { .. }
        | WaitOn::Retry { .. }
        | WaitOn::Message { .. }
        | WaitOn::Intervention { .. }
        | WaitOn::Task => turn.take_wait(stand, bookmark),
    }
    match on {
        WaitOn::Timer { .. } => {
            turn.awaken(stand);
            turn.record(EntryKind::TimerFired, stand, Value::Null);
            let outcome = turn.complete(stand, Value::Null, None);
            settle(turn, stand, outcome)
        }
        WaitOn::Timeout { .. } => {
            turn.awaken(stand);
            turn.record(EntryKind::WaitTimedOut, stand, Value::Null);
            let failure = Failure::new("timeout", format!("`{}` waited longer than its timeout", stand.activity.id));
            turn.handle(stand, failure.into());
            Ok(turn.done())
        }
        // The attempt was raised when the pause began; the next step makes it. A pause is no wait of the author's,
        // so the steps go on being counted.
        WaitOn::Retry { .. } => {
            turn.advance(stand);
            turn.record(EntryKind::TimerFired, stand, Value::Null);
            Ok(turn.done())
        }
        WaitOn::Message { .. }
        | WaitOn::Intervention { .. }
        | WaitOn::Task
        | WaitOn::Due { .. }
        | WaitOn::Remind { .. }
        | WaitOn::Escalate { .. } => Err(Refusal::Gone(bookmark)),
    }
}

/// The instance's own timeout: whatever it waits for is no longer waited for.
fn expire(mut turn: Turn<'_>, bookmark: i64) -> Result<Step, Refusal> {
    turn.instance.state.deadline = None;
    turn.push(Effect::Consume(bookmark));
    for at in 0..turn.instance.state.branches.len() {
        let stand = admit::stand(turn.definition, &turn.instance, at)?;
        turn.close_waits(stand);
    }
    turn.instance.state.branches.truncate(1);
    let stand = admit::stand(turn.definition, &turn.instance, 0)?;
    turn.awaken(stand);
    turn.record_whole(EntryKind::WaitTimedOut, Value::Null);
    turn.handle_expiry(stand, Failure::new("timeout", "the instance took longer than its timeout"));
    Ok(turn.done())
}

fn deliver<'a>(mut turn: Turn<'a>, stand: Stand<'a>, message: Message) -> Result<Step, Refusal> {
    turn.awaken(stand);
    let outcome = turn.received(stand, message);
    settle(turn, stand, outcome)
}

fn retry(mut turn: Turn<'_>, failed: Vec<Incident>) -> Result<Step, Refusal> {
    for Incident { at, bookmark, result } in failed {
        let stand = admit::stand(turn.definition, &turn.instance, at)?;
        turn.take_wait(stand, bookmark);
        turn.awaken(stand);
        let branch = turn.branch_mut(stand);
        branch.attempt = 1;
        branch.failures.clear();
        branch.tried_at = None;
        if let Some(result) = result {
            let outcome = turn.complete(stand, result, None);
            turn.catch_stop(stand, outcome)?;
            if turn.instance.status.has_ended() {
                break;
            }
        }
    }
    Ok(turn.done())
}

/// A branch that waits for a person.
struct Incident {
    at: usize,
    bookmark: i64,
    /// What the work returned, where only `output` or `next` failed.
    result: Option<Value>,
}

fn incidents(instance: &Instance) -> Vec<Incident> {
    let mut found = Vec::new();
    for (at, branch) in instance.state.branches.iter().enumerate() {
        for wait in admit::waits(branch) {
            if let WaitOn::Intervention { result, .. } = &wait.on {
                found.push(Incident { at, bookmark: wait.bookmark, result: result.clone() });
            }
        }
    }
    found
}

fn crash<'a>(mut turn: Turn<'a>, stand: Stand<'a>, crash_max: u32) -> Step {
    let branch = turn.branch_mut(stand);
    branch.crashes = branch.crashes.saturating_add(1);
    let crashes = branch.crashes;
    turn.record(EntryKind::WorkerCrashed, stand, json!({ "crashes": crashes }));
    // Below the bound the same step command stays valid, and the next worker tries.
    if crashes > crash_max {
        turn.advance(stand);
        let message = format!("{crashes} workers died over `{}`", stand.activity.id);
        turn.incident(stand, Fault::from(Failure::new("worker.crashed", message)));
    }
    turn.done()
}

pub(super) fn settle<'a>(mut turn: Turn<'a>, stand: Stand<'a>, outcome: Result<(), Stop>) -> Result<Step, Refusal> {
    turn.catch_stop(stand, outcome)?;
    Ok(turn.done())
}
