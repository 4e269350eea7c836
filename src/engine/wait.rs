//! Letting time pass, and waiting for messages.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{Receive, Timeout, Wait};

use super::admit::Position;
use super::failure::Incomplete;
use super::transition::Transition;
use super::{Bookmark, BookmarkKind, Effect, EntryKind, Failure, Message, Phase, TimerKind, WaitOn, needs};

impl<'a> Transition<'a> {
    /// Waits for a moment; one that has passed is not waited for.
    pub(super) fn wait(&mut self, position: Position<'a>, wait: &Wait) -> Result<(), Incomplete> {
        let scope = self.scope(position);
        let due_at = match wait {
            Wait::For(duration) => scope.after(duration)?,
            Wait::Until(moment) => scope.moment(moment)?,
            Wait::Cron { cron, zone } => scope.tick(cron, zone.as_ref())?,
        };
        if due_at <= self.context.now {
            return self.complete(position, Value::Null, None);
        }
        let limit = self.limit(position)?;
        let mut details = Map::new();
        details.insert("due_at".into(), json!(due_at));
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
        let timer = self.open_wait(bookmark, WaitOn::Timer(TimerKind::Wait));
        self.rest(position, vec![timer], limit, details);
        Ok(())
    }

    /// Takes the oldest kept message that fits, or waits for the first one to come.
    pub(super) fn receive(
        &mut self,
        position: Position<'a>,
        alternatives: &[Receive],
        messages: Vec<Message>,
    ) -> Result<(), Incomplete> {
        let addresses = needs::addresses(&self.scope(position), alternatives, &self.instance)?;
        let fits = |message: &Message| {
            addresses.iter().enumerate().any(|(index, (name, key))| {
                *name == message.name && *key == message.key && self.fits(position, index, message)
            })
        };
        if let Some(message) = messages.into_iter().find(fits) {
            // Something came from outside: the branch does not run in circles by itself.
            self.branch_mut(position).steps = 0;
            return self.received(position, message);
        }
        let limit = self.limit(position)?;
        let mut details = Map::new();
        let listed = addresses.iter().map(|(name, key)| json!({ "name": name, "key": key })).collect();
        details.insert("messages".into(), Value::Array(listed));
        let mut waits = Vec::with_capacity(addresses.len() + 1);
        for (index, address) in addresses.into_iter().enumerate() {
            let bookmark = Bookmark { message: Some(address), ..self.bookmark(position, BookmarkKind::Message) };
            waits.push(self.open_wait(bookmark, WaitOn::Message { index }));
        }
        self.rest(position, waits, limit, details);
        Ok(())
    }

    /// Whether the filter at that position holds for a message. One that fails does not hold: a message from outside
    /// must not be able to break whoever waits for another.
    pub(super) fn fits(&self, position: Position<'a>, index: usize, message: &Message) -> bool {
        let crate::definition::Work::Receive(alternatives) = &position.activity.work else { return false };
        let Some(receive) = alternatives.get(index) else { return false };
        self.scope(position).data(&message.data).allows(receive.when.as_ref()).unwrap_or(false)
    }

    /// Goes on with a message.
    pub(super) fn received(&mut self, position: Position<'a>, message: Message) -> Result<(), Incomplete> {
        let Message { name, key, data, kept } = message;
        if let Some(kept) = kept {
            self.push(Effect::TakeMessage(kept));
        }
        self.record(EntryKind::MessageReceived, position, json!({ "name": name, "key": key }));
        self.complete(position, json!({ "name": name, "key": key, "data": data }), None)
    }

    /// When the whole wait ends at the latest.
    pub(super) fn limit(&self, position: Position<'a>) -> Result<Option<Timestamp>, Failure> {
        match &position.activity.timeout {
            Timeout::Default | Timeout::None => Ok(None),
            Timeout::After(template) => self.scope(position).after(template).map(Some),
        }
    }

    fn rest(
        &mut self,
        position: Position<'a>,
        mut waits: Vec<super::Wait>,
        limit: Option<Timestamp>,
        mut details: Map<String, Value>,
    ) {
        if let Some(due_at) = limit {
            details.insert("timeout_at".into(), json!(due_at));
            let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
            waits.push(self.open_wait(bookmark, WaitOn::Timer(TimerKind::Timeout)));
        }
        self.record(EntryKind::WaitOpened, position, Value::Object(details));
        self.branch_mut(position).phase = Phase::Waiting(waits);
    }
}
