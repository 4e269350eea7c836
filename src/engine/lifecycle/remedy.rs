//! What only incidents need: a retry with changed variables, and the end of an instance by its incident.

use serde_json::{Map, Value};

use super::super::ending::Ending;
use super::super::transition::{Halt, Transition};
use super::super::{Audit, EntryKind, Failure, Missed, Refusal, Step, WaitOn, admit, assign};
use super::{retry, variables};
use crate::definition::VariableTypes;

/// Sets variables, and tries the activities with an incident again.
pub(in crate::engine) fn retry(
    mut transition: Transition<'_>,
    variables: Map<String, Value>,
    audit: Audit,
    missed: Option<Missed>,
    types: Option<VariableTypes>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    incident(&transition)?;
    if !variables.is_empty() {
        variables::assign_accepted(&mut transition, variables, types)?;
    }
    retry::all(transition, audit, missed)
}

/// Ends the instance as failed, with the failure of its first incident.
pub(in crate::engine) fn fail(mut transition: Transition<'_>, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    let failure = incident(&transition)?;
    transition.record_whole(EntryKind::IncidentFailed, assign::details(audit.details()));
    transition.end(Ending::Failed(failure));
    Ok(transition.done())
}

/// The failure of the first incident.
fn incident(transition: &Transition<'_>) -> Result<Failure, Refusal> {
    let waits = transition.instance.state.branches.iter().flat_map(|branch| branch.waits());
    let failure = waits.into_iter().find_map(|wait| match &wait.on {
        WaitOn::Intervention { failure, .. } => Some(failure.clone()),
        WaitOn::Timer(_) | WaitOn::Message { .. } | WaitOn::Task | WaitOn::Call { .. } => None,
    });
    failure.ok_or(match transition.instance.state.suspension {
        Some(_) => Refusal::SuspendedByCommand,
        None => Refusal::NoIncident,
    })
}
