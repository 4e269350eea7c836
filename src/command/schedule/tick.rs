//! Ticks: each is a start through the inbox. Its message id is derived from the tick, so that it happens once, even if several
//! processes try.

use std::time::Duration;

use jiff::Timestamp;

use super::plan::{Plan, Problem};
use super::{listed, stored_plan};
use crate::app::App;
use crate::command::once::{self, Origin};
use crate::command::{self, Applied, Error as StepError, Follow, Started, fail_point};
use crate::contract::schedule::{Overlap, ScheduleView};
use crate::contract::{OnConflict, Start};
use crate::engine::InstanceId;
use crate::fault::Recovery;
use crate::store::schedules::{self, ClaimedSchedule, HandledTick};
use crate::store::suspects::Suspect;
use crate::store::{self, instances};
use crate::telemetry;

/// How often a queued tick checks whether the instance before it has ended.
const QUEUE_LOOK_EVERY: Duration = Duration::from_secs(2);
/// A tick that could not be started because of the database is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A schedule that this binary cannot parse is left to newer binaries for this time.
const UNREADABLE_FOR: Duration = Duration::from_secs(300);

/// Claims one schedule that is due and handles its ticks; false if no schedule is due.
///
/// # Errors
/// The tick stays due. A start that was committed is recognised by its message id.
pub async fn tick(app: &App) -> Result<bool, store::Error> {
    let mut conn = app.store.background().await?;
    let claimed = schedules::claim_due(&mut conn).await?;
    drop(conn);
    let Some(claimed) = claimed else { return Ok(false) };
    app.clock.observe(claimed.now);
    let handled = handle(app, &claimed).await;
    fail_point("schedule::started");
    let mut conn = app.store.background().await?;
    let handled = match handled {
        Ok(handled) => handled,
        Err(error) => {
            schedules::mark_put_off(&mut conn, &claimed, RETRY_AFTER).await?;
            return Err(error);
        }
    };
    if schedules::mark_handled(&mut conn, &claimed, &handled).await? {
        report(&claimed, &handled);
    } else {
        tracing::info!(schedule = claimed.schedule.name, "a schedule was changed while one of its ticks was handled");
        if let Some((_, Ok(instance))) = handled.tried {
            schedules::mark_started_before_pause(&mut conn, &claimed.schedule.name, instance).await?;
        }
    }
    Ok(true)
}

fn report(claimed: &ClaimedSchedule, handled: &HandledTick) {
    let schedule = claimed.schedule.name.as_str();
    telemetry::count_ticks("skipped", handled.skipped.unsigned_abs());
    if handled.queued_at.is_some() && claimed.schedule.queued_at.is_none() {
        telemetry::count_ticks("queued", 1);
    }
    match &handled.tried {
        Some((tick, Ok(instance))) => {
            telemetry::count_ticks("started", 1);
            telemetry::observe_tick(*tick, claimed.now);
            tracing::info!(schedule, %tick, %instance, "a schedule has started an instance");
        }
        Some((tick, Err(error))) => {
            telemetry::count_ticks("failed", 1);
            tracing::warn!(schedule, %tick, error, "a tick of a schedule cannot be started; the next one will be tried");
        }
        None => {}
    }
}

async fn handle(app: &App, claimed: &ClaimedSchedule) -> Result<HandledTick, store::Error> {
    let ClaimedSchedule { schedule, now, .. } = claimed;
    let plan = match stored_plan(app, schedule).await? {
        Ok(plan) => plan,
        Err(problems) => return Ok(unreadable(claimed, &problems)),
    };
    let mut handled =
        HandledTick { next_at: schedule.next_at, queued_at: schedule.queued_at, ..HandledTick::default() };
    let waiting = match schedule.queued_at {
        Some(tick) => Some(tick),
        None => {
            let due = plan.due(schedule.next_at, *now);
            (handled.next_at, handled.skipped) = (due.next_at, due.skipped);
            due.start
        }
    };
    if let Some(tick) = waiting {
        match begin_watched(app, schedule, &plan, tick, *now).await? {
            TickStart::Started(instance) | TickStart::Again(instance) => {
                (handled.queued_at, handled.tried) = (None, Some((tick, Ok(instance))));
            }
            TickStart::Failed(why) => (handled.queued_at, handled.tried) = (None, Some((tick, Err(why)))),
            TickStart::Taken if schedule.said.overlap == Overlap::Queue => {
                if handled.queued_at.replace(tick).is_some() {
                    // One tick is queued already: ticks that came due since are skipped.
                    handled.next_at = handled.next_at.filter(|next| next > now).or_else(|| plan.next(*now));
                    handled.skipped = plan.missed_until(schedule.next_at, *now);
                }
            }
            // Queued under another policy that has been changed since.
            TickStart::Taken => (handled.queued_at, handled.skipped) = (None, handled.skipped + 1),
        }
    }
    let look_at = handled.queued_at.and_then(|_| now.checked_add(QUEUE_LOOK_EVERY).ok());
    handled.wake_at = [handled.next_at, look_at].into_iter().flatten().min();
    Ok(handled)
}

/// A newer binary may be able to parse it: the tick stays due.
fn unreadable(claimed: &ClaimedSchedule, problems: &[Problem]) -> HandledTick {
    let ClaimedSchedule { schedule, now, .. } = claimed;
    HandledTick {
        next_at: schedule.next_at,
        wake_at: now.checked_add(UNREADABLE_FOR).ok(),
        queued_at: schedule.queued_at,
        tried: Some((schedule.next_at.unwrap_or(*now), Err(listed(problems)))),
        skipped: 0,
    }
}

/// Begins a tick that was claimed, and counts it while it is not finished: one whose start ends its process is claimed again, and given up
/// after a few times.
async fn begin_watched(
    app: &App,
    schedule: &ScheduleView,
    plan: &Plan,
    tick: Timestamp,
    now: Timestamp,
) -> Result<TickStart, store::Error> {
    let (name, message_id) = (&schedule.name, tick.to_string());
    let suspect = Suspect {
        id: command::fingerprint(&[b"schedule", name.as_bytes(), message_id.as_bytes()]),
        what: format!("this tick of the schedule `{name}`"),
        instance: None,
        known_as: Some((sender(name), message_id.clone())),
    };
    // The first time it has not crashed yet.
    let crashes = command::suspect(app, &suspect).await?.unwrap_or_default().saturating_sub(1);
    let begun = if crashes > app.config.worker.crash_max {
        Ok(TickStart::Failed(command::verdict(&suspect.what, crashes)))
    } else {
        begin(app, schedule, plan, tick, now, &message_id).await
    };
    command::acquit(app, &suspect.id).await;
    begun
}

/// The sender of the starts of a schedule.
fn sender(schedule: &str) -> String {
    format!("leveret.schedule/{schedule}")
}

/// The result of a start.
pub(super) enum TickStart {
    /// The instance was started.
    Started(InstanceId),
    /// It was started before, with the same message id.
    Again(InstanceId),
    /// The instance of an earlier tick is live.
    Taken,
    /// It cannot be started; another attempt would fail too.
    Failed(String),
}

/// Starts the instance of a tick. Its business key is the name of the schedule, so that instances do not overlap.
pub(super) async fn begin(
    app: &App,
    schedule: &ScheduleView,
    plan: &Plan,
    tick: Timestamp,
    now: Timestamp,
    message_id: &str,
) -> Result<TickStart, store::Error> {
    let ScheduleView { name, said, .. } = schedule;
    // The body hash covers the tick, not the input: a second attempt may see another time, and is the same command.
    let identity = format!("{name} {message_id}");
    let origin = Origin::new(&sender(name), message_id, identity.as_bytes(), Follow::Always);
    let input = match plan.input(name, tick, now, app.context(now).env) {
        Ok(input) => input,
        Err(why) => return Ok(TickStart::Failed(why)),
    };
    let (key, on_conflict) = match said.overlap {
        Overlap::Allow => (format!("{name} {message_id}"), OnConflict::Reject),
        Overlap::Skip | Overlap::Queue => (name.clone(), OnConflict::Reject),
        Overlap::Cancel => (name.clone(), OnConflict::Replace),
    };
    if on_conflict == OnConflict::Reject && is_taken(app, &origin, &said.definition, &key).await? {
        return Ok(TickStart::Taken);
    }
    let (definition, version) = (said.definition.clone(), said.version);
    let start = Start { definition, version, key: Some(key), on_conflict, user: None, priority: None, input };
    match command::start(app, start, &origin).await {
        Ok(Applied::New(Started::New(committed))) => Ok(TickStart::Started(committed.instance.id)),
        Ok(Applied::New(Started::Existing(_))) => Ok(TickStart::Taken),
        Ok(Applied::Repeated(answer)) => Ok(answer.instance.map_or(TickStart::Taken, TickStart::Again)),
        Err(StepError::Refused(_)) => Ok(TickStart::Taken),
        Err(StepError::Store(error)) if error.class().of_command() == Recovery::InProcess => Err(error),
        Err(error) => Ok(TickStart::Failed(error.to_string())),
    }
}

/// Whether the instance of another tick has the key. Only saves a start that would be refused.
async fn is_taken(app: &App, origin: &Origin, definition: &str, key: &str) -> Result<bool, store::Error> {
    let known = match once::known(app, origin).await {
        Ok(known) => known.is_some(),
        Err(StepError::Store(error)) => return Err(error),
        Err(_) => false,
    };
    if known {
        return Ok(false);
    }
    let mut conn = app.store.steps().await?;
    Ok(instances::find_by_key(&mut conn, definition, key).await?.is_some())
}
