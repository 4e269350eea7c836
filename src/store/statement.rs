//! The one statement of a commit: everything in it is fed from the instance's own row, so that a lost race writes nothing.
//!
//! ```sql
//! WITH asked AS (INSERT INTO inbox …),        -- a start only: a repetition inserts nothing, and feeds nothing
//!      moved AS (UPDATE instances … WHERE id AND revision RETURNING id),     -- or INSERT, for a start
//!      noted AS (INSERT INTO history … FROM moved …),
//!      opened AS (INSERT INTO bookmarks … FROM moved …),
//!      sent AS (INSERT INTO outbox … FROM moved …)
//! SELECT clock_timestamp() FROM moved
//! ```
//!
//! Bookmarks that are finished and messages that are taken are guards of their own and do not belong here: inside one
//! statement a second guard does not see what the first waited for.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::{Map, Value};

use super::json::Json;
use super::moment::Moment;
use super::write::Write;
use super::{bookmarks, history, inbox, outbox};
use crate::engine::{Failure, Instance, STATE_FORMAT, State};

/// See above.
pub(super) struct Statement<'a> {
    asked: Option<inbox::Columns<'a>>,
    moved: Columns<'a>,
    noted: Option<history::Columns<'a>>,
    opened: Option<bookmarks::Columns<'a>>,
    sent: Option<outbox::Columns<'a>>,
}

/// The instance's own columns.
struct Columns<'a> {
    instance: &'a Instance,
    expected: Option<i64>,
    ready: bool,
    branches: Json<'a, State>,
    variables: Option<Json<'a, Map<String, Value>>>,
    input: Json<'a, Map<String, Value>>,
    output: Option<Json<'a, Value>>,
    error: Option<Json<'a, Failure>>,
    started_at: Moment,
    ended_at: Option<Moment>,
    status: &'static str,
}

impl<'a> Statement<'a> {
    /// The statement of a write; `asked` for a start that is fed from its inbox row.
    pub(super) fn new(write: &'a Write, asked: Option<inbox::Columns<'a>>) -> Self {
        let instance = &write.instance;
        Statement {
            asked,
            moved: Columns {
                instance,
                expected: write.expected,
                ready: instance.is_ready(),
                branches: Json(&instance.state),
                variables: write.variables_changed.then_some(Json(&instance.variables)),
                input: Json(&instance.input),
                output: instance.output.as_ref().map(Json),
                error: instance.error.as_ref().map(Json),
                started_at: Moment(instance.started_at),
                ended_at: instance.ended_at.map(Moment),
                status: instance.status.name(),
            },
            noted: (!write.history.is_empty()).then(|| history::Columns::new(&write.history)),
            opened: (!write.open.is_empty()).then(|| bookmarks::Columns::new(&write.open)),
            sent: (!write.outbox.is_empty()).then(|| outbox::Columns::new(&write.outbox)),
        }
    }
}

// The text depends on which parts there are, so it is the text that names the prepared statement.
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
            None => self.moved.insert(&mut out, self.asked.is_some())?,
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
            sent.walk(&mut out, "moved, ")?;
            out.push_sql(")");
        }
        out.push_sql(" SELECT clock_timestamp() FROM moved");
        Ok(())
    }
}

impl Columns<'_> {
    fn update<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE leveret.instances SET moved_at = now(), rechecked_at = NULL, recheck_for = 0, revision = ",
        );
        out.push_bind_param::<BigInt, _>(&self.instance.revision)?;
        out.push_sql(", status = ");
        out.push_bind_param::<Text, _>(&self.status)?;
        out.push_sql(", ready = ");
        out.push_bind_param::<Bool, _>(&self.ready)?;
        out.push_sql(", state_format = ");
        out.push_bind_param::<SmallInt, _>(&STATE_FORMAT)?;
        out.push_sql(", branches = ");
        out.push_bind_param::<Jsonb, _>(&self.branches)?;
        // What did not change is not sent, and not written again where it is kept apart for its size.
        out.push_sql(", variables = coalesce(");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.variables)?;
        out.push_sql(", variables), output = ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.output)?;
        out.push_sql(", error = ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.error)?;
        out.push_sql(", ended_at = ");
        out.push_bind_param::<Nullable<Timestamptz>, _>(&self.ended_at)?;
        out.push_sql(", history_count = ");
        out.push_bind_param::<BigInt, _>(&self.instance.history_count)?;
        out.push_sql(", history_hash = ");
        out.push_bind_param::<Binary, _>(&self.instance.history_hash)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<SqlUuid, _>(&self.instance.id.0)?;
        out.push_sql(" AND revision = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.expected)
    }

    fn insert<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, is_asked: bool) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO leveret.instances (moved_at, id, definition, version, status, revision, ready, key, queue, \
             priority, state_format, branches, variables, input, output, error, started_at, started_by, ended_at, \
             history_count, history_hash, trace) SELECT now(), ",
        );
        let instance = self.instance;
        out.push_bind_param::<SqlUuid, _>(&instance.id.0)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&instance.definition)?;
        out.push_sql(", ");
        out.push_bind_param::<Integer, _>(&instance.version)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.status)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&instance.revision)?;
        out.push_sql(", ");
        out.push_bind_param::<Bool, _>(&self.ready)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&instance.key)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&instance.queue)?;
        out.push_sql(", ");
        out.push_bind_param::<SmallInt, _>(&instance.priority)?;
        out.push_sql(", ");
        out.push_bind_param::<SmallInt, _>(&STATE_FORMAT)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.branches)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.variables)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.input)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.output)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Jsonb>, _>(&self.error)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.started_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&instance.started_by)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Timestamptz>, _>(&self.ended_at)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&instance.history_count)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&instance.history_hash)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&instance.trace)?;
        out.push_sql(if is_asked { " FROM asked" } else { "" });
        Ok(())
    }
}
