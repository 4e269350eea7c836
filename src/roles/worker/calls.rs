//! Commands of external workers about their calls.

use super::drive::{self, DeliveryFate, Redelivered};
use crate::app::App;
use crate::command::calls::{self, Reported};
use crate::command::{Applied, Error, Origin};
use crate::contract::Command;
use crate::engine::CallId;
use crate::telemetry;

/// Executes `call.complete`, `call.heartbeat` or `call.progress`.
pub(super) async fn execute(
    app: &App,
    command: &Command,
    origin: &Origin,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    let told = match command {
        Command::CallComplete(command) => {
            let outcome = calls::outcome(command.result.clone(), command.error.clone()).map_err(Error::Refused)?;
            calls::complete(app, CallId(command.call), &command.token, outcome, origin).await?
        }
        Command::CallHeartbeat(command) => {
            return unless_late(
                calls::beat(app, CallId(command.call), &command.token).await.map(|()| DeliveryFate::Done),
            );
        }
        Command::CallProgress(command) => {
            let progress = command.progress.clone();
            match calls::progress(app, CallId(command.call), &command.token, progress, origin).await {
                late @ Err(Error::Late(_)) => return unless_late(late.map(|_| DeliveryFate::Done)),
                told => told?,
            }
        }
        Command::Start(_)
        | Command::Message(_)
        | Command::Cancel(_)
        | Command::Retry(_)
        | Command::Continue(_)
        | Command::Fire(_)
        | Command::TaskComplete(_)
        | Command::TaskClaim(_)
        | Command::TaskRelease(_)
        | Command::Suspend(_)
        | Command::Resume(_)
        | Command::Operate(_)
        | Command::Reschedule(_)
        | Command::Deliver(_) => return Err(Error::Refused("this command is not about a call".into())),
    };
    match told {
        Applied::New(Reported::To(committed)) => drive::steps(app, *committed).await,
        Applied::New(Reported::Kept(_) | Reported::Noted(_)) => Ok(DeliveryFate::Done),
        Applied::Repeated(answer) => drive::repeated(app, origin, answer, redelivered).await,
    }
}

/// A late heartbeat is not an error: if the worker replies, its reply is handled.
fn unless_late(result: Result<DeliveryFate, Error>) -> Result<DeliveryFate, Error> {
    match result {
        Err(Error::Late(why)) => {
            tracing::debug!(why, "a heartbeat came too late");
            metrics::counter!(telemetry::LATE_SIGNS).increment(1);
            Ok(DeliveryFate::Done)
        }
        result => result,
    }
}
