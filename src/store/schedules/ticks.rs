//! Ticks of schedules, one at a time: claimed by one process, handled, and released.

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

/// How long a claim of a schedule lasts.
const CLAIM_FOR: Duration = Duration::from_secs(30);

/// When the next schedule must be checked, and the database's time.
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

/// A claimed schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedSchedule {
    /// The schedule.
    pub schedule: ScheduleView,
    /// The database's time.
    pub now: Timestamp,
    /// When the claim expires; distinguishes this claim from later ones.
    until: Timestamp,
}

/// Claims the schedule that is due for longest, unless another process holds it.
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

/// Result of handling a claimed schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HandledTick {
    /// The first tick that is not handled yet.
    pub next_at: Option<Timestamp>,
    /// When to claim it next.
    pub wake_at: Option<Timestamp>,
    /// A tick that waits for an earlier instance.
    pub queued_at: Option<Timestamp>,
    /// The tick that was tried, and its instance or error.
    pub tried: Option<(Timestamp, Result<InstanceId, String>)>,
    /// Number of skipped ticks.
    pub skipped: i64,
}

/// Stores the result; false if the schedule was changed since, or the claim has expired.
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

/// Releases a claimed schedule until `later`; its tick stays due.
pub async fn mark_put_off(conn: &mut Connection, claimed: &ClaimedSchedule, later: Duration) -> Result<(), Error> {
    let ours = schedules::table
        .filter(schedules::name.eq(&claimed.schedule.name).and(schedules::wake_at.eq(Moment(claimed.until))));
    let now = moment::now(conn).await?;
    let later = now.checked_add(later).unwrap_or(now);
    diesel::update(ours).set(schedules::wake_at.eq(Moment(later))).execute(conn).await?;
    Ok(())
}

/// Stores the instance of a tick whose schedule was paused before [`mark_handled`].
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

/// Stores an instance that a person started.
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
