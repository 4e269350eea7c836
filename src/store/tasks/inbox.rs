//! Inboxes of users: pages of tasks, and their number. Each page is the head of a range of an index.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::{Connection, Error};
use super::filter::{After, Filter, Order};
use super::page::Page;
use crate::contract::api::{TaskCount, TaskSummary};

/// Tasks are counted up to this number; more are reported as `1000 or more`, which is fast.
pub const COUNT_MAX: i64 = 1_000;

/// A page of tasks.
pub async fn list(conn: &mut Connection, filter: &Filter) -> Result<Vec<TaskSummary>, Error> {
    type Columns = (
        Uuid,
        Uuid,
        Option<String>,
        String,
        String,
        i64,
        String,
        i16,
        Option<String>,
        Option<String>,
        Option<Moment>,
        bool,
        Option<Moment>,
        Moment,
        Option<Moment>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Columns> = Listing(Page::of(filter, filter.limit)).get_results(conn).await?;
    let summary = |columns: Columns| TaskSummary {
        id: columns.0,
        instance: columns.1,
        key: columns.2,
        definition: columns.3,
        activity: columns.4,
        revision: columns.5,
        title: columns.6,
        priority: columns.7,
        assignee: columns.8,
        claimed_by: columns.9,
        lease_until: columns.10.map(Timestamp::from),
        vote: columns.11,
        due_at: columns.12.map(Timestamp::from),
        opened_at: columns.13.0,
        closed_at: columns.14.map(Timestamp::from),
        state: state(columns.15),
        completed_by: columns.16,
    };
    Ok(rows.into_iter().map(summary).collect())
}

/// The state of a task, from its outcome.
pub(super) fn state(outcome: Option<String>) -> String {
    outcome.unwrap_or_else(|| "open".into())
}

/// How many tasks match a filter; the page is ignored.
pub async fn count(conn: &mut Connection, filter: &Filter) -> Result<TaskCount, Error> {
    let filter = Filter { after: None, ..filter.clone() };
    let count: i64 = Counting(Page::of(&filter, COUNT_MAX + 1)).get_result(conn).await?;
    Ok(TaskCount { count: count.min(COUNT_MAX), more: count > COUNT_MAX })
}

/// How the database finds a page: to analyse a slow inbox, and for tests.
pub async fn explain(conn: &mut Connection, filter: &Filter) -> Result<String, Error> {
    let lines: Vec<String> = Explaining(Listing(Page::of(filter, filter.limit))).get_results(conn).await?;
    Ok(lines.join("\n"))
}

/// The position after this task.
pub fn place(filter: &Filter, last: &TaskSummary) -> After {
    match (filter.closed, filter.order()) {
        (true, _) => After { priority: None, at: last.closed_at.unwrap_or(last.opened_at), id: last.id },
        (false, Order::Due) => After { priority: None, at: last.due_at.unwrap_or(last.opened_at), id: last.id },
        (false, Order::Priority) => After { priority: Some(last.priority), at: last.opened_at, id: last.id },
    }
}

struct Listing<'a>(Page<'a>);

// The text depends on the filters.
impl QueryId for Listing<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Listing<'_> {
    type SqlType = (
        SqlUuid,
        SqlUuid,
        Nullable<Text>,
        Text,
        Text,
        BigInt,
        Text,
        SmallInt,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Timestamptz>,
        Bool,
        Nullable<Timestamptz>,
        Timestamptz,
        Nullable<Timestamptz>,
        Nullable<Text>,
        Nullable<Text>,
    );
}

impl QueryFragment<Pg> for Listing<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT t.id, t.instance_id, t.instance_key, t.definition, t.activity, t.revision, t.title, t.priority,
             t.assignee, CASE WHEN t.lease_until > clock_timestamp() THEN t.claimed_by END,
             CASE WHEN t.lease_until > clock_timestamp() THEN t.lease_until END, t.vote, t.due_at, t.opened_at,
             t.closed_at, t.outcome, t.completed_by FROM (",
        );
        self.0.walk(&mut out)?;
        out.push_sql(") AS page JOIN leveret.tasks AS t ON t.id = page.id ORDER BY ");
        let order = self.0.order();
        out.push_sql(&order.split(", ").map(|column| format!("page.{column}")).collect::<Vec<_>>().join(", "));
        Ok(())
    }
}

struct Explaining<'a>(Listing<'a>);

impl QueryId for Explaining<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Explaining<'_> {
    type SqlType = Text;
}

impl QueryFragment<Pg> for Explaining<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("EXPLAIN ");
        self.0.walk_ast(out.reborrow())
    }
}

struct Counting<'a>(Page<'a>);

impl QueryId for Counting<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Counting<'_> {
    type SqlType = BigInt;
}

impl QueryFragment<Pg> for Counting<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk(&mut out)?;
        out.push_sql(") AS page");
        Ok(())
    }
}
