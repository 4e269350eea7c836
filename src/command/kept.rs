//! Bounds what is kept for waits that do not exist yet: for each name and key, and for each sender.

use std::time::Instant;

use super::Error;
use crate::app::App;
use crate::store::messages::{self, NewMessage};
use crate::store::{self, Transaction};

/// Whether one more message of this sender may be kept. A process counts in the database at most once a second for each sender, and by
/// itself in between; so several processes together may exceed the limit by what they keep within a second.
pub(super) async fn has_room(app: &App, transaction: &mut Transaction, app_id: &str) -> Result<bool, store::Error> {
    let max = app.config.messages.per_sender_max;
    let now = Instant::now();
    if app.kept.has_room(app_id, max, now) {
        return Ok(true);
    }
    let counted = messages::count_of(transaction, app_id, max).await?;
    app.kept.note(app_id, counted, now);
    Ok(app.kept.has_room(app_id, max, now))
}

pub(super) fn sender_is_full(app_id: &str, max: u64) -> Error {
    Error::Refused(format!(
        "{max} messages of `{app_id}` are kept, which is the limit (`messages.per_sender_max`): no instance waits for them. Send this one \
         again when instances have taken some, or they have expired"
    ))
}

pub(super) fn key_is_full(message: &NewMessage, max: u64) -> Error {
    let NewMessage { name, key, .. } = message;
    Error::Refused(format!(
        "{max} messages `{name}` with the key `{key}` are kept, which is the limit (`messages.per_key_max`): no instance waits for them. \
         Send this one again when instances have taken some, or they have expired"
    ))
}
