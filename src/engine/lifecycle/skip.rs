//! `skip`: completes what a branch waits for, or what has an incident, with a result that a person gives.

use serde_json::Value;

use crate::definition::Work;

use super::super::admit::{self, Position};
use super::super::failure::Incomplete;
use super::super::transition::{Halt, Transition};
use super::super::{Audit, EntryKind, Missed, Need, Phase, Refusal, Status, Step, assign};
use super::replay;

/// Completes the activity at which the branch waits: it goes on as if it had succeeded with this result.
pub(in crate::engine) fn skip(
    mut transition: Transition<'_>,
    meant: Option<&str>,
    result: Value,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    let position = admit::position(transition.definition, &transition.instance, 0)?;
    admit_skip(&transition, position, meant)?;
    let missed = missed.ok_or(Need::Missed)?;
    transition.record(EntryKind::WaitSkipped, position, assign::details(audit.clone().details()));
    transition.close_waits(position);
    transition.reopen_after_incident(audit);
    if transition.instance.status == Status::Suspended {
        // Suspended by a command: the outcome is kept until `resume`, like one that arrives meanwhile.
        transition.conclude(position, Ok(result))?;
        return Ok(transition.done());
    }
    transition.awaken(position);
    transition.complete(position, result, None).map_err(|incomplete| refused(position, incomplete))?;
    replay::missed(&mut transition, missed)?;
    Ok(transition.done())
}

fn admit_skip(transition: &Transition<'_>, position: Position<'_>, meant: Option<&str>) -> Result<(), Refusal> {
    let at = &position.activity.id;
    if let Some(meant) = meant.filter(|meant| meant != at) {
        return Err(Refusal::NotAt { meant: meant.to_owned(), at: at.clone() });
    }
    match &position.activity.work {
        Work::Switch(_) | Work::Raise { .. } | Work::End(_) => {
            let kind = position.activity.work.kind();
            return Err(Refusal::NothingAfter { activity: at.clone(), kind });
        }
        Work::Set(_) | Work::Run { .. } | Work::Emit { .. } | Work::Wait(_) | Work::Receive(_) => {}
        Work::Task(_) | Work::Http(_) | Work::Call(_) => {}
    }
    match transition.instance.state.branches[position.at].phase {
        Phase::Waiting(_) => Ok(()),
        Phase::Ready | Phase::Concluded(_) => Err(Refusal::NotWaiting(at.clone())),
    }
}

/// A result that `output` or `next` cannot read is refused: the person who gave it can give another one.
fn refused(position: Position<'_>, incomplete: Incomplete) -> Halt {
    match incomplete {
        Incomplete::FailedWork(failed) => {
            Refusal::Unfit { activity: position.activity.id.clone(), why: failed.failure.message }.into()
        }
        Incomplete::Need(need) => need.into(),
        Incomplete::Mismatch => Refusal::Mismatch.into(),
    }
}

impl Transition<'_> {
    /// Continues an instance that was suspended by a failure; one that was suspended by a command stays suspended.
    pub(super) fn reopen_after_incident(&mut self, audit: Audit) {
        if self.instance.status == Status::Suspended && self.instance.state.suspension.is_none() {
            self.instance.status = Status::Running;
            self.announce("resumed", audit.details());
        }
    }
}
