//! A person resolves a call with an unknown outcome, or has it tried again.

use serde_json::{Value, json};

use super::super::admit::{self, DispatchedCall, Position};
use super::super::transition::{Halt, Transition};
use super::super::{
    Audit, CallId, Effect, EntryKind, Failure, Missed, Need, Phase, Refusal, Resolution, Status, Step, WaitOn,
};
use super::replay;

/// Continues with what a person has found out about an open call.
pub(in crate::engine) fn call(
    mut transition: Transition<'_>,
    bookmark: i64,
    resolution: Resolution,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    let call = admit::call_for_outcome(transition.definition, &transition.instance, bookmark)?;
    let incident = incident(&transition, call.position);
    if incident.is_none() {
        admit::require_not_suspended(&transition.instance)?;
        if resolution == Resolution::Again {
            return Err(Refusal::NotUnknown.into());
        }
    }
    let missed = missed.ok_or(Need::Missed)?;
    let audit = audit.details();
    let mut details = audit.clone();
    details.insert("call".into(), json!(CallId::of(transition.instance.id, bookmark)));
    details.insert("as".into(), json!(resolution.name()));
    transition.record(EntryKind::CallResolved, call.position, Value::Object(details));
    if let Some((intervention, _)) = &incident {
        transition.forget_incident(call.position, *intervention);
        transition.instance.status = Status::Running;
        transition.announce("resumed", audit);
    }
    match resolution {
        Resolution::Done { result } => transition.succeed(call, result)?,
        Resolution::Failed { failure } => transition.fail_for_good(call, failure),
        Resolution::Again => {
            let failure = incident.map(|(_, failure)| failure);
            transition.restart_attempts(&call, failure);
        }
    }
    if transition.instance.status == Status::Running {
        replay::missed(&mut transition, missed)?;
    }
    Ok(transition.done())
}

/// Tries a call with an unknown outcome again, if the branch waits for one; false if it does not.
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
    let call = DispatchedCall { position, bookmark, dispatch, probing: None, accepted: false };
    transition.restart_attempts(&call, failure);
    true
}

/// The incident of a call whose outcome is unknown.
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

    /// Another attempt, because a person asked for it: the retry policies count from zero, the attempt numbers continue.
    fn restart_attempts(&mut self, call: &DispatchedCall<'a>, failure: Option<Failure>) {
        let now = self.context.now;
        let branch = self.branch_mut(call.position);
        branch.failures.clear();
        branch.tried_at = Some(now);
        let failure = failure.unwrap_or_else(|| Failure::new("unknown", "the outcome of the call was unknown"));
        self.dispatch_again(call, failure, now);
    }
}
