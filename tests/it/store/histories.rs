//! History: append-only, and rows hash the same when they are read back.

use diesel_async::SimpleAsyncConnection;
use leveret::engine::InstanceId;
use leveret::store::commit::{self, Asked};
use leveret::store::{Error, history};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{asked, connect, instance, now, number, record, started, written};
use crate::support::Fresh;

#[tokio::test]
async fn every_number_and_text_hashes_the_same_when_read_back() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut nasty = vec![
        json!(1.0),
        json!(-0.0),
        json!(1e300),
        json!(5e-324),
        json!(f64::MAX),
        json!(0.1 + 0.2),
        json!(1e19),
        json!(9_223_372_036_854_775_808.0),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(1e21),
        json!(123_456_789.123_456_78),
        json!({"ä": "\u{1F407}", "a": "\u{ffff}\u{7f}\u{1}", "": [], "\u{10000}": {}, "\u{e000}": "\u{2028}\\u0000"}),
        Value::Null,
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let number = f64::from_bits(seed);
        if number.is_finite() {
            nasty.push(json!({"n": number, "i": seed.cast_signed()}));
        }
    }
    let before = started(conn, nasty.into_iter().map(record).collect()).await;
    history::verify(conn, before.id).await.unwrap();
}

#[tokio::test]
async fn history_can_only_be_appended() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = started(conn, vec![record(json!({"name": "Jo"})), record(json!(2))]).await;
    let partition = format!("leveret.history_{}", now().strftime("%Y%m"));
    for table in ["leveret.history", partition.as_str()] {
        for change in
            [format!("UPDATE {table} SET kind = 'x'"), format!("DELETE FROM {table}"), format!("TRUNCATE {table}")]
        {
            let refused = conn.batch_execute(&change).await.map_err(Error::from);
            assert!(matches!(&refused, Err(Error::Bug(why)) if why.contains("append-only")), "{change}: {refused:?}");
        }
    }
    history::verify(conn, before.id).await.unwrap();
    // Erasing keeps the chain valid; any other change is noticed.
    let as_retention = |sql: &str| format!("BEGIN; SET LOCAL ROLE leveret_retention; {sql}; COMMIT");
    conn.batch_execute(&as_retention("UPDATE leveret.history SET details = NULL, salt = NULL WHERE number = 1"))
        .await
        .unwrap();
    history::verify(conn, before.id).await.unwrap();
    conn.batch_execute(&as_retention("UPDATE leveret.history SET details = '3' WHERE number = 2")).await.unwrap();
    assert!(matches!(history::verify(conn, before.id).await, Err(history::Broken::Details(2))));
    conn.batch_execute(&as_retention("DELETE FROM leveret.history WHERE number = 1")).await.unwrap();
    assert!(matches!(history::verify(conn, before.id).await, Err(history::Broken::Gap(1))));
}

#[tokio::test]
async fn each_month_has_its_partition() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    assert_eq!(history::ensure_partitions(conn, now()).await.unwrap(), 0);
    assert_eq!(history::ensure_partitions(conn, "2031-12-31T23:59:59Z".parse().unwrap()).await.unwrap(), 3);
    assert_eq!(history::ensure_partitions(conn, "2032-01-01T00:00:00Z".parse().unwrap()).await.unwrap(), 1);
    // A row of a month without a partition is stored, and the whole month then stays in history_other.
    let mut early = instance(None);
    early.id = InstanceId(Uuid::new_v7(uuid::Timestamp::from_unix_time(1_000_000_000, 0, 0, 0)));
    let write = written(None, &early, vec![record(json!(1))]);
    commit::start(conn, &write, &asked(&write, "m"), Asked::Named).await.unwrap();
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.history_other").await, 1);
    assert_eq!(history::ensure_partitions(conn, "2001-09-01T00:00:00Z".parse().unwrap()).await.unwrap(), 2);
    started(conn, vec![record(json!(1))]).await;
    let partition = format!("SELECT count(*) FROM leveret.history_{}", now().strftime("%Y%m"));
    assert_eq!(number(conn, &partition).await, 1);
}
