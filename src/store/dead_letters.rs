//! Dead letters: messages that could not be handled, with the reason, for a person to decide.

mod filter;

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::json::{Document, Json};
use super::moment::Moment;
use super::schema::leveret::dead_letters;
use super::{Connection, Error};
use crate::engine::InstanceId;

pub use filter::{Filter, Group, Which, count, matching, newest};

/// Bytes of a body that are stored, so that huge invalid messages cannot fill the table; useful bodies are smaller.
const BODY_KEPT_MAX: usize = 1024 * 1024;

/// A message that could not be handled.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Why it could not be handled.
    pub reason: String,
    /// The queue it was consumed from.
    pub source: String,
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// The AMQP property `type`.
    pub kind: Option<String>,
    /// The AMQP property `app_id`.
    pub app_id: Option<String>,
    /// The AMQP property `message_id`.
    pub message_id: Option<String>,
    /// The AMQP property `user_id`, which the broker has verified.
    pub user_id: Option<String>,
    /// AMQP headers.
    pub headers: BTreeMap<String, String>,
    /// The body as received; stored up to [`BODY_KEPT_MAX`], and empty in lists.
    pub body: Vec<u8>,
    /// The instance it was about.
    pub instance_id: Option<InstanceId>,
}

/// A stored dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLetter {
    /// Number of the row.
    pub id: i64,
    /// When it was stored.
    pub received_at: Timestamp,
    /// How often it has failed.
    pub failures: i32,
    /// When it failed again last.
    pub failed_at: Option<Timestamp>,
    /// How often it was published again.
    pub redriven: i32,
    /// When it was published again last; none since it has failed again.
    pub redriven_at: Option<Timestamp>,
    /// Size of the body as received.
    pub body_bytes: i64,
    /// The message.
    pub letter: DeadLetter,
}

// A sender may put any text into names and ids: NUL must not prevent storing.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Stores a dead letter, of a large body only the beginning; returns its number.
pub async fn insert(conn: &mut Connection, letter: &DeadLetter) -> Result<i64, Error> {
    let headers: BTreeMap<String, String> =
        letter.headers.iter().map(|(name, value)| (without_nul(name), without_nul(value))).collect();
    Ok(diesel::insert_into(dead_letters::table)
        .values((
            dead_letters::reason.eq(without_nul(&letter.reason)),
            dead_letters::source.eq(without_nul(&letter.source)),
            dead_letters::exchange.eq(without_nul(&letter.exchange)),
            dead_letters::routing_key.eq(without_nul(&letter.routing_key)),
            dead_letters::kind.eq(letter.kind.as_deref().map(without_nul)),
            dead_letters::app_id.eq(letter.app_id.as_deref().map(without_nul)),
            dead_letters::message_id.eq(letter.message_id.as_deref().map(without_nul)),
            dead_letters::user_id.eq(letter.user_id.as_deref().map(without_nul)),
            dead_letters::headers.eq(Json(&headers)),
            dead_letters::body.eq(&letter.body[..letter.body.len().min(BODY_KEPT_MAX)]),
            dead_letters::body_bytes.eq(i64::try_from(letter.body.len()).unwrap_or(i64::MAX)),
            dead_letters::instance_id.eq(letter.instance_id.map(|id| id.0)),
        ))
        .returning(dead_letters::id)
        .get_result(conn)
        .await?)
}

type Columns = (
    (i64, Moment, i64),
    (i32, Option<Moment>, i32, Option<Moment>),
    (String, String, String, String),
    (Option<String>, Option<String>, Option<String>, Option<String>),
    (Document, Option<Uuid>),
);

type Selected = (
    (dead_letters::id, dead_letters::received_at, dead_letters::body_bytes),
    (dead_letters::failures, dead_letters::failed_at, dead_letters::redriven, dead_letters::redriven_at),
    (dead_letters::reason, dead_letters::source, dead_letters::exchange, dead_letters::routing_key),
    (dead_letters::kind, dead_letters::app_id, dead_letters::message_id, dead_letters::user_id),
    (dead_letters::headers, dead_letters::instance_id),
);

/// All columns but the body.
const SELECTED: Selected = (
    (dead_letters::id, dead_letters::received_at, dead_letters::body_bytes),
    (dead_letters::failures, dead_letters::failed_at, dead_letters::redriven, dead_letters::redriven_at),
    (dead_letters::reason, dead_letters::source, dead_letters::exchange, dead_letters::routing_key),
    (dead_letters::kind, dead_letters::app_id, dead_letters::message_id, dead_letters::user_id),
    (dead_letters::headers, dead_letters::instance_id),
);

fn kept(columns: Columns, body: Vec<u8>) -> StoredLetter {
    let (
        (id, received_at, body_bytes),
        (failures, failed_at, redriven, redriven_at),
        (reason, source, exchange, routing_key),
        (kind, app_id, message_id, user_id),
        (headers, instance),
    ) = columns;
    let headers = headers.read().unwrap_or_default();
    let instance_id = instance.map(InstanceId);
    StoredLetter {
        id,
        received_at: received_at.0,
        failures,
        failed_at: failed_at.map(Timestamp::from),
        redriven,
        redriven_at: redriven_at.map(Timestamp::from),
        body_bytes,
        letter: DeadLetter {
            reason,
            source,
            exchange,
            routing_key,
            kind,
            app_id,
            message_id,
            user_id,
            headers,
            body,
            instance_id,
        },
    }
}

/// Dead letters without their bodies, newest first: at most `limit` with numbers below `before`.
pub async fn list(conn: &mut Connection, before: Option<i64>, limit: i64) -> Result<Vec<StoredLetter>, Error> {
    let rows: Vec<Columns> = dead_letters::table
        .filter(dead_letters::id.lt(before.unwrap_or(i64::MAX)))
        .order(dead_letters::id.desc())
        .limit(limit)
        .select(SELECTED)
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|row| kept(row, Vec::new())).collect())
}

/// The dead letter with that number.
pub async fn find(conn: &mut Connection, id: i64) -> Result<Option<StoredLetter>, Error> {
    let row: Option<(Columns, Vec<u8>)> =
        dead_letters::table.find(id).select((SELECTED, dead_letters::body)).first(conn).await.optional()?;
    Ok(row.map(|(columns, body)| kept(columns, body)))
}

/// The same, locked until the transaction ends.
pub async fn lock(conn: &mut Connection, id: i64) -> Result<Option<StoredLetter>, Error> {
    let row: Option<(Columns, Vec<u8>)> = dead_letters::table
        .find(id)
        .for_no_key_update()
        .select((SELECTED, dead_letters::body))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(columns, body)| kept(columns, body)))
}

/// Notes that a dead letter was published again with this message id; false if it does not exist.
pub async fn mark_redriven(conn: &mut Connection, id: i64, sent_as: Uuid) -> Result<bool, Error> {
    let changed = diesel::update(dead_letters::table.find(id))
        .set((
            dead_letters::redriven.eq(dead_letters::redriven + 1),
            dead_letters::redriven_at.eq(diesel::dsl::now),
            dead_letters::redriven_as.eq(sent_as),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Counts that a dead letter which was published again has failed again; false if the message is none. It is then as one that was
/// never published again, with its new reason.
// The body too, so that nobody who learns of a message id can write into a letter of another sender.
pub async fn mark_failed_again(conn: &mut Connection, sent_as: Uuid, letter: &DeadLetter) -> Result<bool, Error> {
    let same = dead_letters::table.filter(dead_letters::redriven_as.eq(sent_as));
    let headers: BTreeMap<String, String> =
        letter.headers.iter().map(|(name, value)| (without_nul(name), without_nul(value))).collect();
    let changed = diesel::update(same.filter(dead_letters::body.eq(&letter.body)))
        .set((
            dead_letters::failures.eq(dead_letters::failures + 1),
            dead_letters::failed_at.eq(diesel::dsl::now),
            dead_letters::redriven_at.eq(None::<Moment>),
            dead_letters::redriven_as.eq(None::<Uuid>),
            dead_letters::reason.eq(without_nul(&letter.reason)),
            dead_letters::source.eq(without_nul(&letter.source)),
            dead_letters::exchange.eq(without_nul(&letter.exchange)),
            dead_letters::routing_key.eq(without_nul(&letter.routing_key)),
            dead_letters::headers.eq(Json(&headers)),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Deletes a dead letter; false if it does not exist.
pub async fn delete(conn: &mut Connection, id: i64) -> Result<bool, Error> {
    Ok(diesel::delete(dead_letters::table.find(id)).execute(conn).await? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_character_does_not_prevent_storing() {
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
    }
}
