//! Assigns tasks: candidates of an assignment, and the next task of a user.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::super::sql::Sql;
use super::super::{Connection, Error};
use super::filter::candidates;
use crate::definition::AssignBy;
use crate::engine::{Assignment, InstanceId, Person, TaskId};

/// Tasks at the head of one candidate's inbox that are read: more than the number of concurrent callers.
const HEAD_MAX: i64 = 100;

/// The turn or load of each user. The lock of the assignment must be held ([`super::lock_assignment`]), and this must
/// be a later statement than the lock.
pub async fn standing(
    conn: &mut Connection,
    definition: &str,
    asked: &Assignment,
) -> Result<Vec<(String, i64)>, Error> {
    let users = &asked.users;
    Ok(match asked.strategy {
        AssignBy::LeastLoaded => Load::bind((users,)).get_results(conn).await?,
        AssignBy::RoundRobin | AssignBy::Random | AssignBy::Previous => {
            Turns::bind((definition, &asked.activity, users)).get_results(conn).await?
        }
    })
}

struct Load;

impl Sql for Load {
    type Binds = (Array<Text>,);
    type Row = (Text, BigInt);
    // User by user through the index of assigned tasks.
    const TEXT: &'static str = "
        SELECT asked.username, (SELECT count(*) FROM leveret.tasks AS t WHERE t.open AND t.assignee = asked.username)
          FROM unnest($1) AS asked (username)";
}

struct Turns;

impl Sql for Turns {
    type Binds = (Text, Text, Array<Text>);
    type Row = (Text, BigInt);
    const TEXT: &'static str = "
        SELECT username, turn
          FROM leveret.task_turns
         WHERE definition = $1 AND activity = $2 AND username = ANY ($3)";
}

/// Puts a user at the end of the round robin of an activity.
pub(super) async fn take_turn(
    conn: &mut Connection,
    definition: &str,
    activity: &str,
    user: &str,
) -> Result<bool, Error> {
    let changed = TakeTurn::bind((definition, activity, user)).execute(conn).await?;
    Ok(changed == 1)
}

struct TakeTurn;

impl Sql for TakeTurn {
    type Binds = (Text, Text, Text);
    type Row = ();
    const TEXT: &'static str = "
        INSERT INTO leveret.task_turns (definition, activity, username, turn)
        VALUES ($1, $2, $3, nextval('leveret.task_turn'))
        ON CONFLICT (definition, activity, username) DO UPDATE SET turn = excluded.turn";
}

/// The task a person should do next (highest priority, then oldest first) that is not locked by another caller; locked
/// until the transaction ends. Tasks in `passed_over` are skipped.
pub async fn claim_next(
    conn: &mut Connection,
    person: &Person,
    definition: Option<&str>,
    passed_over: &[TaskId],
) -> Result<Option<(TaskId, InstanceId)>, Error> {
    // Not `$5 IS NULL OR …`: the definition is a column of the index.
    let only = definition.map_or("", |_| "AND c.definition = $5");
    let text = ClaimNext::TEXT.replace("{definition}", only);
    let passed_over: Vec<Uuid> = passed_over.iter().map(|id| id.0).collect();
    let next = ClaimNext::bind_text(text, (candidates(person), &person.user, passed_over, HEAD_MAX, definition));
    let found: Option<(Uuid, Uuid)> = next.get_result(conn).await.optional()?;
    Ok(found.map(|(task, instance)| (TaskId(task), InstanceId(instance))))
}

struct ClaimNext;

impl Sql for ClaimNext {
    type Binds = (Array<Text>, Text, Array<SqlUuid>, BigInt, Nullable<Text>);
    type Row = (SqlUuid, SqlUuid);
    const TEXT: &'static str = include_str!("claim_next.sql");
}
