//! Calls in the form of the API.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::schema::leveret::calls;
use super::super::{Connection, Error};
use super::row::{self, CallRow};
use crate::contract::api::{CallSummary, CallView, Page};
use crate::engine::CallId;

/// The states of a call.
pub const STATES: [&str; 8] =
    ["pending", "running", "waiting", "reported", "unknown", "succeeded", "failed", "cancelled"];

/// Which calls to list, newest first. A field that is `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state; `open` for every call that has not ended.
    pub state: Option<String>,
    /// With this definition.
    pub definition: Option<String>,
    /// Of this instance.
    pub instance: Option<Uuid>,
    /// To this target.
    pub target: Option<String>,
    /// Before this one: the last of the previous page.
    pub before: Option<(Timestamp, Uuid)>,
    /// Maximum number of rows.
    pub limit: i64,
}

impl Filter {
    /// The position that a cursor encodes, if it is valid.
    pub fn place(cursor: &str) -> Option<(Timestamp, Uuid)> {
        let (at, id) = cursor.split_once('_')?;
        Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, id.parse().ok()?))
    }
}

/// What a list shows of a call.
#[derive(Queryable, Selectable)]
#[diesel(table_name = calls)]
struct SummaryRow {
    id: Uuid,
    instance_id: Uuid,
    instance_key: Option<String>,
    definition: String,
    activity: String,
    kind: String,
    target: String,
    state: String,
    attempt: i32,
    purpose: String,
    opened_at: Moment,
    begun_at: Option<Moment>,
    next_at: Option<Moment>,
    ended_at: Option<Moment>,
    #[diesel(select_expression = sql::<Nullable<Text>>("error->>'code'"))]
    #[diesel(select_expression_type = SqlLiteral<Nullable<Text>>)]
    code: Option<String>,
}

/// A page of calls.
pub async fn page(conn: &mut Connection, filter: &Filter) -> Result<Page<CallSummary>, Error> {
    let mut query = calls::table.into_boxed();
    match filter.state.as_deref() {
        None => {}
        Some("open") => query = query.filter(calls::ended_at.is_null()),
        Some(state) => query = query.filter(calls::state.eq(state.to_owned())),
    }
    if let Some(definition) = &filter.definition {
        query = query.filter(calls::definition.eq(definition));
    }
    if let Some(instance) = filter.instance {
        query = query.filter(calls::instance_id.eq(instance));
    }
    if let Some(target) = &filter.target {
        query = query.filter(calls::target.eq(target));
    }
    if let Some((at, id)) = filter.before {
        let at = Moment(at);
        query = query.filter(calls::opened_at.lt(at).or(calls::opened_at.eq(at).and(calls::id.lt(id))));
    }
    // Requests and responses take megabytes each: a list reads neither.
    let rows: Vec<SummaryRow> = query
        .order((calls::opened_at.desc(), calls::id.desc()))
        .limit(filter.limit)
        .select(SummaryRow::as_select())
        .load(conn)
        .await?;
    let cursor = |row: &SummaryRow| format!("{}_{}", row.opened_at.0.as_microsecond(), row.id.simple());
    Ok(Page::of(rows, filter.limit, cursor, summary))
}

/// How many calls are open in each state; states without calls are left out.
pub async fn count_open(conn: &mut Connection) -> Result<Vec<(String, i64)>, Error> {
    let open = calls::table.filter(calls::ended_at.is_null()).group_by(calls::state);
    Ok(open.select((calls::state, diesel::dsl::count_star())).load(conn).await?)
}

/// One call with all details.
pub async fn view(conn: &mut Connection, id: CallId) -> Result<Option<CallView>, Error> {
    let found = calls::table.find(id.0).select((SummaryRow::as_select(), CallRow::as_select()));
    let found: Option<(SummaryRow, CallRow)> = found.first(conn).await.optional()?;
    Ok(found.map(|(brief, row)| CallView {
        summary: summary(brief),
        request: row.request.0,
        probe: row.probe.map(Value::from),
        callback: row.callback,
        timeout_ms: row.timeout_ms,
        heartbeat_ms: row.heartbeat_ms,
        until: row.until.map(Timestamp::from),
        limits: row.limits.map(Value::from),
        result: row.result.map(Value::from),
        error: row.error.map(Value::from),
        outcome: row.outcome.map(Value::from),
        progress: row.progress.map(Value::from),
        late: row.late.map(Value::from),
    }))
}

fn summary(row: SummaryRow) -> CallSummary {
    CallSummary {
        id: row.id,
        instance: row.instance_id,
        key: row.instance_key,
        definition: row.definition,
        activity: row.activity,
        kind: row.kind,
        target: row.target,
        state: row.state,
        attempt: row::count(row.attempt),
        probing: row.purpose == "probe",
        opened_at: row.opened_at.0,
        begun_at: row.begun_at.map(Timestamp::from),
        due_at: row.next_at.map(Timestamp::from),
        ended_at: row.ended_at.map(Timestamp::from),
        code: row.code,
    }
}
