//! Calls whose deadline has passed: an attempt expires, or a call ends before its next attempt could begin.

use super::super::committed::Executed;
use super::super::{Error, fail_point_at};
use super::{Attempt, Watch, complete_attempt, give_up, report_or_keep};
use crate::app::App;
use crate::engine::{CallKind, CallOutcome, Failure, Refusal};
use crate::store::calls::{self, Over, OverdueCall};

/// Ends an attempt without an outcome or a heartbeat in time, or a call whose next attempt did not begin in time. Each is counted while it
/// is not ended: one that ends its process each time is claimed again, and given up after a few times.
pub async fn expire(app: &App, overdue: OverdueCall) -> Result<Executed, Error> {
    let OverdueCall { id, instance, bookmark, dispatch, .. } = overdue;
    let attempt = Attempt { id, instance, bookmark, dispatch };
    let watch = Watch::over_expiry(app, attempt).await?;
    let expired = match watch.verdict(app) {
        Some(why) => give_up(app, attempt, why).await,
        None => {
            fail_point_at("caller::expires", &id.to_string());
            end(app, attempt, &overdue).await
        }
    };
    watch.ended(app).await;
    expired
}

async fn end(app: &App, attempt: Attempt, overdue: &OverdueCall) -> Result<Executed, Error> {
    let OverdueCall { kind, over, .. } = *overdue;
    let failure = match (over, kind) {
        (Over::Whole, _) => return lapse(app, attempt).await,
        (Over::Heartbeat, CallKind::Work) => Failure::new("worker.unavailable", "the worker missed a heartbeat"),
        (Over::Attempt, CallKind::Work) => Failure::new("timeout", "the worker did not answer in time"),
        (Over::Attempt | Over::Heartbeat, CallKind::Http) => {
            Failure::new("timeout", "the attempt did not end in time; the process that made it may have died")
        }
    };
    complete_attempt(app, attempt, CallOutcome::Unknown { failure }).await
}

/// Ends a call whose deadline passed before its next attempt could begin: certainly nothing was sent.
async fn lapse(app: &App, attempt: Attempt) -> Result<Executed, Error> {
    let failure = Failure::new("timeout", "the time limit of all attempts passed before this one could begin");
    let outcome = CallOutcome::Failed { failure };
    report_or_keep(app, attempt, attempt.completed(outcome.clone()), async |transaction, refusal| {
        if *refusal == Refusal::Suspended {
            calls::keep_lapsed(transaction, attempt.id, attempt.dispatch, &outcome).await?;
        }
        Ok(())
    })
    .await
}
