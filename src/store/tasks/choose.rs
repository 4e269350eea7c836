//! Who is given a task, and which task somebody is given next.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::super::{Connection, Error};
use super::inbox;
use crate::definition::AssignBy;
use crate::engine::{Assignment, InstanceId, Person, TaskId};

/// Tasks at the head of one candidate's inbox that are looked at: more people than can ask at the same moment.
const HEAD_MAX: i64 = 100;

/// How high each user stands, by turns or by load. The lock of that must be held ([`super::lock_assignment`]), and this must
/// be a later statement than the lock.
pub async fn standing(
    conn: &mut Connection,
    definition: &str,
    asked: &Assignment,
) -> Result<Vec<(String, i64)>, Error> {
    let users = &asked.users;
    Ok(match asked.strategy {
        AssignBy::LeastLoaded => Load { users }.get_results(conn).await?,
        AssignBy::RoundRobin | AssignBy::Random | AssignBy::Previous => {
            Turns { definition, activity: &asked.activity, users }.get_results(conn).await?
        }
    })
}

struct Load<'a> {
    users: &'a [String],
}

impl QueryId for Load<'_> {
    type QueryId = Load<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Load<'_> {
    type SqlType = (Text, BigInt);
}

impl QueryFragment<Pg> for Load<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // User by user through the index of what is assigned.
        out.push_sql("SELECT asked.username, (SELECT count(*) FROM leveret.tasks AS t WHERE t.open AND t.assignee = asked.username) FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(") AS asked (username)");
        Ok(())
    }
}

struct Turns<'a> {
    definition: &'a str,
    activity: &'a str,
    users: &'a [String],
}

impl QueryId for Turns<'_> {
    type QueryId = Turns<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Turns<'_> {
    type SqlType = (Text, BigInt);
}

impl QueryFragment<Pg> for Turns<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT username, turn FROM leveret.task_turns WHERE definition = ");
        out.push_bind_param::<Text, _>(&self.definition)?;
        out.push_sql(" AND activity = ");
        out.push_bind_param::<Text, _>(&self.activity)?;
        out.push_sql(" AND username = ANY(");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql(")");
        Ok(())
    }
}

/// Puts a user at the end of the turns of an activity.
pub(super) async fn take_turn(
    conn: &mut Connection,
    definition: &str,
    activity: &str,
    user: &str,
) -> Result<bool, Error> {
    let changed = diesel::sql_query(
        "INSERT INTO leveret.task_turns (definition, activity, username, turn) \
         VALUES ($1, $2, $3, nextval('leveret.task_turn')) \
         ON CONFLICT (definition, activity, username) DO UPDATE SET turn = excluded.turn",
    )
    .bind::<Text, _>(definition)
    .bind::<Text, _>(activity)
    .bind::<Text, _>(user)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// The task a person should do next (highest priority, then oldest first) that nobody else is about to take; locked until the
/// transaction ends. What `passed_over` names is not looked at.
pub async fn claim_next(
    conn: &mut Connection,
    person: &Person,
    definition: Option<&str>,
    passed_over: &[TaskId],
) -> Result<Option<(TaskId, InstanceId)>, Error> {
    let next = ClaimNext {
        user: &person.user,
        candidates: inbox::candidates(person),
        definition,
        passed_over: passed_over.iter().map(|id| id.0).collect(),
    };
    let found: Option<(Uuid, Uuid)> = next.get_result(conn).await.optional()?;
    Ok(found.map(|(task, instance)| (TaskId(task), InstanceId(instance))))
}

struct ClaimNext<'a> {
    user: &'a str,
    candidates: Vec<String>,
    definition: Option<&'a str>,
    passed_over: Vec<Uuid>,
}

impl QueryId for ClaimNext<'_> {
    type QueryId = ClaimNext<'static>;
    // With and without a definition it is another text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for ClaimNext<'_> {
    type SqlType = (SqlUuid, SqlUuid);
}

impl QueryFragment<Pg> for ClaimNext<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The head of each candidate's range of the index, then the first of them that nobody has locked.
        out.push_sql("SELECT t.id, t.instance_id FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.candidates)?;
        out.push_sql(
            ") AS mine (candidate) CROSS JOIN LATERAL (SELECT c.task_id, c.rank, c.opened_at \
             FROM leveret.task_candidates AS c JOIN leveret.tasks AS free ON free.id = c.task_id \
             JOIN leveret.instances AS i ON i.id = free.instance_id AND i.status <> 'suspended' WHERE c.candidate = mine.candidate AND free.open AND NOT free.vote \
             AND (free.claimed_by IS NULL OR free.lease_until <= clock_timestamp())",
        );
        out.push_sql(" AND NOT (");
        out.push_bind_param::<Text, _>(&self.user)?;
        out.push_sql(" = ANY (free.excluded)) AND c.task_id <> ALL (");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.passed_over)?;
        out.push_sql(")");
        if let Some(definition) = &self.definition {
            out.push_sql(" AND c.definition = ");
            out.push_bind_param::<Text, _>(definition)?;
        }
        out.push_sql(" ORDER BY c.rank, c.opened_at, c.task_id LIMIT ");
        out.push_bind_param::<BigInt, _>(&HEAD_MAX)?;
        // Asked again of the row that is locked: it may have been claimed since the head was read.
        out.push_sql(
            ") AS head JOIN leveret.tasks AS t ON t.id = head.task_id WHERE t.open \
             AND (t.claimed_by IS NULL OR t.lease_until <= clock_timestamp()) \
             ORDER BY head.rank, head.opened_at, head.task_id LIMIT 1 FOR NO KEY UPDATE OF t SKIP LOCKED",
        );
        Ok(())
    }
}
