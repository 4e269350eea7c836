//! Behind a real PgBouncer in transaction mode, where each transaction may have another connection of the server: an order is run,
//! migrations wait for each other, and no setting, lock or prepared statement is lost or left behind.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use leveret::config::{Database, PreparedStatements};
use leveret::store::session::{Kept, Prepared};
use leveret::store::{Connection, Error, Store, Transaction, definitions};

use super::{NEEDED, WRONG, meet, serve, set_default, setting, settings};
use crate::support::{CommandLine, Fresh, Names, PgBouncer, Pooling, Processes, StartUp, lines, shared};

/// Fewer than the processes of a test have connections, so that they share them.
const SERVERS: usize = 4;
/// Orders of two processes.
const ORDERS: i64 = 20;
const ADVISORY_LOCKS: &str = "pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn pooling(names: Names) -> Pooling {
    Pooling { names, start_up: StartUp::Refused, servers_max: SERVERS }
}

fn store(fresh: &Fresh, statements: PreparedStatements) -> Store {
    let database = Database { url: fresh.database_url.clone(), prepared_statements: statements, ..Database::default() };
    Store::connect(&database, "pooled").unwrap()
}

/// Of the versions that Debian has, only the newer one keeps prepared statements: 1.18 does not.
fn keeps_names() -> bool {
    let keeps = PgBouncer::version() >= (1, 21);
    if !keeps {
        eprintln!(
            "skipped: PgBouncer {:?} keeps no prepared statements; `make test-newest` has one",
            PgBouncer::version()
        );
    }
    keeps
}

/// Two processes, so that the names of their prepared statements are the same.
async fn orders_run(names: Names, doctor_says: &str) {
    let processes = Processes::on(Fresh::behind(pooling(names)).await).await;
    let mut two = [processes.serve(&[]), processes.serve(&[])];
    for process in &two {
        process.serves().await;
    }
    for number in 0..ORDERS {
        let key = format!("A{number}");
        processes.order(&key, "60s").await;
        processes.pay(&key).await;
    }
    processes.all_ended(ORDERS, Duration::from_secs(60)).await;
    assert_eq!(processes.count("leveret.instances WHERE status = 'completed'").await, ORDERS);
    assert_eq!(processes.count("leveret.dead_letters").await, 0);
    assert_eq!(processes.count("leveret.history WHERE kind = 'ActivityRetryScheduled'").await, 0);
    let said = CommandLine::on(&processes.fresh).say("doctor -o json").await.good();
    assert!(said.contains("a pooler drops the start-up options") && said.contains(doctor_says), "{said}");
    for process in &mut two {
        process.stops_in_order().await;
        let said = process.output();
        assert!(!said.contains("prepared statement") && !said.contains("ERROR"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_run_behind_a_pgbouncer_that_does_not_keep_prepared_statements() {
    orders_run(Names::Lost, "does not keep prepared statements").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_run_behind_a_pgbouncer_that_keeps_prepared_statements() {
    if keeps_names() {
        orders_run(Names::Kept, "it keeps prepared statements").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pgbouncer_no_message_misses_its_wait_whatever_the_defaults() {
    let fresh = Fresh::behind(pooling(Names::Lost)).await;
    for wrong in WRONG {
        set_default(&fresh, wrong).await;
    }
    let leveret = serve(fresh, |_| {}).await;
    for (name, value) in NEEDED {
        assert_eq!(settings(&leveret.app().store, name).await, [value, value], "{name}");
    }
    meet(&leveret, 60).await;
    leveret.close().await;
}

#[tokio::test]
async fn after_connecting_it_is_known_whether_statements_stay_prepared() {
    let mut expected = vec![(Names::Lost, Prepared::Transaction)];
    if keeps_names() {
        expected.push((Names::Kept, Prepared::Connection));
    }
    for start_up in [StartUp::Refused, StartUp::Ignored] {
        for (names, prepared) in &expected {
            let fresh = Fresh::behind(Pooling { names: *names, start_up, servers_max: SERVERS }).await;
            let lease = store(&fresh, PreparedStatements::Auto).steps().await.unwrap();
            assert_eq!((lease.settings_kept(), lease.statements_kept()), (Kept::Transaction, *prepared), "{names:?}");
        }
    }
    let fresh = Fresh::behind(pooling(Names::Lost)).await;
    for (setting, prepared) in
        [(PreparedStatements::Off, Prepared::Transaction), (PreparedStatements::On, Prepared::Connection)]
    {
        assert_eq!(store(&fresh, setting).steps().await.unwrap().statements_kept(), prepared);
    }
}

/// The settings of one client on its server connection.
async fn of_a_stranger(conn: &mut Connection, name: &str) -> String {
    let look = conn.transaction::<_, diesel::result::Error, _>(async |conn| Ok(setting(conn, name).await));
    look.await.unwrap()
}

/// All clients share one connection of the server.
#[tokio::test]
async fn no_setting_passes_from_one_client_of_a_pgbouncer_to_another() {
    let fresh = Fresh::behind(Pooling { names: Names::Lost, start_up: StartUp::Ignored, servers_max: 1 }).await;
    let mut stranger = Connection::establish(&fresh.database_url).await.unwrap();
    let left_behind = "SET statement_timeout = '1h'; SET search_path = nowhere; SET role = pg_monitor; \
        SET synchronous_commit = local; SET client_encoding = 'LATIN1'; PREPARE s0 AS SELECT 1; PREPARE s1 AS SELECT 1";
    stranger.batch_execute(left_behind).await.unwrap();
    let store = store(&fresh, PreparedStatements::Auto);
    for (name, value) in NEEDED.into_iter().chain([("client_encoding", "UTF8"), ("role", "none")]) {
        assert_eq!(settings(&store, name).await, [value, value], "{name}");
    }
    assert!(settings(&store, "search_path").await.iter().all(|path| path.contains("public")));
    // What code of others sets is taken back, to ours and not to what the server began with.
    let mut transaction = Transaction::begin(store.steps().await.unwrap()).await.unwrap();
    transaction.savepoint().await.unwrap();
    transaction.batch_execute("SET lock_timeout = '1h'; SET application_name = 'handler'").await.unwrap();
    transaction.release().await.unwrap();
    for (name, value) in [("lock_timeout", "2s"), ("client_encoding", "UTF8")] {
        assert_eq!(setting(&mut transaction, name).await, value, "{name}");
    }
    transaction.commit().await.unwrap();
    // And none of ours stays.
    assert_eq!(of_a_stranger(&mut stranger, "lock_timeout").await, "0");
    assert_eq!(of_a_stranger(&mut stranger, "idle_in_transaction_session_timeout").await, "0");
    let mut direct = Connection::establish(&fresh.direct_url).await.unwrap();
    assert_eq!(lines(&mut direct, "objid", ADVISORY_LOCKS).await, [""; 0]);
}

/// The lock of migrations belongs to their transaction: as a session's it would stay with the server connection.
#[tokio::test]
async fn migrations_wait_for_each_other_through_a_pgbouncer() {
    let sandbox = shared();
    let name = format!("m{:016x}", fastrand::u64(..));
    let url = sandbox.create_database(&name, None).unwrap();
    let (pooler, through) = PgBouncer::before(&url, pooling(Names::Lost));
    let leveret = CommandLine::nowhere().with("DATABASE_URL", &through).with("AMQP_URL", &sandbox.amqp_url);
    let (one, other) = tokio::join!(leveret.say("migrate"), leveret.say("migrate"));
    let mut said = [one.good(), other.good()];
    said.sort();
    assert!(said[0].starts_with("applied ") && said[1] == "the schema is up to date\n", "{said:?}");
    assert_eq!(leveret.say("migrate --check").await.good(), "the schema matches this binary\n");
    let mut direct = Connection::establish(&url).await.unwrap();
    assert_eq!(lines(&mut direct, "objid", ADVISORY_LOCKS).await, [""; 0]);
    drop(direct);
    drop(pooler);
    sandbox.drop_database(&name).unwrap();
}

/// The setting is wrong for this pooler: the connection is replaced, and the caller told to try again.
#[tokio::test]
async fn a_connection_that_has_met_the_prepared_statements_of_another_client_is_not_lent_again() {
    let fresh = Fresh::behind(Pooling { names: Names::Lost, start_up: StartUp::Ignored, servers_max: 1 }).await;
    let store = store(&fresh, PreparedStatements::On);
    let mut lease = store.steps().await.unwrap();
    assert_eq!(definition_count(&mut lease).await.unwrap(), 0);
    lease.batch_execute("DEALLOCATE ALL").await.unwrap();
    let lost = definition_count(&mut lease).await;
    assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
    drop(lease);
    assert_eq!(definition_count(&mut store.steps().await.unwrap()).await.unwrap(), 0);
}

/// A statement that is cached by its name.
async fn definition_count(conn: &mut Connection) -> Result<usize, Error> {
    definitions::list(conn, None, 10).await.map(|all| all.len())
}

/// A database in another encoding: the texts of a client are UTF-8 in every transaction, before and after code of others.
#[tokio::test]
async fn texts_are_utf8_behind_a_pgbouncer_whatever_the_encoding_of_the_database() {
    let fresh = Fresh::database().await;
    let name = format!("{}_latin1", fresh.prefix);
    let mut direct = Connection::establish(&fresh.direct_url).await.unwrap();
    let create = format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    direct.batch_execute(&create).await.unwrap();
    let url = fresh.direct_url.replacen(&format!("/{}", fresh.prefix), &format!("/{name}"), 1);
    let (pooler, through) = PgBouncer::before(&url, pooling(Names::Lost));
    let store = Store::connect(&Database { url: through, ..Database::default() }, "latin").unwrap();
    let mut transaction = Transaction::begin(store.steps().await.unwrap()).await.unwrap();
    transaction.savepoint().await.unwrap();
    transaction.release().await.unwrap();
    for _ in 0..2 {
        assert_eq!(setting(&mut transaction, "client_encoding").await, "UTF8");
    }
    let same = sql_query("SELECT 1 WHERE $1 = chr(252)").bind::<diesel::sql_types::Text, _>("ü");
    assert_eq!(same.execute(&mut *transaction).await.unwrap(), 1);
    transaction.commit().await.unwrap();
    store.close();
    drop(pooler);
    direct.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await.unwrap();
}
