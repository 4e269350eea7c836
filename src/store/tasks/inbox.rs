//! Inboxes: which tasks there are for whom, page by page, and how many. Each page is the head of a range of an index.

use std::fmt;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::moment::Moment;
use super::super::{Connection, Error};
use super::page::Page;
use crate::contract::api::{TaskCount, TaskSummary};
use crate::engine::{InstanceId, Person};

/// Beyond this many, tasks are not counted: `1000 or more` is an answer, and a fast one.
pub const COUNT_MAX: i64 = 1_000;

/// Which tasks to list. What is left out filters nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Offered to this user, or to one of their groups, and neither excluded from nor claimed by somebody else; of closed
    /// ones, those the user has completed.
    pub person: Person,
    /// Closed ones instead of open ones.
    pub closed: bool,
    /// Of this definition.
    pub definition: Option<String>,
    /// Of this instance.
    pub instance: Option<InstanceId>,
    /// Of at least this priority.
    pub priority: Option<i16>,
    /// Due before this moment; they then come in the order of their due dates.
    pub due_before: Option<Timestamp>,
    /// In this order, of open ones.
    pub order: Order,
    /// After this one: the last of the page before.
    pub after: Option<After>,
    /// At most so many.
    pub limit: i64,
}

impl Filter {
    /// The order that is kept: what is due before a moment is a range of the index by due dates, and of no other.
    pub(super) fn order(&self) -> Order {
        if self.due_before.is_some() { Order::Due } else { self.order }
    }
}

/// The order of open tasks. Closed ones come newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The highest priority first, and of those the oldest.
    #[default]
    Priority,
    /// What is due first; without those that are never due.
    Due,
}

/// A place in a list, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Priority, where the list is ordered by it.
    pub(super) priority: Option<i16>,
    pub(super) at: Timestamp,
    pub(super) id: Uuid,
}

impl fmt::Display for After {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = self.priority.map(|priority| priority.to_string()).unwrap_or_default();
        write!(out, "{priority}_{}_{}", self.at.as_microsecond(), self.id.simple())
    }
}

impl After {
    /// The place a cursor stands for, if it is one.
    pub fn parse(cursor: &str) -> Option<After> {
        let mut parts = cursor.splitn(3, '_');
        let (priority, at, id) = (parts.next()?, parts.next()?, parts.next()?);
        let priority = if priority.is_empty() { None } else { Some(priority.parse().ok()?) };
        let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
        Some(After { priority, at, id: id.parse().ok()? })
    }
}

/// A user as a candidate.
pub(super) fn user(name: &str) -> String {
    format!("user:{name}")
}

/// A group as a candidate.
pub(super) fn group(name: &str) -> String {
    format!("group:{name}")
}

/// Everything a person is offered tasks as.
pub(super) fn candidates(person: &Person) -> Vec<String> {
    let own = (!person.user.is_empty()).then(|| user(&person.user));
    own.into_iter().chain(person.groups.iter().map(|name| group(name))).collect()
}

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

/// The state of a task, by its outcome.
pub(super) fn state(outcome: Option<String>) -> String {
    outcome.unwrap_or_else(|| "open".into())
}

/// How many tasks a filter lets through; the page is not asked for.
pub async fn count(conn: &mut Connection, filter: &Filter) -> Result<TaskCount, Error> {
    let filter = Filter { after: None, ..filter.clone() };
    let count: i64 = Counting(Page::of(&filter, COUNT_MAX + 1)).get_result(conn).await?;
    Ok(TaskCount { count: count.min(COUNT_MAX), more: count > COUNT_MAX })
}

/// How the database would find a page: for whoever wonders why an inbox is slow, and for tests.
pub async fn explain(conn: &mut Connection, filter: &Filter) -> Result<String, Error> {
    let lines: Vec<String> = Explaining(Listing(Page::of(filter, filter.limit))).get_results(conn).await?;
    Ok(lines.join("\n"))
}

/// The place to go on from after this one.
pub fn place(filter: &Filter, last: &TaskSummary) -> After {
    match (filter.closed, filter.order()) {
        (true, _) => After { priority: None, at: last.closed_at.unwrap_or(last.opened_at), id: last.id },
        (false, Order::Due) => After { priority: None, at: last.due_at.unwrap_or(last.opened_at), id: last.id },
        (false, Order::Priority) => After { priority: Some(last.priority), at: last.opened_at, id: last.id },
    }
}

struct Listing<'a>(Page<'a>);

// Which filters there are makes the text.
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
            "SELECT t.id, t.instance_id, t.instance_key, t.definition, t.activity, t.revision, t.title, t.priority, \
             t.assignee, CASE WHEN t.lease_until > clock_timestamp() THEN t.claimed_by END, \
             CASE WHEN t.lease_until > clock_timestamp() THEN t.lease_until END, t.vote, t.due_at, t.opened_at, \
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let at = "2026-11-24T10:00:00.123456Z".parse().unwrap();
        for priority in [None, Some(-5), Some(i16::MAX)] {
            let after = After { priority, at, id: Uuid::nil() };
            assert_eq!(After::parse(&after.to_string()), Some(after));
        }
        assert_eq!(After::parse("5"), None);
        assert_eq!(After::parse("5_x_y"), None);
    }
}
