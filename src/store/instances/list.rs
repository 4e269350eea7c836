//! Lists and counts instances.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::failure;
use crate::engine::{Failure, InstanceId, State, Status};
use crate::store::json::Legible;
use crate::store::moment::Moment;
use crate::store::schema::leveret::instances;
use crate::store::sql::Sql;
use crate::store::{Connection, Error};

/// Which instances to list. A field that is `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With this definition.
    pub definition: Option<String>,
    /// With this status.
    pub status: Option<Status>,
    /// With this business key.
    pub key: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// Started before this one: the last of the previous page.
    pub before: Option<InstanceId>,
    /// Maximum number of rows.
    pub limit: i64,
}

/// An instance in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The id.
    pub id: InstanceId,
    /// The definition's name.
    pub definition: String,
    /// The definition's version.
    pub version: i32,
    /// The status.
    pub status: Status,
    /// Number of commits.
    pub revision: i64,
    /// Whether a branch can take a step now.
    pub ready: bool,
    /// The business key.
    pub key: Option<String>,
    /// The queue of its step commands.
    pub queue: String,
    /// The activities of its branches.
    pub activities: Vec<String>,
    /// The failure of a failed or suspended instance.
    pub error: Option<Failure>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Time of the newest commit.
    pub moved_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Lists instances, newest first.
///
/// # Errors
/// `Bug` if a row cannot be read.
pub async fn list(conn: &mut Connection, filter: &Filter) -> Result<Vec<Summary>, Error> {
    let mut query = instances::table.order(instances::id.desc()).limit(filter.limit).into_boxed();
    if let Some(definition) = &filter.definition {
        query = query.filter(instances::definition.eq(definition));
    }
    if let Some(key) = &filter.key {
        query = query.filter(instances::key.eq(key));
    }
    if let Some(queue) = &filter.queue {
        query = query.filter(instances::queue.eq(queue));
    }
    if let Some(before) = filter.before {
        query = query.filter(instances::id.lt(before.0));
    }
    if let Some(status) = filter.status {
        query = query.filter(instances::status.eq(status.name()));
        if !status.has_ended() {
            // Redundant, but makes the index of live instances usable.
            query = query.filter(instances::ended_at.is_null());
        }
    }
    let rows: Vec<SummaryRow> = query.select(SummaryRow::as_select()).load(conn).await?;
    rows.into_iter().map(SummaryRow::summary).collect()
}

/// Several instances, newest first. One that was deleted meanwhile is left out.
///
/// # Errors
/// `Bug` if a row cannot be read.
pub async fn list_these(conn: &mut Connection, ids: &[InstanceId]) -> Result<Vec<Summary>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query = instances::table.filter(instances::id.eq_any(ids)).order(instances::id.desc());
    let rows: Vec<SummaryRow> = query.select(SummaryRow::as_select()).load(conn).await?;
    rows.into_iter().map(SummaryRow::summary).collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = instances)]
struct SummaryRow {
    id: Uuid,
    definition: String,
    version: i32,
    status: String,
    revision: i64,
    ready: bool,
    key: Option<String>,
    queue: String,
    branches: Legible,
    error: Option<Legible>,
    started_at: Moment,
    moved_at: Moment,
    ended_at: Option<Moment>,
}

impl SummaryRow {
    fn summary(self) -> Result<Summary, Error> {
        let id = InstanceId(self.id);
        let status =
            Status::parse(&self.status).ok_or_else(|| Error::Bug(format!("instance {id} has an unknown status")))?;
        // A list also shows instances whose state this binary cannot read, without that state.
        let state =
            self.branches.0.and_then(|branches| serde_json::from_value::<State>(branches).ok()).unwrap_or_default();
        Ok(Summary {
            id,
            definition: self.definition,
            version: self.version,
            status,
            revision: self.revision,
            ready: self.ready,
            key: self.key,
            queue: self.queue,
            activities: state.branches.into_iter().map(|branch| branch.activity).collect(),
            error: self.error.and_then(|error| failure(error.0?).ok()),
            started_at: self.started_at.0,
            moved_at: self.moved_at.0,
            ended_at: self.ended_at.map(Timestamp::from),
        })
    }
}

/// How many live instances each status has. Ended ones are not counted: there may be millions.
pub async fn count_by_status(conn: &mut Connection) -> Result<Vec<(Status, i64)>, Error> {
    let rows: Vec<(String, i64)> = CountLive::bind(()).get_results(conn).await?;
    Ok(rows.into_iter().filter_map(|(status, count)| Some((Status::parse(&status)?, count))).collect())
}

struct CountLive;

impl Sql for CountLive {
    type Binds = ();
    type Row = (Text, BigInt);
    const TEXT: &'static str = "
        SELECT status, count(*) FROM leveret.instances WHERE ended_at IS NULL GROUP BY status";
}
