//! One transition of an instance: which command does what, once it is admitted.

use serde_json::{Value, json};

use crate::definition::Definition;

use super::admit::{self, DueTimer, Position};
use super::failure::{FailedWork, Incomplete};
use super::flow::Ending;
use super::task::{self, Actor};
use super::transition::Transition;
use super::{
    Command, Context, Effect, EntryKind, Facts, Failure, Instance, Message, Refusal, Step, TimerKind, WaitOn, call,
    intervene,
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
    let transition = |kind| Transition::new(definition, context, instance.clone(), kind);
    match command {
        Command::Continue { branch, sequence } => {
            let position = admit::branch_for_continue(definition, instance, branch, sequence)?;
            proceed(transition(position.activity.work.kind()), position, facts)
        }
        Command::Fire { bookmark } => match admit::timer_for_fire(definition, instance, bookmark, context.now)? {
            DueTimer::Deadline => {
                let mut transition = transition("fire");
                expire(&mut transition, bookmark)?;
                Ok(transition.done())
            }
            DueTimer::Wait(position, TimerKind::Task(timer)) => {
                let mut transition = transition(position.activity.work.kind());
                let outcome = transition.fire_for_task(position, bookmark, timer, facts.task);
                settle(transition, position, outcome)
            }
            DueTimer::Wait(position, kind) => {
                let mut transition = transition(position.activity.work.kind());
                fire(&mut transition, position, bookmark, kind)?;
                Ok(transition.done())
            }
        },
        Command::Deliver { bookmark, message } => {
            let (position, index) = admit::wait_for_message(definition, instance, bookmark)?;
            let mut transition = transition(position.activity.work.kind());
            if !transition.fits(position, index, &message) {
                return Err(Refusal::NotMatching);
            }
            deliver(&mut transition, position, bookmark, message)?;
            Ok(transition.done())
        }
        Command::Retry { by, reason } => {
            admit::require_live(instance)?;
            retry_all(transition("retry"), (by, reason), facts)
        }
        Command::Cancel { by, reason } => {
            admit::require_live(instance)?;
            let mut transition = transition("cancel");
            transition.end(Ending::Cancelled { by, reason });
            Ok(transition.done())
        }
        Command::Crash { branch, sequence, crash_max } => Ok(crash(
            transition("crash"),
            admit::branch_for_continue(definition, instance, branch, sequence)?,
            crash_max,
        )),
        Command::Undeliverable { branch, sequence, why } => Ok(undeliverable(
            transition("undeliverable"),
            admit::branch_for_continue(definition, instance, branch, sequence)?,
            why,
        )),
        Command::Act { person, seen, act, .. } => {
            task::act(transition("task"), Actor { person, seen }, act, facts.task)
        }
        Command::Suspend { by, reason } => intervene::suspend(transition("suspend"), by, reason),
        Command::Resume { by, reason } => intervene::resume(transition("resume"), (by, reason), facts),
        Command::Reschedule { bookmark, due, by, reason } => {
            intervene::reschedule(transition("reschedule"), bookmark, due, (by, reason))
        }
        Command::CompleteCall { bookmark, dispatch, outcome } => {
            call::complete(transition("call"), (bookmark, dispatch), outcome)
        }
        Command::Progress { bookmark, dispatch, progress } => {
            call::progress(transition("call"), (bookmark, dispatch), &progress)
        }
        Command::Resolve { bookmark, resolution, by, reason } => {
            call::resolve(transition("resolve"), bookmark, resolution, (by, reason), facts)
        }
    }
}

fn proceed<'a>(mut transition: Transition<'a>, position: Position<'a>, facts: Facts) -> Result<Step, Refusal> {
    let steps_max = transition.context.steps_max;
    let exhausted = transition.branch(position).steps >= steps_max;
    transition.advance(position);
    if exhausted {
        let message = format!("the branch took {steps_max} steps without a wait");
        transition.incident(position, FailedWork::from(Failure::new("limit.steps", message)));
        return Ok(transition.done());
    }
    let outcome = transition.execute(position, facts);
    settle(transition, position, outcome)
}

pub(super) fn fire<'a>(
    transition: &mut Transition<'a>,
    position: Position<'a>,
    bookmark: i64,
    kind: TimerKind,
) -> Result<(), Refusal> {
    transition.take_wait(position, bookmark);
    match kind {
        TimerKind::Wait => {
            transition.awaken(position);
            transition.record(EntryKind::TimerFired, position, Value::Null);
            let outcome = transition.complete(position, Value::Null, None);
            transition.apply_outcome(position, outcome)
        }
        TimerKind::Timeout => {
            transition.awaken(position);
            transition.record(EntryKind::WaitTimedOut, position, Value::Null);
            let failure = Failure::new("timeout", format!("`{}` waited longer than its timeout", position.activity.id));
            transition.handle(position, failure.into());
            Ok(())
        }
        // The attempt was raised when the pause began; the next step makes it. A pause is no wait of the author's,
        // so the steps go on being counted.
        TimerKind::Retry => {
            transition.advance(position);
            transition.record(EntryKind::TimerFired, position, Value::Null);
            Ok(())
        }
        // These have an entry of their own: they need the task.
        TimerKind::Task(_) => Err(Refusal::Missing),
    }
}

/// The instance's own timeout: whatever it waits for is no longer waited for.
pub(super) fn expire(transition: &mut Transition<'_>, bookmark: i64) -> Result<(), Refusal> {
    transition.instance.state.deadline = None;
    transition.push(Effect::Consume(bookmark));
    for at in 0..transition.instance.state.branches.len() {
        let position = admit::position(transition.definition, &transition.instance, at)?;
        transition.close_waits(position);
    }
    transition.instance.state.branches.truncate(1);
    let position = admit::position(transition.definition, &transition.instance, 0)?;
    transition.awaken(position);
    transition.record_whole(EntryKind::WaitTimedOut, Value::Null);
    transition.handle_expiry(position, Failure::new("timeout", "the instance took longer than its timeout"));
    Ok(())
}

pub(super) fn deliver<'a>(
    transition: &mut Transition<'a>,
    position: Position<'a>,
    bookmark: i64,
    message: Message,
) -> Result<(), Refusal> {
    transition.take_wait(position, bookmark);
    transition.awaken(position);
    let outcome = transition.received(position, message);
    transition.apply_outcome(position, outcome)
}

fn retry_all(
    mut transition: Transition<'_>,
    (by, reason): (Option<String>, Option<String>),
    facts: Facts,
) -> Result<Step, Refusal> {
    let failed = incidents(&transition.instance);
    if failed.is_empty() {
        let by_hand = transition.instance.state.suspension.is_some();
        return Err(if by_hand { Refusal::ByHand } else { Refusal::NoIncident });
    }
    transition.reopen_after_retry(by, reason);
    retry(&mut transition, failed)?;
    intervene::replay(&mut transition, facts)?;
    Ok(transition.done())
}

fn retry(transition: &mut Transition<'_>, failed: Vec<Incident>) -> Result<(), Refusal> {
    for Incident { at, bookmark, result } in failed {
        let position = admit::position(transition.definition, &transition.instance, at)?;
        if call::again_by_hand(transition, position, bookmark) {
            continue;
        }
        transition.take_wait(position, bookmark);
        transition.awaken(position);
        let branch = transition.branch_mut(position);
        branch.attempt = 1;
        branch.failures.clear();
        branch.tried_at = None;
        if let Some(result) = result {
            let outcome = transition.complete(position, result, None);
            transition.apply_outcome(position, outcome)?;
            if transition.instance.status.has_ended() {
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

fn crash<'a>(mut transition: Transition<'a>, position: Position<'a>, crash_max: u32) -> Step {
    let branch = transition.branch_mut(position);
    branch.crashes = branch.crashes.saturating_add(1);
    let crashes = branch.crashes;
    transition.record(EntryKind::WorkerCrashed, position, json!({ "crashes": crashes }));
    // Below the bound the same step command stays valid, and the next worker tries.
    if crashes > crash_max {
        transition.advance(position);
        let message = format!("{crashes} workers died over `{}`", position.activity.id);
        transition.incident(position, FailedWork::from(Failure::new("worker.crashed", message)));
    }
    transition.done()
}

fn undeliverable<'a>(mut transition: Transition<'a>, position: Position<'a>, why: String) -> Step {
    transition.advance(position);
    transition.incident(position, FailedWork::from(Failure::new("worker.gave_up", why)));
    transition.done()
}

pub(super) fn settle<'a>(
    mut transition: Transition<'a>,
    position: Position<'a>,
    outcome: Result<(), Incomplete>,
) -> Result<Step, Refusal> {
    transition.apply_outcome(position, outcome)?;
    Ok(transition.done())
}
