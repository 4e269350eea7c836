//! Bulk jobs and their items. Every process with the role `bulk` claims what is due; a job is locked only for as long as that takes.

mod items;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::json::{Document, Json};
use super::locks::{lock_all, lock_number};
use super::moment::Moment;
use super::sql::Sql;
use super::{Connection, Error, Transaction, refuse_unfit};
use crate::contract::bulk::BulkView;

pub use items::{Ended, ItemState, claim_items, delete_ended_before, list_items, mark_items, put_off_items};

/// Jobs that have not ended, at most.
pub const LIVING_MAX: i64 = 20;

/// A new job.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of the request.
    pub body_hash: [u8; 32],
    /// The name of the operation.
    pub operation: String,
    /// Its arguments.
    pub arguments: Value,
    /// The filter as it was written.
    pub filter: String,
    /// The person who acts.
    pub actor: Option<String>,
    /// Where the request came from.
    pub sender: String,
    /// The reason.
    pub reason: Option<String>,
    /// Items per second.
    pub pace: i32,
    /// The most items.
    pub items_max: i64,
}

/// How the start of a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored.
    New,
    /// The same request was stored before.
    Again,
    /// Another request has the same idempotency key.
    Reused,
    /// [`LIVING_MAX`] jobs have not ended.
    TooMany,
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueJob {
    /// Its id.
    pub id: Uuid,
    /// The name of the operation.
    pub operation: String,
    /// Its arguments.
    pub arguments: Value,
    /// The filter.
    pub filter: String,
    /// The person who acts.
    pub actor: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// Items per second.
    pub pace: i32,
    /// The most items.
    pub items_max: i64,
    /// Whether it still collects its items.
    pub collects: bool,
    /// When it was started: ages in its filter count from here.
    pub created_at: Timestamp,
    /// While it collects: the last instance looked at.
    pub cursor: Option<Uuid>,
    /// Its items so far.
    pub collected: i64,
}

/// What a person does with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Claim no more items until it is resumed.
    Pause,
    /// Claim items again.
    Resume,
    /// End it: what is open stays undone.
    Abort,
}

/// Stores a job, once for each id.
pub async fn insert(transaction: &mut Transaction, job: &NewJob) -> Result<Inserted, Error> {
    refuse_unfit(&job.arguments).map_err(|problem| Error::Bug(format!("a bulk job cannot be stored: {problem}")))?;
    lock_all(transaction, vec![lock_number(&[b"bulk jobs"])]).await?;
    let known: Option<Hash> = KnownJob::bind((job.id,)).get_result(&mut **transaction).await.optional()?;
    if let Some(known) = known {
        return Ok(if known.body_hash == job.body_hash { Inserted::Again } else { Inserted::Reused });
    }
    let living: i64 = CountLiving::bind(()).get_result(&mut **transaction).await?;
    if living >= LIVING_MAX {
        return Ok(Inserted::TooMany);
    }
    let values = (
        job.id,
        job.body_hash.as_slice(),
        Json(&job.arguments),
        &job.filter,
        &job.actor,
        &job.reason,
        job.pace,
        job.items_max,
        vec![job.operation.as_str(), job.sender.as_str()],
    );
    InsertJob::bind(values).execute(&mut **transaction).await?;
    Ok(Inserted::New)
}

#[derive(QueryableByName)]
struct Hash {
    #[diesel(sql_type = Binary)]
    body_hash: Vec<u8>,
}

struct KnownJob;

impl Sql for KnownJob {
    type Binds = (SqlUuid,);
    type Row = Untyped;
    const TEXT: &'static str = "SELECT body_hash FROM leveret.bulk_jobs WHERE id = $1";
}

struct CountLiving;

impl Sql for CountLiving {
    type Binds = ();
    type Row = BigInt;
    const TEXT: &'static str = "SELECT count(*) FROM leveret.bulk_jobs WHERE ended_at IS NULL";
}

struct InsertJob;

impl Sql for InsertJob {
    type Binds =
        (SqlUuid, Binary, Jsonb, Text, Nullable<Text>, Nullable<Text>, Integer, BigInt, diesel::sql_types::Array<Text>);
    type Row = ();
    // The last value is an array: a query has nine values at most.
    const TEXT: &'static str = "
        INSERT INTO leveret.bulk_jobs (id, body_hash, arguments, filter, actor, reason, pace, items_max,
                                       operation, sender, state)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, ($9)[1], ($9)[2], 'collecting'";
}

#[derive(QueryableByName)]
struct JobRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    operation: String,
    #[diesel(sql_type = Jsonb)]
    arguments: Document,
    #[diesel(sql_type = Text)]
    filter: String,
    #[diesel(sql_type = Nullable<Text>)]
    actor: Option<String>,
    #[diesel(sql_type = Text)]
    sender: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Integer)]
    pace: i32,
    #[diesel(sql_type = BigInt)]
    items_max: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Bool)]
    paused: bool,
    #[diesel(sql_type = Timestamptz)]
    created_at: Moment,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<Moment>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    cursor: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    more: bool,
    #[diesel(sql_type = BigInt)]
    collected: i64,
    #[diesel(sql_type = BigInt)]
    done: i64,
    #[diesel(sql_type = BigInt)]
    refused: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
}

impl JobRow {
    fn view(self) -> BulkView {
        let is_paused = self.paused && self.ended_at.is_none();
        BulkView {
            id: self.id,
            operation: self.operation,
            arguments: self.arguments.0,
            filter: self.filter,
            actor: self.actor,
            sender: self.sender,
            reason: self.reason,
            pace: self.pace,
            state: if is_paused { "paused".into() } else { self.state },
            created_at: self.created_at.0,
            ended_at: self.ended_at.map(Timestamp::from),
            open: self.collected - self.done - self.refused - self.failed,
            collected: self.collected,
            more: self.more,
            done: self.done,
            refused: self.refused,
            failed: self.failed,
        }
    }

    fn due(self) -> DueJob {
        DueJob {
            id: self.id,
            operation: self.operation,
            arguments: self.arguments.0,
            filter: self.filter,
            actor: self.actor,
            reason: self.reason,
            pace: self.pace,
            items_max: self.items_max,
            collects: self.state == "collecting",
            created_at: self.created_at.0,
            cursor: self.cursor,
            collected: self.collected,
        }
    }
}

/// A page of jobs, newest first: those that were started before `before`.
pub async fn list(conn: &mut Connection, before: Option<Uuid>, limit: i64) -> Result<Vec<BulkView>, Error> {
    let rows: Vec<JobRow> = ListJobs::bind((before, limit)).get_results(conn).await?;
    Ok(rows.into_iter().map(JobRow::view).collect())
}

struct ListJobs;

impl Sql for ListJobs {
    type Binds = (Nullable<SqlUuid>, BigInt);
    type Row = Untyped;
    const TEXT: &'static str = "
        SELECT * FROM leveret.bulk_jobs
         WHERE $1::uuid IS NULL
            OR (created_at, id) < (SELECT created_at, id FROM leveret.bulk_jobs WHERE id = $1)
         ORDER BY created_at DESC, id DESC
         LIMIT $2";
}

/// One job.
pub async fn find(conn: &mut Connection, id: Uuid) -> Result<Option<BulkView>, Error> {
    let row: Option<JobRow> = FindJob::bind((id,)).get_result(conn).await.optional()?;
    Ok(row.map(JobRow::view))
}

struct FindJob;

impl Sql for FindJob {
    type Binds = (SqlUuid,);
    type Row = Untyped;
    const TEXT: &'static str = "SELECT * FROM leveret.bulk_jobs WHERE id = $1";
}

/// Changes a job that has not ended; false if it has ended, or is not there.
pub async fn change(conn: &mut Connection, id: Uuid, change: Change) -> Result<bool, Error> {
    let changed = match change {
        Change::Pause => SetPaused::bind((id, true)).execute(conn).await?,
        Change::Resume => SetPaused::bind((id, false)).execute(conn).await?,
        Change::Abort => AbortJob::bind((id,)).execute(conn).await?,
    };
    Ok(changed == 1)
}

struct SetPaused;

impl Sql for SetPaused {
    type Binds = (SqlUuid, Bool);
    type Row = ();
    const TEXT: &'static str = "UPDATE leveret.bulk_jobs SET paused = $2 WHERE id = $1 AND ended_at IS NULL";
}

struct AbortJob;

impl Sql for AbortJob {
    type Binds = (SqlUuid,);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.bulk_jobs SET state = 'aborted', ended_at = clock_timestamp()
         WHERE id = $1 AND ended_at IS NULL";
}

/// Locks the job that has been due for the longest time, until the transaction ends; passes over those that another process has locked.
pub async fn claim_due(transaction: &mut Transaction) -> Result<Option<DueJob>, Error> {
    let row: Option<JobRow> = ClaimDue::bind(()).get_result(&mut **transaction).await.optional()?;
    Ok(row.map(JobRow::due))
}

struct ClaimDue;

impl Sql for ClaimDue {
    type Binds = ();
    type Row = Untyped;
    const TEXT: &'static str = "
        SELECT * FROM leveret.bulk_jobs
         WHERE ended_at IS NULL AND NOT paused AND due_at <= clock_timestamp()
         ORDER BY due_at
         LIMIT 1
           FOR UPDATE SKIP LOCKED";
}

/// Leaves a job to newer binaries for some minutes: this one cannot read it.
pub async fn put_off_job(transaction: &mut Transaction, id: Uuid) -> Result<(), Error> {
    PutOffJob::bind((id,)).execute(&mut **transaction).await?;
    Ok(())
}

struct PutOffJob;

impl Sql for PutOffJob {
    type Binds = (SqlUuid,);
    type Row = ();
    const TEXT: &'static str = "
        UPDATE leveret.bulk_jobs SET due_at = clock_timestamp() + interval '5 minutes' WHERE id = $1";
}

/// When the next job is due, and the database's time; none if none is living.
pub async fn next_due_at(conn: &mut Connection) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let row: (Option<Moment>, Moment) = NextDue::bind(()).get_result(conn).await?;
    Ok(row.0.map(|due_at| (due_at.0, row.1.0)))
}

struct NextDue;

impl Sql for NextDue {
    type Binds = ();
    type Row = (Nullable<Timestamptz>, Timestamptz);
    const TEXT: &'static str = "
        SELECT min(due_at), clock_timestamp() FROM leveret.bulk_jobs WHERE ended_at IS NULL AND NOT paused";
}
