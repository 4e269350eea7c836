//! Keys of the API and the sessions of browsers that were opened with one. Both are found by their hash; neither is stored itself.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::moment::Moment;
use super::schema::functions::clock_timestamp;
use super::schema::leveret::{api_keys, sessions};
use super::{Connection, Error};
use crate::contract::api::ApiKeyView;
use crate::contract::scope::{Scope, Scopes};

diesel::allow_tables_to_appear_in_same_query!(api_keys, sessions);

/// The namespace of everything, as long as there is no other.
pub const NAMESPACE: &str = "default";

/// A key as it is made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: Uuid,
    /// Who acts with it.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The beginning of the key.
    pub hint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Groups of its user.
    pub groups: Vec<String>,
    /// Whether its commands may name another user.
    pub acts_for_others: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub created_by: String,
}

/// What is asked of a key or a session with each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: Uuid,
    /// The namespace whose objects it may use.
    pub namespace: String,
    /// Who acts with it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Groups of its user.
    pub groups: Vec<String>,
    /// Whether its commands may name another user.
    pub acts_for_others: bool,
    /// When it, or the session, ends.
    pub expires_at: Option<Timestamp>,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// When it was last used, to some minutes.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct KeyRow {
    id: Uuid,
    namespace: String,
    name: String,
    hint: String,
    scopes: Vec<String>,
    groups: Vec<String>,
    acts_for_others: bool,
    created_at: Moment,
    created_by: String,
    expires_at: Option<Moment>,
    last_used_at: Option<Moment>,
    revoked_at: Option<Moment>,
}

impl KeyRow {
    /// A scope that this binary does not know allows nothing.
    fn scopes(&self) -> Scopes {
        self.scopes.iter().filter_map(|name| Scope::parse(name)).collect()
    }

    fn known(self) -> KnownKey {
        KnownKey {
            scopes: self.scopes(),
            id: self.id,
            namespace: self.namespace,
            name: self.name,
            groups: self.groups,
            acts_for_others: self.acts_for_others,
            expires_at: self.expires_at.map(Timestamp::from),
            is_revoked: self.revoked_at.is_some(),
            last_used_at: self.last_used_at.map(Timestamp::from),
        }
    }

    fn view(self) -> ApiKeyView {
        ApiKeyView {
            id: self.id,
            name: self.name,
            hint: self.hint,
            scopes: self.scopes,
            groups: self.groups,
            acts_for_others: self.acts_for_others,
            created_at: self.created_at.0,
            created_by: self.created_by,
            expires_at: self.expires_at.map(Timestamp::from),
            last_used_at: self.last_used_at.map(Timestamp::from),
            revoked_at: self.revoked_at.map(Timestamp::from),
        }
    }
}

/// Stores a new key.
///
/// # Errors
/// As for any query.
pub async fn insert(conn: &mut Connection, key: &NewKey) -> Result<(), Error> {
    let scopes: Vec<&str> = key.scopes.iter().map(Scope::name).collect();
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::namespace.eq(NAMESPACE),
            api_keys::name.eq(&key.name),
            api_keys::hash.eq(key.hash.as_slice()),
            api_keys::hint.eq(&key.hint),
            api_keys::scopes.eq(scopes),
            api_keys::groups.eq(&key.groups),
            api_keys::acts_for_others.eq(key.acts_for_others),
            api_keys::created_by.eq(&key.created_by),
            api_keys::expires_at.eq(key.expires_at.map(Moment)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// The key with this hash.
///
/// # Errors
/// As for any query.
pub async fn find(conn: &mut Connection, hash: &[u8; 32]) -> Result<Option<KnownKey>, Error> {
    let row = api_keys::table
        .filter(api_keys::hash.eq(hash.as_slice()))
        .select(KeyRow::as_select())
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(KeyRow::known))
}

/// The key with which the session of this hash was opened; it ends with the session.
///
/// # Errors
/// As for any query.
pub async fn find_by_session(conn: &mut Connection, hash: &[u8; 32]) -> Result<Option<KnownKey>, Error> {
    let row: Option<(KeyRow, Moment)> = sessions::table
        .inner_join(api_keys::table.on(api_keys::id.eq(sessions::key_id)))
        .filter(sessions::hash.eq(hash.as_slice()))
        .select((KeyRow::as_select(), sessions::expires_at))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(row, ends)| {
        let known = row.known();
        let expires_at = Some(known.expires_at.map_or(ends.0, |key_ends| key_ends.min(ends.0)));
        KnownKey { expires_at, ..known }
    }))
}

/// Notes that a key is used.
///
/// # Errors
/// As for any query.
pub async fn mark_used(conn: &mut Connection, id: Uuid) -> Result<(), Error> {
    diesel::update(api_keys::table.find(id))
        .set(api_keys::last_used_at.eq(clock_timestamp().nullable()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Revokes a key, which ends its sessions; the name of the key, none if there is none or it was revoked before.
///
/// # Errors
/// As for any query.
pub async fn revoke(conn: &mut Connection, id: Uuid) -> Result<Option<String>, Error> {
    let name = diesel::update(api_keys::table.find(id).filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(clock_timestamp().nullable()))
        .returning(api_keys::name)
        .get_result(conn)
        .await
        .optional()?;
    Ok(name)
}

/// One key.
///
/// # Errors
/// As for any query.
pub async fn find_view(conn: &mut Connection, id: Uuid) -> Result<Option<ApiKeyView>, Error> {
    let row = api_keys::table.find(id).select(KeyRow::as_select()).first(conn).await.optional()?;
    Ok(row.map(KeyRow::view))
}

/// Keys, newest first; ids are ordered by time.
///
/// # Errors
/// As for any query.
pub async fn list(conn: &mut Connection, before: Option<Uuid>, limit: i64) -> Result<Vec<ApiKeyView>, Error> {
    let mut query = api_keys::table.select(KeyRow::as_select()).into_boxed();
    if let Some(before) = before {
        query = query.filter(api_keys::id.lt(before));
    }
    let rows: Vec<KeyRow> = query.order(api_keys::id.desc()).limit(limit).load(conn).await?;
    Ok(rows.into_iter().map(KeyRow::view).collect())
}

/// The number of keys that can be used now.
///
/// # Errors
/// As for any query.
pub async fn count_usable(conn: &mut Connection) -> Result<i64, Error> {
    let lasts = api_keys::expires_at.is_null().or(api_keys::expires_at.gt(clock_timestamp().nullable()));
    let count = api_keys::table.filter(api_keys::revoked_at.is_null()).filter(lasts);
    Ok(count.count().get_result(conn).await?)
}

/// Opens a session.
///
/// # Errors
/// As for any query.
pub async fn insert_session(
    conn: &mut Connection,
    hash: &[u8; 32],
    key: Uuid,
    expires_at: Timestamp,
) -> Result<(), Error> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::hash.eq(hash.as_slice()),
            sessions::key_id.eq(key),
            sessions::expires_at.eq(Moment(expires_at)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends all sessions of a key but the newest `kept`.
///
/// # Errors
/// As for any query.
pub async fn delete_oldest_sessions(conn: &mut Connection, key: Uuid, kept: i64) -> Result<usize, Error> {
    let newest: Vec<Vec<u8>> = sessions::table
        .filter(sessions::key_id.eq(key))
        .order(sessions::created_at.desc())
        .limit(kept)
        .select(sessions::hash)
        .load(conn)
        .await?;
    let older = sessions::table.filter(sessions::key_id.eq(key)).filter(sessions::hash.ne_all(newest));
    Ok(diesel::delete(older).execute(conn).await?)
}

/// Ends a session.
///
/// # Errors
/// As for any query.
pub async fn delete_session(conn: &mut Connection, hash: &[u8; 32]) -> Result<(), Error> {
    diesel::delete(sessions::table.find(hash.as_slice())).execute(conn).await?;
    Ok(())
}

/// Deletes at most `limit` sessions that ended before a moment; returns their number.
///
/// # Errors
/// As for any query.
pub async fn delete_sessions_before(conn: &mut Connection, before: Timestamp, limit: i64) -> Result<usize, Error> {
    let ended: Vec<Vec<u8>> = sessions::table
        .filter(sessions::expires_at.lt(Moment(before)))
        .order(sessions::expires_at)
        .limit(limit)
        .select(sessions::hash)
        .load(conn)
        .await?;
    Ok(diesel::delete(sessions::table.filter(sessions::hash.eq_any(ended))).execute(conn).await?)
}
