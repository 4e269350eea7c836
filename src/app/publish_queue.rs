//! The publish queues: rows in memory that this process has committed and publishes itself, bounded in rows and in bytes. Rows
//! that do not fit stay in the table, where a sweep finds them. Rows that wait in a delay queue have a queue for each delay level:
//! one whose confirms do not come holds up no other.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::broker::delay;
use crate::store::outbox::OutboxRow;

/// Bytes of rows in memory, queued or being published, so that an hour without a broker does not exhaust the memory.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of rows that wait in delay queues. They are small; if none is confirmed, they take no room from the others.
const DELAYED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The ends at which commits add their rows.
#[derive(Clone)]
pub(super) struct Sender {
    direct: End,
    /// By delay level.
    delayed: Vec<End>,
}

#[derive(Clone)]
struct End {
    rows: mpsc::Sender<QueuedRow>,
    bytes: Arc<Semaphore>,
}

/// The ends from which publishers take rows.
pub struct PublishQueues {
    /// Rows that are delivered at once.
    pub direct: PublishQueue,
    /// Rows that wait in a delay queue, by its level.
    pub delayed: Vec<PublishQueue>,
}

/// One end from which publishers take rows.
pub struct PublishQueue {
    rows: mpsc::Receiver<QueuedRow>,
    /// The first row of the next batch, which did not fit into the last one.
    ahead: Option<QueuedRow>,
}

/// A row in memory, and its permit for the bytes it takes.
struct QueuedRow {
    row: OutboxRow,
    permit: OwnedSemaphorePermit,
}

/// Rows that are published together; dropping the batch frees their bytes.
#[derive(Default)]
pub struct Batch {
    /// The rows.
    pub rows: Vec<OutboxRow>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    fn push(&mut self, queued: QueuedRow) {
        self.rows.push(queued.row);
        self.permits.push(queued.permit);
    }
}

/// Queues of at most `rows_max` rows each.
pub(super) fn queues(rows_max: usize) -> (Sender, PublishQueues) {
    let (direct, first) = queue(rows_max, &Arc::new(Semaphore::new(BYTES_MAX)));
    let bytes = Arc::new(Semaphore::new(DELAYED_BYTES_MAX));
    let (delayed, others) = delay::LEVELS.iter().map(|_| queue(rows_max, &bytes)).unzip();
    (Sender { direct, delayed }, PublishQueues { direct: first, delayed: others })
}

fn queue(rows_max: usize, bytes: &Arc<Semaphore>) -> (End, PublishQueue) {
    let (sender, rows) = mpsc::channel(rows_max);
    (End { rows: sender, bytes: bytes.clone() }, PublishQueue { rows, ahead: None })
}

impl Sender {
    /// Adds a row to the queue for it at this time; false if that is full.
    pub(super) fn push(&self, row: OutboxRow, now: Timestamp) -> bool {
        match delay::rank(row.due_at, now) {
            Some(rank) => self.delayed[rank].push(row),
            None => self.direct.push(row),
        }
    }
}

impl End {
    fn push(&self, row: OutboxRow) -> bool {
        let Ok(size) = u32::try_from(row.size()) else { return false };
        let Ok(permit) = self.bytes.clone().try_acquire_many_owned(size) else { return false };
        self.rows.try_send(QueuedRow { row, permit }).is_ok()
    }
}

impl PublishQueue {
    /// The next rows, at most `rows_max` and `bytes_max`, but at least one; none when the queue is closed. It is cancel-safe: no
    /// row is lost if the future is dropped.
    pub async fn next_batch(&mut self, rows_max: usize, bytes_max: usize) -> Option<Batch> {
        let first = match self.ahead.take() {
            Some(first) => first,
            None => self.rows.recv().await?,
        };
        let mut bytes = first.row.size();
        let mut batch = Batch::default();
        batch.push(first);
        while batch.rows.len() < rows_max
            && let Ok(queued) = self.rows.try_recv()
        {
            bytes = bytes.saturating_add(queued.row.size());
            if bytes > bytes_max {
                self.ahead = Some(queued);
                break;
            }
            batch.push(queued);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::contract::Exchange;

    const MIB: usize = 1024 * 1024;

    fn row(bytes: usize) -> OutboxRow {
        OutboxRow::new(Uuid::nil(), Exchange::Events, "order.shipped", "order.shipped", vec![0; bytes])
    }

    fn direct(rows_max: usize) -> (End, PublishQueue) {
        let (sender, queues) = queues(rows_max);
        (sender.direct, queues.direct)
    }

    fn batch(rows: &mut PublishQueue) -> Option<Batch> {
        rows.next_batch(3, 2 * MIB).now_or_never().flatten()
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_bytes_and_has_at_least_one_row() {
        let (sender, mut rows) = direct(100);
        for bytes in [MIB, MIB / 2, MIB, 5 * MIB, 1, 1, 1, 1] {
            assert!(sender.push(row(bytes)));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| batch(&mut rows)).map(|batch| batch.rows.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 3, 1]);
    }

    #[test]
    fn a_full_queue_takes_no_row_until_a_batch_is_published() {
        let (sender, mut rows) = direct(100);
        let fitted = (0..100).take_while(|_| sender.push(row(5 * MIB))).count();
        assert_eq!(fitted, 12, "64 MiB hold no more");
        let taken = batch(&mut rows).unwrap();
        assert!(!sender.push(row(5 * MIB)), "rows being published still count");
        drop(taken);
        assert!(sender.push(row(5 * MIB)));
        assert!(!sender.push(row(65 * MIB)));
    }

    #[test]
    fn a_queue_is_bounded_in_rows() {
        let (sender, _rows) = direct(2);
        assert_eq!((0..3).map(|_| sender.push(row(1))).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn rows_that_wait_take_no_room_from_the_others() {
        let now = Timestamp::UNIX_EPOCH;
        let due_in = |seconds| OutboxRow { due_at: Some(now + SignedDuration::from_secs(seconds)), ..row(MIB / 2) };
        let (sender, mut queues) = queues(100);
        let waiting = (0..100).take_while(|_| sender.push(due_in(2), now)).count();
        assert_eq!(waiting, 31, "16 MiB hold no more");
        assert!(!sender.push(due_in(60), now), "of any level");
        assert!(sender.push(row(MIB / 2), now) && sender.push(due_in(-1), now));
        assert_eq!(batch(&mut queues.direct).map(|batch| batch.rows.len()), Some(2));
        assert_eq!(batch(&mut queues.delayed[4]).map(|batch| batch.rows.len()), Some(3), "in the level of 2 s");
    }
}
