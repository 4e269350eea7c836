//! Tokens: each proves that its bearer received one attempt at a call.

use super::super::{Error, dispatch};
use crate::engine::CallId;
use crate::seeded::{self, Bug};
use crate::store;
use crate::store::calls::{self, Place};

/// The call, if the token is that of the running attempt.
pub(super) async fn place(conn: &mut store::Connection, id: CallId, token: &str) -> Result<Place, Error> {
    let Some(place) = calls::find(conn, id).await? else {
        return Err(Error::NotFound(format!("there is no call {id}")));
    };
    // A call with an unknown outcome keeps the token of the attempt that expired.
    let is_current = place.token_hash.as_deref() == Some(dispatch::hash(token).as_slice());
    if is_current || seeded::is(Bug::LateOutcomeRecorded) {
        return Ok(place);
    }
    let of_token = token.split_once('-').and_then(|(dispatch, _)| dispatch.parse::<u32>().ok());
    Err(match (place.state.as_str(), of_token) {
        ("succeeded" | "failed" | "cancelled", _) => {
            Error::Late(format!("the report is too late: the call has ended as {}", place.state))
        }
        ("reported" | "unknown", _) => Error::Late("the report is too late: the attempt has ended".to_owned()),
        (_, Some(dispatch)) if dispatch < place.dispatch => Error::Late(format!(
            "the report is too late: the token is that of an earlier attempt, and attempt {} is the current one",
            place.attempt
        )),
        (_, _) => {
            Error::Refused("the token is not that of the running attempt: send the token of the request".to_owned())
        }
    })
}
