//! One transition of an instance: which command does what, once it is admitted.

use serde_json::{Value, json};

use crate::definition::Definition;

use super::admit::{self, Stand, Timer};
use super::fault::{Fault, Stop};
use super::flow::Ending;
use super::task::{self, Actor};
use super::turn::Turn;
use super::{
    Command, Context, Effect, EntryKind, Facts, Failure, Instance, Message, Refusal, Step, WaitOn, call, intervene,
};

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
            Timer::Deadline => {
                let mut turn = turn("fire");
                expire(&mut turn, bookmark)?;
                Ok(turn.done())
            }
            Timer::Wait(stand, on @ (WaitOn::Due { .. } | WaitOn::Remind { .. } | WaitOn::Escalate { .. })) => {
                let mut turn = turn(stand.activity.work.kind());
                let outcome = turn.fire_for_task(stand, bookmark, &on, facts.task);
                settle(turn, stand, outcome)
            }
            Timer::Wait(stand, on) => {
                let mut turn = turn(stand.activity.work.kind());
                fire(&mut turn, stand, bookmark, on)?;
                Ok(turn.done())
            }
        },
        Command::Deliver { bookmark, message } => {
            let (stand, index) = admit::listening(definition, instance, bookmark)?;
            let mut turn = turn(stand.activity.work.kind());
            if !turn.fits(stand, index, &message) {
                return Err(Refusal::NotMatching);
            }
            deliver(&mut turn, stand, bookmark, message)?;
            Ok(turn.done())
        }
        Command::Retry { by, reason } => {
            admit::alive(instance)?;
            retry_all(turn("retry"), (by, reason), facts)
        }
        Command::Cancel { by, reason } => {
            admit::alive(instance)?;
            let mut turn = turn("cancel");
            turn.end(Ending::Cancelled { by, reason });
            Ok(turn.done())
        }
        Command::Crash { branch, sequence, crash_max } => {
            Ok(crash(turn("crash"), admit::ready(definition, instance, branch, sequence)?, crash_max))
        }
        Command::Undeliverable { branch, sequence, why } => {
            Ok(abandon(turn("abandon"), admit::ready(definition, instance, branch, sequence)?, why))
        }
        Command::Act { person, seen, act, .. } => task::act(turn("task"), Actor { person, seen }, act, facts.task),
        Command::Suspend { by, reason } => intervene::suspend(turn("suspend"), by, reason),
        Command::Resume { by, reason } => intervene::resume(turn("resume"), (by, reason), facts),
        Command::Reschedule { bookmark, due, by, reason } => {
            intervene::reschedule(turn("reschedule"), bookmark, due, (by, reason))
        }
        Command::CompleteCall { bookmark, dispatch, outcome } => {
            call::complete(turn("call"), (bookmark, dispatch), outcome)
        }
        Command::Progress { bookmark, dispatch, progress } => {
            call::progress(turn("call"), (bookmark, dispatch), &progress)
        }
        Command::Resolve { bookmark, resolution, by, reason } => {
            call::resolve(turn("resolve"), bookmark, resolution, (by, reason), facts)
        }
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

pub(super) fn fire<'a>(turn: &mut Turn<'a>, stand: Stand<'a>, bookmark: i64, on: WaitOn) -> Result<(), Refusal> {
    turn.take_wait(stand, bookmark);
    match on {
        WaitOn::Timer { .. } => {
            turn.awaken(stand);
            turn.record(EntryKind::TimerFired, stand, Value::Null);
            let outcome = turn.complete(stand, Value::Null, None);
            turn.catch_stop(stand, outcome)
        }
        WaitOn::Timeout { .. } => {
            turn.awaken(stand);
            turn.record(EntryKind::WaitTimedOut, stand, Value::Null);
            let failure = Failure::new("timeout", format!("`{}` waited longer than its timeout", stand.activity.id));
            turn.handle(stand, failure.into());
            Ok(())
        }
        // The attempt was raised when the pause began; the next step makes it. A pause is no wait of the author's,
        // so the steps go on being counted.
        WaitOn::Retry { .. } => {
            turn.advance(stand);
            turn.record(EntryKind::TimerFired, stand, Value::Null);
            Ok(())
        }
        WaitOn::Message { .. }
        | WaitOn::Intervention { .. }
        | WaitOn::Task
        | WaitOn::Due { .. }
        | WaitOn::Remind { .. }
        | WaitOn::Escalate { .. }
        | WaitOn::Call { .. } => Err(Refusal::Gone(bookmark)),
    }
}

/// The instance's own timeout: whatever it waits for is no longer waited for.
pub(super) fn expire(turn: &mut Turn<'_>, bookmark: i64) -> Result<(), Refusal> {
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
    Ok(())
}

pub(super) fn deliver<'a>(
    turn: &mut Turn<'a>,
    stand: Stand<'a>,
    bookmark: i64,
    message: Message,
) -> Result<(), Refusal> {
    turn.take_wait(stand, bookmark);
    turn.awaken(stand);
    let outcome = turn.received(stand, message);
    turn.catch_stop(stand, outcome)
}

fn retry_all(
    mut turn: Turn<'_>,
    (by, reason): (Option<String>, Option<String>),
    facts: Facts,
) -> Result<Step, Refusal> {
    let failed = incidents(&turn.instance);
    if failed.is_empty() {
        let by_hand = turn.instance.state.suspension.is_some();
        return Err(if by_hand { Refusal::ByHand } else { Refusal::NoIncident });
    }
    turn.resume(by, reason);
    retry(&mut turn, failed)?;
    intervene::replay(&mut turn, facts)?;
    Ok(turn.done())
}

fn retry(turn: &mut Turn<'_>, failed: Vec<Incident>) -> Result<(), Refusal> {
    for Incident { at, bookmark, result } in failed {
        let stand = admit::stand(turn.definition, &turn.instance, at)?;
        if call::again_by_hand(turn, stand, bookmark) {
            continue;
        }
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
    Ok(())
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
        for wait in branch.waits() {
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

fn abandon<'a>(mut turn: Turn<'a>, stand: Stand<'a>, why: String) -> Step {
    turn.advance(stand);
    turn.incident(stand, Fault::from(Failure::new("worker.gave_up", why)));
    turn.done()
}

pub(super) fn settle<'a>(mut turn: Turn<'a>, stand: Stand<'a>, outcome: Result<(), Stop>) -> Result<Step, Refusal> {
    turn.catch_stop(stand, outcome)?;
    Ok(turn.done())
}
