//! Several relays: none is the leader, and each may come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use leveret::config::Database;
use leveret::contract::Exchange;
use leveret::store::Store;
use leveret::store::outbox::{self, OutboxRow};
use uuid::Uuid;

use super::ENDS_WITHIN;
use crate::support::{Fault, Fresh, Processes, eventually};

/// Rows of one test, and of one claim.
const ROWS: usize = 600;
const CLAIM_MAX: i64 = 20;
/// A claim holds for longer than the test.
const HOLD_FOR: Duration = Duration::from_secs(300);
const BYTES_MAX: i64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_that_sweep_at_once_never_claim_the_same_row() {
    let mut fault = Fault::new("two relays sweep the same rows at the same moment", "F21", "I3");
    let fresh = Fresh::database().await;
    let settings = Database { url: fresh.database_url.clone(), ..Database::default() };
    let store = Store::connect(&settings, "relays").unwrap();
    let rows: Vec<OutboxRow> =
        (0..ROWS).map(|_| OutboxRow::new(Uuid::now_v7(), Exchange::Events, "a.b", "a.b", Vec::new())).collect();
    outbox::push(&mut store.background().await.unwrap(), &rows).await.unwrap();
    let (mut one, mut other) = (store.background().await.unwrap(), store.background().await.unwrap());
    let (mut seen, mut rounds) = (BTreeSet::new(), 0);
    while seen.len() < ROWS {
        rounds += 1;
        assert!(rounds <= ROWS, "{} of {ROWS} rows were claimed in {rounds} rounds", seen.len());
        let (mine, theirs) = tokio::join!(
            outbox::claim_unsent(&mut one, CLAIM_MAX, BYTES_MAX, HOLD_FOR),
            outbox::claim_unsent(&mut other, CLAIM_MAX, BYTES_MAX, HOLD_FOR),
        );
        for row in mine.unwrap().into_iter().chain(theirs.unwrap()) {
            assert!(seen.insert(row.id), "a row was claimed twice");
        }
    }
    // Even if the two never met: what one has claimed is out of reach of everyone.
    let again = outbox::claim_unsent(&mut other, CLAIM_MAX, BYTES_MAX, HOLD_FOR).await.unwrap();
    assert!(again.is_empty(), "a row was claimed twice");
    fault.fired_times(rounds, 0);
    fault.held();
}

/// Starts that only a relay publishes, while relays come and are killed.
#[tokio::test]
async fn relays_that_come_and_are_killed_publish_everything() {
    let mut fault = Fault::new("relays come and are killed in turn, beside one that lives", "F21", "I1 I2 I3 I4");
    let processes = Processes::new().await;
    let mut worker = processes.serve_roles("worker,timers", &[]);
    let mut living = processes.serve_roles("relay", &[]);
    worker.serves().await;
    living.serves().await;
    for round in 0..4 {
        let mut doomed = processes.serve_roles("relay", &[]);
        doomed.serves().await;
        let start = format!(
            "SELECT leveret.start('line', key => 'sql-{round}-' || n)::text AS line FROM generate_series(1, 5) AS n"
        );
        processes.lines(&start).await;
        // Some rows are claimed then, by either.
        let begun = async || processes.count("leveret.instances").await > 5 * round;
        eventually("the round has begun", ENDS_WITHIN, begun).await;
        doomed.kill().await;
        fault.fired_times(1, processes.under_way().await);
    }
    // Instead of the 30 s for which the claim of a dead one holds.
    processes.lines("UPDATE leveret.outbox SET claimable_at = now() RETURNING NULL AS line").await;
    fault.fired(0);
    processes.all_ended(20, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(20).await;
    for one in [&mut worker, &mut living] {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}
