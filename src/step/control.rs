//! Commands for one instance by id or key: cancel, retry, suspend, resume, a timer that is put off, a timer that is due, a crash that was survived.

use super::origin::{self, Answer, Origin};
use super::{Error, Moved, Position, lock_and_write, write_locked};
use crate::app::App;
use crate::contract;
use crate::engine::{BranchId, Command, Due, InstanceId, Refusal};
use crate::store::{Transaction, bookmarks, instances};
use crate::telemetry;
use crate::time::duration;

/// How control an instance ended.
#[derive(Debug)]
pub enum Controlled {
    /// It was done.
    To(Box<Position>),
    /// The same command was handled before.
    Known(Answer),
}

/// What an instance can be told to do from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Call it off.
    Cancel,
    /// Try again what failed for good.
    Retry,
    /// Let it stand still.
    Suspend,
    /// Let it go on that was suspended by hand.
    Resume,
}

impl Control {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Control::Cancel => "cancel",
            Control::Retry => "retry",
            Control::Suspend => "suspend",
            Control::Resume => "resume",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Control::Cancel => "cancelled",
            Control::Retry => "retried",
            Control::Suspend => "suspended",
            Control::Resume => "resumed",
        }
    }
}

/// Cancels or suspends an instance, retries its incident, or lets it go on.
///
/// # Errors
/// `NotFound` if nothing has that id or key, `Refused` with the engine's reason.
pub async fn control(
    app: &App,
    what: Control,
    target: &contract::Target,
    origin: &Origin,
) -> Result<Controlled, Error> {
    let by = Some(origin.app_id.clone());
    let reason = target.reason.clone();
    let command = match what {
        Control::Cancel => Command::Cancel { by, reason },
        Control::Retry => Command::Retry { by, reason },
        Control::Suspend => Command::Suspend { by, reason },
        Control::Resume => Command::Resume { by, reason },
    };
    carry_out(app, target, command, (what.name(), what.outcome()), origin).await
}

/// Lets an open timer be due at another moment. It gets another number.
///
/// # Errors
/// As for [`control`].
pub async fn reschedule(app: &App, command: &contract::Reschedule, origin: &Origin) -> Result<Controlled, Error> {
    let due = match (command.due_at, &command.after) {
        (Some(moment), None) => Due::At(moment),
        (None, Some(text)) => Due::After(duration::parse(text).map_err(Error::Refused)?),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::Refused("say when: `due_at`, a moment, or `after`, a duration; one of them".into()));
        }
    };
    let (by, reason) = (Some(origin.app_id.clone()), command.target.reason.clone());
    let asked = Command::Reschedule { bookmark: command.bookmark, due, by, reason };
    carry_out(app, &command.target, asked, ("timer.reschedule", "rescheduled"), origin).await
}

async fn carry_out(
    app: &App,
    target: &contract::Target,
    command: Command,
    (name, outcome): (&str, &str),
    origin: &Origin,
) -> Result<Controlled, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Controlled::Known(answer));
    }
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let id = match resolve(&mut transaction, target).await {
        Ok(id) => id,
        Err(error) => {
            transaction.rollback().await;
            return origin::meanwhile(app, origin, error).await.map(Controlled::Known);
        }
    };
    if looks_back(&command) {
        // Before its row: messages lock in this order too.
        let awaited = bookmarks::awaited(&mut transaction, id).await?;
        bookmarks::lock_correlation(&mut transaction, &awaited).await?;
    }
    let answer = Answer::of(outcome, Some(id));
    let inbox = origin.inbox(name, &answer);
    let moved = write_locked(app, transaction, id, command, Some((inbox, origin, &answer))).await?;
    let refused = |refusal: Refusal| Error::Refused(refusal.to_string());
    let known = origin::moved(app, origin, moved, (refused, "the instance is being moved elsewhere")).await?;
    Ok(known.map_or_else(Controlled::Known, Controlled::To))
}

/// Whether a command asks what came while its instance was suspended.
pub(super) fn looks_back(command: &Command) -> bool {
    matches!(command, Command::Resume { .. } | Command::Retry { .. } | Command::Resolve { .. })
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
    let command = Command::Fire { bookmark: fire.bookmark };
    match lock_and_write(app, InstanceId(fire.instance), command).await {
        // Deleted by retention since the wake-up was written: there is nothing left to do.
        Err(Error::NotFound(_)) => Ok(Moved::Refused(Refusal::Gone(fire.bookmark))),
        Ok(Moved::To(position)) => {
            telemetry::observe_lateness(fire.due_at, position.now);
            Ok(Moved::To(position))
        }
        other => other,
    }
}

/// Counts a step command that came again; above `worker.crash_max` it opens an incident instead of running.
pub async fn crash(app: &App, id: InstanceId, branch: BranchId, sequence: i64) -> Result<Moved, Error> {
    let command = Command::Crash { branch, sequence, crash_max: app.config.worker.crash_max };
    lock_and_write(app, id, command).await
}

/// Opens an incident for a branch whose step command can never be carried out.
pub async fn fail_undeliverable(
    app: &App,
    id: InstanceId,
    (branch, sequence): (BranchId, i64),
    why: String,
) -> Result<(), Error> {
    match lock_and_write(app, id, Command::Undeliverable { branch, sequence, why }).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
