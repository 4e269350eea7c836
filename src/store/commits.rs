//! Whether the database confirms commits. While a synchronous standby is missing it answers every query and confirms no commit, which
//! no query can see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::{Error, Store};

/// A commit that takes longer is reported.
pub const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);
/// A record of the write-ahead log that changes nothing. Without a record a commit would not wait for the standbys.
const RECORD: &str = "SELECT pg_logical_emit_message(true, 'leveret', '')";

/// What a commit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// It was confirmed.
    Confirmed,
    /// It has not been confirmed for this long.
    Hang(Duration),
}

/// At most one commit of a process is under way: the server keeps the session of one that hangs, even when its client has gone, and a
/// probe every second would use up its connections.
#[derive(Default)]
pub(super) struct Prober {
    running: Mutex<Option<Running>>,
    /// Whether it was logged that commits hang.
    hang: AtomicBool,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Running {
    since: Instant,
    /// Whether the database has answered a query, so that only the commit is missing.
    is_answered: Arc<AtomicBool>,
    /// None while it is under way.
    outcome: watch::Receiver<Option<Result<(), String>>>,
}

impl Store {
    /// Commits a record that changes nothing, and waits at most [`CONFIRMED_WITHIN`].
    ///
    /// # Errors
    /// `Unavailable` if it could not be sent.
    pub async fn commits(&self) -> Result<Commits, Error> {
        let mut running = self.commit_under_way();
        let since = running.since;
        let ended = timeout_at(since + CONFIRMED_WITHIN, running.outcome.wait_for(Option::is_some)).await;
        let ended = ended.map(|outcome| outcome.ok().and_then(|outcome| outcome.clone()));
        let found = match ended {
            Err(_) if AtomicBool::load(&running.is_answered, Ordering::Relaxed) => Commits::Hang(since.elapsed()),
            Err(_) => return Err(Error::Unavailable(format!("no answer within {CONFIRMED_WITHIN:?}"))),
            Ok(Some(Ok(()))) => Commits::Confirmed,
            Ok(Some(Err(error))) => return Err(Error::Unavailable(error)),
            Ok(None) => return Err(Error::Unavailable("the probe was given up".into())),
        };
        let hang = found != Commits::Confirmed;
        match (hang, self.prober.hang.swap(hang, Ordering::Relaxed)) {
            (true, false) => tracing::warn!(
                "no commit was confirmed within {CONFIRMED_WITHIN:?}: is a synchronous standby missing? `leveret doctor` looks"
            ),
            (false, true) => tracing::info!("commits are confirmed again"),
            (true, true) | (false, false) => {}
        }
        Ok(found)
    }

    /// The commit under way, or a new one.
    fn commit_under_way(&self) -> Running {
        let mut current = self.prober.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = current.as_ref().filter(|running| running.outcome.borrow().is_none())
            && running.outcome.has_changed().is_ok()
        {
            return running.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let is_answered = Arc::new(AtomicBool::new(false));
        let running = Running { since: Instant::now(), is_answered: is_answered.clone(), outcome };
        *current = Some(running.clone());
        let store = self.clone();
        self.prober.tasks.spawn(async move {
            let committed = async {
                let mut conn = store.lookout().await?;
                super::session::probe(&mut conn).await?;
                is_answered.store(true, Ordering::Relaxed);
                diesel::sql_query(RECORD).execute(&mut *conn).await?;
                Ok::<_, Error>(())
            };
            sender.send_replace(Some(committed.await.map_err(|error| error.to_string())));
        });
        running
    }
}

/// The standbys that commits wait for.
#[derive(Debug, QueryableByName)]
pub struct Standbys {
    /// The setting `synchronous_standby_names`; empty if commits wait for none.
    #[diesel(sql_type = Text)]
    pub names: String,
    /// How many standbys are connected, synchronous or not.
    #[diesel(sql_type = BigInt)]
    pub connected: i64,
}

/// Looks which standbys commits wait for. A read, which is answered while commits hang.
///
/// # Errors
/// As for any query.
pub async fn standbys(store: &Store) -> Result<Standbys, Error> {
    let look = "SELECT current_setting('synchronous_standby_names') AS names,
                       (SELECT count(*) FROM pg_stat_replication) AS connected";
    let mut conn = store.background().await?;
    Ok(diesel::sql_query(look).get_result(&mut *conn).await?)
}
