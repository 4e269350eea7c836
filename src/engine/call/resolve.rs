//! What people do with calls: tell what became of one that nobody else knows of, or have it tried again.

use serde_json::{Value, json};

use super::super::admit::{self, Position};
use super::super::lifecycle::replay;
use super::super::transition::{Halt, Transition};
use super::super::{Audit, Effect, EntryKind, Failure, Missed, Need, Phase, Refusal, Status, Step, WaitOn};
use super::complete::DispatchedCall;
use super::{CallId, Resolution};

/// Goes on with what a person found out about an open call.
pub(in crate::engine) fn resolve(
    mut transition: Transition<'_>,
    bookmark: i64,
    resolution: Resolution,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    let (position, dispatch, _) = admit::call_for_outcome(transition.definition, &transition.instance, bookmark)?;
    let incident = incident(&transition, position);
    if incident.is_none() {
        admit::require_not_suspended(&transition.instance)?;
        if resolution == Resolution::Again {
            return Err(Refusal::NotUnknown.into());
        }
    }
    let missed = missed.ok_or(Need::Missed)?;
    let told = audit.details();
    let mut details = told.clone();
    details.insert("call".into(), json!(CallId::of(transition.instance.id, bookmark)));
    details.insert("as".into(), json!(resolution.name()));
    transition.record(EntryKind::CallResolved, position, Value::Object(details));
    if let Some((intervention, _)) = &incident {
        transition.forget_incident(position, *intervention);
        transition.instance.status = Status::Running;
        transition.announce("resumed", told);
    }
    let call = DispatchedCall { position, bookmark, dispatch, probing: None };
    match resolution {
        Resolution::Done { result } => transition.succeed(call, result)?,
        Resolution::Failed { failure } => transition.fail_for_good(call, failure),
        Resolution::Again => {
            let failure = incident.map(|(_, failure)| failure);
            transition.restart_attempts(call, failure);
        }
    }
    if transition.instance.status == Status::Running {
        replay::missed(&mut transition, missed)?;
    }
    Ok(transition.done())
}

/// Has an unknown call tried again, if the branch waits for one; says whether it did.
pub(in crate::engine) fn retry_unknown<'a>(
    transition: &mut Transition<'a>,
    position: Position<'a>,
    intervention: i64,
) -> bool {
    let call = transition.branch(position).waits().iter().find_map(|wait| match wait.on {
        WaitOn::Call { dispatch, .. } => Some((wait.bookmark, dispatch)),
        WaitOn::Timer(_) | WaitOn::Message { .. } | WaitOn::Intervention { .. } | WaitOn::Task => None,
    });
    let Some((bookmark, dispatch)) = call else { return false };
    let failure = incident(transition, position).map(|(_, failure)| failure);
    transition.forget_incident(position, intervention);
    transition.restart_attempts(DispatchedCall { position, bookmark, dispatch, probing: None }, failure);
    true
}

/// The incident of a call nobody knows the outcome of.
fn incident(transition: &Transition<'_>, position: Position<'_>) -> Option<(i64, Failure)> {
    let branch = &transition.instance.state.branches[position.at];
    branch.waits().iter().find_map(|wait| Some((wait.bookmark, wait.on.failure()?.clone())))
}

impl<'a> Transition<'a> {
    fn forget_incident(&mut self, position: Position<'a>, intervention: i64) {
        self.push(Effect::Consume(intervention));
        match &mut self.branch_mut(position).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.retain(|wait| wait.bookmark != intervention),
        }
    }

    /// Another attempt because a person said so: the policies count from the beginning, the attempts go on.
    fn restart_attempts(&mut self, call: DispatchedCall<'a>, failure: Option<Failure>) {
        let now = self.context.now;
        let branch = self.branch_mut(call.position);
        branch.failures.clear();
        branch.tried_at = Some(now);
        let failure = failure.unwrap_or_else(|| Failure::new("unknown", "nobody knew whether it was carried out"));
        self.dispatch_again(&call, failure, now);
    }
}
