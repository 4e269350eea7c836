//! Calls whose time is over: given up, or ended without having been begun.

use super::super::{Decided, Error, Moved, decide};
use super::{Attempt, complete_attempt};
use crate::app::App;
use crate::engine::{CallKind, CallOutcome, Command, Failure, Refusal};
use crate::store::Transaction;
use crate::store::calls::{self, Over, OverdueCall};

/// Gives up an attempt of which nothing was heard in time, or a call whose next attempt was not begun in time.
pub async fn expire(app: &App, overdue: OverdueCall) -> Result<Moved, Error> {
    let OverdueCall { id, instance, bookmark, dispatch, kind, over } = overdue;
    let attempt = Attempt { id, instance, bookmark, dispatch };
    let failure = match (over, kind) {
        (Over::Whole, _) => return lapse(app, attempt).await,
        (Over::Heartbeat, CallKind::Work) => Failure::new("worker.unavailable", "the worker missed a heartbeat"),
        (Over::Attempt, CallKind::Work) => Failure::new("timeout", "the worker did not answer in time"),
        (Over::Attempt | Over::Heartbeat, CallKind::Http) => {
            Failure::new("timeout", "nothing was heard of the attempt in time; whoever made it may have died over it")
        }
    };
    complete_attempt(app, attempt, CallOutcome::Unknown { failure }).await
}

/// Ends a call whose time was over before its next attempt could begin. Nothing was sent, and everybody knows it.
async fn lapse(app: &App, attempt: Attempt) -> Result<Moved, Error> {
    let Attempt { id, instance, bookmark, dispatch } = attempt;
    let failure = Failure::new("timeout", "the time for all attempts together was over before this one could begin");
    let outcome = CallOutcome::Failed { failure };
    let (transaction, loaded) = Transaction::begin_locked(app.store.steps().await?, instance).await?;
    let command = Command::CompleteCall { bookmark, dispatch, outcome: outcome.clone() };
    match decide(app, transaction, (instance, loaded), command, None).await {
        Ok(Decided::Refused(mut transaction, Refusal::Suspended)) => {
            calls::keep_lapsed(&mut transaction, id, dispatch, &outcome).await?;
            transaction.commit().await?;
            Ok(Moved::Refused(Refusal::Suspended))
        }
        Ok(decided) => Ok(decided.end().await),
        // The instance was deleted since.
        Err(Error::NotFound(_)) => Ok(Moved::Refused(Refusal::Gone(bookmark))),
        Err(error) => Err(error),
    }
}
