//! The items of bulk jobs: collected, claimed, and marked with their outcome.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use uuid::Uuid;

use super::DueJob;
use crate::contract::bulk::BulkItemView;
use crate::engine::InstanceId;
use crate::store::moment::Moment;
use crate::store::search::Found;
use crate::store::sql::Sql;
use crate::store::{Connection, Error, Transaction};

/// Seconds for which claimed items are left to their process.
const CLAIM_SECONDS: i32 = 60;
/// Seconds until an item is claimed again whose command could not be executed now.
const AGAIN_SECONDS: i32 = 2;
/// Seconds between two looks at a job whose items are all claimed.
const LOOK_SECONDS: i32 = 1;

/// How the command of an item ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The instance.
    pub instance: InstanceId,
    /// The outcome.
    pub state: ItemState,
    /// Why it was refused or failed, or what a rerun has started.
    pub detail: Option<String>,
}

/// The outcome of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ItemState {
    /// Its command was executed.
    Done,
    /// Its command was refused.
    Refused,
    /// Its command could not be executed after many attempts.
    Failed,
}

impl DueJob {
    /// Adds a page of matches to a job that collects and is locked. After the last one it runs.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn collect(&self, transaction: &mut Transaction, page: &Found) -> Result<(), Error> {
        let room = usize::try_from(self.items_max - self.collected).unwrap_or_default();
        let ids: Vec<Uuid> = page.ids.iter().take(room).map(|id| id.0).collect();
        let is_cut = page.ids.len() > room || (page.ids.len() == room && page.next.is_some());
        let cursor = page.next.filter(|_| !is_cut).map(|next| next.0);
        Collect::bind((self.id, ids, cursor, is_cut)).execute(&mut **transaction).await?;
        Ok(())
    }
}

struct Collect;

impl Sql for Collect {
    type Binds = (SqlUuid, Array<SqlUuid>, Nullable<SqlUuid>, Bool);
    type Row = ();
    const TEXT: &'static str = "
        WITH added AS (
            INSERT INTO leveret.bulk_items (job, instance_id) SELECT $1, unnest($2)
                ON CONFLICT DO NOTHING
            RETURNING true
        )
        UPDATE leveret.bulk_jobs
           SET collected = collected + (SELECT count(*) FROM added), cursor = $3, more = $4,
               state = CASE WHEN $3 IS NULL THEN 'running' ELSE 'collecting' END, due_at = clock_timestamp()
         WHERE id = $1";
}

/// Claims at most `limit` items of a job that runs and is locked, and makes the job due again as its pace allows. If no item is open the
/// job is done.
pub async fn claim_items(
    transaction: &mut Transaction,
    job: &DueJob,
    limit: i64,
) -> Result<Vec<(InstanceId, i32)>, Error> {
    let values = (job.id, limit, CLAIM_SECONDS);
    let claimed: Vec<(Uuid, i32)> = ClaimItems::bind(values).get_results(&mut **transaction).await?;
    let count = i32::try_from(claimed.len()).unwrap_or(i32::MAX);
    Pace::bind((job.id, count, LOOK_SECONDS)).execute(&mut **transaction).await?;
    Ok(claimed.into_iter().map(|(id, attempts)| (InstanceId(id), attempts)).collect())
}

struct ClaimItems;

impl Sql for ClaimItems {
    type Binds = (SqlUuid, BigInt, Integer);
    type Row = (SqlUuid, Integer);
    const TEXT: &'static str = "
        UPDATE leveret.bulk_items AS i
           SET claimed_until = clock_timestamp() + make_interval(secs => $3), attempts = attempts + 1
         WHERE job = $1 AND instance_id IN (
               SELECT instance_id FROM leveret.bulk_items
                WHERE job = $1 AND state = 'open' AND (claimed_until IS NULL OR claimed_until <= clock_timestamp())
                ORDER BY instance_id
                LIMIT $2
                  FOR UPDATE SKIP LOCKED)
        RETURNING instance_id, attempts";
}

struct Pace;

impl Sql for Pace {
    type Binds = (SqlUuid, Integer, Integer);
    type Row = ();
    // Without an open item the job has ended; without one that could be claimed it is looked at again.
    const TEXT: &'static str = "
        WITH open AS (SELECT FROM leveret.bulk_items WHERE job = $1 AND state = 'open' LIMIT 1)
        UPDATE leveret.bulk_jobs
           SET due_at = clock_timestamp() + CASE WHEN $2 = 0 THEN make_interval(secs => $3)
                                                 ELSE make_interval(secs => $2::double precision / pace) END,
               state = CASE WHEN EXISTS (SELECT FROM open) THEN state ELSE 'done' END,
               ended_at = CASE WHEN EXISTS (SELECT FROM open) THEN NULL ELSE clock_timestamp() END
         WHERE id = $1";
}

/// Marks items with their outcomes, and counts them in their job. One that has an outcome keeps it.
pub async fn mark_items(conn: &mut Connection, job: Uuid, ended: &[Ended]) -> Result<(), Error> {
    let ids: Vec<Uuid> = ended.iter().map(|item| item.instance.0).collect();
    let states: Vec<&str> = ended.iter().map(|item| item.state.into()).collect();
    let details: Vec<Option<&str>> = ended.iter().map(|item| item.detail.as_deref()).collect();
    MarkItems::bind((job, ids, states, details)).execute(conn).await?;
    Ok(())
}

struct MarkItems;

impl Sql for MarkItems {
    type Binds = (SqlUuid, Array<SqlUuid>, Array<Text>, Array<Nullable<Text>>);
    type Row = ();
    const TEXT: &'static str = "
        WITH ended AS (
            UPDATE leveret.bulk_items AS i
               SET state = e.state, detail = e.detail, ended_at = clock_timestamp(), claimed_until = NULL
              FROM unnest($2, $3, $4) AS e (instance_id, state, detail)
             WHERE i.job = $1 AND i.instance_id = e.instance_id AND i.state = 'open'
            RETURNING i.state
        )
        UPDATE leveret.bulk_jobs
           SET done = done + (SELECT count(*) FROM ended WHERE state = 'done'),
               refused = refused + (SELECT count(*) FROM ended WHERE state = 'refused'),
               failed = failed + (SELECT count(*) FROM ended WHERE state = 'failed')
         WHERE id = $1";
}

/// Leaves claimed items to a later claim: their commands could not be executed now.
pub async fn put_off_items(conn: &mut Connection, job: Uuid, instances: &[InstanceId]) -> Result<(), Error> {
    let ids: Vec<Uuid> = instances.iter().map(|id| id.0).collect();
    PutOffItems::bind((job, ids, AGAIN_SECONDS)).execute(conn).await?;
    Ok(())
}

struct PutOffItems;

impl Sql for PutOffItems {
    type Binds = (SqlUuid, Array<SqlUuid>, Integer);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.bulk_items SET claimed_until = clock_timestamp() + make_interval(secs => $3)
         WHERE job = $1 AND instance_id = ANY ($2) AND state = 'open'";
}

/// A page of the items of a job, by instance: those after `after`, with this state if one is given.
pub async fn list_items(
    conn: &mut Connection,
    job: Uuid,
    state: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<BulkItemView>, Error> {
    let rows: Vec<ItemRow> = ListItems::bind((job, state, after, limit)).get_results(conn).await?;
    let view = |row: ItemRow| BulkItemView {
        instance: row.instance_id,
        state: row.state,
        detail: row.detail,
        ended_at: row.ended_at.map(Timestamp::from),
    };
    Ok(rows.into_iter().map(view).collect())
}

#[derive(QueryableByName)]
struct ItemRow {
    #[diesel(sql_type = SqlUuid)]
    instance_id: Uuid,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    detail: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<Moment>,
}

struct ListItems;

impl Sql for ListItems {
    type Binds = (SqlUuid, Nullable<Text>, Nullable<SqlUuid>, BigInt);
    type Row = Untyped;
    const TEXT: &'static str = "
        SELECT instance_id, state, detail, ended_at FROM leveret.bulk_items
         WHERE job = $1 AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR instance_id > $3)
         ORDER BY instance_id
         LIMIT $4";
}

/// Deletes at most `limit` items of jobs that ended before a moment, and those jobs whose items are all deleted; returns how many items.
pub async fn delete_ended_before(conn: &mut Connection, moment: Timestamp, limit: i64) -> Result<usize, Error> {
    let items = DeleteItems::bind((Moment(moment), limit)).execute(conn).await?;
    DeleteJobs::bind((Moment(moment),)).execute(conn).await?;
    Ok(items)
}

struct DeleteItems;

impl Sql for DeleteItems {
    type Binds = (Timestamptz, BigInt);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.bulk_items WHERE (job, instance_id) IN (
            SELECT i.job, i.instance_id FROM leveret.bulk_jobs AS j JOIN leveret.bulk_items AS i ON i.job = j.id
             WHERE j.ended_at < $1
             LIMIT $2)";
}

struct DeleteJobs;

impl Sql for DeleteJobs {
    type Binds = (Timestamptz,);
    type Row = ();
    const TEXT: &'static str = "
        DELETE FROM leveret.bulk_jobs AS j
         WHERE ended_at < $1 AND NOT EXISTS (SELECT FROM leveret.bulk_items AS i WHERE i.job = j.id)";
}
