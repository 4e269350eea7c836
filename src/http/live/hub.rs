//! What all listeners of a process share: one look at the database serves them all, and nobody looks while nobody listens.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::super::problem::{Kind, Problem};
use crate::app::App;
use crate::engine::InstanceId;
use crate::store;
use crate::store::news::{self, News, Progress};

/// The pause between two looks at instances.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// The pause between two looks at the tables of lists.
const LOOK_AT_LISTS_AFTER: Duration = Duration::from_secs(1);
/// A look may take this part of the time between two: the database is slow when it has much to do.
const SHARE: u32 = 4;
/// Instances of one query.
const INSTANCES_MAX: usize = 500;
/// News of one instance that wait for a slow listener; then it reads what it has missed.
const NEWS_WAITING_MAX: usize = 16;

/// The listeners of this process.
#[derive(Debug)]
pub(in crate::http) struct Hub {
    seats: Arc<Semaphore>,
    listeners_max: usize,
    instances: Mutex<HashMap<InstanceId, Watched>>,
    lists: watch::Sender<Lists>,
    joined: Notify,
}

/// An instance that somebody watches.
#[derive(Debug)]
struct Watched {
    /// The number of the last entry that was told; none until the first listener has read as far.
    known: Option<i64>,
    news: broadcast::Sender<Arc<Told>>,
}

/// News as they are sent, written once for all listeners.
#[derive(Debug)]
pub(super) struct Told {
    /// Entries with their numbers, as JSON.
    pub(super) entries: Vec<(i64, String)>,
    pub(super) progress: Progress,
}

/// The tables whose rows were written, and a number that differs after each change.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    pub(super) number: u64,
    pub(super) changed: Vec<String>,
}

/// The place of a listener, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl Hub {
    /// At most this number of listeners.
    pub(in crate::http) fn new(listeners_max: usize) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(listeners_max)),
            listeners_max,
            instances: Mutex::default(),
            lists: watch::Sender::new(Lists::default()),
            joined: Notify::new(),
        }
    }

    /// Takes the place of a listener.
    pub(super) fn seat(&self) -> Result<Seat, Problem> {
        self.seats.clone().try_acquire_owned().map(|permit| Seat { _permit: permit }).map_err(|_| {
            let detail =
                "as many clients listen as `http.listeners_max` allows: come again later, or ask another process";
            Problem::new(Kind::Full, detail)
        })
    }

    /// The listeners that there are.
    pub(in crate::http) fn listeners(&self) -> usize {
        self.listeners_max - self.seats.available_permits()
    }

    fn instances(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Watched>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News of this instance from now on. They begin once somebody has [read](Hub::has_read) what there is.
    pub(super) fn watch(&self, id: InstanceId) -> broadcast::Receiver<Arc<Told>> {
        let mut instances = self.instances();
        let new = || Watched { known: None, news: broadcast::Sender::new(NEWS_WAITING_MAX) };
        instances.entry(id).or_insert_with(new).news.subscribe()
    }

    /// A listener has read the entries of this instance up to this number.
    pub(super) fn has_read(&self, id: InstanceId, number: i64) {
        if let Some(watched) = self.instances().get_mut(&id) {
            watched.known.get_or_insert(number);
        }
        self.joined.notify_one();
    }

    /// Changes of lists from now on.
    pub(super) fn watch_lists(&self) -> watch::Receiver<Lists> {
        let receiver = self.lists.subscribe();
        self.joined.notify_one();
        receiver
    }

    /// The instances that are watched, with the last entry that was told of each. Those that nobody watches any more are forgotten.
    fn watched(&self) -> Vec<(InstanceId, i64)> {
        let mut instances = self.instances();
        instances.retain(|_, watched| watched.news.receiver_count() > 0);
        instances.iter().filter_map(|(id, watched)| Some((*id, watched.known?))).collect()
    }

    fn has_lists(&self) -> bool {
        self.lists.receiver_count() > 0
    }

    fn tell(&self, news: News) -> Result<(), store::Error> {
        let mut entries = Vec::with_capacity(news.entries.len());
        for entry in &news.entries {
            let text = serde_json::to_string(entry).map_err(|error| store::Error::Bug(error.to_string()))?;
            entries.push((entry.number, text));
        }
        if let Some(watched) = self.instances().get_mut(&news.instance) {
            watched.known = news.entries.last().map(|entry| entry.number).or(watched.known);
            // Without a receiver nobody is told; the next look forgets the instance.
            drop(watched.news.send(Arc::new(Told { entries, progress: news.progress })));
        }
        Ok(())
    }

    fn tell_lists(&self, changed: Vec<String>) {
        self.lists.send_modify(|lists| *lists = Lists { number: lists.number + 1, changed });
    }
}

/// How far an instance is, as listeners are told.
pub(super) fn told(progress: &Progress) -> Value {
    json!({ "revision": progress.revision, "status": progress.status, "entries": progress.entries, "ended": progress.is_ended })
}

/// Looks for news as long as anybody listens.
pub(in crate::http) async fn follow(app: App, hub: Arc<Hub>) -> Result<(), store::Error> {
    let mut tables = Tables::default();
    loop {
        let began = Instant::now();
        let watched = hub.watched();
        if watched.is_empty() && !hub.has_lists() {
            tables = Tables::default();
            tokio::select! {
                () = app.stop.cancelled() => return Ok(()),
                () = hub.joined.notified() => continue,
            }
        }
        let mut conn = app.store.background().await?;
        for some in watched.chunks(INSTANCES_MAX) {
            for news in news::news(&mut conn, some).await? {
                hub.tell(news)?;
            }
        }
        if hub.has_lists() && tables.is_due(began) {
            let changed = tables.changed(news::writes(&mut conn).await?, began);
            if !changed.is_empty() {
                hub.tell_lists(changed);
            }
        }
        drop(conn);
        let ended = Instant::now();
        let pause = LOOK_AFTER.max((ended - began) * SHARE);
        tokio::select! {
            () = app.stop.cancelled() => return Ok(()),
            () = sleep_until(ended + pause) => {}
        }
    }
}

/// The tables of lists, as they were at the last look.
#[derive(Debug, Default)]
struct Tables {
    looked: Option<Instant>,
    writes: BTreeMap<String, i64>,
}

impl Tables {
    fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now >= looked + LOOK_AT_LISTS_AFTER)
    }

    /// The names of those that were written since. Nothing has changed at the first look.
    fn changed(&mut self, writes: Vec<(String, i64)>, now: Instant) -> Vec<String> {
        let is_first = self.looked.replace(now).is_none();
        let before = std::mem::replace(&mut self.writes, writes.into_iter().collect());
        let differs = |name: &str, count: i64| before.get(name) != Some(&count);
        let changed = self.writes.iter().filter(|(name, count)| !is_first && differs(name, **count));
        changed.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> InstanceId {
        InstanceId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn an_instance_is_looked_at_while_somebody_watches_it_and_from_where_the_first_has_read() {
        let hub = Hub::new(2);
        let first = hub.watch(id(1));
        assert_eq!(hub.watched(), [], "no listener has read what there is");
        hub.has_read(id(1), 7);
        let second = hub.watch(id(1));
        hub.has_read(id(1), 9);
        assert_eq!(hub.watched(), [(id(1), 7)], "the second does not skip what the first waits for");
        drop(first);
        assert_eq!(hub.watched().len(), 1);
        drop(second);
        assert_eq!(hub.watched(), []);
    }

    #[test]
    fn a_listener_beyond_the_bound_is_refused() {
        let hub = Hub::new(1);
        let seat = hub.seat().unwrap();
        assert!(hub.seat().is_err());
        drop(seat);
        assert!(hub.seat().is_ok());
    }

    #[test]
    fn tables_that_were_written_are_named_and_a_server_that_begins_anew_counts_as_a_change() {
        let mut tables = Tables::default();
        let (now, row) = (Instant::now(), |name: &str, count| (name.to_owned(), count));
        assert!(tables.is_due(now));
        assert_eq!(tables.changed(vec![row("tasks", 5), row("calls", 1)], now), Vec::<String>::new());
        assert!(!tables.is_due(now));
        assert_eq!(tables.changed(vec![row("tasks", 6), row("calls", 1)], now), ["tasks"]);
        assert_eq!(tables.changed(vec![row("tasks", 0), row("calls", 1)], now), ["tasks"]);
    }
}
