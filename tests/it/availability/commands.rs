//! A confirmed command is in a replicated queue or in the database, also while its instance is busy.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::broker::delay;
use leveret::store::Connection;
use serde_json::json;

use crate::support::{Fault, Fresh, InProcess, broker};

/// The row that a busy command is put off in.
const PUT_OFF: &str = "leveret.outbox WHERE exchange = 'forwarded' AND kind = 'cancel' AND app_id = 'upstream' \
                       AND message_id = 'cancel A-1' AND reply_to IS NOT NULL AND claimable_at > now()";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_for_a_busy_instance_waits_in_the_database_and_not_in_a_delay_queue() {
    let mut fault = Fault::new("an instance is locked, and every delay queue is deleted", "F54 F44", "I2 I3 I17 I20");
    let soon = |config: &mut leveret::config::Config| config.database.lock_timeout = Duration::from_millis(100);
    let leveret = InProcess::with_ledger_on(Fresh::new().await, soon).await;
    leveret.start("paid", "A-1").await;
    leveret.reaches("A-1", "running at payment").await;
    let mut holder = Connection::establish(&leveret.fresh.database_url).await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM leveret.instances WHERE key = 'A-1' FOR UPDATE").await.unwrap();

    leveret
        .sender
        .ask("cancel", "cancel A-1", &json!({ "definition": "paid", "key": "A-1", "reason": "the test" }))
        .await;
    leveret.count_becomes(1, PUT_OFF).await;
    // It was acknowledged: nothing of it is in any queue, and what every delay queue held is lost.
    let queues = leveret.queues().await;
    assert_eq!(queues.not_empty().await, []);
    let raw = broker::raw(&leveret.fresh.amqp_url).await;
    for level in delay::levels() {
        let name = level.name(&leveret.fresh.prefix);
        raw.queue_delete(name.as_str().into(), Default::default()).await.unwrap();
    }
    fault.fired(1);
    holder.batch_execute("ROLLBACK").await.unwrap();

    leveret.reaches("A-1", "cancelled").await;
    fault.recovered();
    let answers = leveret.sender.answers(1).await;
    assert_eq!((answers[0].0.as_str(), &answers[0].1["outcome"]), ("about cancel A-1", &json!("cancelled")));
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.close().await;
    fault.held();
}
