//! `/readyz`: whether the process can work, and what slows it down. What stops it is answered 503, so that requests go elsewhere; what
//! only delays its work is named with 200, because every process would say the same and requests would find none.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::ApiState;
use super::answer::Answer;
use crate::app::App;
use crate::store::commits::Commits;
use crate::store::session::Access;
use crate::store::{self, outbox};

/// The database is away if it does not answer for this long: longer than a commit may take before it is said to hang.
const LOOK_FOR: Duration = Duration::from_secs(3);
/// A commit that takes longer makes the database slow. It usually takes some milliseconds.
const SLOW_AFTER: Duration = Duration::from_millis(500);

/// 200 if the process can work: the database takes writes and confirms commits, the broker answers, and it is not stopping. Answers
/// within seconds.
pub(super) async fn readyz(State(api): State<ApiState>) -> Answer<ReadyView> {
    let app = &api.app;
    let used = app.store.in_use();
    let (database, outbox) = join(database(&app.store), timeout(LOOK_FOR, waiting(app))).await;
    let broker = app.broker.is_connected();
    let blocked = app.broker.is_blocked();
    let stopping = app.stop.is_cancelled();
    let ready = database.takes_writes() && broker && !blocked && !stopping;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool, yes: &'static str, no: &'static str| if good { yes } else { no };
    let mut degraded: Vec<String> = app
        .refusals
        .recent(Instant::now())
        .iter()
        .map(|address| format!("broker: a queue is full and refuses messages ({address}); they wait in the outbox"))
        .collect();
    if let Database::Slow(took) = database {
        degraded.push(format!("database: a commit took {} ms", took.as_millis()));
    }
    let pools = ["steps", "background"].into_iter().zip(used).filter(|(_, used)| used.waiting > 0);
    degraded.extend(pools.map(|(name, used)| {
        format!("pool: all {} connections for {name} are in use, and {} callers wait for one", used.max, used.waiting)
    }));
    if let Ok(Some(max)) = outbox {
        degraded.push(format!("outbox: more than {max} rows wait to be published"));
    }
    let view = ReadyView {
        ready,
        database: database.word(),
        broker: word(broker, word(blocked, "blocked", "connected"), "away"),
        degraded,
        queues_in_trouble: app.broker.troubled(),
        stopping,
    };
    Answer::new(code, view)
}

/// Whether a process can work.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReadyView {
    /// Whether requests should come here.
    ready: bool,
    /// `answers`, `slow`, `read-only`, `commits hang` or `away`.
    database: &'static str,
    /// `connected`, `blocked` or `away`.
    broker: &'static str,
    /// What only delays the work.
    degraded: Vec<String>,
    // The others work: no reason to send no requests here.
    /// Queues that the broker does not serve.
    queues_in_trouble: Vec<String>,
    /// Whether the process stops.
    stopping: bool,
}

/// The state of the database.
#[derive(Debug, Clone, Copy)]
enum Database {
    Answers,
    Slow(Duration),
    ReadOnly,
    CommitsHang,
    Away,
}

impl Database {
    fn takes_writes(self) -> bool {
        matches!(self, Database::Answers | Database::Slow(_))
    }

    fn word(self) -> &'static str {
        match self {
            Database::Answers => "answers",
            Database::Slow(_) => "slow",
            Database::ReadOnly => "read-only",
            Database::CommitsHang => "commits hang",
            Database::Away => "away",
        }
    }
}

/// Both looks at the same time: while commits hang, all connections but that of the second may be in use.
async fn database(store: &store::Store) -> Database {
    let timed = async {
        let begun = Instant::now();
        (store.commits().await, begun.elapsed())
    };
    let (probe, (commits, took)) = join(timeout(LOOK_FOR, store.probe()), timed).await;
    match (probe.map(|probe| probe.map(|probe| probe.access)), commits) {
        (Ok(Ok(Access::ReadOnly)), _) => Database::ReadOnly,
        (_, Ok(Commits::Hang(_))) => Database::CommitsHang,
        (Ok(Ok(Access::Writable)), Ok(Commits::Confirmed)) if took > SLOW_AFTER => Database::Slow(took),
        (Ok(Ok(Access::Writable)), Ok(Commits::Confirmed)) => Database::Answers,
        // Its connections are all lent: it answers those that have one, and its commits.
        (Ok(Err(store::Error::Busy(_))) | Err(_), Ok(Commits::Confirmed)) if is_exhausted(store) => Database::Answers,
        (Ok(Ok(Access::Writable)), Err(_)) | (Ok(Err(_)) | Err(_), _) => Database::Away,
    }
}

/// Whether callers wait for a connection for background work, which the look at the database needs too.
fn is_exhausted(store: &store::Store) -> bool {
    let [_, background] = store.in_use();
    background.lent >= background.max
}

/// The number of rows that the publish queue of a process has room for, if more wait in the outbox.
async fn waiting(app: &App) -> Option<usize> {
    let max = app.config.outbox.publish_queue_max;
    let limit = i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1);
    let mut conn = app.store.background().await.ok()?;
    let waiting = outbox::count_waiting(&mut conn, limit).await.ok()?;
    (waiting >= limit).then_some(max)
}
