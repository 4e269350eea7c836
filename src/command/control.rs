//! Control of an instance by id or key: cancel, retry, suspend, resume, reschedule.

use super::committed::{Applied, Committed};
use super::execution::Execution;
use super::once::{self, Answer, Origin};
use super::{Error, applied};
use crate::app::App;
use crate::contract;
use crate::engine::{Audit, Command, Control, InstanceId, Refusal};
use crate::store::{Transaction, instances};

/// Controls an instance.
///
/// # Errors
/// `NotFound` if nothing has that id or key, `Refused` with the engine's reason.
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
        let audit = Audit { by: Some(origin.app_id.clone()), reason: target.reason.clone() };
        let answer = Answer::of(what.outcome(), Some(id));
        let command = Command::Instance(what, audit);
        Execution::from_outside(app, command, origin, what.name(), answer).in_transaction(transaction, id).await
    })
    .await;
    let refused = |refusal: Refusal| Error::Refused(refusal.to_string());
    applied::applied(app, origin, executed, refused, "the instance is being changed by another process").await
}

async fn resolve(transaction: &mut Transaction, target: &contract::Target) -> Result<InstanceId, Error> {
    match (target.instance, &target.definition, &target.key) {
        (Some(id), _, _) => Ok(InstanceId(id)),
        (None, Some(definition), Some(key)) => instances::find_by_key(transaction, definition, key)
            .await?
            .ok_or_else(|| Error::NotFound(format!("no live instance of `{definition}` has the key `{key}`"))),
        (None, _, _) => Err(Error::Refused("name the instance: send `instance`, or `definition` and `key`".into())),
    }
}
