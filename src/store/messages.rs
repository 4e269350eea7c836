//! Messages that arrived before an instance waited for them, kept for a time to live.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::json::{Document, Json};
use super::moment::{Moment, millis};
use super::schema::leveret::messages;
use super::sql::Sql;
use super::{Connection, Error};
use crate::engine::{InstanceId, Message, MissedMessage, Sender};

mod list;

pub use list::{Filter, Listed, list};

/// A message to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// The data.
    pub data: Value,
    /// The sender.
    pub app_id: Option<String>,
    /// The message id of the sender.
    pub message_id: Option<String>,
    /// The user of the broker who sent it, where the broker has verified one.
    pub user_id: Option<String>,
    /// The only instance that may consume it, for the wait that `message_id` names; none: the first that waits.
    pub only: Option<InstanceId>,
}

/// Keeps a message for `ttl`; returns the id of its row, or none if `max` of its name and key are kept. The lock on both must be held
/// ([`super::bookmarks::lock_correlation`]).
pub async fn keep(conn: &mut Connection, message: &NewMessage, ttl: Duration, max: u64) -> Result<Option<i64>, Error> {
    let ttl = millis(ttl);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let only = message.only.map(|id| id.0);
    let NewMessage { name, key, data, app_id, message_id, user_id, .. } = message;
    let (data, app_id, message_id, user_id) = (Json(data), app_id.as_ref(), message_id.as_ref(), user_id.as_ref());
    let values = (name, key, data, app_id, message_id, user_id, only, ttl, max);
    Ok(Keep::bind(values).get_result(conn).await.optional()?)
}

/// How many messages of a sender are kept, counted up to `max`.
pub async fn count_of(conn: &mut Connection, app_id: &str, max: u64) -> Result<u64, Error> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let count: i64 = CountOf::bind((app_id, max)).get_result(conn).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

struct CountOf;

impl Sql for CountOf {
    type Binds = (Text, BigInt);
    type Row = BigInt;
    const TEXT: &'static str = "
        SELECT count(*) FROM (SELECT FROM leveret.messages WHERE app_id = $1 LIMIT $2) AS kept";
}

/// Keeps a copy of a broadcast for one wait of a suspended instance, unless it is kept already. The lock on its name
/// and key must be held.
pub async fn keep_for(
    conn: &mut Connection,
    instance: InstanceId,
    bookmark: i64,
    message: &Message,
    ttl: Duration,
) -> Result<(), Error> {
    // The form that `missed` searches.
    let message_id = format!("{instance}.{bookmark}");
    let held = messages::table
        .filter(messages::name.eq(&message.name).and(messages::key.eq(&message.key)))
        .filter(messages::instance_id.eq(instance.0).and(messages::message_id.eq(&message_id)));
    if diesel::select(diesel::dsl::exists(held)).get_result(conn).await? {
        return Ok(());
    }
    let copy = NewMessage {
        name: message.name.clone(),
        key: message.key.clone(),
        data: message.data.clone(),
        app_id: message.sender.as_ref().map(|sender| sender.app_id.clone()),
        message_id: Some(message_id),
        user_id: message.sender.as_ref().and_then(|sender| sender.user_id.clone()),
        only: Some(instance),
    };
    // One for each open wait.
    keep(conn, &copy, ttl, u64::MAX).await?;
    Ok(())
}

struct Keep;

impl Sql for Keep {
    type Binds = (Text, Text, Jsonb, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<SqlUuid>, BigInt, BigInt);
    type Row = BigInt;
    const TEXT: &'static str = "
        INSERT INTO leveret.messages (name, key, data, app_id, message_id, user_id, instance_id, expires_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, now() + $8 * interval '1 millisecond'
         WHERE (SELECT count(*) FROM (SELECT FROM leveret.messages WHERE name = $1 AND key = $2 LIMIT $9) AS kept) < $9
        RETURNING id";
}

/// Kept messages with these names and keys that have not expired, oldest first: at most `limit` after the id `after`.
/// The lock on names and keys must be held, and this must be a later statement than the lock.
pub async fn kept(
    conn: &mut Connection,
    pairs: &[(String, String)],
    after: i64,
    limit: i64,
) -> Result<Vec<Message>, Error> {
    let (names, keys): (Vec<_>, Vec<_>) = pairs.iter().map(|(name, key)| (name.as_str(), key.as_str())).unzip();
    type Columns = (i64, String, String, Document, Option<String>, Option<String>);
    let rows: Vec<Columns> = Kept::bind((names, keys, after, limit)).get_results(conn).await?;
    let message = |(id, name, key, data, app_id, user_id): Columns| Message {
        name,
        key,
        data: data.0,
        kept: Some(id),
        sender: sender(app_id, user_id),
    };
    Ok(rows.into_iter().map(message).collect())
}

fn sender(app_id: Option<String>, user_id: Option<String>) -> Option<Sender> {
    app_id.map(|app_id| Sender { app_id, user_id })
}

struct Kept;

impl Sql for Kept {
    type Binds = (Array<Text>, Array<Text>, BigInt, BigInt);
    type Row = (BigInt, Text, Text, Jsonb, Nullable<Text>, Nullable<Text>);
    // Pair by pair through the index; for all pairs at once the planner may read every message instead.
    const TEXT: &'static str = "
        SELECT kept.id, kept.name, kept.key, kept.data, kept.app_id, kept.user_id
          FROM unnest($1, $2) AS wanted (name, key)
         CROSS JOIN LATERAL (
               SELECT m.*
                 FROM leveret.messages AS m
                WHERE m.name = wanted.name AND m.key = wanted.key AND m.expires_at > now()
                  AND m.id > $3 AND m.instance_id IS NULL
                ORDER BY m.id LIMIT $4) AS kept
         ORDER BY kept.id LIMIT $4";
}

/// Kept messages that the open waits of a suspended instance would have consumed, oldest first, at most `limit`. Those
/// count that had not expired when it was suspended: a suspended instance cannot consume, so their time to live does
/// not run out. The lock on the names and keys of its waits must be held.
pub async fn missed(conn: &mut Connection, instance: InstanceId, limit: i64) -> Result<Vec<MissedMessage>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        number: i64,
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Timestamptz)]
        received_at: Moment,
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = Jsonb)]
        data: Document,
        #[diesel(sql_type = Nullable<Text>)]
        app_id: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        user_id: Option<String>,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT b.number, kept.id, kept.received_at, kept.name, kept.key, kept.data, kept.app_id, kept.user_id
           FROM leveret.bookmarks AS b
         CROSS JOIN LATERAL (SELECT m.* FROM leveret.messages AS m
             WHERE m.name = b.message_name AND m.key = b.message_key
               AND (m.instance_id IS NULL
                    OR (m.instance_id = b.instance_id AND m.message_id = b.instance_id || '.' || b.number))
               AND m.expires_at > (SELECT min(s.opened_at) FROM leveret.bookmarks AS s
                   WHERE s.instance_id = $1 AND s.kind = 'intervention' AND s.consumed_at IS NULL)
             ORDER BY m.id LIMIT $2) AS kept
         WHERE b.instance_id = $1 AND b.consumed_at IS NULL AND b.message_name IS NOT NULL ORDER BY kept.id LIMIT $2",
    )
    .bind::<SqlUuid, _>(instance.0)
    .bind::<BigInt, _>(limit)
    .get_results(conn)
    .await?;
    let missed = |row: Row| MissedMessage {
        bookmark: row.number,
        at: row.received_at.0,
        message: Message {
            name: row.name,
            key: row.key,
            data: row.data.0,
            kept: Some(row.id),
            sender: sender(row.app_id, row.user_id),
        },
    };
    Ok(rows.into_iter().map(missed).collect())
}

/// A kept message, and an open wait for its name and key.
#[derive(Debug, Clone, PartialEq)]
pub struct BesideWait {
    /// The instance that waits, and is not suspended.
    pub instance: InstanceId,
    /// The number of its bookmark.
    pub bookmark: i64,
    /// The activity that waits.
    pub activity: String,
    /// The message.
    pub message: Message,
}

/// At most `limit` kept messages for which a wait is open, by instance. The wait may have a filter that does not hold. One
/// statement sees one state: a message that is just being delivered is not among them.
pub async fn beside_waits(conn: &mut Connection, limit: i64) -> Result<Vec<BesideWait>, Error> {
    let rows: Vec<(Uuid, i64, String, i64, String, String, Document)> =
        BesideWaits::bind((limit,)).get_results(conn).await?;
    let pair = |(instance, bookmark, activity, id, name, key, data): (_, _, _, _, _, _, Document)| BesideWait {
        instance: InstanceId(instance),
        bookmark,
        activity,
        message: Message { name, key, data: data.0, kept: Some(id), sender: None },
    };
    Ok(rows.into_iter().map(pair).collect())
}

struct BesideWaits;

impl Sql for BesideWaits {
    type Binds = (BigInt,);
    type Row = (SqlUuid, BigInt, Text, BigInt, Text, Text, Jsonb);
    const TEXT: &'static str = "
        SELECT b.instance_id, b.number, coalesce(b.activity, ''), m.id, m.name, m.key, m.data
          FROM leveret.messages AS m
          JOIN leveret.bookmarks AS b
            ON b.message_name = m.name AND b.message_key = m.key AND b.consumed_at IS NULL
          JOIN leveret.instances AS i ON i.id = b.instance_id AND i.ended_at IS NULL AND i.status <> 'suspended'
         WHERE m.expires_at > now()
           AND (m.instance_id IS NULL
                OR (m.instance_id = b.instance_id AND m.message_id = b.instance_id || '.' || b.number))
         ORDER BY b.instance_id, m.id LIMIT $1";
}

// An expired message is kept while a suspended instance waits for it, see `missed`.
const DELETE_EXPIRED: &str = "DELETE FROM leveret.messages WHERE id IN (SELECT m.id FROM leveret.messages AS m
    WHERE m.expires_at < $1 AND NOT EXISTS (SELECT FROM leveret.bookmarks AS b
        JOIN leveret.instances AS i ON i.id = b.instance_id AND i.status = 'suspended'
        WHERE b.message_name = m.name AND b.message_key = m.key AND b.consumed_at IS NULL)
    ORDER BY m.expires_at LIMIT $2 FOR UPDATE OF m SKIP LOCKED)";

/// Deletes at most `limit` messages that expired before `moment`; returns how many.
pub async fn delete_expired_before(conn: &mut Connection, moment: Timestamp, limit: i64) -> Result<usize, Error> {
    let query = diesel::sql_query(DELETE_EXPIRED).bind::<Timestamptz, _>(Moment(moment)).bind::<BigInt, _>(limit);
    Ok(query.execute(conn).await?)
}
