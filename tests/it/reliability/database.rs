//! A database that fails again and again under load: sessions end, statements and commits are refused, or nothing may be written.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::store::Connection;
use serde_json::json;

use super::{ENDS_WITHIN, ask};
use crate::support::{Fault, Processes, count, eventually};

/// Instances of one test, half with timers.
const ASKED: i64 = 40;
/// Sessions that are ended, one each 100 ms.
const ENDED: usize = 50;
/// One write of an instance in this number fails.
const EVERY: i64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_every_100_ms_lose_and_double_nothing() {
    let mut fault =
        Fault::new("a session of the database is ended every 100 ms under load", "F52", "I1 I2 I3 I4 I7 I12");
    let processes = Processes::new().await;
    let mut both = [processes.serve(&[]), processes.serve(&[])];
    for one in &both {
        one.serves().await;
    }
    let mut admin = Connection::establish(&processes.fresh.direct_url).await.unwrap();
    // Not the one that asks how it is.
    let end_one = "(SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'the test' \
                   ORDER BY random() LIMIT 1) AS one) AS ended";
    let ending = async {
        let mut ended = 0;
        while ended < ENDED {
            ended += usize::try_from(count(&mut admin, end_one).await).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // As long as sessions are ended, with timers that fire meanwhile.
    let asking = async {
        for number in 0..ASKED / 2 {
            let key = format!("asked-{number}");
            tokio::join!(
                processes.start("line", &key, json!({})),
                processes.start("countdown", &key, json!({ "from": 6, "pause": "900ms" })),
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::join!(asking, ending);
    fault.fired_times(ENDED - 1, 0);
    fault.fired(processes.under_way().await);
    processes.all_ended(ASKED, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(ASKED).await;
    for one in &mut both {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}

/// Where a write of an instance fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Statement,
    Commit,
}

/// A trigger refuses one write in seven with this SQLSTATE. A sequence keeps its count when a transaction is rolled back.
async fn refused(mut fault: Fault, state: &str, at: At) {
    let processes = Processes::new().await;
    let mut admin = Connection::establish(&processes.fresh.direct_url).await.unwrap();
    let trigger = match at {
        At::Statement => "CREATE TRIGGER refuses BEFORE INSERT OR UPDATE ON leveret.instances",
        At::Commit => {
            "CREATE CONSTRAINT TRIGGER refuses AFTER INSERT OR UPDATE ON leveret.instances DEFERRABLE INITIALLY DEFERRED"
        }
    };
    let refusing = format!(
        "CREATE SEQUENCE public.writes; GRANT ALL ON SEQUENCE public.writes TO PUBLIC;
         CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('public.writes') % {EVERY} = 0 THEN
                 RAISE EXCEPTION 'as the test wants' USING ERRCODE = '{state}';
             END IF;
             RETURN NEW;
         END $$;
         {trigger} FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    );
    admin.batch_execute(&refusing).await.unwrap();
    let mut both = [processes.serve(&[]), processes.serve(&[])];
    ask(&processes, ASKED).await;
    processes.all_ended(ASKED, ENDS_WITHIN).await;
    admin.batch_execute("DROP TRIGGER refuses ON leveret.instances").await.unwrap();
    let times = processes.lines(&format!("SELECT (last_value / {EVERY})::text AS line FROM public.writes")).await;
    fault.fired_times(times[0].parse().unwrap(), ASKED);
    processes.is_at_rest(ASKED).await;
    for one in &mut both {
        one.stops_in_order().await;
    }
    processes.queues_are_empty().await;
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_at_the_commit_are_retried() {
    let fault = Fault::new("40001 at every seventh commit, under load", "F54", "I1 I2 I3 I4 I7");
    refused(fault, "40001", At::Commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_are_retried() {
    let fault = Fault::new("40P01 at every seventh write, under load", "F54", "I1 I2 I3 I4 I7");
    refused(fault, "40P01", At::Statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_that_are_not_free_are_retried() {
    let fault = Fault::new("55P03 at every seventh write, under load", "F54", "I1 I2 I3 I4 I7");
    refused(fault, "55P03", At::Statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_statements_are_retried() {
    let fault = Fault::new("57014 at every seventh write, under load", "F54", "I1 I2 I3 I4 I7");
    refused(fault, "57014", At::Statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_commit_is_waited_for() {
    let fault = Fault::new("53100 at every seventh commit, under load", "F55", "I1 I2 I3 I4 I7");
    refused(fault, "53100", At::Commit).await;
}

/// For three seconds nothing can be written; then everything continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_becomes_read_only_under_load_is_waited_for() {
    let mut fault = Fault::new(
        "the database becomes read-only under load for 3 s (time from its end)",
        "F55",
        "I1 I2 I3 I4 I7 I12",
    );
    let processes = Processes::new().await;
    let mut program = processes.serve(&[]);
    ask(&processes, ASKED).await;
    eventually("it works", ENDS_WITHIN, async || processes.count("leveret.instances").await >= 5).await;
    let mut admin = Connection::establish(&processes.fresh.direct_url).await.unwrap();
    admin.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    let database = processes.fresh.prefix.clone();
    let end_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid() AND application_name <> 'the test'";
    let make = |what: &str| {
        format!(
            "ALTER DATABASE \"{database}\" {what} default_transaction_read_only{}",
            if what == "SET" { " = on" } else { "" }
        )
    };
    admin.batch_execute(&make("SET")).await.unwrap();
    admin.batch_execute(end_others).await.unwrap();
    let under_way = processes.under_way().await;
    assert!(under_way > 0, "everything had ended before");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(processes.under_way().await > 0, "it was not read-only");
    admin.batch_execute(&make("RESET")).await.unwrap();
    fault.fired(under_way);
    processes.all_ended(ASKED, ENDS_WITHIN).await;
    fault.recovered();
    processes.is_at_rest(ASKED).await;
    program.stops_in_order().await;
    processes.queues_are_empty().await;
    fault.held();
}
