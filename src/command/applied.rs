//! The end of a command from outside: its commit is published, or the answer of a repetition is found.

use super::Error;
use super::committed::{Applied, Committed, Executed};
use super::execution::Ended;
use super::once::{self, Origin};
use crate::app::App;
use crate::engine::Refusal;
use crate::store;

/// Publishes the commit of a command from outside; if there is none, answers with that of the same command, or fails. `refused`
/// words a refusal of the engine, `busy` a conflict with another process.
pub(super) async fn applied(
    app: &App,
    origin: &Origin,
    ended: Result<Ended, Error>,
    refused: impl FnOnce(Refusal) -> Error,
    busy: &str,
) -> Result<Applied<Box<Committed>>, Error> {
    let error = match ended.map(|ended| ended.publish(app)) {
        Ok(Executed::Committed(committed)) => return Ok(Applied::New(committed)),
        Ok(Executed::Refused(refusal)) => refused(refusal),
        Ok(Executed::Conflict) => store::Error::Busy(busy.into()).into(),
        Err(error @ Error::Store(_)) => return Err(error),
        Err(error) => error,
    };
    // Another process may have executed the same command meanwhile.
    once::known(app, origin).await?.map(Applied::Repeated).ok_or(error)
}
