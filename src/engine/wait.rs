//! Letting time pass, and waiting for messages.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{Receive, Timeout, Wait};

use super::admit::Stand;
use super::fault::Stop;
use super::turn::Turn;
use super::{Bookmark, BookmarkKind, Effect, EntryKind, Failure, Message, Phase, WaitOn, needs};

impl<'a> Turn<'a> {
    /// Waits for a moment; one that has passed is not waited for.
    pub(super) fn wait(&mut self, stand: Stand<'a>, wait: &Wait) -> Result<(), Stop> {
        let sight = self.sight(stand);
        let due_at = match wait {
            Wait::For(duration) => sight.after(duration)?,
            Wait::Until(moment) => sight.moment(moment)?,
            Wait::Cron { cron, zone } => sight.tick(cron, zone.as_ref())?,
        };
        if due_at <= self.context.now {
            return self.complete(stand, Value::Null, None);
        }
        let limit = self.limit(stand)?;
        let mut details = Map::new();
        details.insert("due_at".into(), json!(due_at));
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(stand, BookmarkKind::Timer) };
        let timer = self.open_wait(bookmark, WaitOn::Timer { due_at });
        self.rest(stand, vec![timer], limit, details);
        Ok(())
    }

    /// Takes the oldest kept message that fits, or waits for the first one to come.
    pub(super) fn receive(
        &mut self,
        stand: Stand<'a>,
        alternatives: &[Receive],
        messages: Vec<Message>,
    ) -> Result<(), Stop> {
        let addresses = needs::addresses(&self.sight(stand), alternatives, &self.instance)?;
        let fits = |message: &Message| {
            addresses.iter().enumerate().any(|(index, (name, key))| {
                *name == message.name && *key == message.key && self.fits(stand, index, message)
            })
        };
        if let Some(message) = messages.into_iter().find(fits) {
            // Something came from outside: the branch does not run in circles by itself.
            self.branch_mut(stand).steps = 0;
            return self.received(stand, message);
        }
        let limit = self.limit(stand)?;
        let mut details = Map::new();
        let listed = addresses.iter().map(|(name, key)| json!({ "name": name, "key": key })).collect();
        details.insert("messages".into(), Value::Array(listed));
        let mut waits = Vec::with_capacity(addresses.len() + 1);
        for (index, address) in addresses.into_iter().enumerate() {
            let bookmark = Bookmark { message: Some(address), ..self.bookmark(stand, BookmarkKind::Message) };
            waits.push(self.open_wait(bookmark, WaitOn::Message { index }));
        }
        self.rest(stand, waits, limit, details);
        Ok(())
    }

    /// Whether the filter at that position holds for a message. One that fails does not hold: a message from outside
    /// must not be able to break whoever waits for another.
    pub(super) fn fits(&self, stand: Stand<'a>, index: usize, message: &Message) -> bool {
        let crate::definition::Work::Receive(alternatives) = &stand.activity.work else { return false };
        let Some(receive) = alternatives.get(index) else { return false };
        self.sight(stand).data(&message.data).allows(receive.when.as_ref()).unwrap_or(false)
    }

    /// Goes on with a message.
    pub(super) fn received(&mut self, stand: Stand<'a>, message: Message) -> Result<(), Stop> {
        let Message { name, key, data, kept } = message;
        if let Some(kept) = kept {
            self.push(Effect::TakeMessage(kept));
        }
        self.record(EntryKind::MessageReceived, stand, json!({ "name": name, "key": key }));
        self.complete(stand, json!({ "name": name, "key": key, "data": data }), None)
    }

    /// When the whole wait ends at the latest.
    pub(super) fn limit(&self, stand: Stand<'a>) -> Result<Option<Timestamp>, Failure> {
        match &stand.activity.timeout {
            Timeout::Default | Timeout::None => Ok(None),
            Timeout::After(template) => self.sight(stand).after(template).map(Some),
        }
    }

    fn rest(
        &mut self,
        stand: Stand<'a>,
        mut waits: Vec<super::Wait>,
        limit: Option<Timestamp>,
        mut details: Map<String, Value>,
    ) {
        if let Some(due_at) = limit {
            details.insert("timeout_at".into(), json!(due_at));
            let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(stand, BookmarkKind::Timer) };
            waits.push(self.open_wait(bookmark, WaitOn::Timeout { due_at }));
        }
        self.record(EntryKind::WaitOpened, stand, Value::Object(details));
        self.branch_mut(stand).phase = Phase::Waiting(waits);
    }
}
