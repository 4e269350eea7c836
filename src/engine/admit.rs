//! Admission of commands: whatever is refused because of the state of the instance is refused here, before a decision begins.

use jiff::Timestamp;

use crate::definition::{Activity, Definition};
use crate::seeded::{self, Bug};

use super::task::{self, Task, TaskRefusal};
use super::{Branch, BranchId, Instance, Phase, Probing, Refusal, Status, TimerKind, Wait, WaitOn};

/// The timer that ends all waits of an activity.
const TIMEOUT: WaitOn = WaitOn::Timer(TimerKind::Timeout);

/// A branch, by its index in the list, and its current activity.
#[derive(Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) at: usize,
    pub(super) activity: &'a Activity,
}

/// An open call, and its current dispatch number.
#[derive(Clone)]
pub(super) struct DispatchedCall<'a> {
    pub(super) position: Position<'a>,
    pub(super) bookmark: i64,
    pub(super) dispatch: u32,
    pub(super) probing: Option<Probing>,
    /// Whether the target has accepted the request and will call back.
    pub(super) accepted: bool,
}

/// What a due timer ends.
pub(super) enum DueTimer<'a> {
    /// The instance's own timeout.
    Deadline,
    /// A wait of a branch.
    Wait(Position<'a>, TimerKind),
}

/// The branch of a step command, if that command is still the newest.
pub(super) fn branch_for_continue<'a>(
    definition: &'a Definition,
    instance: &Instance,
    branch: BranchId,
    sequence: i64,
) -> Result<Position<'a>, Refusal> {
    require_live(instance)?;
    let current = |candidate: &Branch| {
        candidate.id == branch && candidate.sequence == sequence && candidate.phase == Phase::Ready
    };
    let at = instance.state.branches.iter().position(current).ok_or(Refusal::Stale)?;
    require_not_suspended(instance)?;
    position(definition, instance, at)
}

/// The timer, if it is open and due.
pub(super) fn timer_for_fire<'a>(
    definition: &'a Definition,
    instance: &Instance,
    bookmark: i64,
    now: Timestamp,
) -> Result<DueTimer<'a>, Refusal> {
    require_live(instance)?;
    let (due_at, timer) = match &instance.state.deadline {
        Some(deadline) if deadline.bookmark == bookmark => (deadline.due_at, DueTimer::Deadline),
        Some(_) | None => match waiting(instance, bookmark) {
            Some((at, Wait { due_at: Some(due_at), on: WaitOn::Timer(kind), .. })) => {
                (*due_at, DueTimer::Wait(position(definition, instance, at)?, *kind))
            }
            Some(_) | None => return Err(Refusal::Closed(bookmark)),
        },
    };
    require_not_suspended(instance)?;
    if due_at > now && !seeded::is(Bug::TimerFiresEarly) { Err(Refusal::Early(due_at)) } else { Ok(timer) }
}

/// The branch that waits for a message, and the index of the message in its `receive`.
pub(super) fn wait_for_message<'a>(
    definition: &'a Definition,
    instance: &Instance,
    bookmark: i64,
) -> Result<(Position<'a>, usize), Refusal> {
    require_live(instance)?;
    match waiting(instance, bookmark) {
        Some((at, Wait { on: WaitOn::Message { index }, .. })) => {
            require_not_suspended(instance)?;
            Ok((position(definition, instance, at)?, *index))
        }
        Some(_) | None => Err(Refusal::Closed(bookmark)),
    }
}

/// The branch that waits for a task. People may work while the instance is suspended, but only until the timeout: one that has
/// passed fires with `resume`.
pub(super) fn branch_for_task<'a>(
    definition: &'a Definition,
    instance: &Instance,
    task: &Task,
    now: Timestamp,
) -> Result<Position<'a>, Refusal> {
    task::still_open(instance, task)?;
    match waiting(instance, task.bookmark) {
        Some((at, Wait { on: WaitOn::Task, .. })) => {
            if require_not_suspended(instance).is_err() && has_timed_out(instance, at, now) {
                return Err(TaskRefusal::Closed("its timeout passed while its instance was suspended".into()).into());
            }
            position(definition, instance, at)
        }
        Some(_) | None => Err(Refusal::Closed(task.bookmark)),
    }
}

/// The open call under a bookmark. A suspended instance is not refused here: an outcome that arrives meanwhile is kept.
pub(super) fn call_for_outcome<'a>(
    definition: &'a Definition,
    instance: &Instance,
    bookmark: i64,
) -> Result<DispatchedCall<'a>, Refusal> {
    require_live(instance)?;
    match waiting(instance, bookmark) {
        Some((at, Wait { on: WaitOn::Call { dispatch, probing, accepted }, .. })) => {
            let position = position(definition, instance, at)?;
            let (dispatch, probing, accepted) = (*dispatch, probing.clone(), *accepted);
            Ok(DispatchedCall { position, bookmark, dispatch, probing, accepted })
        }
        Some(_) | None => Err(Refusal::Closed(bookmark)),
    }
}

/// Whether the timeout of a branch's wait or of the whole instance has passed.
fn has_timed_out(instance: &Instance, at: usize, now: Timestamp) -> bool {
    let of_branch = instance.state.branches.get(at).map(Branch::waits).unwrap_or_default();
    let of_branch = of_branch.iter().any(|wait| wait.on == TIMEOUT && wait.due_at.is_some_and(|due_at| due_at <= now));
    of_branch || instance.state.deadline.as_ref().is_some_and(|deadline| deadline.due_at <= now)
}

/// Refuses to run again from an activity that does not exist, or was never begun.
pub(super) fn activity_begun(definition: &Definition, instance: &Instance, activity: &str) -> Result<(), Refusal> {
    if definition.activity(activity).is_none() {
        return Err(Refusal::NoActivity { activity: activity.to_owned(), version: instance.version });
    }
    match instance.state.visits.get(activity) {
        Some(_) => Ok(()),
        None => Err(Refusal::NeverBegun(activity.to_owned())),
    }
}

/// Refuses a command to an instance that has ended.
pub(super) fn require_live(instance: &Instance) -> Result<(), Refusal> {
    if instance.status.has_ended() { Err(Refusal::Ended(instance.status)) } else { Ok(()) }
}

/// Refuses a command to an instance that has changed since its sender has read it.
///
/// # Errors
/// [`Refusal::Changed`] with both revisions.
pub fn require_revision(instance: &Instance, seen: Option<i64>) -> Result<(), Refusal> {
    match seen {
        Some(seen) if seen != instance.revision => Err(Refusal::Changed { seen, is: instance.revision }),
        Some(_) | None => Ok(()),
    }
}

/// The branch at an index of the list. If its activity does not exist, the caller has passed another definition.
pub(super) fn position<'a>(
    definition: &'a Definition,
    instance: &Instance,
    at: usize,
) -> Result<Position<'a>, Refusal> {
    let branch = instance.state.branches.get(at).ok_or(Refusal::Mismatch)?;
    let activity = definition.activity(&branch.activity).ok_or(Refusal::Mismatch)?;
    Ok(Position { at, activity })
}

/// Refuses a command that must wait until the instance is resumed or retried.
pub(super) fn require_not_suspended(instance: &Instance) -> Result<(), Refusal> {
    match instance.status {
        Status::Suspended => Err(Refusal::Suspended),
        Status::Running | Status::Compensating | Status::Completed | Status::Failed | Status::Cancelled => Ok(()),
    }
}

/// The wait with a bookmark, and the index of its branch.
pub(super) fn waiting(instance: &Instance, bookmark: i64) -> Option<(usize, &Wait)> {
    instance.state.branches.iter().enumerate().find_map(|(at, branch)| {
        let wait = branch.waits().iter().find(|wait| wait.bookmark == bookmark)?;
        Some((at, wait))
    })
}
