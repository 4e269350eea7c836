//! Fires a timer: of a wait, of a task, or of the whole instance.

use serde_json::Value;

use crate::definition::Definition;

use super::super::admit::{self, DueTimer, Position};
use super::super::transition::{Halt, Transition};
use super::super::{Context, Effect, EntryKind, Failure, Instance, Refusal, Step, Task, TimerKind};

/// Fires a timer that is open and due.
pub(in crate::engine) fn timer(
    definition: &Definition,
    instance: &Instance,
    bookmark: i64,
    context: &Context<'_>,
    task: Option<Option<Task>>,
) -> Result<Step, Halt> {
    let transition = |kind| Transition::new(definition, context, instance.clone(), kind);
    match admit::timer_for_fire(definition, instance, bookmark, context.now)? {
        DueTimer::Deadline => {
            let mut transition = transition("fire");
            deadline(&mut transition, bookmark)?;
            Ok(transition.done())
        }
        DueTimer::Wait(position, TimerKind::Task(timer)) => {
            let mut transition = transition(position.activity.work.kind());
            let outcome = transition.fire_task_timer(position, bookmark, timer, task);
            transition.apply_outcome(position, outcome)?;
            Ok(transition.done())
        }
        DueTimer::Wait(position, kind) => {
            let mut transition = transition(position.activity.work.kind());
            wait(&mut transition, position, bookmark, kind)?;
            Ok(transition.done())
        }
    }
}

/// Fires a timer of a wait.
pub(in crate::engine) fn wait<'a>(
    transition: &mut Transition<'a>,
    position: Position<'a>,
    bookmark: i64,
    kind: TimerKind,
) -> Result<(), Halt> {
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
            let message = format!("`{}` waited longer than its timeout", position.activity.id);
            transition.handle(position, Failure::new("timeout", message).into());
            Ok(())
        }
        // The attempt was counted when the pause began; the next step executes it. A pause is not a wait of
        // the definition, so its steps count towards `limits.steps_max`.
        TimerKind::Retry => {
            transition.advance(position);
            transition.record(EntryKind::TimerFired, position, Value::Null);
            Ok(())
        }
        // Only `timer` fires these: they require the task.
        TimerKind::Task(_) => Err(Refusal::Mismatch.into()),
    }
}

/// Fires the timeout of the whole instance, and closes all its waits.
pub(in crate::engine) fn deadline(transition: &mut Transition<'_>, bookmark: i64) -> Result<(), Halt> {
    let position = end_waits(transition, bookmark)?;
    transition.record_whole(EntryKind::WaitTimedOut, Value::Null);
    transition.handle_expiry(position, Failure::new("timeout", "the instance took longer than its timeout"));
    Ok(())
}

/// Consumes the timeout of the whole instance, and closes all its waits: one branch is left.
pub(in crate::engine) fn end_waits<'a>(transition: &mut Transition<'a>, bookmark: i64) -> Result<Position<'a>, Halt> {
    transition.instance.state.deadline = None;
    transition.push(Effect::Consume(bookmark));
    for at in 0..transition.instance.state.branches.len() {
        let position = admit::position(transition.definition, &transition.instance, at)?;
        transition.close_waits(position);
    }
    transition.instance.state.branches.truncate(1);
    let position = admit::position(transition.definition, &transition.instance, 0)?;
    transition.awaken(position);
    Ok(position)
}
