//! Whether a command still means something: everything that is refused before anything is decided.

use jiff::Timestamp;

use crate::definition::{Activity, Definition};

use super::task::{self, Task, TaskRefusal};
use super::{Branch, BranchId, Instance, Phase, Probing, Refusal, Status, TimerKind, Wait, WaitOn};

/// The limit of all waits of an activity.
const TIMEOUT: WaitOn = WaitOn::Timer(TimerKind::Timeout);

/// A branch, by its place in the list, and the activity it stands at.
#[derive(Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) at: usize,
    pub(super) activity: &'a Activity,
}

/// What a due timer moves.
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

/// What a timer moves, if it is open and due.
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
    if due_at > now { Err(Refusal::Early(due_at)) } else { Ok(timer) }
}

/// The branch that waits for a message, and the position of the message in its list.
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

/// The branch that waits for a task. People may work while the instance is suspended, but not longer than they could have
/// if it were not: a timeout that has passed comes true with `resume`.
pub(super) fn branch_for_task<'a>(
    definition: &'a Definition,
    instance: &Instance,
    task: &Task,
    now: Timestamp,
) -> Result<Position<'a>, Refusal> {
    task::still_open(instance, task)?;
    match waiting(instance, task.bookmark) {
        Some((at, Wait { on: WaitOn::Task, .. })) => {
            if require_not_suspended(instance).is_err() && is_over(instance, at, now) {
                return Err(TaskRefusal::Closed("its time was over while its instance was suspended".into()).into());
            }
            position(definition, instance, at)
        }
        Some(_) | None => Err(Refusal::Closed(task.bookmark)),
    }
}

/// The branch that waits for a call, the number it was handed out under last, and whether the target is being asked.
/// Whether the instance moves is not looked at: an outcome that comes while it is suspended is kept.
pub(super) fn call_for_outcome<'a>(
    definition: &'a Definition,
    instance: &Instance,
    bookmark: i64,
) -> Result<(Position<'a>, u32, Option<Probing>), Refusal> {
    require_live(instance)?;
    match waiting(instance, bookmark) {
        Some((at, Wait { on: WaitOn::Call { dispatch, probing }, .. })) => {
            Ok((position(definition, instance, at)?, *dispatch, probing.clone()))
        }
        Some(_) | None => Err(Refusal::Closed(bookmark)),
    }
}

/// Whether the timeout of a branch's wait or of the whole instance has passed.
fn is_over(instance: &Instance, at: usize, now: Timestamp) -> bool {
    let of_branch = instance.state.branches.get(at).map(Branch::waits).unwrap_or_default();
    let of_branch = of_branch.iter().any(|wait| wait.on == TIMEOUT && wait.due_at.is_some_and(|due_at| due_at <= now));
    of_branch || instance.state.deadline.as_ref().is_some_and(|deadline| deadline.due_at <= now)
}

/// Whether the instance lives.
pub(super) fn require_live(instance: &Instance) -> Result<(), Refusal> {
    if instance.status.has_ended() { Err(Refusal::Ended(instance.status)) } else { Ok(()) }
}

/// The branch at that place of the list. A missing activity means that the caller brought another definition.
pub(super) fn position<'a>(
    definition: &'a Definition,
    instance: &Instance,
    at: usize,
) -> Result<Position<'a>, Refusal> {
    let branch = instance.state.branches.get(at).ok_or(Refusal::Mismatch)?;
    let activity = definition.activity(&branch.activity).ok_or(Refusal::Mismatch)?;
    Ok(Position { at, activity })
}

/// Whether nobody has to say so before it moves.
pub(super) fn require_not_suspended(instance: &Instance) -> Result<(), Refusal> {
    match instance.status {
        Status::Suspended => Err(Refusal::Suspended),
        Status::Running | Status::Compensating | Status::Completed | Status::Failed | Status::Cancelled => Ok(()),
    }
}

/// Where a bookmark is waited for, and what for.
pub(super) fn waiting(instance: &Instance, bookmark: i64) -> Option<(usize, &Wait)> {
    instance.state.branches.iter().enumerate().find_map(|(at, branch)| {
        let wait = branch.waits().iter().find(|wait| wait.bookmark == bookmark)?;
        Some((at, wait))
    })
}
