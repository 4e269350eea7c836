//! Commands for one instance by id or key: cancel, retry, a timer that is due, a crash that was survived.

use super::origin::{self, Answer, Origin};
use super::{Error, Moved, Position, write_locked};
use crate::app::App;
use crate::contract;
use crate::engine::{BranchId, Command, InstanceId, Refusal};
use crate::store::{Transaction, instances};
use crate::telemetry;

/// How steering an instance ended.
#[derive(Debug)]
pub enum Steered {
    /// It was done.
    To(Box<Position>),
    /// The same command was handled before.
    Known(Answer),
}

/// What an instance can be told to do from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// Call it off.
    Cancel,
    /// Try again what failed for good.
    Retry,
}

impl Steer {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Steer::Cancel => "cancel",
            Steer::Retry => "retry",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Steer::Cancel => "cancelled",
            Steer::Retry => "retried",
        }
    }
}

/// Cancels an instance or retries its incident.
///
/// # Errors
/// `NotFound` if nothing has that id or key, `Refused` with the engine's reason.
pub async fn steer(app: &App, what: Steer, target: &contract::Target, origin: &Origin) -> Result<Steered, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Steered::Known(answer));
    }
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let id = match resolve(&mut transaction, target).await {
        Ok(id) => id,
        Err(error) => {
            transaction.rollback().await;
            return origin::meanwhile(app, origin, error).await.map(Steered::Known);
        }
    };
    let by = Some(origin.app_id.clone());
    let reason = target.reason.clone();
    let command = match what {
        Steer::Cancel => Command::Cancel { by, reason },
        Steer::Retry => Command::Retry { by, reason },
    };
    let answer = Answer::of(what.outcome(), Some(id));
    let inbox = origin.inbox(what.name(), &answer);
    match write_locked(app, transaction, id, command, Some((inbox, origin, &answer))).await? {
        Moved::To(position) => Ok(Steered::To(position)),
        Moved::Refused(refusal) => {
            let refused = Error::Refused(refusal.to_string());
            origin::meanwhile(app, origin, refused).await.map(Steered::Known)
        }
        Moved::Elsewhere => {
            let busy = crate::store::Error::Busy("the instance is being moved elsewhere".into());
            origin::meanwhile(app, origin, busy.into()).await.map(Steered::Known)
        }
    }
}

async fn resolve(transaction: &mut Transaction, target: &contract::Target) -> Result<InstanceId, Error> {
    match (target.instance, &target.definition, &target.key) {
        (Some(id), _, _) => Ok(InstanceId(id)),
        (None, Some(definition), Some(key)) => instances::find_by_key(transaction, definition, key)
            .await?
            .ok_or_else(|| Error::NotFound(format!("no live instance of `{definition}` has the key `{key}`"))),
        (None, _, _) => Err(Error::Refused("name the instance: `instance`, or `definition` and `key`".into())),
    }
}

/// Fires a timer if it is due by the database's clock.
///
/// # Errors
/// As for any query. [`Moved::Refused`] with [`Refusal::Early`] says when it will be due.
pub async fn fire(app: &App, fire: contract::Fire) -> Result<Moved, Error> {
    let transaction = Transaction::begin(app.store.steps().await?).await?;
    let command = Command::Fire { bookmark: fire.bookmark };
    match write_locked(app, transaction, InstanceId(fire.instance), command, None).await {
        // Deleted by retention since the hint was written: there is nothing left to do.
        Err(Error::NotFound(_)) => Ok(Moved::Refused(Refusal::Gone(fire.bookmark))),
        Ok(Moved::To(position)) => {
            telemetry::observe_lateness(fire.due_at, position.now);
            Ok(Moved::To(position))
        }
        other => other,
    }
}

/// Counts a step command that came again; above `worker.crash_max` it opens an incident instead of running.
///
/// # Errors
/// As for any query.
pub async fn crash(app: &App, id: InstanceId, branch: BranchId, sequence: i64) -> Result<Moved, Error> {
    let transaction = Transaction::begin(app.store.steps().await?).await?;
    let command = Command::Crash { branch, sequence, crash_max: app.config.worker.crash_max };
    write_locked(app, transaction, id, command, None).await
}

/// Opens an incident for a branch whose step command could not be delivered, however often.
///
/// # Errors
/// As for any query.
pub async fn give_up(app: &App, id: InstanceId, branch: BranchId, sequence: i64) -> Result<(), Error> {
    let transaction = Transaction::begin(app.store.steps().await?).await?;
    // No crash is allowed any more: the next one is one too many.
    match write_locked(app, transaction, id, Command::Crash { branch, sequence, crash_max: 0 }, None).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
