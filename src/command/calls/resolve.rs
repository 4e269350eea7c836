//! A person resolves a call with an unknown outcome.

use super::super::Error;
use super::super::committed::{Applied, Executed};
use super::super::execution::{Ended, Execution, Undone};
use super::super::once::{self, Answer, Origin};
use super::{Reported, applied};
use crate::app::App;
use crate::engine::{Audit, CallCommand, CallId, CallReport, Refusal, Resolution};
use crate::store::calls::{self, Place};
use crate::store::{Transaction, Undo};

/// Completes a call with what a person has found out.
///
/// # Errors
/// `NotFound` if there is no such call, `Refused` with the engine's reason.
pub async fn resolve(
    app: &App,
    id: CallId,
    resolution: Resolution,
    reason: Option<String>,
    origin: &Origin,
) -> Result<Applied<Reported>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let ended: Result<Ended, Error> = Transaction::run(app.store.steps().await?, async |transaction| {
        let Some(place) = calls::find(transaction, id).await? else {
            return Err(Undo::Error(Error::NotFound(format!("there is no call {id}"))));
        };
        let audit = Audit { by: Some(origin.person()), reason };
        let command = CallCommand { bookmark: place.bookmark, report: CallReport::Resolved { resolution, audit } };
        let answer = Answer { call: Some(id), ..Answer::of("resolved", Some(place.instance)) };
        let execution = Execution::from_outside(app, command, origin, "call.resolve", answer);
        execution.in_transaction(transaction, place.instance).await.map_err(|undone| ended_already(undone, &place))
    })
    .await;
    applied(app, origin, ended).await
}

/// The reason why a call that is no longer open cannot be resolved.
fn ended_already(undone: Undone, place: &Place) -> Undone {
    match undone {
        Undo::Value(Ended::Not(Executed::Refused(Refusal::Closed(_)))) => {
            Undo::Error(Error::Refused(format!("the call has ended as {}", place.state)))
        }
        other => other,
    }
}
