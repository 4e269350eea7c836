//! Step commands: the next step of a branch, a redelivered command, and one that cannot be delivered.

use tracing::Instrument;

use super::Error;
use super::committed::{Committed, Executed, Follow};
use super::execution::Execution;
use crate::app::App;
use crate::engine::{BranchId, InstanceId, Internal, Refusal};
use crate::telemetry::spans;

/// Takes one step of a branch that is ready, from the instance in memory.
///
/// # Errors
/// Nothing was committed, except that after `Unavailable` at the commit the outcome is unknown.
pub async fn step(app: &App, at: &Committed, branch: BranchId, follow: Follow) -> Result<Executed, Error> {
    let known = at.instance.state.branches.iter().find(|known| known.id == branch);
    let Some(known) = known else { return Ok(Executed::Refused(Refusal::Stale)) };
    let command = Internal::Continue { branch, sequence: known.sequence };
    let span = spans::step(&at.instance, known);
    Execution::internal(app, command, follow).step(at).instrument(span).await
}

/// Counts a step command that was redelivered; above `worker.crash_max` it opens an incident instead of executing the step.
pub async fn crash(app: &App, id: InstanceId, branch: BranchId, sequence: i64) -> Result<Executed, Error> {
    let crash = Internal::Crash { branch, sequence, crash_max: app.config.worker.crash_max };
    Execution::internal(app, crash, Follow::IfNeeded).locked(id).await
}

/// Opens an incident for the branch that waits for a timer whose wake-up cannot be executed.
pub async fn fail_unfireable(app: &App, id: InstanceId, bookmark: i64, why: String) -> Result<(), Error> {
    give_up(app, id, Internal::Unfireable { bookmark, why }).await
}

/// Opens an incident for a branch whose step command cannot be delivered.
pub async fn fail_undeliverable(
    app: &App,
    id: InstanceId,
    branch: BranchId,
    sequence: i64,
    why: String,
) -> Result<(), Error> {
    give_up(app, id, Internal::Undeliverable { branch, sequence, why }).await
}

async fn give_up(app: &App, id: InstanceId, command: Internal) -> Result<(), Error> {
    match Execution::internal(app, command, Follow::IfNeeded).locked(id).await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
