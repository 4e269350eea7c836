//! A database that answers every query and confirms no commit, because a synchronous standby is missing.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::store::Connection;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Fault, Fresh, InProcess, Private, Program, SOON, eventually};

/// The probe has two seconds; the rest is the machine.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_hang_are_told_by_readiness_and_doctor() {
    let mut fault = Fault::new("commits hang, because a synchronous standby is missing", "F55 F58", "I11 I12 I16");
    let servers = Private::start();
    let leveret = InProcess::with_ledger_on(Fresh::on(&servers).await, |_| {}).await;
    let mut admin = Connection::establish(&leveret.fresh.database_url).await.unwrap();
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();

    let begun = Instant::now();
    let unready = async || {
        let reply = leveret.get("/readyz").await;
        assert!(["answers", "commits hang"].contains(&reply.body["database"].as_str().unwrap()), "{reply:?}");
        reply.status == StatusCode::SERVICE_UNAVAILABLE && reply.body["database"] == "commits hang"
    };
    eventually("readiness tells it", TOLD_WITHIN, unready).await;
    let mut doctor = Program::start(&leveret.fresh, &["doctor", "-o", "json"], &[]);
    assert_eq!(doctor.wait_within(SOON).await.code(), Some(1));
    let said = doctor.output();
    let findings: Value = serde_json::from_str(&said[said.find('[').unwrap()..]).unwrap();
    let commits = findings.as_array().unwrap().iter().find(|one| one["what"] == "commits").unwrap();
    assert_eq!(commits["good"], json!(false));
    assert!(commits["says"].as_str().unwrap().contains("synchronous_standby_names = gone"), "{commits}");
    // However often it is asked, one session waits, and not one for each request.
    for _ in 0..5 {
        assert_eq!(leveret.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let waiting = "pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%pg_logical_emit_message%' \
                   AND application_name NOT LIKE '%doctor%'";
    assert_eq!(leveret.count(waiting).await, 1);

    fault.fired(0);
    admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let ready = async || leveret.get("/readyz").await.status == StatusCode::OK;
    eventually("it is ready again", SOON, ready).await;
    fault.recovered();
    leveret.start("step", "after").await;
    leveret.reaches("after", "completed").await;
    println!("commits hung for {:?}", begun.elapsed());
    leveret.close().await;
    fault.held();
}
