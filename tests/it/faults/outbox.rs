//! Outbox rows that cannot be routed: they are kept, their attempts are counted, and in the end they are dead and delay no other row.

use leveret::contract::Exchange;
use leveret::store::outbox::{self, OutboxRow};
use uuid::Uuid;

use crate::support::{Fault, Fresh, InProcess};

/// A wake-up under a routing key without a queue.
fn request() -> OutboxRow {
    OutboxRow::new(Uuid::now_v7(), Exchange::Calls, "nobody", "make", b"{}".to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_outbox_row_is_dead_after_its_last_attempt_and_kept() {
    let mut fault = Fault::new("a message is returned as unroutable", "F20", "I3 I13 I16");
    let leveret = InProcess::with_ledger_on(Fresh::new().await, |config| config.outbox.attempts_max = 3).await;
    let row = request();
    outbox::push(&mut *leveret.conn().await, std::slice::from_ref(&row)).await.unwrap();
    for attempts in 1..=3 {
        leveret.count_becomes(1, &format!("leveret.outbox WHERE attempts = {attempts}")).await;
        leveret.start("step", &format!("beside {attempts}")).await;
        leveret.reaches(&format!("beside {attempts}"), "completed").await;
    }
    fault.fired_times(3, 0);
    leveret.count_becomes(1, "leveret.outbox WHERE attempts = 3 AND dead_at IS NOT NULL").await;
    assert_eq!(leveret.lines("id", "leveret.outbox WHERE dead_at IS NOT NULL").await, [row.id.to_string()]);
    // The events of the other instances are deleted a moment after they were published.
    leveret.count_becomes(0, "leveret.outbox WHERE dead_at IS NULL").await;
    let backlog = outbox::find_backlog(&mut *leveret.conn().await).await.unwrap();
    assert_eq!((backlog.unsent, backlog.dead), (0, 1));
    leveret.close().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_consumer_is_not_a_failure() {
    let leveret = InProcess::with_ledger().await;
    let event = OutboxRow { exchange: Exchange::Events, ..request() };
    outbox::push(&mut *leveret.conn().await, &[event]).await.unwrap();
    leveret.count_becomes(0, "leveret.outbox").await;
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_larger_than_a_batch_are_published() {
    let leveret = InProcess::with_ledger().await;
    let large = || OutboxRow { exchange: Exchange::Events, body: vec![b'0'; 3 << 20], ..request() };
    let rows: Vec<OutboxRow> = (0..6).map(|_| large()).collect();
    outbox::push(&mut *leveret.conn().await, &rows).await.unwrap();
    leveret.count_becomes(0, "leveret.outbox").await;
    // What this process has committed itself goes the same way from memory, and there is room again for what comes after.
    for _ in 0..5 {
        let rows: Vec<OutboxRow> =
            (0..6).map(|_| OutboxRow { claimable: leveret.app().claimable(), ..large() }).collect();
        outbox::push(&mut *leveret.conn().await, &rows).await.unwrap();
        leveret.app().publish(rows);
        leveret.count_becomes(0, "leveret.outbox").await;
    }
    leveret.close().await;
}
