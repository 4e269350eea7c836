//! Rows that the relay has to publish for others: it learns of them at their commit, not at its next sweep.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::{FutureExt, StreamExt};
use leveret::handlers::Handlers;
use leveret::roles::Role;

use crate::support::{CommandLine, Fault, Fresh, InProcess, SOON, eventually};

/// No test waits for a sweep.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

const SHORT: &str = "
name: short
activities:
  - { id: done, end: {} }
";

async fn without_sweeps() -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    config.outbox.sweep_every = SWEEP_EVERY;
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.apply(SHORT).await;
    let listens = async || {
        leveret.count("pg_stat_activity WHERE query = 'LISTEN leveret_outbox' AND state = 'idle' AND datname = current_database()").await == 1
    };
    eventually("the relay listens", SOON, listens).await;
    leveret
}

/// A session of a service.
async fn session(leveret: &InProcess) -> AsyncPgConnection {
    AsyncPgConnection::establish(&leveret.fresh.database_url).await.unwrap()
}

/// Whether a notification has arrived at a session that listens. The answer to a statement comes after all earlier notifications.
async fn is_notified(listening: &mut AsyncPgConnection) -> bool {
    listening.batch_execute("SELECT 1").await.unwrap();
    let mut arrived = std::pin::pin!(listening.notifications_stream());
    let mut any = false;
    while let Some(Some(Ok(_))) = arrived.next().now_or_never() {
        any = true;
    }
    any
}

#[tokio::test]
async fn a_start_from_sql_runs_when_its_transaction_commits_and_not_before() {
    let mut fault = Fault::new("an older outbox row commits after newer ones were published", "F22", "I2 I3 I4");
    let leveret = without_sweeps().await;
    let mut service = session(&leveret).await;
    service.batch_execute("BEGIN; SELECT leveret.start('short', key => 'one')").await.unwrap();
    // Another start passes it: it is not seen, because it is not committed.
    leveret.execute("SELECT leveret.start('short', key => 'two')").await;
    leveret.reaches("two", "completed").await;
    assert_eq!(leveret.id("one").await, None);
    fault.fired(1);
    service.batch_execute("COMMIT").await.unwrap();
    leveret.reaches("one", "completed").await;
    fault.recovered();
    leveret.close().await;
    fault.held();
}

#[tokio::test]
async fn a_start_from_sql_is_not_published_if_its_transaction_is_rolled_back() {
    let leveret = without_sweeps().await;
    let mut service = session(&leveret).await;
    service.batch_execute("BEGIN; SELECT leveret.start('short', key => 'never'); ROLLBACK").await.unwrap();
    leveret.execute("SELECT leveret.start('short', key => 'after')").await;
    leveret.reaches("after", "completed").await;
    assert_eq!(leveret.id("never").await, None);
    leveret.close().await;
}

#[tokio::test]
async fn a_start_from_the_command_line_does_not_wait_for_a_sweep() {
    let leveret = without_sweeps().await;
    let command_line = CommandLine::on(&leveret.fresh);
    command_line.say("instance start short --key from-outside").await.good();
    leveret.reaches("from-outside", "completed").await;
    leveret.close().await;
}

#[tokio::test]
async fn a_relay_whose_connection_was_ended_listens_again() {
    let leveret = without_sweeps().await;
    let listener = "FROM pg_stat_activity WHERE query = 'LISTEN leveret_outbox' AND datname = current_database()";
    let before = leveret.lines("pid::text", &listener["FROM ".len()..]).await;
    leveret.execute(&format!("SELECT pg_terminate_backend(pid) {listener}")).await;
    leveret.execute("SELECT leveret.start('short', key => 'meanwhile')").await;
    leveret.reaches("meanwhile", "completed").await;
    let others = async || {
        let now = leveret.lines("pid::text", &listener["FROM ".len()..]).await;
        now.len() == 1 && now != before
    };
    eventually("it listens again", SOON, others).await;
    leveret.execute("SELECT leveret.start('short', key => 'afterwards')").await;
    leveret.reaches("afterwards", "completed").await;
    leveret.close().await;
}

#[tokio::test]
async fn many_starts_make_the_relay_look_by_itself_and_nobody_notifies_it_meanwhile() {
    let leveret = without_sweeps().await;
    let mut listening = session(&leveret).await;
    listening.batch_execute("LISTEN leveret_outbox").await.unwrap();
    // More in one transaction than the relay wants to be notified of in a second.
    leveret.execute("SELECT leveret.start('short', key => 'many-' || n) FROM generate_series(1, 400) AS n").await;
    let promised =
        async || leveret.count("leveret.relay_looks_until WHERE last_value > leveret.epoch_ms() + 500").await == 1;
    eventually("it promises to look", SOON, promised).await;
    assert!(is_notified(&mut listening).await, "of the first ones");
    let mut service = session(&leveret).await;
    service.batch_execute("BEGIN; SELECT leveret.start('short', key => 'late')").await.unwrap();
    leveret.execute("SELECT leveret.start('short', key => 'during')").await;
    assert!(!is_notified(&mut listening).await, "it looks by itself");
    service.batch_execute("COMMIT").await.unwrap();
    leveret.reaches("during", "completed").await;
    leveret.reaches("late", "completed").await;
    leveret.count_becomes(402, "leveret.instances WHERE status = 'completed'").await;
    let over =
        async || leveret.count("leveret.relay_looks_until WHERE last_value < leveret.epoch_ms() - 1500").await == 1;
    eventually("it listens again", SOON, over).await;
    leveret.execute("SELECT leveret.start('short', key => 'rare')").await;
    leveret.reaches("rare", "completed").await;
    leveret.close().await;
}

#[tokio::test]
async fn a_service_can_do_without_notifications() {
    let leveret = without_sweeps().await;
    let mut listening = session(&leveret).await;
    listening.batch_execute("LISTEN leveret_outbox").await.unwrap();
    let mut service = session(&leveret).await;
    service.batch_execute("SET leveret.notify = off; SELECT leveret.start('short', key => 'quiet')").await.unwrap();
    assert!(!is_notified(&mut listening).await);
    service.batch_execute("RESET leveret.notify; SELECT leveret.start('short', key => 'loud')").await.unwrap();
    assert!(is_notified(&mut listening).await);
    leveret.reaches("quiet", "completed").await;
    leveret.close().await;
}
