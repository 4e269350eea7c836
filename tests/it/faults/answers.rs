//! What PostgreSQL answers when something is wrong, raised by real servers: each error has the line of the table that its SQLSTATE names,
//! for a handler and for Leveret's own statements.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Integer;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use leveret::config::Config;
use leveret::config::statement::StatementSource;
use leveret::fault::{DATABASE, DatabaseAnswer, DatabaseFault, class_of, of_message};
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::store::{Connection, Error, QueryError, describe};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::NoTls;

use crate::support::{Fault, Fresh, InProcess, Private, SOON, eventually, lines};

async fn connect(url: &str) -> Connection {
    Connection::establish(url).await.unwrap()
}

fn line(state: &str, kind: &str) -> &'static DatabaseFault {
    let found = DATABASE.iter().find(|line| line.state == state && line.kind == kind);
    found.unwrap_or_else(|| panic!("no line has {state} and {kind}"))
}

/// The error that Leveret's own connection makes of it.
fn assert_is(error: QueryError, line: &DatabaseFault) {
    assert_eq!(describe(&error).0, line.kind, "{error}");
    let what = error.to_string();
    let answer = match Error::from(error) {
        Error::Unavailable(_) => DatabaseAnswer::Wait,
        Error::Busy(_) => DatabaseAnswer::Again,
        Error::Duplicate(_) => DatabaseAnswer::Exists,
        Error::Bug(_) => DatabaseAnswer::Report,
        other => panic!("{other:?}"),
    };
    assert_eq!(answer, line.answer, "{what}");
}

/// The SQLSTATE and the message, as the server sends them.
async fn answer(url: &str, statements: &str) -> (String, String) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    let error = client.batch_execute(statements).await.expect_err(statements);
    driving.abort();
    said(&error)
}

fn said(error: &tokio_postgres::Error) -> (String, String) {
    let answer = error.as_db_error().unwrap_or_else(|| panic!("not an answer: {error}"));
    (answer.code().code().to_owned(), answer.message().to_owned())
}

/// The server says so, and Leveret understands it.
async fn assert_raised(url: &str, statements: &str, state: &str, line: &DatabaseFault) {
    let (code, message) = answer(url, statements).await;
    assert_eq!(code, state, "{message}");
    let error = connect(url).await.batch_execute(statements).await.expect_err(statements);
    assert_is(error, line);
}

/// The process of a session.
async fn process(conn: &mut Connection) -> i32 {
    lines(conn, "pg_backend_pid()", "(SELECT 1) AS one").await[0].parse().unwrap()
}

/// Runs a statement that takes long, and does this to its session as soon as it runs.
async fn meanwhile(url: &str, act: impl AsyncFn(&mut Connection, i32)) -> QueryError {
    let (mut sleeping, mut other) = (connect(url).await, connect(url).await);
    let pid = process(&mut sleeping).await;
    let acting = async {
        loop {
            let runs = format!("pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query LIKE '%pg_sleep%'");
            if lines(&mut other, "pid", &runs).await.len() == 1 {
                return act(&mut other, pid).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (slept, ()) = tokio::join!(sleeping.batch_execute("SELECT pg_sleep(30)"), acting);
    slept.unwrap_err()
}

const PICKY: &str = "
name: picky
activities:
  - { id: work, run: { sql: note }, retry: { attempts: 4, base: 100ms } }
";

/// A deferred trigger refuses the commit of the first two attempts. A sequence keeps its count when a transaction is rolled back.
const TRIGGER: &str = "
CREATE TABLE public.noted (id bigint GENERATED ALWAYS AS IDENTITY);
CREATE SEQUENCE public.attempts;
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.attempts') < 3 THEN
        RAISE EXCEPTION 'could not serialize access due to the test' USING ERRCODE = '40001';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON public.noted DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.refuse();";

#[tokio::test(flavor = "multi_thread")]
async fn a_serialization_failure_at_the_commit_is_retried_by_a_timer() {
    let mut fault = Fault::new("40001 at the commit of a registered statement", "F54", "I1 I3 I4");
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    let sql = "INSERT INTO noted DEFAULT VALUES".into();
    config.statements.insert("note".into(), StatementSource { sql, params: Default::default(), rows_max: None });
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    leveret.conn().await.batch_execute(TRIGGER).await.unwrap();
    leveret.apply(PICKY).await;
    leveret.start("picky", "A").await;
    leveret.reaches("A", "completed").await;
    fault.fired_times(2, 1);
    let retried = "leveret.history WHERE kind = 'ActivityRetryScheduled' ORDER BY number";
    assert_eq!(leveret.lines("details->>'code'", retried).await, ["database.serialization"; 2]);
    assert_eq!(leveret.count("public.noted").await, 1, "the work of the third attempt");
    assert_eq!(leveret.lines("last_value", "public.attempts").await, ["3"], "no attempt more");
    leveret.close().await;
    fault.held();
}

#[tokio::test]
async fn a_deadlock_is_a_conflict() {
    let mut fault = Fault::new("40P01: two sessions lock each other", "F54", "I16");
    let fresh = Fresh::database().await;
    let (mut one, mut other) = (connect(&fresh.direct_url).await, connect(&fresh.direct_url).await);
    one.batch_execute("CREATE TABLE public.pair (id int); INSERT INTO public.pair VALUES (1), (2)").await.unwrap();
    let take = |id: i32| format!("UPDATE public.pair SET id = id WHERE id = {id}");
    one.batch_execute(&format!("BEGIN; {}", take(1))).await.unwrap();
    other.batch_execute(&format!("BEGIN; {}", take(2))).await.unwrap();
    let (second, first) = (take(2), take(1));
    let (left, right) = tokio::join!(one.batch_execute(&second), other.batch_execute(&first));
    let error = left.err().xor(right.err()).expect("one side is rolled back");
    assert_eq!(of_message(&describe(&error).1).state, "40P01");
    fault.fired_times(1, 0);
    assert_is(error, line("40P01", "deadlock"));
    fault.held();
}

#[tokio::test]
async fn a_lock_that_is_not_free_is_a_conflict() {
    let mut fault = Fault::new("55P03: a lock that is not free", "F54", "I16");
    let fresh = Fresh::database().await;
    let url = &fresh.direct_url;
    let mut holder = connect(url).await;
    holder.batch_execute("CREATE TABLE public.held (id int); INSERT INTO public.held VALUES (1)").await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM public.held FOR UPDATE").await.unwrap();
    let wait = "BEGIN; SET LOCAL lock_timeout = '50ms'; UPDATE public.held SET id = 2";
    assert_raised(url, wait, "55P03", line("55P03", "lock")).await;
    fault.fired_times(2, 0);
    assert_raised(url, "SELECT FROM public.held FOR UPDATE NOWAIT", "55P03", line("55P03", "lock")).await;
    fault.held();
}

#[tokio::test]
async fn a_statement_that_is_stopped_is_transient() {
    let mut fault = Fault::new("57014: a statement is stopped", "F54", "I16");
    let fresh = Fresh::database().await;
    let url = &fresh.direct_url;
    let slow = "BEGIN; SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(30)";
    assert_raised(url, slow, "57014", line("57014", "timeout")).await;
    let cancelled = meanwhile(url, async |other, pid| {
        other.batch_execute(&format!("SELECT pg_cancel_backend({pid})")).await.unwrap();
    });
    fault.fired_times(2, 0);
    assert_is(cancelled.await, line("57014", "cancelled"));
    fault.held();
}

#[tokio::test]
async fn a_session_that_is_ended_is_transient() {
    let mut fault = Fault::new("57P01: a session is ended by an operator", "F52", "I16");
    let fresh = Fresh::database().await;
    let url = &fresh.direct_url;
    let ended = meanwhile(url, async |other, pid| {
        other.batch_execute(&format!("SELECT pg_terminate_backend({pid})")).await.unwrap();
    });
    assert_is(ended.await, line("57P01", "connection"));
    fault.fired_times(2, 0);
    let itself = "SELECT pg_terminate_backend(pg_backend_pid())";
    assert_raised(url, itself, "57P01", line("57P01", "connection")).await;
    fault.held();
}

/// The server ends every session when one of its processes dies, and starts again by itself.
#[tokio::test]
async fn a_crash_of_another_session_is_transient() {
    let mut fault = Fault::new("57P02: another session crashes, and the server starts again", "F53", "I12 I16");
    let servers = Private::start();
    let url = servers.database_url.clone();
    let crashed = meanwhile(&url, async |other, _| {
        // Its own process dies, and with it the session of the statement.
        let own = process(other).await;
        kill(Pid::from_raw(own), Signal::SIGKILL).unwrap();
    });
    fault.fired(0);
    assert_is(crashed.await, line("57P02", "connection"));
    let back = async || tokio_postgres::connect(&url, NoTls).await.is_ok();
    eventually("the server is back", SOON, back).await;
    fault.recovered();
    fault.held();
}

#[tokio::test]
async fn a_server_that_stops_takes_no_sessions() {
    let mut fault = Fault::new("57P03: the server is stopping", "F53", "I16");
    let servers = Private::start();
    let url = &servers.database_url;
    let mut open = connect(url).await;
    let data = lines(&mut open, "current_setting('data_directory')", "(SELECT 1) AS one").await.remove(0);
    let pids = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).unwrap();
    let server: i32 = pids.lines().next().unwrap().trim().parse().unwrap();
    // It waits until the open session ends.
    kill(Pid::from_raw(server), Signal::SIGTERM).unwrap();
    let mut refused = None;
    for _ in 0..200 {
        match tokio_postgres::connect(url, NoTls).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => {
                refused = Some(said(&error));
                break;
            }
        }
    }
    let (code, message) = refused.expect("it takes no session");
    fault.fired_times(1, 0);
    assert_eq!(code, "57P03", "{message}");
    assert_eq!(of_message(&message).cause, line("57P03", "connection").cause);
    let refused = Connection::establish(url).await.err().map(Error::from);
    assert!(matches!(refused, Some(Error::Unavailable(_))), "{refused:?}");
    fault.held();
}

#[tokio::test]
async fn a_prepared_statement_that_is_missing_is_transient() {
    let fresh = Fresh::database().await;
    let named = line("26000", "connection");
    assert_raised(&fresh.direct_url, "EXECUTE nothing", "26000", named).await;
    let taken = "PREPARE one AS SELECT 1; PREPARE one AS SELECT 1";
    assert_raised(&fresh.direct_url, taken, "42P05", named).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_transient() {
    let mut fault = Fault::new("25006: the server takes no writes", "F55", "I16");
    let fresh = Fresh::database().await;
    let write = "BEGIN READ ONLY; CREATE TABLE public.written (id int)";
    fault.fired_times(1, 0);
    assert_raised(&fresh.direct_url, write, "25006", line("25006", "read_only")).await;
    fault.held();
}

#[tokio::test]
async fn a_role_without_a_connection_left_is_transient() {
    let mut fault = Fault::new("53300: no connection is left", "F55", "I16");
    let fresh = Fresh::database().await;
    let (role, mut admin) = (format!("none_{}", fresh.prefix), connect(&fresh.direct_url).await);
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'none' CONNECTION LIMIT 0");
    admin.batch_execute(&create).await.unwrap();
    let (scheme, rest) = fresh.direct_url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let url = format!("{scheme}://{role}:none@{place}");
    let refused = tokio_postgres::connect(&url, NoTls).await.map(drop).unwrap_err();
    admin.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
    let (code, message) = said(&refused);
    fault.fired_times(1, 0);
    assert_eq!((code.as_str(), of_message(&message).state), ("53300", "53300"), "{message}");
    fault.held();
}

/// A file system of a few megabytes, which only root can make.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(owner: u32) -> Option<Self> {
        // The servers of another root do not see what is mounted here.
        if Config::servers_root().is_some() {
            return None;
        }
        let place = std::env::temp_dir().join(format!("leveret-disk-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&place).unwrap();
        let options = format!("size=4m,mode=0700,uid={owner}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&place).output();
        let disk = Self(place);
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Where nothing can be mounted, the server says what it would have said.
#[tokio::test]
async fn a_full_disk_is_transient() {
    let mut fault = Fault::new("53100: the disk is full", "F55", "I16");
    const FILL: &str = "INSERT INTO public.filled SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n";
    const SAY: &str = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file \"base/1/2\": No space left on device' \
                       USING ERRCODE = '53100'; END $$";
    let servers = Private::start();
    let url = servers.database_url.clone();
    let mut conn = connect(&url).await;
    let data = lines(&mut conn, "current_setting('data_directory')", "(SELECT 1) AS one").await.remove(0);
    let disk = SmallDisk::mount(std::fs::metadata(data).unwrap().uid());
    let statement = match &disk {
        Some(disk) => {
            let space = format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.display());
            conn.batch_execute(&space).await.unwrap();
            conn.batch_execute("CREATE TABLE public.filled (t text) TABLESPACE small").await.unwrap();
            FILL
        }
        None => {
            println!("no file system can be mounted: the error is raised in its words");
            SAY
        }
    };
    fault.fired_times(1, 0);
    assert_raised(&url, statement, "53100", line("53100", "resources")).await;
    drop(conn);
    drop(servers);
    drop(disk);
    fault.held();
}

#[tokio::test]
async fn a_server_without_room_for_locks_is_transient() {
    let mut fault = Fault::new("53200: no room for locks", "F55", "I12 I16");
    let servers = Private::start();
    let locks = "BEGIN; SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 1000000) AS n";
    let (code, message) = answer(&servers.database_url, locks).await;
    assert_eq!(code, "53200", "{message}");
    fault.fired(0);
    // The server takes no session until the last one has given its locks back.
    let mut conn = None;
    eventually("there is room again", SOON, async || {
        conn = Connection::establish(&servers.database_url).await.ok();
        conn.is_some()
    })
    .await;
    fault.recovered();
    let error = conn.unwrap().batch_execute(locks).await.unwrap_err();
    assert_is(error, line("53200", "resources"));
    fault.held();
}

#[tokio::test]
async fn too_large_temporary_files_are_transient() {
    let fresh = Fresh::database().await;
    let sort = "BEGIN; SET LOCAL temp_file_limit = '100kB'; SET LOCAL work_mem = '64kB'; \
                SELECT count(*) FROM (SELECT n FROM generate_series(1, 100000) AS n ORDER BY md5(n::text)) AS sorted";
    assert_raised(&fresh.direct_url, sort, "53400", line("53400", "resources")).await;
}

#[tokio::test]
async fn a_broken_constraint_is_an_answer_for_the_definition() {
    let fresh = Fresh::database().await;
    let url = &fresh.direct_url;
    let tables = "CREATE TABLE public.owner (id int PRIMARY KEY); INSERT INTO public.owner VALUES (1); \
                  CREATE TABLE public.thing (id int UNIQUE, owner int NOT NULL REFERENCES public.owner, \
                  n int CHECK (n > 0), slot int, EXCLUDE (slot WITH =)); \
                  INSERT INTO public.thing VALUES (1, 1, 1, 1)";
    connect(url).await.batch_execute(tables).await.unwrap();
    for (values, state, kind) in [
        ("(1, 1, 1, 2)", "23505", "unique"),
        ("(2, 9, 1, 2)", "23503", "foreign_key"),
        ("(2, NULL, 1, 2)", "23502", "not_null"),
        ("(2, 1, 0, 2)", "23514", "check"),
        ("(2, 1, 1, 1)", "23P01", "exclusion"),
    ] {
        assert_raised(url, &format!("INSERT INTO public.thing VALUES {values}"), state, line(state, kind)).await;
    }
}

#[tokio::test]
async fn a_wrong_statement_is_permanent() {
    let fresh = Fresh::database().await;
    let url = &fresh.direct_url;
    for (statement, state, of) in [
        ("SELECT * FROM public.nothing", "42P01", "42P01"),
        ("SELECT FROM WHERE", "42601", "42P01"),
        ("SELECT 'x'::int", "22P02", "42P01"),
        ("SELECT 99999999999::int", "22003", "42P01"),
        ("SELECT 1 / 0", "22012", ""),
    ] {
        assert_raised(url, statement, state, line(of, "error")).await;
    }
    assert!(!class_of("database.error").is_retried());
}

#[derive(Debug, QueryableByName)]
struct Numbered {
    #[diesel(sql_type = Integer)]
    #[expect(dead_code, reason = "no row is ever read")]
    n: i32,
}

#[tokio::test]
async fn an_error_of_the_client_library_is_never_retried() {
    let fresh = Fresh::database().await;
    let mut conn = connect(&fresh.direct_url).await;
    for (query, kind) in [("SELECT 1 AS n WHERE false", "not_found"), ("SELECT 'x'::text AS n", "client")] {
        let error = diesel::sql_query(query).get_result::<Numbered>(&mut conn).await.unwrap_err();
        assert_eq!(describe(&error).0, kind, "{error}");
        assert!(!class_of(&format!("database.{kind}")).is_retried());
    }
}
