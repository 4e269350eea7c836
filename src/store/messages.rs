//! Messages that came before anybody waited for them, kept for a while.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;

use super::json::Json;
use super::moment::Moment;
use super::schema::leveret::messages;
use super::{Connection, Error};
use crate::engine::Message;

/// A message to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// What it says.
    pub data: Value,
    /// Who sent it.
    pub app_id: Option<String>,
    /// Which of the sender's messages it was.
    pub message_id: Option<String>,
}

/// Keeps a message for `ttl`; returns its row's id. The lock on its name and key must be held
/// ([`super::bookmarks::lock_correlation`]).
///
/// # Errors
/// Those of the database.
pub async fn keep(conn: &mut Connection, message: &NewMessage, ttl: Duration) -> Result<i64, Error> {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    Ok(Keep { message, data: Json(&message.data), ttl }.get_result(conn).await?)
}

struct Keep<'a> {
    message: &'a NewMessage,
    data: Json<'a, Value>,
    ttl: i64,
}

impl QueryId for Keep<'_> {
    type QueryId = Keep<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Keep<'_> {
    type SqlType = BigInt;
}

impl QueryFragment<Pg> for Keep<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO leveret.messages (name, key, data, app_id, message_id, expires_at) VALUES (");
        out.push_bind_param::<Text, _>(&self.message.name)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.message.key)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.data)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message.app_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.message.message_id)?;
        out.push_sql(", now() + ");
        out.push_bind_param::<BigInt, _>(&self.ttl)?;
        out.push_sql(" * interval '1 millisecond') RETURNING id");
        Ok(())
    }
}

/// Kept messages of these names and keys that have not expired, the oldest received first. The lock on them must be held,
/// and this must be a later statement than the lock.
///
/// # Errors
/// Those of the database.
pub async fn kept(conn: &mut Connection, pairs: &[(String, String)], limit: i64) -> Result<Vec<Message>, Error> {
    let (names, keys) = pairs.iter().map(|(name, key)| (name.as_str(), key.as_str())).unzip();
    let rows: Vec<(i64, String, String, Value)> = Kept { names, keys, limit }.get_results(conn).await?;
    Ok(rows.into_iter().map(|(id, name, key, data)| Message { name, key, data, kept: Some(id) }).collect())
}

struct Kept<'a> {
    names: Vec<&'a str>,
    keys: Vec<&'a str>,
    limit: i64,
}

impl QueryId for Kept<'_> {
    type QueryId = Kept<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Kept<'_> {
    type SqlType = (BigInt, Text, Text, Jsonb);
}

impl QueryFragment<Pg> for Kept<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Pair by pair through the index; asked for all pairs at once, the planner may read every message instead.
        out.push_sql("SELECT kept.id, kept.name, kept.key, kept.data FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.names)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.keys)?;
        out.push_sql(
            ") AS wanted (name, key) CROSS JOIN LATERAL (SELECT m.* FROM leveret.messages AS m \
             WHERE m.name = wanted.name AND m.key = wanted.key AND m.expires_at > now() ORDER BY m.id LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS kept ORDER BY kept.id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        Ok(())
    }
}

/// Removes at most `limit` messages that expired before `moment`; returns how many.
///
/// # Errors
/// Those of the database.
pub async fn delete_expired_before(conn: &mut Connection, moment: Timestamp, limit: i64) -> Result<usize, Error> {
    let expired = messages::table
        .filter(messages::expires_at.lt(Moment(moment)))
        .order(messages::expires_at)
        .limit(limit)
        .select(messages::id)
        .for_update()
        .skip_locked()
        .load::<i64>(conn)
        .await?;
    Ok(diesel::delete(messages::table.filter(messages::id.eq_any(expired))).execute(conn).await?)
}
