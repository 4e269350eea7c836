//! The role `cleaner`: deletes what is no longer kept, unused targets and old suspects, creates the partitions of the coming months, and
//! drops empty ones.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::app::{App, sleep_or_stop};
use crate::store::{self, api_keys, bulk, history, incidents, messages, start_limits, suspects, targets};
use crate::telemetry::spans;

pub mod export;
pub mod retention;

/// Rows of one delete.
const BATCH_MAX: i64 = 500;
/// The pause between two deletes of expired messages. An expired message is never delivered, deleted or not.
const EXPIRY_EVERY: Duration = Duration::from_secs(60);
/// The pause after a full batch.
const PAUSE_FULL: Duration = Duration::from_millis(5);
/// How often partitions are created and dropped, and unused targets deleted.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(3_600);
/// The pause between two passes over what has ended.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

/// A command that was begun again, and of which nothing was heard for this long, is forgotten: its queue was deleted.
const SUSPECT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What was noted about a group of incidents is forgotten when the group had no open incident for this long.
const GROUP_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Bulk jobs that ended are kept for this long, with the outcomes of their items.
const BULK_JOB_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Batches of their items in one hour.
const BULK_BATCHES_MAX: usize = 200;

/// Cleans until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let (mut maintenance_at, mut retention_at) = (Instant::now(), Instant::now());
    while !app.stop.is_cancelled() {
        if Instant::now() >= maintenance_at {
            if let Err(error) = maintain(app).await {
                tracing::warn!(%error, "maintenance failed; retrying in an hour");
            }
            maintenance_at = Instant::now() + MAINTENANCE_EVERY;
        }
        if Instant::now() >= retention_at {
            keep_to_retention(app).instrument(spans::pass("cleaner")).await;
            retention_at = Instant::now() + RETENTION_EVERY;
        }
        let full = run_once(app).instrument(spans::pass("cleaner")).await? >= BATCH_MAX as usize;
        sleep_or_stop(app, if full { PAUSE_FULL } else { EXPIRY_EVERY }).await;
    }
    Ok(())
}

/// Deletes one batch of expired messages; returns their number.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    let mut conn = app.store.background().await?;
    let deleted = messages::delete_expired_before(&mut conn, app.clock.now(), BATCH_MAX).await?;
    retention::count("messages", deleted);
    Ok(deleted)
}

async fn keep_to_retention(app: &App) {
    match retention::pass(app).await {
        Ok(cleaned) if cleaned == retention::Cleaned::default() => {}
        Ok(cleaned) => tracing::info!(
            instances = cleaned.instances,
            closed = cleaned.closed,
            exported = cleaned.exported,
            inbox = cleaned.inbox,
            dead_letters = cleaned.dead_letters,
            audit = cleaned.audit,
            "deleted what is no longer kept"
        ),
        Err(error) => tracing::warn!(
            %error,
            "what is no longer kept could not be deleted, or not all of it; `leveret doctor` names the next step"
        ),
    }
}

async fn maintain(app: &App) -> Result<(), store::Error> {
    let mut conn = app.store.background().await?;
    history::ensure_partitions(&mut conn, app.clock.now()).await?;
    if let Ok(before) = app.clock.now().checked_sub(targets::UNUSED_FOR) {
        targets::delete_unused_before(&mut conn, before, BATCH_MAX).await?;
    }
    if let Ok(before) = app.clock.now().checked_sub(SUSPECT_FOR) {
        suspects::delete_before(&mut conn, before, BATCH_MAX).await?;
    }
    if let Ok(before) = app.clock.now().checked_sub(start_limits::UNUSED_FOR) {
        start_limits::delete_unused_before(&mut conn, before, BATCH_MAX).await?;
    }
    if let Ok(before) = app.clock.now().checked_sub(GROUP_FOR) {
        incidents::delete_unused_before(&mut conn, before, BATCH_MAX).await?;
    }
    if let Ok(before) = app.clock.now().checked_sub(BULK_JOB_FOR) {
        for _ in 0..BULK_BATCHES_MAX {
            if bulk::delete_ended_before(&mut conn, before, BATCH_MAX).await? < BATCH_MAX as usize {
                break;
            }
        }
    }
    api_keys::delete_sessions_before(&mut conn, app.clock.now(), BATCH_MAX).await?;
    store::retention::drop_empty_partitions(&mut conn, app.clock.now()).await?;
    Ok(())
}
