//! Documents, lists, locks, leases and the schema itself.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::engine::{BranchId, InstanceId, ROOT, Status};
use leveret::store::{Connection, Error, Store, Transaction, Undo, definitions, instances, migrate};
use serde_json::json;
use uuid::Uuid;

use super::rows::{connect, number, started};
use crate::support::{Fresh, eventually, lines};

#[tokio::test]
async fn lists_are_paged() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(started(conn, vec![]).await.id);
    }
    ids.reverse();
    let mut filter = instances::Filter {
        definition: Some("order".into()),
        status: Some(Status::Running),
        queue: Some("default".into()),
        limit: 2,
        ..Default::default()
    };
    let page: Vec<_> = instances::list(conn, &filter).await.unwrap();
    assert_eq!(page.iter().map(|one| one.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(page[0].activities, ["first"]);
    filter.before = Some(ids[1]);
    assert_eq!(instances::list(conn, &filter).await.unwrap()[0].id, ids[2]);
    filter.key = Some("none".into());
    assert_eq!(instances::list(conn, &filter).await.unwrap(), []);
    assert_eq!(instances::count_by_status(conn).await.unwrap(), [(Status::Running, 3)]);
}

#[tokio::test]
async fn the_comment_of_the_status_names_every_status() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let column = "pg_attribute WHERE attrelid = 'leveret.instances'::regclass AND attname = 'status'";
    let comment = lines(conn, "col_description(attrelid, attnum)", column).await;
    let named = comment.join("").replace(" or ", ", ");
    assert_eq!(named.split(", ").collect::<Vec<_>>(), Status::NAMES);
}

#[tokio::test]
async fn a_document_is_stored_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let parsed = |hash: u8| leveret::definition::Parsed {
        definition: leveret::definition::Definition {
            name: "order".into(),
            title: None,
            description: None,
            input: None,
            variables: BTreeMap::new(),
            output: None,
            timeout: None,
            on_error: vec![],
            on_failure: leveret::definition::OnFailure::Suspend,
            notify: None,
            retention: None,
            events: leveret::definition::Events { instance: true, activity: false, task: true },
            queue: "default".into(),
            priority: 0,
            limits: leveret::definition::StartLimits::default(),
            labels: BTreeMap::new(),
            search: vec![],
            activities: vec![],
            index: Default::default(),
            settings: Default::default(),
        },
        content: json!({"n": hash}),
        hash: [hash; 32],
        warnings: vec![],
    };
    assert_eq!(definitions::apply(conn, &parsed(1)).await.unwrap(), definitions::Applied { version: 1, changed: true });
    assert_eq!(
        definitions::apply(conn, &parsed(1)).await.unwrap(),
        definitions::Applied { version: 1, changed: false }
    );
    assert_eq!(definitions::apply(conn, &parsed(2)).await.unwrap(), definitions::Applied { version: 2, changed: true });
    assert_eq!(definitions::find(conn, "order", None).await.unwrap().unwrap().version, 2);
    assert_eq!(definitions::find(conn, "order", Some(1)).await.unwrap().unwrap().content, json!({"n": 1}));
    assert_eq!(definitions::find(conn, "other", None).await.unwrap(), None);
    let listed = definitions::list(conn, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.version).collect::<Vec<_>>(), [2]);
    assert_eq!(definitions::list_versions(conn, "order", 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let url = fresh.database_url.as_str();
    assert!(migrate::check(conn).await.unwrap().is_current());
    assert_eq!(migrate::run(url).await.unwrap(), Vec::<String>::new());
    conn.batch_execute("INSERT INTO leveret.__diesel_schema_migrations (version) VALUES ('99991231')").await.unwrap();
    assert_eq!(migrate::check(conn).await.unwrap().unknown, ["99991231"]);
    assert!(matches!(migrate::run(url).await, Err(Error::Bug(_))));
}

#[tokio::test]
async fn a_lease_dropped_inside_a_transaction_closes_its_session() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let url = fresh.database_url.as_str();
    let database = leveret::config::Database { url: url.into(), ..Default::default() };
    let store = Store::connect(&database, "dropped").unwrap();
    let before = started(conn, vec![]).await;
    let mut lease = store.steps().await.unwrap();
    let held = lease.transaction::<(), Error, _>(async |conn| {
        instances::lock(conn, before.id).await?;
        std::future::pending().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), held).await.is_err());
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dropped'";
    assert_eq!(number(conn, sessions).await, 1);
    drop(lease);
    let closed = async || number(conn, sessions).await == 0;
    eventually("the session is closed", Duration::from_secs(1), closed).await;
    drop(store.steps().await.unwrap());
    assert_eq!(store.in_use()[0].lent, 0);
    assert_eq!(number(conn, sessions).await, 1);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "nothing has to be drained at the end of a test")]
async fn a_transaction_commits_or_rolls_back_by_what_its_body_returns() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let database = leveret::config::Database { url: fresh.database_url.as_str().into(), ..Default::default() };
    let store = Store::connect(&database, "run").unwrap();
    let insert = "INSERT INTO leveret.definitions (name, version, content, content_hash, status) \
                  SELECT 'x', 1 + count(*), '{}', sha256('x'), 'active' FROM leveret.definitions";
    // In a task of its own: its future can be sent to another thread, also if the body borrows.
    let (lease, text) = (store.steps().await.unwrap(), insert.to_owned());
    let committed = tokio::spawn(async move {
        let body = async |transaction: &mut Transaction| {
            transaction.batch_execute(&text).await?;
            Ok::<_, Undo<_, Error>>("written")
        };
        Transaction::run(lease, body).await
    });
    assert_eq!(committed.await.unwrap().unwrap(), "written");
    let undone = Transaction::run(store.steps().await.unwrap(), async |transaction| {
        transaction.batch_execute(insert).await?;
        Err::<(), Undo<_, Error>>(Undo::Value(()))
    });
    undone.await.unwrap();
    let failed = Transaction::run(store.steps().await.unwrap(), async |transaction| {
        transaction.batch_execute(insert).await?;
        Err::<(), Undo<_, _>>(Error::Conflict.into())
    });
    assert!(matches!(failed.await, Err(Error::Conflict)));
    let id = InstanceId(Uuid::now_v7());
    let locked = Transaction::run_locked(store.steps().await.unwrap(), id, async |transaction, found| {
        assert!(found.is_none());
        transaction.batch_execute(insert).await?;
        Err::<(), Undo<_, Error>>(Undo::Value(()))
    });
    locked.await.unwrap();
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.definitions").await, 1);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'run'";
    assert_eq!(number(conn, sessions).await, 1, "the connection went back to the pool each time");
    let pending = Transaction::run(store.steps().await.unwrap(), async |transaction| {
        transaction.batch_execute(insert).await?;
        std::future::pending::<Result<(), Undo<(), Error>>>().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), pending).await.is_err());
    assert_eq!(store.in_use()[0].lent, 0);
    let mut looks = 0;
    while number(conn, sessions).await > 0 {
        looks += 1;
        assert!(looks < 200, "a transaction that was dropped keeps its session");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(number(conn, "SELECT count(*) FROM leveret.definitions").await, 1);
}

#[tokio::test]
async fn a_branch_is_locked_once() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let url = fresh.database_url.as_str();
    let id = InstanceId(Uuid::now_v7());
    let mut other = Connection::establish(url).await.unwrap();
    conn.transaction::<(), Error, _>(async |conn| {
        assert!(instances::lock_branch_try(conn, id, ROOT).await?);
        assert!(!instances::lock_branch_try(&mut other, id, ROOT).await?);
        assert!(instances::lock_branch_try(&mut other, id, BranchId(1)).await?);
        Ok(())
    })
    .await
    .unwrap();
    assert!(instances::lock_branch_try(&mut other, id, ROOT).await.unwrap());
}

#[tokio::test]
async fn the_lock_of_another_transaction_is_busy() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let url = fresh.database_url.as_str();
    let before = started(conn, vec![]).await;
    let mut other = Connection::establish(url).await.unwrap();
    other.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
    conn.transaction::<(), Error, _>(async |conn| {
        instances::lock(conn, before.id).await?;
        let refused = instances::lock(&mut other, before.id).await;
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn one_command_opens_one_connection() {
    let fresh = Fresh::database().await;
    let database = leveret::config::Database { url: fresh.direct_url.clone(), ..Default::default() };
    let store = Store::connect_for_one_command(&database, "test").unwrap();
    let mut backends = Vec::new();
    for _ in 0..2 {
        backends.push(number(&mut store.steps().await.unwrap(), "SELECT pg_backend_pid()::bigint").await);
        backends.push(number(&mut store.background().await.unwrap(), "SELECT pg_backend_pid()::bigint").await);
    }
    backends.dedup();
    assert_eq!(backends.len(), 1, "{backends:?}");
}
