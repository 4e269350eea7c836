//! Kept messages as people see them: a page at a time, newest first. Sizes are read before contents, which may take hundreds of megabytes.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::json::Document;
use super::super::moment::Moment;
use super::super::page::{Fitting, fitting};
use super::super::schema::leveret::messages;
use super::super::{Connection, Error};
use super::NewMessage;
use crate::engine::InstanceId;

/// Which kept messages to list. A field that is `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this name.
    pub name: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// Received before this one: the last of the previous page.
    pub before: Option<i64>,
    /// Maximum number of rows.
    pub limit: i64,
}

/// A kept message.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Number of the row; messages are consumed in this order.
    pub id: i64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When its time to live ends.
    pub expires_at: Timestamp,
    /// The message.
    pub message: NewMessage,
}

/// Kept messages, newest first. Expired ones are included until they are deleted.
pub async fn list(conn: &mut Connection, filter: &Filter) -> Result<Fitting<Listed>, Error> {
    type Texts = (Option<String>, Option<String>, Option<String>);
    type Columns = (i64, Moment, Moment, String, String, Document, Texts, Option<Uuid>);
    let mut query = messages::table.order(messages::id.desc()).limit(filter.limit).into_boxed();
    if let Some(name) = &filter.name {
        query = query.filter(messages::name.eq(name));
    }
    if let Some(key) = &filter.key {
        query = query.filter(messages::key.eq(key));
    }
    if let Some(before) = filter.before {
        query = query.filter(messages::id.lt(before));
    }
    let sizes = query.select((messages::id, sql::<Integer>("octet_length(data::text)")));
    let Fitting { rows: ids, full } = fitting(sizes.load::<(i64, i32)>(conn).await?, filter.limit);
    let rows: Vec<Columns> = messages::table
        .filter(messages::id.eq_any(ids))
        .order(messages::id.desc())
        .select((
            messages::id,
            messages::received_at,
            messages::expires_at,
            messages::name,
            messages::key,
            messages::data,
            (messages::app_id, messages::message_id, messages::user_id),
            messages::instance_id,
        ))
        .load(conn)
        .await?;
    let listed =
        |(id, received_at, expires_at, name, key, data, (app_id, message_id, user_id), only): Columns| Listed {
            id,
            received_at: received_at.0,
            expires_at: expires_at.0,
            message: NewMessage { name, key, data: data.0, app_id, message_id, user_id, only: only.map(InstanceId) },
        };
    Ok(Fitting { rows: rows.into_iter().map(listed).collect(), full })
}
