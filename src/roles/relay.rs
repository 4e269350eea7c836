//! Carries outbox rows to the broker. Safe on every node at once.
// Removed after the confirm: a crash in between sends twice, which receivers absorb by id; never zero times.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::app::{App, PublishQueue, sleep_or_stop};
use crate::broker::{BATCH_BYTES_MAX, Outgoing, Sent};
use crate::step;
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self};
use crate::telemetry;

/// Rows of one batch from memory: what a confirm channel takes at once.
const PUBLISH_BATCH_MAX: usize = 256;
/// Batches from memory on their way at once, so that one round trip of confirms does not hold up the next.
const BATCHES_MAX: usize = 3;
/// Confirmed rows of one delete, and of the queue before it.
const CONFIRMED_MAX: usize = 1_000;
/// Confirmed rows wait this long for others to be deleted with: a crash meanwhile sends them twice, no more.
const DELETE_AFTER: Duration = Duration::from_millis(20);
/// The pause before a batch from memory is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Rows of one sweep, so that a backlog never holds a transaction open for long.
const SWEEP_MAX: i64 = 500;
/// Bytes of one sweep, unless one row has more: published well within the time they are claimed for.
const SWEEP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// For this long a row claimed by a sweep is left to the sweeper.
const CLAIM_FOR: Duration = Duration::from_secs(30);

/// Starts the loops that publish what this process has committed.
pub fn start_publishers(app: &App, rows: PublishQueue) {
    let rows = Arc::new(Mutex::new(rows));
    let (confirmed, deleted) = mpsc::channel(CONFIRMED_MAX);
    for _ in 0..BATCHES_MAX {
        let (rows, confirmed) = (rows.clone(), confirmed.clone());
        app.supervise_publisher("publisher", move |app| publish_unpublished(app, rows.clone(), confirmed.clone()));
    }
    let deleted = Arc::new(Mutex::new(deleted));
    app.supervise_publisher("publisher", move |app| delete_confirmed(app, deleted.clone()));
}

async fn publish_unpublished(
    app: App,
    rows: Arc<Mutex<PublishQueue>>,
    confirmed: mpsc::Sender<Uuid>,
) -> Result<(), store::Error> {
    loop {
        let batch = {
            let mut rows = rows.lock().await;
            tokio::select! {
                biased;
                batch = rows.next_batch(PUBLISH_BATCH_MAX, BATCH_BYTES_MAX) => batch,
                // Reached only when nothing is waiting.
                () = app.closing.cancelled() => return Ok(()),
            }
        };
        let Some(batch) = batch else { return Ok(()) };
        // Away: the rows wait in the table, and so does this batch in memory, to be the first to go when it is back.
        // A sweep may have sent them by then; receivers drop the repetition.
        let sent = loop {
            match publish(&app, &batch.rows).await {
                Ok(sent) => break sent,
                Err(error) => tracing::debug!(%error, "the broker is away; the rows wait"),
            }
            tokio::select! {
                () = app.broker.connected() => {}
                () = app.closing.cancelled() => return Ok(()),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        };
        // Its room in memory is free again before others wait for the delete.
        drop(batch);
        for id in sent {
            // Full or closed: the row stays, is published once more by a sweep, and deleted then.
            if confirmed.send(id).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Deletes what was confirmed, in few statements: each would be a commit of its own, next to those of the steps.
async fn delete_confirmed(app: App, confirmed: Arc<Mutex<mpsc::Receiver<Uuid>>>) -> Result<(), store::Error> {
    let mut confirmed = confirmed.lock().await;
    let mut ids = Vec::new();
    while confirmed.recv_many(&mut ids, CONFIRMED_MAX).await > 0 {
        if !app.closing.is_cancelled() {
            tokio::time::sleep(DELETE_AFTER).await;
        }
        while ids.len() < CONFIRMED_MAX
            && let Ok(id) = confirmed.try_recv()
        {
            ids.push(id);
        }
        let mut conn = app.store.background().await?;
        outbox::delete(&mut conn, &ids).await?;
        step::fail_point("relay::deleted");
        ids.clear();
        if app.closing.is_cancelled() && confirmed.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Looks for rows nobody handed over.
pub async fn run(app: &App) -> Result<(), store::Error> {
    while !app.stop.is_cancelled() {
        tokio::select! {
            () = app.broker.connected() => {}
            () = app.stop.cancelled() => return Ok(()),
        }
        let full = sweep(app).await?.is_full;
        if !full {
            // Spread over the processes: they need not all look at the same moment.
            sleep_or_stop(app, app.config.outbox.sweep_every.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        }
    }
    Ok(())
}

/// Publishes the rows of one sweep that are due to be published; says how many there were, or 0 if none could be sent.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    Ok(sweep(app).await?.count)
}

/// What a sweep has found.
#[derive(Default)]
struct Swept {
    /// So many rows; none if they could not be sent.
    count: usize,
    /// There may be more at once.
    is_full: bool,
}

async fn sweep(app: &App) -> Result<Swept, store::Error> {
    let rows = {
        let mut conn = app.store.background().await?;
        outbox::claim_unsent(&mut conn, (SWEEP_MAX, SWEEP_BYTES_MAX as i64), CLAIM_FOR).await?
    };
    if rows.is_empty() {
        return Ok(Swept::default());
    }
    step::fail_point("relay::claimed");
    metrics::counter!(telemetry::OUTBOX_SWEPT).increment(rows.len() as u64);
    for batch in batches(&rows) {
        match publish(app, batch).await {
            Ok(confirmed) => {
                let mut conn = app.store.background().await?;
                outbox::delete(&mut conn, &confirmed).await?;
                step::fail_point("relay::deleted");
            }
            Err(error) => {
                tracing::debug!(%error, "the broker is away; the rows wait");
                return Ok(Swept::default());
            }
        }
    }
    let bytes: usize = rows.iter().map(|row| row.body.len()).sum();
    Ok(Swept { count: rows.len(), is_full: rows.len() >= SWEEP_MAX as usize || bytes >= SWEEP_BYTES_MAX })
}

/// The rows in parts that are confirmed one after the other: each as many as a batch has bytes for, and one in any case.
fn batches(rows: &[OutboxRow]) -> Vec<&[OutboxRow]> {
    let mut parts = Vec::new();
    let (mut begin, mut bytes) = (0, 0_usize);
    for (at, row) in rows.iter().enumerate() {
        bytes = bytes.saturating_add(row.size());
        if at > begin && bytes > BATCH_BYTES_MAX {
            parts.push(&rows[begin..at]);
            (begin, bytes) = (at, row.size());
        }
    }
    parts.extend((begin < rows.len()).then(|| &rows[begin..]));
    parts
}

/// Publishes; gives what was confirmed and can be deleted.
async fn publish(app: &App, rows: &[OutboxRow]) -> Result<Vec<Uuid>, store::Error> {
    let outgoing: Vec<Outgoing> = rows.iter().map(outgoing).collect();
    step::fail_point("relay::before_publish");
    let sent = app.broker.publish(outgoing).await.map_err(|error| store::Error::Unavailable(error.to_string()))?;
    step::fail_point("relay::confirmed");
    let mut confirmed: Vec<Uuid> = Vec::with_capacity(rows.len());
    let mut returned: Vec<Uuid> = Vec::new();
    for (row, sent) in rows.iter().zip(&sent) {
        match sent {
            Sent::Confirmed => confirmed.push(row.id),
            Sent::Returned(reason) => {
                let key = &row.routing_key;
                tracing::warn!(id = %row.id, routing_key = %key, reason, "nobody takes this message; it is tried again");
                returned.push(row.id);
            }
            // Left to a later sweep, when the queue may have room again.
            Sent::Refused => {
                tracing::debug!(id = %row.id, routing_key = %row.routing_key, "a queue refuses this message")
            }
        }
    }
    telemetry::count_published(confirmed.len(), returned.len());
    if !returned.is_empty() {
        let mut conn = app.store.background().await?;
        outbox::mark_returned(&mut conn, &returned, app.config.outbox.attempts_max).await?;
    }
    Ok(confirmed)
}

fn outgoing(row: &OutboxRow) -> Outgoing {
    Outgoing {
        id: row.id,
        exchange: row.exchange,
        routing_key: row.routing_key.clone(),
        kind: row.kind.clone(),
        app_id: row.app_id.clone(),
        message_id: row.message_id.clone(),
        correlation_id: row.correlation_id.clone(),
        reply_to: row.reply_to.clone(),
        headers: row.headers.clone(),
        body: row.body.clone(),
        due_at: row.due_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Exchange;

    fn row(bytes: usize) -> OutboxRow {
        OutboxRow::new(Uuid::nil(), Exchange::Events, "order.shipped", "order.shipped", vec![0; bytes])
    }

    #[test]
    fn a_sweep_is_published_in_batches_of_so_many_bytes_and_no_row_is_left_out() {
        let of = |sizes: &[usize]| {
            let rows: Vec<OutboxRow> = sizes.iter().map(|bytes| row(*bytes)).collect();
            batches(&rows).iter().map(|batch| batch.len()).collect::<Vec<_>>()
        };
        let half = BATCH_BYTES_MAX / 2;
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[1, 1, 1]), [3]);
        assert_eq!(of(&[half, half, half]), [1, 1, 1], "their frames count as well");
        assert_eq!(of(&[1, 5 * half, 1, half]), [1, 1, 2]);
    }
}
