//! Schedules as people define them. Their ticks are in `ticks`.

mod ticks;

use std::time::Duration;

use diesel::dsl::{case_when, sql};
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::{AsyncConnection, RunQueryDsl};
use jiff::Timestamp;
use uuid::Uuid;

use super::json::{Document, Json};
use super::moment::Moment;
use super::page::{Fitting, fitting};
use super::schema::functions::clock_timestamp;
use super::schema::leveret::schedules;
use super::{Connection, Error, refuse_unfit};
use crate::contract::schedule::{Missed, Overlap, ScheduleRequest, ScheduleView};

pub use ticks::{
    ClaimedSchedule, HandledTick, claim_due, mark_handled, mark_put_off, mark_run, mark_started_before_pause,
    next_wake_at,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = schedules)]
struct ScheduleRow {
    name: String,
    definition: String,
    version: Option<i32>,
    cron: String,
    zone: String,
    input: Document,
    overlap: String,
    catch_up_for: i64,
    missed: String,
    revision: i64,
    created_at: Moment,
    updated_at: Moment,
    paused_at: Option<Moment>,
    next_at: Option<Moment>,
    queued_at: Option<Moment>,
    last_tick_at: Option<Moment>,
    last_instance: Option<Uuid>,
    last_error: Option<String>,
    last_error_at: Option<Moment>,
    started: i64,
    skipped: i64,
    failed: i64,
}

impl ScheduleRow {
    fn view(self) -> Result<ScheduleView, Error> {
        let unknown =
            |what: &str| Error::Bug(format!("schedule `{}` has an unknown {what}: use a newer binary", self.name));
        let said = ScheduleRequest {
            overlap: Overlap::parse(&self.overlap).ok_or_else(|| unknown("overlap policy"))?,
            missed: Missed::parse(&self.missed).ok_or_else(|| unknown("choice of missed ticks"))?,
            definition: self.definition,
            version: self.version,
            cron: self.cron,
            zone: self.zone,
            input: self.input.0,
            catch_up: Duration::from_millis(self.catch_up_for.unsigned_abs()),
        };
        Ok(ScheduleView {
            name: self.name,
            said,
            revision: self.revision,
            next_at: self.next_at.map(Timestamp::from),
            paused_at: self.paused_at.map(Timestamp::from),
            queued_at: self.queued_at.map(Timestamp::from),
            last_tick_at: self.last_tick_at.map(Timestamp::from),
            last_instance: self.last_instance,
            last_error: self.last_error,
            last_error_at: self.last_error_at.map(Timestamp::from),
            started: self.started,
            skipped: self.skipped,
            failed: self.failed,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        })
    }
}

/// Whether a schedule with that name may already exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It must not exist.
    New,
    /// It must exist and still have this revision.
    Revision(i64),
    /// Both are allowed.
    Either,
}

/// Outcome of storing a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum Put {
    /// It was created.
    Created(Box<ScheduleView>),
    /// It existed and now has the given values.
    Changed(Box<ScheduleView>),
    /// It exists, and must not.
    Exists,
    /// It does not exist, and must.
    Missing,
    /// It was changed since, and now has this revision.
    Stale(i64),
}

/// Stores a schedule. A tick that is due and not handled yet stays due if cron expression and zone stay the same;
/// otherwise the next one is
/// `next_at`.
pub async fn put(
    conn: &mut Connection,
    name: &str,
    said: &ScheduleRequest,
    next_at: Option<Timestamp>,
    expect: Expect,
) -> Result<Put, Error> {
    refuse_unfit(&said.input).map_err(Error::Bug)?;
    let values = (
        schedules::definition.eq(&said.definition),
        schedules::version.eq(said.version),
        schedules::cron.eq(&said.cron),
        schedules::zone.eq(&said.zone),
        schedules::input.eq(Json(&said.input)),
        schedules::overlap.eq(said.overlap.name()),
        schedules::catch_up_for.eq(i64::try_from(said.catch_up.as_millis()).unwrap_or(i64::MAX)),
        schedules::missed.eq(said.missed.name()),
    );
    conn.transaction::<Put, Error, _>(async |conn| {
        if !matches!(expect, Expect::Revision(_)) {
            let next_at = next_at.map(Moment);
            let created: Option<ScheduleRow> = diesel::insert_into(schedules::table)
                .values((
                    schedules::name.eq(name),
                    values,
                    schedules::next_at.eq(next_at),
                    schedules::wake_at.eq(next_at),
                ))
                .on_conflict_do_nothing()
                .returning(ScheduleRow::as_returning())
                .get_result(conn)
                .await
                .optional()?;
            match created {
                Some(row) => return Ok(Put::Created(Box::new(row.view()?))),
                None if expect == Expect::New => return Ok(Put::Exists),
                None => {}
            }
        }
        let Some(before) = lock(conn, name).await? else { return Ok(Put::Missing) };
        match expect {
            Expect::Revision(seen) if seen != before.revision => return Ok(Put::Stale(before.revision)),
            Expect::New | Expect::Either | Expect::Revision(_) if before.said == *said => {
                return Ok(Put::Changed(Box::new(before)));
            }
            Expect::New | Expect::Either | Expect::Revision(_) => {}
        }
        let same_ticks = before.said.cron == said.cron && before.said.zone == said.zone;
        let next_at = if same_ticks { before.next_at } else { next_at };
        let awake = case_when(schedules::paused_at.is_null(), clock_timestamp().nullable());
        let row: ScheduleRow = diesel::update(schedules::table.find(name))
            .set((
                values,
                schedules::next_at.eq(next_at.map(Moment)),
                schedules::wake_at.eq(awake),
                schedules::revision.eq(schedules::revision + 1),
                schedules::updated_at.eq(clock_timestamp()),
            ))
            .returning(ScheduleRow::as_returning())
            .get_result(conn)
            .await?;
        Ok(Put::Changed(Box::new(row.view()?)))
    })
    .await
}

/// One schedule, locked until the end of the transaction.
pub async fn lock(conn: &mut Connection, name: &str) -> Result<Option<ScheduleView>, Error> {
    let row = schedules::table.find(name).select(ScheduleRow::as_select()).for_no_key_update();
    row.first(conn).await.optional()?.map(ScheduleRow::view).transpose()
}

/// One schedule, and the database's time.
pub async fn find(conn: &mut Connection, name: &str) -> Result<Option<(ScheduleView, Timestamp)>, Error> {
    let found: Option<(ScheduleRow, Moment)> = schedules::table
        .find(name)
        .select((ScheduleRow::as_select(), clock_timestamp()))
        .first(conn)
        .await
        .optional()?;
    found.map(|(row, now)| Ok((row.view()?, now.0))).transpose()
}

/// The names of at most `limit` schedules, and why their last tick could not be started, if that failed.
pub async fn last_errors(conn: &mut Connection, limit: i64) -> Result<Vec<(String, Option<String>)>, Error> {
    let first = schedules::table.order(schedules::name).limit(limit);
    Ok(first.select((schedules::name, schedules::last_error)).load(conn).await?)
}

/// At most `limit` schedules with names after `after`, by name.
pub async fn list(conn: &mut Connection, after: Option<&str>, limit: i64) -> Result<Fitting<ScheduleView>, Error> {
    let sizes: Vec<(String, i32)> = schedules::table
        .filter(schedules::name.gt(after.unwrap_or_default()))
        .order(schedules::name)
        .limit(limit)
        .select((schedules::name, sql::<Integer>("octet_length(input::text)")))
        .load(conn)
        .await?;
    let Fitting { rows: names, full } = fitting(sizes, limit);
    let rows: Vec<ScheduleRow> = schedules::table
        .filter(schedules::name.eq_any(names))
        .order(schedules::name)
        .select(ScheduleRow::as_select())
        .load(conn)
        .await?;
    let rows = rows.into_iter().map(ScheduleRow::view).collect::<Result<_, _>>()?;
    Ok(Fitting { rows, full })
}

/// Pauses a schedule; false if it is paused already or does not exist.
pub async fn mark_paused(conn: &mut Connection, name: &str) -> Result<bool, Error> {
    let awake = schedules::table.filter(schedules::name.eq(name).and(schedules::paused_at.is_null()));
    let changed = diesel::update(awake)
        .set((
            schedules::paused_at.eq(clock_timestamp().nullable()),
            schedules::wake_at.eq(None::<Moment>),
            schedules::revision.eq(schedules::revision + 1),
            schedules::updated_at.eq(clock_timestamp()),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Resumes a paused schedule, with its first tick at `next_at`.
pub async fn mark_resumed(conn: &mut Connection, name: &str, next_at: Option<Timestamp>) -> Result<bool, Error> {
    let paused = schedules::table.filter(schedules::name.eq(name).and(schedules::paused_at.is_not_null()));
    let changed = diesel::update(paused)
        .set((
            schedules::paused_at.eq(None::<Moment>),
            schedules::next_at.eq(next_at.map(Moment)),
            schedules::wake_at.eq(clock_timestamp().nullable()),
            schedules::revision.eq(schedules::revision + 1),
            schedules::updated_at.eq(clock_timestamp()),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Deletes a schedule; instances that it started continue.
pub async fn delete(conn: &mut Connection, name: &str) -> Result<bool, Error> {
    Ok(diesel::delete(schedules::table.find(name)).execute(conn).await? == 1)
}
