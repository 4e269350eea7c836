//! `retry`: tries the activities with an incident again.

use serde_json::Value;

use super::super::transition::{Halt, Transition};
use super::super::{Audit, Instance, Missed, Need, Refusal, Step, WaitOn, admit};
use super::{replay, resolve};

/// Reopens an instance that was suspended by failures, and replays what was missed.
pub(in crate::engine) fn all(
    mut transition: Transition<'_>,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    let incidents = incidents(&transition.instance);
    if incidents.is_empty() {
        let by_command = transition.instance.state.suspension.is_some();
        return Err(if by_command { Refusal::SuspendedByCommand } else { Refusal::NoIncident }.into());
    }
    let missed = missed.ok_or(Need::Missed)?;
    transition.reopen_after_retry(audit);
    retry(&mut transition, incidents)?;
    replay::missed(&mut transition, missed)?;
    Ok(transition.done())
}

fn retry(transition: &mut Transition<'_>, incidents: Vec<Incident>) -> Result<(), Halt> {
    for Incident { at, bookmark, result } in incidents {
        let position = admit::position(transition.definition, &transition.instance, at)?;
        if resolve::retry_unknown(transition, position, bookmark) {
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

/// A branch that waits for a person after a failure.
struct Incident {
    /// The index of the branch in the list.
    at: usize,
    bookmark: i64,
    /// The result of the work, where only `output` or `next` failed.
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
