//! `rerun` of an instance that has ended: another one begins, in the transaction that knows the command.

use serde_json::json;

use super::audit::{Actor, Operation};
use super::committed::Executed;
use super::control::audit;
use super::execution::{Ended, Undone, Written};
use super::once::{Answer, Origin};
use super::{Error, rows};
use crate::app::App;
use crate::contract;
use crate::engine::{self, InstanceId, Refusal, Restart, Step};
use crate::store::audit as audit_log;
use crate::store::commit::{self, Guarded};
use crate::store::instances::Loaded;
use crate::store::{Transaction, Undo, instances};

/// The instance, if it has ended. An end is final: no lock is needed to read it.
pub(super) async fn find_ended(transaction: &mut Transaction, id: InstanceId) -> Result<Option<Loaded>, Error> {
    let found = instances::find(transaction, id).await?;
    Ok(found.filter(|loaded| loaded.instance.status.has_ended()).map(Loaded::movable).transpose()?)
}

/// Starts the new instance.
pub(super) async fn as_new(
    app: &App,
    transaction: &mut Transaction,
    ended: Loaded,
    from: &str,
    target: &contract::Target,
    origin: &Origin,
) -> Result<Ended, Undone> {
    let now = ended.now;
    let from_id = ended.instance.id.to_string();
    let (definition, key) = (ended.instance.definition.clone(), ended.instance.key.clone());
    let mut step = plan(app, ended, from, target, origin).await?;
    step.sign(&origin.sender());
    let answer = Answer::of("rerun", Some(step.instance.id));
    let (mut write, next) = rows::plan(app, None, step, now, origin.follow)?;
    write.outbox.extend(origin.reply(app, &answer));
    match commit::guarded(transaction, &write, Some(&origin.inbox("rerun", &answer))).await {
        Ok(Guarded::Committed(now)) => {
            let actor = Actor::naming(origin, target.actor.as_deref());
            let reason = target.reason.as_deref();
            let operation = Operation { actor: &actor, action: "rerun", subject: "instance", object: &from_id, reason };
            let details = Some(json!({ "instance": write.instance.id }));
            audit_log::append(transaction, &operation.entry("rerun", details)).await?;
            Ok(Ended::Written(Box::new(Written::new(write, now, next, "rerun"))))
        }
        Ok(Guarded::Conflict | Guarded::Duplicate(_)) => Err(Undo::Value(Ended::Not(Executed::Conflict))),
        Err(error) if error.is_key_taken() => {
            let key = key.unwrap_or_default();
            let why = format!("a live instance of `{definition}` has the key `{key}`: two cannot have it");
            Err(Undo::Error(Error::Refused(why)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Decides the start of the new instance.
pub(super) async fn plan(
    app: &App,
    ended: Loaded,
    from: &str,
    target: &contract::Target,
    origin: &Origin,
) -> Result<Step, Undone> {
    let Loaded { instance, now, .. } = ended;
    let refused = |refusal: Refusal| Undo::Value(Ended::Not(Executed::Refused(refusal)));
    engine::require_revision(&instance, target.revision).map_err(refused)?;
    let definition = app.definition(&instance.definition, instance.version).await?;
    let restart = Restart {
        id: InstanceId(app.new_id()),
        from: from.to_owned(),
        audit: audit(target, origin),
        user_id: origin.user_id.clone(),
        trace: origin.trace.clone(),
    };
    let patient = app.clone();
    let decide = move || engine::restart(&definition, &instance, restart, &patient.patient_context(now));
    app.decide_elsewhere(decide).await?.map_err(refused)
}
