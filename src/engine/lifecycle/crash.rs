//! Counts crashes of workers during a step, and opens an incident where a step cannot be executed.

use serde_json::json;

use super::super::admit::{self, DueTimer};
use super::super::failure::FailedWork;
use super::super::transition::{Halt, Transition};
use super::super::{BranchId, EntryKind, Failure, Step};
use super::fire;

/// Counts a crash; above the limit it opens an incident.
pub(in crate::engine) fn count(
    mut transition: Transition<'_>,
    branch: BranchId,
    sequence: i64,
    crash_max: u32,
) -> Result<Step, Halt> {
    let position = admit::branch_for_continue(transition.definition, &transition.instance, branch, sequence)?;
    let branch = transition.branch_mut(position);
    branch.crashes = branch.crashes.saturating_add(1);
    let crashes = branch.crashes;
    transition.record(EntryKind::WorkerCrashed, position, json!({ "crashes": crashes }));
    // Below the limit the step command stays valid, and the next worker executes it.
    if crashes > crash_max {
        transition.advance(position);
        let message = format!("{crashes} workers died while they executed `{}`", position.activity.id);
        transition.incident(position, FailedWork::from(Failure::new("worker.crashed", message)));
    }
    Ok(transition.done())
}

/// Opens an incident for a step command that cannot be delivered.
pub(in crate::engine) fn undeliverable(
    mut transition: Transition<'_>,
    branch: BranchId,
    sequence: i64,
    why: String,
) -> Result<Step, Halt> {
    let position = admit::branch_for_continue(transition.definition, &transition.instance, branch, sequence)?;
    transition.advance(position);
    transition.incident(position, FailedWork::from(Failure::new("worker.gave_up", why)));
    Ok(transition.done())
}

/// Opens an incident for a timer whose wake-up cannot be executed. It ends the wait as the timer would have.
pub(in crate::engine) fn unfireable(mut transition: Transition<'_>, bookmark: i64, why: String) -> Result<Step, Halt> {
    let now = transition.context.now;
    let position = match admit::timer_for_fire(transition.definition, &transition.instance, bookmark, now)? {
        DueTimer::Deadline => fire::end_waits(&mut transition, bookmark)?,
        DueTimer::Wait(position, _) => {
            transition.take_wait(position, bookmark);
            transition.awaken(position);
            position
        }
    };
    transition.incident(position, FailedWork::from(Failure::new("worker.gave_up", why)));
    Ok(transition.done())
}
