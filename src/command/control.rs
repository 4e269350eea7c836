//! Control of an instance by id or key: cancel, terminate, retry, suspend, resume, reschedule, skip, jump, set variables, rerun, set
//! the queue or the priority.

use serde_json::{Map, Value};

use super::committed::{Applied, Committed};
use super::execution::Execution;
use super::once::{self, Answer, Origin};
use super::{Error, applied, rerun};
use crate::app::App;
use crate::contract::{self, Operation, ResolveAction};
use crate::engine::{Audit, Command, Control, InstanceId, Refusal, Remedy};
use crate::store::{Transaction, instances};

/// Controls an instance.
///
/// # Errors
/// `NotFound` if nothing has that id or key, `Changed` if it has another revision than the target says, `Invalid` for variables that do
/// not fit, otherwise `Refused` with the engine's reason.
pub async fn control(
    app: &App,
    what: Control,
    target: &contract::Target,
    origin: &Origin,
) -> Result<Applied<Box<Committed>>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let executed = Transaction::run(app.store.steps().await?, async |transaction| {
        let id = resolve(transaction, target).await?;
        if let Control::Rerun { from } = &what
            && let Some(ended) = rerun::find_ended(transaction, id).await?
        {
            return rerun::as_new(app, transaction, ended, from, target, origin).await;
        }
        let (name, answer) = (what.name(), Answer::of(what.outcome(), Some(id)));
        let command = Command::Instance(what, audit(target, origin));
        let execution = Execution::from_outside(app, command, origin, name, answer).if_at(target.revision);
        execution.in_transaction(transaction, id).await
    })
    .await;
    applied::applied(app, origin, executed, refused, "the instance is being changed by another process").await
}

/// Does what an operation says.
///
/// # Errors
/// As for [`control`].
pub async fn operate(app: &App, operation: &Operation, origin: &Origin) -> Result<Applied<Box<Committed>>, Error> {
    control(app, Control::from(operation), operation.target(), origin).await
}

impl From<&Operation> for Control {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Terminate(_) => Control::Terminate,
            Operation::Skip(skip) => Control::Skip { activity: skip.activity.clone(), result: skip.result.clone() },
            Operation::Jump(jump) => Control::Jump { to: jump.activity.clone() },
            Operation::SetVariables(set) => Control::SetVariables { values: set.variables.clone() },
            Operation::Rerun(rerun) => Control::Rerun { from: rerun.activity.clone() },
            Operation::SetQueue(set) => Control::SetQueue { queue: set.queue.clone() },
            Operation::SetPriority(set) => Control::SetPriority { priority: set.priority },
            Operation::ResolveIncident(resolve) => resolution(resolve.action, resolve.variables.clone()),
        }
    }
}

/// A resolution of incidents as a control: a cancellation is one whatever has an incident.
pub(super) fn resolution(action: ResolveAction, variables: Map<String, Value>) -> Control {
    match action {
        ResolveAction::Retry => Control::Resolve { remedy: Remedy::Retry { variables } },
        ResolveAction::Fail => Control::Resolve { remedy: Remedy::Fail },
        ResolveAction::Cancel => Control::Cancel,
    }
}

/// Who acts, and why: the person that the command names, or else its sender.
pub(super) fn audit(target: &contract::Target, origin: &Origin) -> Audit {
    let by = target.actor.clone().unwrap_or_else(|| origin.app_id.clone());
    Audit { by: Some(by), reason: target.reason.clone() }
}

/// The error of a refusal.
pub(super) fn refused(refusal: Refusal) -> Error {
    let why = refusal.to_string();
    if let Refusal::Variables(problems) = refusal {
        return Error::Invalid { why, problems };
    }
    if matches!(refusal, Refusal::Changed { .. }) { Error::Changed(why) } else { Error::Refused(why) }
}

pub(super) async fn resolve(transaction: &mut Transaction, target: &contract::Target) -> Result<InstanceId, Error> {
    match (target.instance, &target.definition, &target.key) {
        (Some(id), _, _) => Ok(InstanceId(id)),
        (None, Some(definition), Some(key)) => instances::find_by_key(transaction, definition, key)
            .await?
            .ok_or_else(|| Error::NotFound(format!("no live instance of `{definition}` has the key `{key}`"))),
        (None, _, _) => Err(Error::Refused("name the instance: send `instance`, or `definition` and `key`".into())),
    }
}
