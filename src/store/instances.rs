//! Instances: read and locked. Only commits write them.

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncConnectionCore, RunQueryDsl};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::json::Legible;
use super::moment::Moment;
use super::schema::functions::clock_timestamp;
use super::schema::leveret::instances;
use super::{Connection, Error};
use crate::contract::step_queue::step_queue;
use crate::engine::{Failure, Instance, InstanceId, STATE_FORMAT, State, Status};

mod list;
mod silent;

pub use super::locks::lock_branch_try;
pub use list::{Filter, Summary, count_by_status, list, list_these};
pub use silent::{Silent, claim_silent, ready_step_queues};

/// An instance as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The instance.
    pub instance: Instance,
    /// The database's time.
    pub now: Timestamp,
    /// The format of its state. If it is newer than [`STATE_FORMAT`], `instance.state` is empty: leave it to newer
    /// workers.
    pub state_format: i16,
}

impl Loaded {
    /// The same, if this binary knows the format: a decision upon a state it cannot read would overwrite that state.
    ///
    /// # Errors
    /// `Busy` if only newer binaries can move it; they run beside this one during a rollout.
    pub fn movable(self) -> Result<Loaded, Error> {
        if self.state_format > STATE_FORMAT {
            return Err(Error::Busy(format!(
                "the state of instance {} can only be read by newer workers",
                self.instance.id
            )));
        }
        Ok(self)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = instances)]
struct InstanceRow {
    id: Uuid,
    definition: String,
    version: i32,
    status: String,
    revision: i64,
    key: Option<String>,
    queue: String,
    priority: i16,
    state_format: i16,
    branches: Legible,
    variables: Legible,
    input: Legible,
    output: Option<Legible>,
    error: Option<Legible>,
    #[diesel(deserialize_as = Moment)]
    started_at: Timestamp,
    started_by: Option<String>,
    user_id: Option<String>,
    ended_at: Option<Moment>,
    history_count: i64,
    history_hash: Vec<u8>,
    trace: Option<String>,
}

impl InstanceRow {
    fn loaded(self, now: Timestamp) -> Result<Loaded, Error> {
        let id = InstanceId(self.id);
        let unreadable = |what: &str| Error::Bug(format!("instance {id} has {what} that this binary cannot read"));
        let legible = |json: Legible| json.0.ok_or_else(|| unreadable("JSON"));
        let state = if self.state_format > STATE_FORMAT {
            State::default()
        } else {
            serde_json::from_value(legible(self.branches)?).map_err(|_| unreadable("branches"))?
        };
        let object = |value: Legible| -> Result<Map<String, Value>, Error> {
            if let Value::Object(fields) = legible(value)? { Ok(fields) } else { Err(unreadable("data")) }
        };
        let instance = Instance {
            id,
            definition: self.definition,
            version: self.version,
            status: Status::parse(&self.status).ok_or_else(|| unreadable("a status"))?,
            revision: self.revision,
            key: self.key,
            queue: self.queue,
            priority: self.priority,
            input: object(self.input)?,
            variables: object(self.variables)?,
            output: self.output.map(legible).transpose()?,
            error: self.error.map(legible).transpose()?.map(failure).transpose().map_err(|_| unreadable("an error"))?,
            state,
            history_count: self.history_count,
            history_hash: self.history_hash.try_into().map_err(|_| unreadable("a hash"))?,
            started_at: self.started_at,
            started_by: self.started_by,
            user_id: self.user_id,
            ended_at: self.ended_at.map(Timestamp::from),
            trace: self.trace,
        };
        Ok(Loaded { instance, now, state_format: self.state_format })
    }
}

fn failure(value: Value) -> serde_json::Result<Failure> {
    serde_json::from_value(value)
}

/// Reads an instance and the database's time.
///
/// # Errors
/// `Bug` if the row cannot be read.
pub async fn find(conn: &mut Connection, id: InstanceId) -> Result<Option<Loaded>, Error> {
    let row: Option<(InstanceRow, Moment)> = instances::table
        .find(id.0)
        .select((InstanceRow::as_select(), clock_timestamp()))
        .first(conn)
        .await
        .optional()?;
    row.map(|(row, now)| row.loaded(now.0)).transpose()
}

/// Reads several instances, in any order. One that cannot be read is left out: the others must not fail with it.
pub async fn find_each(conn: &mut Connection, ids: &[InstanceId]) -> Result<Vec<Loaded>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(InstanceRow, Moment)> = instances::table
        .filter(instances::id.eq_any(ids))
        .select((InstanceRow::as_select(), clock_timestamp()))
        .load(conn)
        .await?;
    let loaded = rows.into_iter().filter_map(|(row, now)| {
        let read = row.loaded(now.0);
        read.inspect_err(|error| tracing::error!(%error, "an instance is passed over that cannot be read")).ok()
    });
    Ok(loaded.collect())
}

/// Which of several instances have ended. Reads nothing else of them.
pub async fn find_ended(conn: &mut Connection, ids: &[InstanceId]) -> Result<Vec<InstanceId>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let ended = instances::table.filter(instances::id.eq_any(ids).and(instances::ended_at.is_not_null()));
    let ended: Vec<Uuid> = ended.select(instances::id).load(conn).await?;
    Ok(ended.into_iter().map(InstanceId).collect())
}

/// The queues for the step commands of several instances.
pub async fn step_queues(conn: &mut Connection, ids: &[InstanceId]) -> Result<HashMap<InstanceId, String>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = instances::table.filter(instances::id.eq_any(ids));
    let rows: Vec<(Uuid, String, i16)> =
        found.select((instances::id, instances::queue, instances::priority)).load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(id, queue, priority)| (InstanceId(id), step_queue(&queue, priority).into_owned()))
        .collect())
}

/// Reads an instance and locks it against writes until the transaction ends.
///
/// # Errors
/// As for [`find`] and [`Loaded::movable`]; `Busy` if the lock timeout expires.
pub async fn lock<C>(conn: &mut C, id: InstanceId) -> Result<Option<Loaded>, Error>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let row: Option<(InstanceRow, Moment)> = instances::table
        .find(id.0)
        .for_no_key_update()
        .select((InstanceRow::as_select(), clock_timestamp()))
        .first(conn)
        .await
        .optional()?;
    row.map(|(row, now)| row.loaded(now.0)?.movable()).transpose()
}

/// Locks an instance against writes until the transaction ends; false if it is locked already.
pub async fn lock_try(conn: &mut Connection, id: InstanceId) -> Result<bool, Error> {
    let row = instances::table.find(id.0).for_no_key_update().skip_locked().select(instances::id);
    Ok(row.first::<Uuid>(conn).await.optional()?.is_some())
}

/// The live instance of a definition with this business key.
pub async fn find_by_key(conn: &mut Connection, definition: &str, key: &str) -> Result<Option<InstanceId>, Error> {
    let id: Option<Uuid> = instances::table
        .filter(instances::definition.eq(definition).and(instances::key.eq(key)).and(instances::ended_at.is_null()))
        .select(instances::id)
        .first(conn)
        .await
        .optional()?;
    Ok(id.map(InstanceId))
}
