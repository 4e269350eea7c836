//! A row that nobody takes: it stays, its returns are counted, and at last it is dead, visible, and in nobody's way.

use leveret::contract::Exchange;
use leveret::store::outbox::{self, OutboxRow};
use uuid::Uuid;

use crate::support::{Fresh, House};

/// A hint under a key that no queue is bound to.
fn request() -> OutboxRow {
    OutboxRow::new(Uuid::now_v7(), Exchange::Calls, "nobody", "make", b"{}".to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_nobody_takes_is_counted_and_dies_and_stays() {
    let house = House::on(Fresh::new().await, |config| config.outbox.attempts_max = 3).await;
    let row = request();
    outbox::push(&mut *house.conn().await, std::slice::from_ref(&row)).await.unwrap();
    for attempts in 1..=3 {
        house.becomes(1, &format!("leveret.outbox WHERE attempts = {attempts}")).await;
        house.start("step", &format!("beside {attempts}")).await;
        house.stands(&format!("beside {attempts}"), "completed").await;
    }
    house.becomes(1, "leveret.outbox WHERE attempts = 3 AND dead_at IS NOT NULL").await;
    assert_eq!(house.lines("id", "leveret.outbox WHERE dead_at IS NOT NULL").await, [row.id.to_string()]);
    // What the instances beside it announced is deleted some moments after it was sent.
    house.becomes(0, "leveret.outbox WHERE dead_at IS NULL").await;
    let backlog = outbox::find_backlog(&mut *house.conn().await).await.unwrap();
    assert_eq!((backlog.unsent, backlog.dead), (0, 1));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_hears_is_no_failure() {
    let house = House::open().await;
    let event = OutboxRow { exchange: Exchange::Events, ..request() };
    outbox::push(&mut *house.conn().await, &[event]).await.unwrap();
    house.becomes(0, "leveret.outbox").await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_larger_than_a_batch_are_all_sent() {
    let house = House::open().await;
    let large = || OutboxRow { exchange: Exchange::Events, body: vec![b'0'; 3 << 20], ..request() };
    let rows: Vec<OutboxRow> = (0..6).map(|_| large()).collect();
    outbox::push(&mut *house.conn().await, &rows).await.unwrap();
    house.becomes(0, "leveret.outbox").await;
    // What this process has committed itself goes the same way from memory, and there is room again for what comes after.
    for _ in 0..5 {
        let rows: Vec<OutboxRow> =
            (0..6).map(|_| OutboxRow { claimable: house.app().claimable(), ..large() }).collect();
        outbox::push(&mut *house.conn().await, &rows).await.unwrap();
        house.app().publish(rows);
        house.becomes(0, "leveret.outbox").await;
    }
    house.close().await;
}
