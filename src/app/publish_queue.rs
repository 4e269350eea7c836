//! What this process has committed and will publish itself: a queue in memory, bounded in rows and in bytes. What does not
//! fit stays in the table, for a sweep to find.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::store::outbox::OutboxRow;

/// Bytes of rows in memory, waiting or on their way, so that a broker that is away for an hour does not cost the process.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where commits put their rows.
#[derive(Clone)]
pub(super) struct Sender {
    rows: mpsc::Sender<Held>,
    room: Arc<Semaphore>,
}

/// Rows this process has committed and will publish itself.
pub struct PublishQueue {
    rows: mpsc::Receiver<Held>,
    /// The first of the next batch, which did not fit into the last one.
    ahead: Option<Held>,
}

/// A row in memory, and the room it takes there until it goes.
struct Held {
    row: OutboxRow,
    room: OwnedSemaphorePermit,
}

/// Rows that are published together; the room they take is free again when they go.
#[derive(Default)]
pub struct Batch {
    /// The rows.
    pub rows: Vec<OutboxRow>,
    rooms: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    fn push(&mut self, held: Held) {
        self.rows.push(held.row);
        self.rooms.push(held.room);
    }
}

/// A queue of at most so many rows.
pub(super) fn queue(rows_max: usize) -> (Sender, PublishQueue) {
    let (sender, rows) = mpsc::channel(rows_max);
    (Sender { rows: sender, room: Arc::new(Semaphore::new(BYTES_MAX)) }, PublishQueue { rows, ahead: None })
}

impl Sender {
    /// Puts a row into the queue; false if there is no room for it.
    pub(super) fn push(&self, row: OutboxRow) -> bool {
        let Ok(size) = u32::try_from(row.size()) else { return false };
        let Ok(room) = self.room.clone().try_acquire_many_owned(size) else { return false };
        self.rows.try_send(Held { row, room }).is_ok()
    }
}

impl PublishQueue {
    /// The next rows, at most so many of them and so many bytes, but one in any case; none when there will be no more.
    /// Nothing is lost if it is not waited for.
    pub async fn next_batch(&mut self, rows_max: usize, bytes_max: usize) -> Option<Batch> {
        let first = match self.ahead.take() {
            Some(first) => first,
            None => self.rows.recv().await?,
        };
        let mut bytes = first.row.size();
        let mut batch = Batch::default();
        batch.push(first);
        while batch.rows.len() < rows_max
            && let Ok(held) = self.rows.try_recv()
        {
            bytes = bytes.saturating_add(held.row.size());
            if bytes > bytes_max {
                self.ahead = Some(held);
                break;
            }
            batch.push(held);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;
    use crate::contract::Exchange;

    const MIB: usize = 1024 * 1024;

    fn row(bytes: usize) -> OutboxRow {
        OutboxRow::new(Uuid::nil(), Exchange::Events, "order.shipped", "order.shipped", vec![0; bytes])
    }

    fn batch(rows: &mut PublishQueue) -> Option<Batch> {
        rows.next_batch(3, 2 * MIB).now_or_never().flatten()
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_in_bytes_and_has_one_row_in_any_case() {
        let (sender, mut rows) = queue(100);
        for bytes in [MIB, MIB / 2, MIB, 5 * MIB, 1, 1, 1, 1] {
            assert!(sender.push(row(bytes)));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| batch(&mut rows)).map(|batch| batch.rows.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 3, 1]);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_left_to_the_sweep_until_something_has_gone() {
        let (sender, mut rows) = queue(100);
        let fitted = (0..100).take_while(|_| sender.push(row(5 * MIB))).count();
        assert_eq!(fitted, 12, "64 MiB hold no more");
        let held = batch(&mut rows).unwrap();
        assert!(!sender.push(row(5 * MIB)), "what is on its way is still in memory");
        drop(held);
        assert!(sender.push(row(5 * MIB)));
        assert!(!sender.push(row(65 * MIB)));
    }

    #[test]
    fn there_is_a_bound_of_rows_as_well() {
        let (sender, _rows) = queue(2);
        assert_eq!((0..3).map(|_| sender.push(row(1))).collect::<Vec<_>>(), [true, true, false]);
    }
}
