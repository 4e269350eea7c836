//! Commands that may have ended the process that executed them: how often each was begun and did not end.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::moment::Moment;
use super::sql::Sql;
use super::{Connection, Error};
use crate::engine::InstanceId;

/// A command that is begun again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// SHA-256 of the command.
    pub id: [u8; 32],
    /// What it is, for people.
    pub what: String,
    /// The instance whose revision says whether the command got anywhere.
    pub instance: Option<InstanceId>,
    /// Sender and message id: a command that the inbox knows has been committed, and is not suspect.
    pub known_as: Option<(String, String)>,
}

/// Counts a command that is begun again; returns how often it was. None if it was committed before: it is forgotten then.
pub async fn count(conn: &mut Connection, suspect: &Suspect) -> Result<Option<u32>, Error> {
    let Suspect { id, what, instance, known_as } = suspect;
    let (app_id, message_id) = known_as.clone().unzip();
    let values = (id.as_slice(), what, instance.map(|id| id.0), app_id, message_id);
    let crashes: Option<i32> = Count::bind(values).get_result(conn).await.optional()?;
    Ok(crashes.map(|crashes| u32::try_from(crashes).unwrap_or_default()))
}

struct Count;

impl Sql for Count {
    type Binds = (Binary, Text, Nullable<SqlUuid>, Nullable<Text>, Nullable<Text>);
    type Row = Integer;
    const TEXT: &'static str = "
        WITH committed AS (SELECT FROM leveret.inbox WHERE app_id = $4 AND message_id = $5),
             forgotten AS (DELETE FROM leveret.suspects WHERE id = $1 AND EXISTS (SELECT FROM committed))
        INSERT INTO leveret.suspects AS known (id, what, crashes, revision)
        SELECT $1, $2, 1, (SELECT revision FROM leveret.instances WHERE id = $3)
         WHERE NOT EXISTS (SELECT FROM committed)
        ON CONFLICT (id) DO UPDATE
           SET crashes = CASE WHEN known.revision IS NOT DISTINCT FROM excluded.revision THEN known.crashes + 1 ELSE 1 END,
               revision = excluded.revision, seen_at = now()
        RETURNING known.crashes";
}

/// Forgets a command that has ended.
pub async fn delete(conn: &mut Connection, id: &[u8; 32]) -> Result<(), Error> {
    Delete::bind((id.as_slice(),)).execute(conn).await?;
    Ok(())
}

struct Delete;

impl Sql for Delete {
    type Binds = (Binary,);
    type Row = ();
    const TEXT: &'static str = "DELETE FROM leveret.suspects WHERE id = $1";
}

/// Deletes at most `limit` rows of commands that were last begun before `moment`; returns how many.
pub async fn delete_before(conn: &mut Connection, moment: Timestamp, limit: i64) -> Result<usize, Error> {
    Ok(DeleteBefore::bind((Moment(moment), limit)).execute(conn).await?)
}

struct DeleteBefore;

impl Sql for DeleteBefore {
    type Binds = (Timestamptz, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.suspects WHERE id IN (SELECT id FROM leveret.suspects WHERE seen_at < $1 LIMIT $2)";
}
