//! The ids of one page of an inbox: from ranges of indexes, read from the end of the previous page.

use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::super::moment::Moment;
use super::filter::{Filter, Order, candidates};

/// The ids of a page, in their order.
pub(super) struct Page<'a> {
    filter: &'a Filter,
    candidates: Vec<String>,
    rank: Option<i32>,
    after: Option<(i32, Moment, Uuid)>,
    due_before: Option<Moment>,
    limit: i64,
}

/// Where the rows of a page come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Open tasks offered to a person.
    Offered,
    /// All open tasks.
    Open,
    /// Closed tasks.
    Closed,
}

impl<'a> Page<'a> {
    pub(super) fn of(filter: &'a Filter, limit: i64) -> Self {
        let rank = |priority: i16| -i32::from(priority);
        Page {
            filter,
            candidates: candidates(&filter.person),
            rank: filter.priority.map(rank),
            after: filter.after.map(|after| (after.priority.map_or(0, rank), Moment(after.at), after.id)),
            due_before: filter.due_before.map(Moment),
            limit,
        }
    }

    fn source(&self) -> Source {
        match (self.filter.closed, self.candidates.is_empty()) {
            (true, _) => Source::Closed,
            (false, true) => Source::Open,
            (false, false) => Source::Offered,
        }
    }

    pub(super) fn order(&self) -> &'static str {
        match (self.source(), self.filter.order()) {
            (Source::Closed, _) => "at DESC, id DESC",
            (Source::Open | Source::Offered, Order::Due) => "at, id",
            (Source::Open | Source::Offered, Order::Priority) => "rank, at, id",
        }
    }

    /// `SELECT rank, at, id …` of at most `limit` rows.
    pub(super) fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self.source() {
            Source::Offered => {
                // Candidate by candidate: each is a range of one index, read from the end of the previous page.
                out.push_sql("SELECT DISTINCT found.rank, found.at, found.id FROM unnest(");
                out.push_bind_param::<Array<Text>, _>(&self.candidates)?;
                out.push_sql(") AS mine (candidate) CROSS JOIN LATERAL (SELECT c.rank, ");
                out.push_sql(if self.filter.order() == Order::Due { "c.due_at" } else { "c.opened_at" });
                out.push_sql(
                    " AS at, c.task_id AS id FROM leveret.task_candidates AS c JOIN leveret.tasks AS t ON t.id = c.task_id
                     WHERE c.candidate = mine.candidate AND t.open AND NOT (",
                );
                out.push_bind_param::<Text, _>(&self.filter.person.user)?;
                out.push_sql(" = ANY (t.excluded)) AND (t.claimed_by IS NULL OR t.lease_until <= clock_timestamp() OR t.claimed_by = ");
                out.push_bind_param::<Text, _>(&self.filter.person.user)?;
                out.push_sql(")");
                self.filters(out, "c", "task_id")?;
                out.push_sql(" ORDER BY ");
                self.ordered(out, "c", "task_id");
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(&self.limit)?;
                out.push_sql(") AS found");
            }
            Source::Open | Source::Closed => {
                let at = match (self.source(), self.filter.order()) {
                    (Source::Closed, _) => "closed_at",
                    (Source::Open | Source::Offered, Order::Due) => "due_at",
                    (Source::Open | Source::Offered, Order::Priority) => "opened_at",
                };
                out.push_sql("SELECT t.rank, t.");
                out.push_sql(at);
                out.push_sql(" AS at, t.id FROM leveret.tasks AS t WHERE ");
                out.push_sql(if self.filter.closed { "NOT t.open" } else { "t.open" });
                if self.filter.closed && !self.filter.person.user.is_empty() {
                    out.push_sql(" AND t.completed_by = ");
                    out.push_bind_param::<Text, _>(&self.filter.person.user)?;
                }
                self.filters(out, "t", "id")?;
            }
        }
        out.push_sql(" ORDER BY ");
        out.push_sql(self.order());
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    fn ordered(&self, out: &mut AstPass<'_, '_, Pg>, table: &str, id: &str) {
        match self.filter.order() {
            Order::Priority => out.push_sql(&format!("{table}.rank, {table}.opened_at, {table}.{id}")),
            Order::Due => out.push_sql(&format!("{table}.due_at, {table}.{id}")),
        }
    }

    fn filters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, table: &str, id: &str) -> QueryResult<()> {
        if let Some(definition) = &self.filter.definition {
            out.push_sql(&format!(" AND {table}.definition = "));
            out.push_bind_param::<Text, _>(definition)?;
        }
        if let Some(rank) = &self.rank {
            out.push_sql(&format!(" AND {table}.rank <= "));
            out.push_bind_param::<Integer, _>(rank)?;
        }
        if let Some(instance) = &self.filter.instance {
            out.push_sql(" AND t.instance_id = ");
            out.push_bind_param::<SqlUuid, _>(&instance.0)?;
        }
        if let Some(due_before) = &self.due_before {
            out.push_sql(&format!(" AND {table}.due_at < "));
            out.push_bind_param::<Timestamptz, _>(due_before)?;
        }
        if self.filter.order() == Order::Due && !self.filter.closed {
            out.push_sql(&format!(" AND {table}.due_at IS NOT NULL"));
        }
        let Some((rank, at, last)) = &self.after else { return Ok(()) };
        match (self.filter.closed, self.filter.order()) {
            (true, _) => out.push_sql(" AND (t.closed_at, t.id) < ("),
            (false, Order::Due) => out.push_sql(&format!(" AND ({table}.due_at, {table}.{id}) > (")),
            (false, Order::Priority) => {
                out.push_sql(&format!(" AND ({table}.rank, {table}.opened_at, {table}.{id}) > ("));
                out.push_bind_param::<Integer, _>(rank)?;
                out.push_sql(", ");
            }
        }
        out.push_bind_param::<Timestamptz, _>(at)?;
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(last)?;
        out.push_sql(")");
        Ok(())
    }
}
