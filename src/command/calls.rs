//! Calls between two steps: an outcome moves its instance in the transaction that closes the call. While the instance is suspended
//! the outcome is kept, and replayed when the instance continues.

mod overdue;
mod progress;
mod proof;
mod report;
mod resolve;
mod watched;

use super::Error;
use super::committed::{Applied, Committed, Executed, Follow};
use super::execution::{Ended, Execution};
use super::once::Origin;
use crate::app::App;
use crate::engine::{CallCommand, CallId, CallOutcome, CallReport, Facts, Failure, InstanceId, Refusal};
use crate::store::{Transaction, Undo, calls};

pub use super::dispatch::{AtOnce, AttemptToken, Begin, begin, send_to_external_worker};
pub use overdue::expire;
pub use progress::{beat, progress};
pub use report::{complete, outcome};
pub use resolve::resolve;
pub use watched::Watch;

/// The effect of a report about a call.
#[derive(Debug)]
pub enum Reported {
    /// Its instance has taken a step.
    To(Box<Committed>),
    /// It is kept until the instance continues.
    Kept(InstanceId),
    /// The outcome of the call was unknown: it is kept for the person who has to find it out.
    Noted(InstanceId),
}

/// An attempt at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The call.
    pub id: CallId,
    /// Its instance.
    pub instance: InstanceId,
    /// Its bookmark.
    pub bookmark: i64,
    /// The dispatch number of the attempt.
    pub dispatch: u32,
}

impl Attempt {
    fn completed(self, outcome: CallOutcome) -> CallCommand {
        completed(self.bookmark, self.dispatch, outcome)
    }
}

fn completed(bookmark: i64, dispatch: u32, outcome: CallOutcome) -> CallCommand {
    CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome } }
}

/// Completes a call with the outcome of an attempt that was made here, or that has expired. A late outcome, or one of a suspended
/// instance, is kept with the call.
pub async fn complete_attempt(app: &App, attempt: Attempt, outcome: CallOutcome) -> Result<Executed, Error> {
    report_or_keep(app, attempt, attempt.completed(outcome.clone()), async |transaction, refusal| {
        match refusal {
            Refusal::Suspended => calls::record(transaction, attempt.id, attempt.dispatch, &outcome).await?,
            _ => calls::note_late(transaction, attempt.id, attempt.dispatch, &outcome).await?,
        };
        Ok(())
    })
    .await
}

/// Leaves a call to a person, because what follows its attempt has ended every process that executed it. While the instance is suspended
/// it is kept as an unknown outcome.
pub async fn give_up(app: &App, attempt: Attempt, why: String) -> Result<Executed, Error> {
    let Attempt { id, bookmark, dispatch, .. } = attempt;
    let outcome = CallOutcome::Unknown { failure: Failure::new("worker.gave_up", why.clone()) };
    let command = CallCommand { bookmark, report: CallReport::GivenUp { dispatch, why } };
    report_or_keep(app, attempt, command, async |transaction, refusal| {
        if *refusal == Refusal::Suspended {
            calls::record(transaction, id, dispatch, &outcome).await?;
        }
        Ok(())
    })
    .await
}

/// Reports about a call. After a refusal, `keep` may write in the same transaction, under the lock of the instance.
async fn report_or_keep(
    app: &App,
    attempt: Attempt,
    command: CallCommand,
    keep: impl AsyncFnOnce(&mut Transaction, &Refusal) -> Result<(), Error>,
) -> Result<Executed, Error> {
    let execution = Execution::internal(app, command, Follow::Always);
    let lease = app.store.steps().await?;
    let ended = Transaction::run_locked(lease, attempt.instance, async |transaction, loaded| {
        match execution.under_lock(transaction, attempt.instance, loaded, Facts::default()).await {
            Err(Undo::Value(Ended::Not(Executed::Refused(refusal)))) => {
                keep(transaction, &refusal).await?;
                Ok(Ended::Not(Executed::Refused(refusal)))
            }
            other => other,
        }
    })
    .await;
    match ended {
        Ok(ended) => Ok(ended.publish(app)),
        // The instance was deleted since.
        Err(Error::NotFound(_)) => Ok(Executed::Refused(Refusal::Closed(attempt.bookmark))),
        Err(error) => Err(error),
    }
}

async fn applied(app: &App, origin: &Origin, ended: Result<Ended, Error>) -> Result<Applied<Reported>, Error> {
    let refused = |refusal: Refusal| Error::Refused(refusal.to_string());
    let applied =
        super::applied::applied(app, origin, ended, refused, "the instance is being changed by another process")
            .await?;
    Ok(applied.map(Reported::To))
}
