//! PostgreSQL crashes under load: no delivery is dropped, and everything continues when it is back.

use super::load::Load;
use crate::support::{Fault, Private};

#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_a_database_crash() {
    let mut fault = Fault::new("the database crashes under load (immediate stop)", "F53", "I1 I2 I3 I4 I7 I12");
    let servers = Private::start();
    let load = Load::on(&servers).await;
    load.start(0..100).await;
    load.is_under_way(100).await;
    let travelling = load.travelling().await;
    let database = servers.postgres().unwrap();
    database.stop_immediate().unwrap();
    fault.fired_times(1, travelling);
    // These are delivered while it is down, and held.
    load.start(100..150).await;
    assert!(load.leveret.app().store.probe().await.is_err(), "it is away");
    database.start().unwrap();
    assert!(travelling > 50, "only {travelling} of 100 were under way");
    let took = load.all_arrive(150).await;
    fault.recovered_in(took);
    println!("{travelling} were under way; all have arrived {took:?} after the database was back");
    fault.held();
}

/// Three crashes, so that each loop of the process meets one in another place.
#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_three_database_crashes() {
    let mut fault = Fault::new("the database crashes three times under load", "F53", "I1 I2 I3 I4 I7 I12");
    let servers = Private::start();
    let load = Load::on(&servers).await;
    load.start(0..60).await;
    load.is_under_way(60).await;
    let database = servers.postgres().unwrap();
    for round in 1..=3 {
        database.stop_immediate().unwrap();
        fault.fired_times(1, 60);
        load.start(60 + 10 * (round - 1)..60 + 10 * round).await;
        database.start().unwrap();
        load.leveret.count_becomes(60 + 10 * round, "leveret.instances").await;
    }
    fault.recovered_in(load.all_arrive(90).await);
    fault.held();
}
