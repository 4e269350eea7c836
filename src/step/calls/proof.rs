//! What a token proves: that whoever shows it was given the attempt it speaks of.

use super::super::Error;
use super::send;
use crate::app::App;
use crate::engine::CallId;
use crate::store::calls::{self, Place};
use crate::store::{self, Transaction};

/// A transaction, and in it where a call stands; or why the token proves nothing.
pub(super) async fn with_place(
    app: &App,
    id: CallId,
    token: &str,
) -> Result<Result<(Transaction, Place), Error>, Error> {
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    match place(&mut transaction, id, token).await {
        Ok(place) => Ok(Ok((transaction, place))),
        Err(error) => {
            transaction.rollback().await;
            Ok(Err(error))
        }
    }
}

/// Where a call stands, if the token is that of the attempt that runs.
pub(super) async fn place(conn: &mut store::Connection, id: CallId, token: &str) -> Result<Place, Error> {
    let Some(place) = calls::find(conn, id).await? else {
        return Err(Error::NotFound(format!("there is no call {id}")));
    };
    // Of a call nobody knows the outcome of it is that of the attempt that was lost.
    if place.token_hash.as_deref() == Some(send::hash(token).as_slice()) {
        return Ok(place);
    }
    let dispatch = token.split_once('-').and_then(|(dispatch, _)| dispatch.parse::<u32>().ok());
    Err(match (place.state.as_str(), dispatch) {
        ("succeeded" | "failed" | "cancelled", _) => {
            Error::Late(format!("the call has ended as {}: it is too late", place.state))
        }
        ("reported" | "unknown", _) => Error::Late("the attempt has ended: it is too late".to_owned()),
        (_, Some(dispatch)) if dispatch < place.dispatch => Error::Late(format!(
            "the token is that of an earlier attempt: it is too late, attempt {} has the call",
            place.attempt
        )),
        (_, _) => Error::Refused("the token is not that of the attempt that runs".to_owned()),
    })
}
