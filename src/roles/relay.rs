//! Publishes outbox rows. Safe on every node at once.
// A row is deleted after its confirm: a crash in between publishes it twice, and receivers drop the duplicate by its id. A command that
// nobody outside would send again stays until it is handled.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::{App, PublishQueue, PublishQueues};
use crate::broker::{BATCH_BYTES_MAX, OUTBOX_ROW, Outgoing, Sent, delay};
use crate::command;
use crate::contract::Exchange;
use crate::seeded::{self, Bug};
use crate::store;
use crate::store::outbox::{self, OutboxRow};
use crate::telemetry::{self, spans};

pub mod handled;
mod pace;
mod waiting;

/// Rows of one batch from memory: as many as a confirm channel takes at once.
const PUBLISH_BATCH_MAX: usize = 256;
/// Batches from memory in flight at once, so that waiting for the confirms of one does not hold up the next.
const BATCHES_MAX: usize = 3;
/// Confirmed rows of one delete, and of the channel before it.
const CONFIRMED_MAX: usize = 1_000;
/// A delete waits this long for more confirmed rows. A crash meanwhile publishes them twice.
const DELETE_AFTER: Duration = Duration::from_millis(20);
/// After the stop, the confirms of rows that wait in delay queues are awaited this long.
const QUICK_FLUSH_FOR: Duration = Duration::from_secs(1);
/// The pause before a batch from memory is retried.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Rows of one sweep, so that a backlog never keeps a transaction open for long.
const SWEEP_MAX: i64 = 500;
/// Bytes of one sweep, unless one row has more: they are published well before their claim expires.
const SWEEP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A claim of a sweep expires after this time.
const CLAIM_FOR: Duration = Duration::from_secs(30);

/// Starts the loops that publish the rows this process has committed.
pub fn start_publishers(app: &App, rows: PublishQueues) {
    let (confirmed, deleted) = mpsc::channel(CONFIRMED_MAX);
    let start = |rows: PublishQueue, batches: usize, flush: Flush| {
        let rows = Arc::new(Mutex::new(rows));
        for _ in 0..batches {
            let (rows, confirmed) = (rows.clone(), confirmed.clone());
            app.supervise_publisher("publisher", move |app| {
                publish_unpublished(app, rows.clone(), confirmed.clone(), flush)
            });
        }
    };
    start(rows.direct, BATCHES_MAX, Flush::Whole);
    // Each level for itself: a delay queue that does not confirm holds up its own rows only.
    rows.delayed.into_iter().for_each(|rows| start(rows, 1, Flush::Quick));
    let deleted = Arc::new(Mutex::new(deleted));
    app.supervise_publisher("publisher", move |app| delete_confirmed(app, deleted.clone()));
}

async fn publish_unpublished(
    app: App,
    rows: Arc<Mutex<PublishQueue>>,
    confirmed: mpsc::Sender<Uuid>,
    flush: Flush,
) -> Result<(), store::Error> {
    loop {
        let batch = {
            let mut rows = rows.lock().await;
            tokio::select! {
                biased;
                batch = rows.next_batch(PUBLISH_BATCH_MAX, BATCH_BYTES_MAX) => batch,
                // Reached only when no row waits.
                () = app.closing.cancelled() => return Ok(()),
            }
        };
        let Some(batch) = batch else { return Ok(()) };
        // Without a broker the rows wait in the table, and this batch waits in memory, to be published first when it is back.
        // A sweep may have published them by then; receivers drop the duplicate.
        let mut released = false;
        let sent = loop {
            let sent = tokio::select! {
                sent = publish(&app, &batch.rows) => sent,
                () = given_up(&app, flush) => return Ok(()),
            };
            match sent {
                Ok(sent) => break sent,
                Err(error) => tracing::debug!(%error, "the broker is not available; the rows wait"),
            }
            // Another process may be connected to another node, and its sweep finds them at once.
            if !released {
                released = release(&app, &batch.rows).await;
            }
            tokio::select! {
                () = app.broker.connected() => {}
                () = app.closing.cancelled() => return Ok(()),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        };
        // Frees the memory of the batch before its rows wait for their delete.
        drop(batch);
        for id in sent {
            // Full or closed: the row stays, and a sweep publishes and deletes it.
            if confirmed.send(id).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn release(app: &App, rows: &[OutboxRow]) -> bool {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let released = async {
        let mut conn = app.store.background().await?;
        outbox::release(&mut conn, &ids).await
    };
    match released.await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "rows could not be released; they are claimed later");
            false
        }
    }
}

/// How long the rows in memory are published after the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// As long as the process waits.
    Whole,
    /// For [`QUICK_FLUSH_FOR`]: what is left waits in the table, and may be lost besides.
    Quick,
}

/// Resolves when a publisher no longer waits for its confirms.
async fn given_up(app: &App, flush: Flush) {
    match flush {
        Flush::Whole => std::future::pending().await,
        Flush::Quick => {
            app.closing.cancelled().await;
            tokio::time::sleep(QUICK_FLUSH_FOR).await;
        }
    }
}

/// Deletes confirmed rows, many in one statement, because each statement is a commit that competes with those of the steps.
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
        command::fail_point("relay::deleted");
        ids.clear();
        if app.closing.is_cancelled() && confirmed.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Sweeps for rows that their writer does not publish itself, or has not published, until the process stops.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut waiting = waiting::Waiting::new(app);
    while !app.stop.is_cancelled() {
        tokio::select! {
            () = app.broker.connected() => {}
            () = app.stop.cancelled() => return Ok(()),
        }
        waiting.forget();
        let swept = run_once(app).instrument(spans::pass("relay")).await?;
        if !swept.is_full {
            waiting.next(app, &swept).await?;
        }
    }
    Ok(())
}

/// The result of one sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// The number of rows; 0 if they could not be published.
    pub count: usize,
    /// Whether there may be more rows to publish at once.
    pub is_full: bool,
}

/// Publishes the unpublished rows of one sweep.
pub async fn run_once(app: &App) -> Result<Swept, store::Error> {
    let rows = {
        let mut conn = app.store.background().await?;
        outbox::claim_unsent(&mut conn, SWEEP_MAX, SWEEP_BYTES_MAX as i64, CLAIM_FOR).await?
    };
    if rows.is_empty() {
        return Ok(Swept::default());
    }
    command::fail_point("relay::claimed");
    metrics::counter!(telemetry::OUTBOX_SWEPT).increment(rows.len() as u64);
    let (count, bytes) = (rows.len(), rows.iter().map(|row| row.body.len()).sum::<usize>());
    // What waits in a delay queue is published from memory: if that queue does not confirm, commands and events are not held up.
    let now = app.clock.now();
    let (waiting, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| delay::rank(row.due_at, now).is_some());
    app.publish(waiting);
    for batch in batches(&rows) {
        match publish(app, batch).await {
            Ok(confirmed) => {
                let mut conn = app.store.background().await?;
                outbox::delete(&mut conn, &confirmed).await?;
                command::fail_point("relay::deleted");
            }
            Err(error) => {
                tracing::debug!(%error, "the broker is not available; the rows wait");
                return Ok(Swept::default());
            }
        }
    }
    Ok(Swept { count, is_full: count >= SWEEP_MAX as usize || bytes >= SWEEP_BYTES_MAX })
}

/// The rows in batches that are confirmed one after the other. Each holds as many rows as fit into the bytes of a batch, and at
/// least one.
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

/// Publishes rows. Returns the ids of those that were confirmed and can be deleted.
async fn publish(app: &App, rows: &[OutboxRow]) -> Result<Vec<Uuid>, store::Error> {
    let outgoing: Vec<Outgoing> = rows.iter().map(outgoing).collect();
    command::fail_point("relay::before_publish");
    if seeded::is(Bug::DeleteBeforeConfirm) {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        outbox::delete(&mut *app.store.background().await?, &ids).await?;
    }
    let sent = app.broker.publish(outgoing).await.map_err(|error| store::Error::Unavailable(error.to_string()))?;
    command::fail_point("relay::confirmed");
    let now = app.clock.now();
    let mut confirmed: Vec<Uuid> = Vec::with_capacity(rows.len());
    let (mut kept, mut returned): (Vec<Uuid>, Vec<Uuid>) = (Vec::new(), Vec::new());
    for (row, sent) in rows.iter().zip(&sent) {
        match sent {
            Sent::Confirmed => {
                app.refusals.accepted(row.exchange.name(), &row.routing_key);
                if row.exchange == Exchange::Forwarded { kept.push(row.id) } else { confirmed.push(row.id) }
            }
            // The sweep of the timers or calls replaces a wake-up, which must not become a dead row when delay queues are missing for
            // long. Due by the next sweep, it goes straight to its queue.
            Sent::Returned(reason) if delay::rank(row.due_at, now).is_some() => {
                tracing::debug!(id = %row.id, reason, "no delay queue takes this message; retrying later");
            }
            Sent::Returned(reason) => {
                let key = &row.routing_key;
                tracing::warn!(id = %row.id, routing_key = %key, reason, "no queue takes this message; retrying later");
                returned.push(row.id);
            }
            // A later sweep publishes it again, when the queue may have room.
            Sent::Refused => {
                app.refusals.note(row.exchange.name(), &row.routing_key, Instant::now());
                tracing::debug!(id = %row.id, routing_key = %row.routing_key, "a queue refused this message; retrying later")
            }
        }
    }
    telemetry::count_published(confirmed.len() + kept.len(), returned.len());
    if !kept.is_empty() {
        let mut conn = app.store.background().await?;
        outbox::keep_confirmed(&mut conn, &kept).await?;
        app.forwarded.notify_one();
    }
    if !returned.is_empty() {
        let mut conn = app.store.background().await?;
        outbox::mark_returned(&mut conn, &returned, app.config.outbox.attempts_max).await?;
    }
    Ok(confirmed)
}

fn outgoing(row: &OutboxRow) -> Outgoing {
    let mut headers = row.headers.clone();
    if row.exchange == Exchange::Forwarded {
        headers.insert(OUTBOX_ROW.into(), row.id.to_string());
    }
    Outgoing {
        id: row.id,
        exchange: row.exchange,
        routing_key: row.routing_key.clone(),
        kind: row.kind.clone(),
        app_id: row.app_id.clone(),
        message_id: row.message_id.clone(),
        correlation_id: row.correlation_id.clone(),
        priority: None,
        reply_to: row.reply_to.clone(),
        headers,
        body: row.body.clone(),
        due_at: row.due_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: usize) -> OutboxRow {
        OutboxRow::new(Uuid::nil(), Exchange::Events, "order.shipped", "order.shipped", vec![0; bytes])
    }

    #[test]
    fn a_sweep_is_split_into_batches_by_bytes_without_losing_a_row() {
        let of = |sizes: &[usize]| {
            let rows: Vec<OutboxRow> = sizes.iter().map(|bytes| row(*bytes)).collect();
            batches(&rows).iter().map(|batch| batch.len()).collect::<Vec<_>>()
        };
        let half = BATCH_BYTES_MAX / 2;
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[1, 1, 1]), [3]);
        assert_eq!(of(&[half, half, half]), [1, 1, 1], "the frames count as well");
        assert_eq!(of(&[1, 5 * half, 1, half]), [1, 1, 2]);
    }
}
