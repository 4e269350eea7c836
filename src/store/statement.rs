//! The one statement of a commit: all of its parts depend on the row of the instance, so that a lost race writes nothing.
//!
//! ```sql
//! WITH asked AS (INSERT INTO inbox …),        -- only for a start: a repetition inserts nothing, so the rest writes nothing
//!      moved AS (UPDATE instances … WHERE id AND revision RETURNING id),     -- or INSERT, for a start
//!      noted AS (INSERT INTO history … FROM moved …),
//!      opened AS (INSERT INTO bookmarks … FROM moved …),
//!      sent AS (INSERT INTO outbox … FROM moved …),
//!      searched AS (INSERT INTO search_attributes … FROM moved … ON CONFLICT …)
//! SELECT clock_timestamp() FROM moved
//! ```
//!
//! Finished bookmarks and taken messages are guards of their own and do not belong here: inside of one statement the
//! second guard does not see the changes that the first one waited for.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::{Map, Value};

use super::bookmarks::BookmarkColumns;
use super::history::HistoryColumns;
use super::inbox::InboxColumns;
use super::json::Json;
use super::moment::Moment;
use super::outbox::{Feed, OutboxColumns};
use super::search::SearchColumns;
use super::sql::Part;
use super::write::Write;
use crate::engine::{Failure, Instance, STATE_FORMAT, State};
use crate::seeded::{self, Bug};

/// The statement with its values; see the module.
pub(super) struct Statement<'a> {
    asked: Option<InboxColumns<'a>>,
    moved: InstanceColumns<'a>,
    noted: Option<HistoryColumns<'a>>,
    opened: Option<BookmarkColumns<'a>>,
    sent: Option<OutboxColumns<'a>>,
    searched: Option<SearchColumns<'a>>,
}

/// Columns of the instance itself.
struct InstanceColumns<'a> {
    instance: &'a Instance,
    expected: Option<i64>,
    ready: bool,
    branches: Json<'a, State>,
    variables: Option<Json<'a, Map<String, Value>>>,
    /// The queue, if it has changed.
    queue: Option<&'a str>,
    input: Json<'a, Map<String, Value>>,
    output: Option<Json<'a, Value>>,
    error: Option<Json<'a, Failure>>,
    started_at: Moment,
    ended_at: Option<Moment>,
    status: &'static str,
    counted: bool,
    counted_sender: Option<&'a str>,
}

impl<'a> Statement<'a> {
    /// The statement of a write; `asked` for a start that depends on its inbox row.
    pub(super) fn new(write: &'a Write, asked: Option<InboxColumns<'a>>) -> Self {
        let instance = &write.instance;
        Statement {
            asked,
            moved: InstanceColumns {
                instance,
                expected: write.expected,
                ready: instance.is_ready(),
                branches: Json(&instance.state),
                variables: write.variables_changed.then_some(Json(&instance.variables)),
                queue: write.queue_changed.then_some(instance.queue.as_str()),
                input: Json(&instance.input),
                output: instance.output.as_ref().map(Json),
                error: instance.error.as_ref().map(Json),
                started_at: Moment(instance.started_at),
                ended_at: instance.ended_at.map(Moment),
                status: instance.status.name(),
                counted: write.counted,
                counted_sender: write.counted_sender.as_deref(),
            },
            noted: (!write.history.is_empty() && !seeded::is(Bug::HistoryLeftOut))
                .then(|| HistoryColumns::new(&write.history)),
            opened: (!write.open.is_empty()).then(|| BookmarkColumns::new(&write.open)),
            sent: (!write.outbox.is_empty() && !seeded::is(Bug::OutboxInMemoryOnly))
                .then(|| OutboxColumns::new(&write.outbox)),
            searched: (!write.search.is_empty()).then(|| SearchColumns::new(&write.search)),
        }
    }
}

// The text depends on the parts present, so the text names the prepared statement. It is put together and not written
// out: three optional parts and the forms of the other two would make more than twenty texts.
impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Timestamptz;
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        if let Some(asked) = &self.asked {
            out.push_sql("asked AS (");
            asked.walk(&mut out)?;
            out.push_sql(" RETURNING true), ");
        }
        out.push_sql("moved AS (");
        match self.moved.expected {
            Some(_) => self.moved.update(&mut out)?,
            None => {
                self.moved.insert(&mut out)?;
                if self.asked.is_some() {
                    out.push_sql(" FROM asked");
                }
            }
        }
        out.push_sql(" RETURNING id)");
        if let Some(noted) = &self.noted {
            out.push_sql(", noted AS (");
            noted.walk(&mut out)?;
            out.push_sql(")");
        }
        if let Some(opened) = &self.opened {
            out.push_sql(", opened AS (");
            opened.walk(&mut out)?;
            out.push_sql(")");
        }
        if let Some(sent) = &self.sent {
            out.push_sql(", sent AS (");
            sent.walk(&mut out, Feed::Moved)?;
            out.push_sql(")");
        }
        if let Some(searched) = &self.searched {
            out.push_sql(", searched AS (");
            searched.walk(&mut out)?;
            out.push_sql(")");
        }
        out.push_sql(" SELECT clock_timestamp() FROM moved");
        Ok(())
    }
}

/// Unchanged variables are not sent, and not written again: large ones are stored outside of the row.
const UPDATE: &str = "
UPDATE leveret.instances
   SET moved_at = now(), rechecked_at = NULL, recheck_for = 0,
       revision = $1, status = $2, ready = $3, state_format = $4, branches = $5, variables = coalesce($6, variables),
       output = $7, error = $8, ended_at = $9, history_count = $10, history_hash = $11
 WHERE id = $12 AND revision = $13";

/// The same for an operation that also changes the queue or the priority: steps do not, and need not send it.
const UPDATE_WITH_QUEUE: &str = "
UPDATE leveret.instances
   SET moved_at = now(), rechecked_at = NULL, recheck_for = 0,
       revision = $1, status = $2, ready = $3, state_format = $4, branches = $5, variables = coalesce($6, variables),
       output = $7, error = $8, ended_at = $9, history_count = $10, history_hash = $11, queue = $12, priority = $13
 WHERE id = $14 AND revision = $15";

const INSERT: &str = "
INSERT INTO leveret.instances (moved_at, id, definition, version, status, revision, ready, key, queue, priority,
                               state_format, branches, variables, input, output, error, started_at, started_by,
                               user_id, ended_at, history_count, history_hash, trace, counted, counted_sender)
SELECT now(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
       $24";

impl InstanceColumns<'_> {
    fn update<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let update = if self.queue.is_some() { UPDATE_WITH_QUEUE } else { UPDATE };
        let update = seeded::text(update, Bug::RevisionNotCompared, "AND revision = $", "AND 0 <= $");
        let mut part = Part::new(update, out);
        part.bind::<BigInt, _>(&self.instance.revision)?;
        part.bind::<Text, _>(&self.status)?;
        part.bind::<Bool, _>(&self.ready)?;
        part.bind::<SmallInt, _>(&STATE_FORMAT)?;
        part.bind::<Jsonb, _>(&self.branches)?;
        part.bind::<Nullable<Jsonb>, _>(&self.variables)?;
        part.bind::<Nullable<Jsonb>, _>(&self.output)?;
        part.bind::<Nullable<Jsonb>, _>(&self.error)?;
        part.bind::<Nullable<Timestamptz>, _>(&self.ended_at)?;
        part.bind::<BigInt, _>(&self.instance.history_count)?;
        part.bind::<Binary, _>(&self.instance.history_hash)?;
        if let Some(queue) = self.queue {
            part.bind::<Text, _>(queue)?;
            part.bind::<SmallInt, _>(&self.instance.priority)?;
        }
        part.bind::<SqlUuid, _>(&self.instance.id.0)?;
        part.bind::<Nullable<BigInt>, _>(&self.expected)?;
        part.end()
    }

    fn insert<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let instance = self.instance;
        let mut part = Part::new(INSERT, out);
        part.bind::<SqlUuid, _>(&instance.id.0)?;
        part.bind::<Text, _>(&instance.definition)?;
        part.bind::<Integer, _>(&instance.version)?;
        part.bind::<Text, _>(&self.status)?;
        part.bind::<BigInt, _>(&instance.revision)?;
        part.bind::<Bool, _>(&self.ready)?;
        part.bind::<Nullable<Text>, _>(&instance.key)?;
        part.bind::<Text, _>(&instance.queue)?;
        part.bind::<SmallInt, _>(&instance.priority)?;
        part.bind::<SmallInt, _>(&STATE_FORMAT)?;
        part.bind::<Jsonb, _>(&self.branches)?;
        part.bind::<Nullable<Jsonb>, _>(&self.variables)?;
        part.bind::<Jsonb, _>(&self.input)?;
        part.bind::<Nullable<Jsonb>, _>(&self.output)?;
        part.bind::<Nullable<Jsonb>, _>(&self.error)?;
        part.bind::<Timestamptz, _>(&self.started_at)?;
        part.bind::<Nullable<Text>, _>(&instance.started_by)?;
        part.bind::<Nullable<Text>, _>(&instance.user_id)?;
        part.bind::<Nullable<Timestamptz>, _>(&self.ended_at)?;
        part.bind::<BigInt, _>(&instance.history_count)?;
        part.bind::<Binary, _>(&instance.history_hash)?;
        part.bind::<Nullable<Text>, _>(&instance.trace)?;
        part.bind::<Bool, _>(&self.counted)?;
        part.bind::<Nullable<Text>, _>(&self.counted_sender)?;
        part.end()
    }
}
