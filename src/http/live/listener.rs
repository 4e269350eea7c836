//! One client that listens. Of an instance it is sent every entry of history once and in order: those before it came from the database,
//! later ones from the hub, and again from the database whatever it was too slow for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Feed;
use super::hub::{Hub, Lists, Seat, Told, told};
use crate::app::App;
use crate::engine::InstanceId;
use crate::store::news::{self, ENTRIES_MAX, Progress};
use crate::store::{self, views};

/// A connection on which nothing is sent for longer is closed by many proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time. Clients come again and miss nothing, and whether they still may is asked again.
const STREAM_FOR: Duration = Duration::from_secs(5 * 60);
/// Lists that change all the time are told no oftener.
const LISTS_AFTER: Duration = Duration::from_millis(500);

/// A client that listens to one instance.
pub(super) struct Listener {
    app: App,
    hub: Arc<Hub>,
    _seat: Seat,
    id: InstanceId,
    /// The number of the last entry that was sent.
    known: i64,
    /// None while what there is has to be read from the database.
    news: Option<broadcast::Receiver<Arc<Told>>>,
    events: VecDeque<Event>,
    is_over: bool,
    until: Instant,
}

impl Listener {
    /// A client that has the entries up to a number.
    pub(super) fn new(app: App, hub: Arc<Hub>, seat: Seat, id: InstanceId, known: i64) -> Self {
        Self {
            app,
            hub,
            _seat: seat,
            id,
            known,
            news: None,
            events: VecDeque::new(),
            is_over: false,
            until: Instant::now() + STREAM_FOR,
        }
    }

    fn entry(&mut self, number: i64, text: String) {
        self.known = number;
        self.events.push_back(Event::default().event("history").id(number.to_string()).data(text));
    }

    /// What the client needs to know besides the entries; the last event of an instance that has ended.
    fn progress(&mut self, progress: &Progress) {
        self.events.push_back(Event::default().event("changed").data(told(progress).to_string()));
        if progress.is_ended && self.known >= progress.entries {
            self.events.push_back(Event::default().event("ended").data(told(progress).to_string()));
            self.is_over = true;
        }
    }

    /// Reads the next entries that the client does not have. At the end of them it listens.
    async fn catch_up(&mut self) -> Result<(), store::Error> {
        // Before the read: what is written meanwhile comes by both ways, and by its number it is sent once.
        let news = self.hub.watch(self.id);
        let mut conn = self.app.store.background().await?;
        let entries = views::history(&mut conn, self.id, self.known, ENTRIES_MAX).await?;
        // After the entries: an end that is among them is known then.
        let progress = news::find_progress(&mut conn, self.id).await?;
        drop(conn);
        let Some(progress) = progress else {
            // It was deleted.
            self.is_over = true;
            return Ok(());
        };
        for entry in entries {
            let text = serde_json::to_string(&entry).map_err(|error| store::Error::Bug(error.to_string()))?;
            self.entry(entry.number, text);
        }
        if progress.entries <= self.known {
            // A client may say that it has more than there is.
            self.known = progress.entries;
            self.hub.has_read(self.id, self.known);
            self.news = Some(news);
            self.progress(&progress);
        }
        Ok(())
    }

    fn hear(&mut self, told: &Told) {
        let fresh = told.entries.iter().filter(|(number, _)| *number > self.known).cloned().collect::<Vec<_>>();
        match fresh.first() {
            Some((first, _)) if *first > self.known + 1 => self.news = None,
            Some(_) => {
                fresh.into_iter().for_each(|(number, text)| self.entry(number, text));
                self.progress(&told.progress);
            }
            None => {}
        }
    }

    async fn listen(&mut self) {
        let Some(news) = &mut self.news else { return };
        let heard = tokio::select! {
            () = self.app.stop.cancelled() => {
                self.is_over = true;
                return;
            }
            () = sleep_until(self.until) => {
                self.is_over = true;
                return;
            }
            () = sleep(HEARTBEAT) => {
                self.events.push_back(Event::default().comment(""));
                return;
            }
            heard = news.recv() => heard,
        };
        match heard {
            Ok(told) => self.hear(&told),
            Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => self.news = None,
        }
    }
}

impl Feed for Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if self.news.is_some() {
                self.listen().await;
            } else if let Err(error) = self.catch_up().await {
                // The client comes again, with the last event that it has.
                tracing::debug!(%error, "a listener could not read what it has missed");
                return None;
            }
        }
    }
}

/// A client that listens to lists.
pub(super) struct ListListener {
    app: App,
    lists: watch::Receiver<Lists>,
    _seat: Seat,
    /// The number of the last change that was sent; none before the first.
    sent: Option<u64>,
    until: Instant,
}

impl ListListener {
    pub(super) fn new(app: App, hub: &Hub, seat: Seat) -> Self {
        Self { app, lists: hub.watch_lists(), _seat: seat, sent: None, until: Instant::now() + STREAM_FOR }
    }
}

impl Feed for ListListener {
    /// The first event says that everything may have changed: a client that comes again has missed what it has missed.
    async fn next(&mut self) -> Option<Event> {
        let Some(sent) = self.sent else {
            self.sent = Some(self.lists.borrow_and_update().number);
            return Some(Event::default().event("changed").data(json!({ "changed": ["everything"] }).to_string()));
        };
        tokio::select! {
            () = self.app.stop.cancelled() => return None,
            () = sleep_until(self.until) => return None,
            () = sleep(HEARTBEAT) => return Some(Event::default().comment("")),
            changed = self.lists.changed() => changed.ok()?,
        }
        sleep(LISTS_AFTER).await;
        let lists = self.lists.borrow_and_update().clone();
        self.sent = Some(lists.number);
        // A change between the two was overwritten, with the names of its tables.
        let changed = if lists.number == sent + 1 { lists.changed } else { vec!["everything".to_owned()] };
        Some(Event::default().event("changed").data(json!({ "changed": changed }).to_string()))
    }
}
