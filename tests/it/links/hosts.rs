//! Several hosts of the database. One that swallows packets, is deaf or is frozen keeps nobody from the one that answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use diesel::sql_types::Text;
use diesel::{QueryableByName, sql_query};
use diesel_async::AsyncConnection;
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use leveret::config::Database;
use leveret::store::{Connection, Error, Lease, Store, Transaction};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Twin;
use crate::support::{CommandLine, Fault, Fresh, Lost, Proxy};

/// One of two hosts gets half of 5 s, and a machine may be slow.
const SECOND_HOST_WITHIN: Duration = Duration::from_secs(4);
/// A frozen server is looked at after 2 s of silence, for 3 s; then the next host is dialled.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(8);

fn store(url: &str) -> Store {
    Store::connect(&Database { url: url.into(), ..Database::default() }, "links").unwrap()
}

/// A URL with a host before its own.
fn with_first(host: SocketAddr, url: &str) -> String {
    let own = leveret::link::address::hosts(url)[0];
    url.replacen(own, &format!("{host},{own}"), 1)
}

/// Which server a connection leads to.
async fn port(conn: &mut Connection) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        port: String,
    }
    let row: Row = sql_query("SELECT current_setting('port') AS port").get_result(conn).await.unwrap();
    row.port
}

async fn both_are_tried(mut fault: Fault, silent: SocketAddr) {
    let fresh = Fresh::database().await;
    let url = with_first(silent, &fresh.database_url);
    let store = store(&url);
    let since = Instant::now();
    fault.fired(0);
    store.probe().await.unwrap();
    fault.recovered();
    assert!(since.elapsed() < SECOND_HOST_WITHIN, "{:?}", since.elapsed());
    // The next ones begin with the host that answered.
    let since = Instant::now();
    for lease in join_all((0..4).map(|_| store.steps())).await {
        lease.unwrap();
    }
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    let command = CommandLine::on(&fresh).with("DATABASE_URL", &url);
    command.say("migrate --check").await.good();
    command.say("instance list").await.good();
    fault.held();
}

#[tokio::test]
async fn a_host_that_accepts_and_never_answers_gives_way_to_the_next() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fault = Fault::new("a host of the database accepts and never answers", "F60", "I12");
    both_are_tried(fault, deaf.local_addr().unwrap()).await;
}

#[tokio::test]
async fn a_host_that_swallows_packets_gives_way_to_the_next() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut queued = Vec::new();
    // Until the kernel does not answer any more: nobody accepts them.
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 64, "the queue of the listener does not fill");
    }
    let fault = Fault::new("a host of the database swallows packets", "F60", "I12");
    both_are_tried(fault, address).await;
}

#[tokio::test]
async fn the_error_names_each_host() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (first, second) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), deaf);
    let url = format!("postgres://me:hunter2@{},{second}/db", first.local_addr().unwrap());
    let Err(Error::Unavailable(why)) = store(&url).background().await else { panic!("nobody answers") };
    for part in [&first.local_addr().unwrap().to_string(), "no answer within 2s500ms", &second.to_string(), "refused"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(!why.contains("hunter2"), "{why}");
}

/// Four idle connections to the first server.
async fn warmed(store: &Store, first: &Twin) {
    let mut leases: Vec<Lease> =
        join_all((0..4).map(|_| store.steps())).await.into_iter().map(Result::unwrap).collect();
    for lease in &mut leases {
        assert!(first.place().ends_with(&port(lease).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_given_up_with_everything_that_waits_for_it() {
    let mut fault = Fault::new("the database is frozen (SIGSTOP), and another lives", "F60", "I10 I11 I12");
    let (first, second) = (Twin::start().await, Twin::start().await);
    let store = store(&format!("postgres://twin:twin@{},{}/twin", first.place(), second.place()));
    warmed(&store, &first).await;
    let transaction = Transaction::begin(store.steps().await.unwrap()).await.unwrap();
    let mut asking = store.steps().await.unwrap();
    let mut locked = Transaction::begin(store.steps().await.unwrap()).await.unwrap();
    first.sandbox.postgres().unwrap().freeze().unwrap();

    fault.fired(0);
    let since = Instant::now();
    let (committed, asked, in_transaction) = tokio::join!(
        transaction.commit(),
        async { Error::from(sql_query("SELECT 1").execute(&mut *asking).await.unwrap_err()) },
        async {
            let error = Error::from(sql_query("SELECT 1").execute(&mut *locked).await.unwrap_err());
            // Not another wait: nothing is sent on a connection that was given up.
            locked.rollback().await;
            error
        },
    );
    for error in [committed.unwrap_err(), asked, in_transaction] {
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("does not answer")), "{error}");
    }
    assert!(since.elapsed() < GIVEN_UP_WITHIN, "{:?}", since.elapsed());
    fault.recovered();
    drop(asking);
    // The idle connections cost nothing: they are to the same server.
    let since = Instant::now();
    for lease in join_all((0..4).map(|_| store.steps())).await {
        assert!(second.place().ends_with(&port(&mut lease.unwrap()).await));
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    fault.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_is_no_sign_of_a_frozen_server() {
    let fresh = Fresh::database().await;
    let store = store(&fresh.database_url);
    let mut lease = store.steps().await.unwrap();
    // Longer than the silence after which the server is looked at, and than the look.
    sql_query("SELECT pg_sleep(6)").execute(&mut *lease).await.unwrap();
    drop(lease);
    store.probe().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_on_the_way_has_a_limit_on_this_side() {
    let mut fault = Fault::new("the answer to a statement never comes, and the database lives", "F60", "I11 I12");
    let fresh = Fresh::database().await;
    let (wire, url) = Proxy::before(&fresh.database_url).await;
    let settings = Database { url, statement_timeout: Duration::from_secs(1), ..Database::default() };
    let store = Store::connect(&settings, "links").unwrap();
    let mut lease = store.steps().await.unwrap();
    wire.arm(b"unheard", Lost::Answer);
    fault.fired(0);
    let since = Instant::now();
    let error = Error::from(sql_query("SELECT 'unheard'").execute(&mut *lease).await.unwrap_err());
    // The server lives, which a look finds out, so that the limit is the statement's and a margin of 5 s.
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("did not answer within 6s")), "{error}");
    assert!(since.elapsed() > Duration::from_secs(5), "{:?}", since.elapsed());
    fault.recovered();
    drop(lease);
    store.probe().await.unwrap();
    fault.held();
}

#[tokio::test]
async fn a_standby_is_not_taken_for_the_server_that_takes_writes() {
    let (first, second) = (Twin::start().await, Twin::start().await);
    let mut conn = Connection::establish(&first.sandbox.database_url).await.unwrap();
    sql_query("ALTER ROLE twin SET default_transaction_read_only = on").execute(&mut conn).await.unwrap();
    let store = store(&format!("postgres://twin:twin@{},{}/twin", first.place(), second.place()));
    assert!(second.place().ends_with(&port(&mut store.background().await.unwrap()).await));
    let alone = store_error(&format!("postgres://twin:twin@{},{}/twin", first.place(), first.place())).await;
    assert!(alone.contains("it is a standby, or read-only"), "{alone}");
}

async fn store_error(url: &str) -> String {
    match store(url).background().await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it connected"),
    }
}

#[test]
fn an_invalid_url_is_refused_with_the_parameter() {
    for (url, says) in [
        ("postgres://h/db?sslmode=maybe", "`sslmode` must be disable, prefer"),
        ("postgres://h/db?nonsense=1", "unknown option `nonsense`"),
        ("postgres:///db", "from 1 to 16 hosts"),
    ] {
        let refused = Store::connect(&Database { url: url.into(), ..Database::default() }, "links");
        assert!(matches!(refused, Err(Error::Bug(why)) if why.contains(says)), "{url}");
    }
}
