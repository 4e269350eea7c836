//! Timers: fires one that is due, and reschedules an open one.

use super::committed::{Applied, Committed, Executed, Follow};
use super::execution::Execution;
use super::once::Origin;
use super::{Error, control};
use crate::app::App;
use crate::contract;
use crate::engine::{Control, Due, InstanceId, Internal, Refusal};
use crate::telemetry;
use crate::time::duration;

/// Fires a timer if it is due by the database's clock. [`Refusal::Early`] says when it will be due.
pub async fn fire(app: &App, fire: contract::Fire) -> Result<Executed, Error> {
    let command = Internal::Fire { bookmark: fire.bookmark };
    match Execution::internal(app, command, Follow::IfNeeded).locked(InstanceId(fire.instance)).await {
        // The instance was deleted since the wake-up was written.
        Err(Error::NotFound(_)) => Ok(Executed::Refused(Refusal::Closed(fire.bookmark))),
        Ok(Executed::Committed(committed)) => {
            telemetry::observe_lateness(fire.due_at, committed.now);
            Ok(Executed::Committed(committed))
        }
        other => other,
    }
}

/// Gives an open timer another time, and another bookmark number.
///
/// # Errors
/// As for [`control::control`].
pub async fn reschedule(
    app: &App,
    command: &contract::Reschedule,
    origin: &Origin,
) -> Result<Applied<Box<Committed>>, Error> {
    let due = match (command.due_at, &command.after) {
        (Some(moment), None) => Due::At(moment),
        (None, Some(text)) => Due::After(duration::parse(text).map_err(Error::Refused)?),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::Refused("send either `due_at` (a time) or `after` (a duration)".into()));
        }
    };
    control::control(app, Control::Reschedule { bookmark: command.bookmark, due }, &command.target, origin).await
}
