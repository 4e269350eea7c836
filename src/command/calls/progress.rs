//! Heartbeats and progress of external workers.

use serde_json::Value;

use super::super::Error;
use super::super::committed::Applied;
use super::super::execution::{Ended, Execution};
use super::super::once::{self, Answer, Origin};
use super::proof::place;
use super::{Reported, applied};
use crate::app::App;
use crate::engine::{CallCommand, CallId, CallReport, Facts};
use crate::store::{Transaction, Undo, calls, instances};

/// Progress reports of one attempt: each is a row of the history.
const PROGRESS_MAX: i64 = 1_000;

/// Records a heartbeat of an external worker.
///
/// # Errors
/// As for [`complete`].
pub async fn beat(app: &App, id: CallId, token: &str) -> Result<(), Error> {
    let mut conn = app.store.background().await?;
    let place = place(&mut conn, id, token).await?;
    match calls::beat(&mut conn, id, place.dispatch).await? {
        true => Ok(()),
        false => Err(Error::Late("the attempt is no longer running".into())),
    }
}

/// Records a progress report of an external worker.
///
/// # Errors
/// As for [`complete`].
pub async fn progress(
    app: &App,
    id: CallId,
    token: &str,
    progress: Value,
    origin: &Origin,
) -> Result<Applied<Reported>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let ended: Result<Ended, Error> = Transaction::run(app.store.steps().await?, async |transaction| {
        let place = place(transaction, id, token).await?;
        // The instance is locked before the call: every transaction takes its locks in this order.
        let loaded = instances::lock(&mut **transaction, place.instance).await?;
        if !calls::tell_progress(transaction, id, place.dispatch, &progress, PROGRESS_MAX).await? {
            let now = calls::find(transaction, id).await?;
            let is_running = now.is_some_and(|now| now.state == "running" && now.dispatch == place.dispatch);
            return Err(Undo::Error(match is_running {
                true => Error::Refused(format!(
                    "the attempt has reported progress {PROGRESS_MAX} times, which is the limit"
                )),
                false => Error::Late("the attempt is no longer running".into()),
            }));
        }
        let answer = Answer { call: Some(id), ..Answer::of("noted", Some(place.instance)) };
        let report = CallReport::Progress { dispatch: place.dispatch, progress: progress.clone() };
        let command = CallCommand { bookmark: place.bookmark, report };
        let execution = Execution::from_outside(app, command, origin, "call.progress", answer);
        execution.under_lock(transaction, place.instance, loaded, Facts::default()).await
    })
    .await;
    applied(app, origin, ended).await
}
