//! One tick of a schedule at a time: claimed by one process, handled, and given back.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use jiff::Timestamp;
use uuid::Uuid;

use super::ScheduleRow;
use crate::contract::schedule::ScheduleView;
use crate::engine::InstanceId;
use crate::store::moment::{self, Moment};
use crate::store::schema::functions::clock_timestamp;
use crate::store::schema::leveret::schedules;
use crate::store::{Connection, Error};

/// A claimed schedule is left to whoever claimed it for this long.
const CLAIM_FOR: Duration = Duration::from_secs(30);

/// When the first schedule wants to be looked at, and the database's time.
pub async fn next_wake_at(conn: &mut Connection) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let first: Option<(Option<Moment>, Moment)> = schedules::table
        .filter(schedules::wake_at.is_not_null())
        .order(schedules::wake_at)
        .select((schedules::wake_at, clock_timestamp()))
        .first(conn)
        .await
        .optional()?;
    Ok(first.and_then(|(wake_at, now)| Some((wake_at?.0, now.0))))
}

/// A schedule that is somebody's for [`CLAIM_FOR`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedSchedule {
    /// The schedule.
    pub schedule: ScheduleView,
    /// The database's time.
    pub now: Timestamp,
    /// Until when it is left alone; also what tells this claim from a later one.
    until: Timestamp,
}

/// Takes the schedule that has wanted to be looked at for longest, unless somebody else has it.
pub async fn claim_due(conn: &mut Connection) -> Result<Option<ClaimedSchedule>, Error> {
    conn.transaction::<_, Error, _>(async |conn| {
        let now = moment::now(conn).await?;
        let due: Option<String> = schedules::table
            .filter(schedules::wake_at.le(Moment(now)))
            .order(schedules::wake_at)
            .select(schedules::name)
            .for_no_key_update()
            .skip_locked()
            .first(conn)
            .await
            .optional()?;
        let Some(name) = due else { return Ok(None) };
        let until = now.checked_add(CLAIM_FOR).unwrap_or(now);
        let row: ScheduleRow = diesel::update(schedules::table.find(&name))
            .set(schedules::wake_at.eq(Moment(until)))
            .returning(ScheduleRow::as_returning())
            .get_result(conn)
            .await?;
        Ok(Some(ClaimedSchedule { schedule: row.view()?, now, until }))
    })
    .await
}

/// What has become of a claimed schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HandledTick {
    /// The first tick that is not handled yet.
    pub next_at: Option<Timestamp>,
    /// When it is to be looked at again.
    pub wake_at: Option<Timestamp>,
    /// A tick that waits.
    pub queued_at: Option<Timestamp>,
    /// The tick that was tried, and what came of it.
    pub tried: Option<(Timestamp, Result<InstanceId, String>)>,
    /// Ticks that started nothing.
    pub skipped: i64,
}

/// Writes what has become of it; false if somebody has changed it meanwhile, or the claim has run out.
pub async fn mark_handled(
    conn: &mut Connection,
    claimed: &ClaimedSchedule,
    handled: &HandledTick,
) -> Result<bool, Error> {
    let ours = schedules::table
        .filter(schedules::name.eq(&claimed.schedule.name).and(schedules::wake_at.eq(Moment(claimed.until))));
    let times = (
        schedules::next_at.eq(handled.next_at.map(Moment)),
        schedules::wake_at.eq(handled.wake_at.map(Moment)),
        schedules::queued_at.eq(handled.queued_at.map(Moment)),
        schedules::skipped.eq(schedules::skipped + handled.skipped),
    );
    let changed = match &handled.tried {
        None => diesel::update(ours).set(times).execute(conn).await?,
        Some((tick, Ok(instance))) => {
            let tried = (schedules::last_tick_at.eq(Moment(*tick)), started(*instance));
            diesel::update(ours).set((times, tried)).execute(conn).await?
        }
        Some((tick, Err(why))) => {
            let tried = (
                schedules::last_tick_at.eq(Moment(*tick)),
                schedules::last_error.eq(why.replace('\0', "\u{fffd}")),
                schedules::last_error_at.eq(clock_timestamp().nullable()),
                schedules::failed.eq(schedules::failed + 1),
            );
            diesel::update(ours).set((times, tried)).execute(conn).await?
        }
    };
    Ok(changed == 1)
}

/// Gives a claimed schedule back, to be looked at `later`, its tick still due.
pub async fn mark_put_off(conn: &mut Connection, claimed: &ClaimedSchedule, later: Duration) -> Result<(), Error> {
    let ours = schedules::table
        .filter(schedules::name.eq(&claimed.schedule.name).and(schedules::wake_at.eq(Moment(claimed.until))));
    let now = moment::now(conn).await?;
    let later = now.checked_add(later).unwrap_or(now);
    diesel::update(ours).set(schedules::wake_at.eq(Moment(later))).execute(conn).await?;
    Ok(())
}

/// Notes what a tick has started whose schedule was paused before that could be written.
pub async fn mark_started_before_pause(conn: &mut Connection, name: &str, instance: InstanceId) -> Result<(), Error> {
    let paused = schedules::table.filter(
        schedules::name
            .eq(name)
            .and(schedules::paused_at.is_not_null())
            .and(schedules::last_instance.is_distinct_from(instance.0)),
    );
    diesel::update(paused).set(started(instance)).execute(conn).await?;
    Ok(())
}

/// Notes an instance that was started by hand.
pub async fn mark_run(conn: &mut Connection, name: &str, instance: InstanceId) -> Result<(), Error> {
    diesel::update(schedules::table.find(name)).set(started(instance)).execute(conn).await?;
    Ok(())
}

type Started = (
    diesel::dsl::Eq<schedules::last_instance, Uuid>,
    diesel::dsl::Eq<schedules::last_error, Option<String>>,
    diesel::dsl::Eq<schedules::last_error_at, Option<Moment>>,
    diesel::dsl::Eq<schedules::started, diesel::dsl::Add<schedules::started, i64>>,
);

fn started(instance: InstanceId) -> Started {
    (
        schedules::last_instance.eq(instance.0),
        schedules::last_error.eq(None),
        schedules::last_error_at.eq(None),
        schedules::started.eq(schedules::started + 1),
    )
}
