//! What people do with calls: tell what became of one that nobody else knows of, or have it tried again.

use serde_json::{Value, json};

use super::super::Facts;
use super::super::admit::{self, Stand};
use super::super::fault::on_behalf;
use super::super::turn::Turn;
use super::super::{Effect, EntryKind, Failure, Phase, Refusal, Status, Step, WaitOn, intervene};
use super::complete::Held;
use super::{CallId, Resolution};

/// Goes on with what a person found out about an open call.
pub(in crate::engine) fn resolve(
    mut turn: Turn<'_>,
    bookmark: i64,
    resolution: Resolution,
    (by, reason): (Option<String>, Option<String>),
    facts: Facts,
) -> Result<Step, Refusal> {
    let (stand, dispatch, _) = admit::called(turn.definition, &turn.instance, bookmark)?;
    let incident = incident(&turn, stand);
    if incident.is_none() {
        admit::moving(&turn.instance)?;
        if resolution == Resolution::Again {
            return Err(Refusal::NotUnknown);
        }
    }
    let told = on_behalf(by, reason);
    let mut details = told.clone();
    details.insert("call".into(), json!(CallId::of(turn.instance.id, bookmark)));
    details.insert("as".into(), json!(resolution.name()));
    turn.record(EntryKind::CallResolved, stand, Value::Object(details));
    if let Some((intervention, _)) = &incident {
        turn.forget_incident(stand, *intervention);
        turn.instance.status = Status::Running;
        turn.announce("resumed", told);
    }
    let held = Held { stand, bookmark, dispatch, probing: None };
    match resolution {
        Resolution::Done { result } => turn.succeed(held, result)?,
        Resolution::Failed { failure } => turn.fail_for_good(held, failure),
        Resolution::Again => {
            let failure = incident.map(|(_, failure)| failure);
            turn.begin_anew(held, failure);
        }
    }
    if turn.instance.status == Status::Running {
        intervene::replay(&mut turn, facts)?;
    }
    Ok(turn.done())
}

/// Has an unknown call tried again, if the branch waits for one; says whether it did.
pub(in crate::engine) fn again_by_hand<'a>(turn: &mut Turn<'a>, stand: Stand<'a>, intervention: i64) -> bool {
    let call = turn.branch(stand).waits().iter().find_map(|wait| match wait.on {
        WaitOn::Call { dispatch, .. } => Some((wait.bookmark, dispatch)),
        WaitOn::Timer { .. }
        | WaitOn::Timeout { .. }
        | WaitOn::Retry { .. }
        | WaitOn::Message { .. }
        | WaitOn::Intervention { .. }
        | WaitOn::Task
        | WaitOn::Due { .. }
        | WaitOn::Remind { .. }
        | WaitOn::Escalate { .. } => None,
    });
    let Some((bookmark, dispatch)) = call else { return false };
    let failure = incident(turn, stand).map(|(_, failure)| failure);
    turn.forget_incident(stand, intervention);
    turn.begin_anew(Held { stand, bookmark, dispatch, probing: None }, failure);
    true
}

/// The incident of a call nobody knows the outcome of.
fn incident(turn: &Turn<'_>, stand: Stand<'_>) -> Option<(i64, Failure)> {
    let branch = &turn.instance.state.branches[stand.at];
    branch.waits().iter().find_map(|wait| Some((wait.bookmark, wait.on.failure()?.clone())))
}

impl<'a> Turn<'a> {
    fn forget_incident(&mut self, stand: Stand<'a>, intervention: i64) {
        self.push(Effect::Consume(intervention));
        match &mut self.branch_mut(stand).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.retain(|wait| wait.bookmark != intervention),
        }
    }

    /// Another attempt because a person said so: the policies count from the beginning, the attempts go on.
    fn begin_anew(&mut self, held: Held<'a>, failure: Option<Failure>) {
        let now = self.context.now;
        let branch = self.branch_mut(held.stand);
        branch.failures.clear();
        branch.tried_at = Some(now);
        let failure = failure.unwrap_or_else(|| Failure::new("unknown", "nobody knew whether it was carried out"));
        self.again(&held, failure, now);
    }
}
