//! The role `timers`: fires due timers, starts what is scheduled, and recovers branches that have been silent for too long. It works
//! from PostgreSQL alone: if RabbitMQ loses every message, every instance still continues.

pub mod fire;
pub mod recover;
pub mod schedule;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::app::App;
use crate::broker::Queue;
use crate::store::outbox::{self, OutboxRow};
use crate::store::{self, Transaction};

/// Timers or branches of one transaction.
const BATCH_MAX: i64 = 500;

/// A queue whose depth is not known within this time counts as busy.
const DEPTH_FOR: Duration = Duration::from_secs(1);

/// Starts the loops of the role.
pub fn start(app: &App) {
    app.supervise("timers", |app| async move { fire::run(&app).await });
    app.supervise("recovery", |app| async move { recover::run(&app).await });
    app.supervise("schedules", |app| async move { schedule::run(&app).await });
}

/// One pass over due timers and one over silent branches; returns the number of step commands written.
pub async fn run_once(app: &App) -> Result<usize, store::Error> {
    Ok(fire::run_once(app, &mut BTreeSet::new()).await?.count + recover::run_once(app).await?)
}

/// The queues that hold undelivered messages: a sweep must not add to a backlog.
async fn busy_queues(app: &App, queues: impl IntoIterator<Item = String>) -> Vec<String> {
    // At once, so that a queue that does not answer does not hold up the timers of the others for each of them.
    let busy = join_all(queues.into_iter().map(async |queue| {
        // Without an answer from the broker nothing could be published anyway, so the queue counts as busy.
        let named = Queue::Steps(queue.clone());
        let depth = tokio::time::timeout(DEPTH_FOR, app.broker.depth(&named)).await;
        let is_busy = !matches!(depth, Ok(Ok(0)));
        is_busy.then_some(queue)
    }));
    busy.await.into_iter().flatten().collect()
}

/// Commits a sweep and publishes its rows; returns the number of rows.
async fn commit(app: &App, mut transaction: Transaction, rows: Vec<OutboxRow>) -> Result<usize, store::Error> {
    // Also without a row: the claim has postponed the timers of suspended instances, and without the commit they would be claimed
    // again at once, before all others.
    outbox::push(&mut transaction, &rows).await?;
    transaction.commit().await?;
    let count = rows.len();
    app.publish(rows);
    Ok(count)
}
