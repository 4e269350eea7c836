//! `receive`: waits for messages.

use serde_json::{Map, Value, json};

use crate::contract::NAME_MAX;
use crate::definition::{Receive, Work};

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{Bookmark, BookmarkKind, Effect, EntryKind, Failure, KeptMessages, Message, Need, WaitOn};

impl<'a> Transition<'a> {
    /// Completes with the oldest kept message that fits, or waits for a message.
    pub(super) fn receive(
        &mut self,
        position: Position<'a>,
        alternatives: &[Receive],
        kept: Option<KeptMessages>,
    ) -> Result<(), Incomplete> {
        let addresses = self.addresses(position, alternatives)?;
        let Some(kept) = kept else { return Err(Need::Messages { addresses, after: None }.into()) };
        let fits = |message: &Message| {
            addresses.iter().enumerate().any(|(index, (name, key))| {
                *name == message.name && *key == message.key && self.fits(position, index, message)
            })
        };
        if let Some(message) = kept.list.iter().find(|message| fits(message)) {
            // A message from outside counts as a wait.
            self.branch_mut(position).steps = 0;
            return self.received(position, message.clone());
        }
        if let Some(last) = kept.list.last().filter(|_| kept.more) {
            return Err(Need::Messages { addresses, after: last.kept }.into());
        }
        let limit = self.timeout_at(position)?;
        let mut details = Map::new();
        let listed = addresses.iter().map(|(name, key)| json!({ "name": name, "key": key })).collect();
        details.insert("messages".into(), Value::Array(listed));
        let mut waits = Vec::with_capacity(addresses.len() + 1);
        for (index, address) in addresses.into_iter().enumerate() {
            let bookmark = Bookmark { message: Some(address), ..self.bookmark(position, BookmarkKind::Message) };
            waits.push(self.open_wait(bookmark, WaitOn::Message { index }));
        }
        self.wait_on(position, waits, limit, details);
        Ok(())
    }

    /// Whether the filter at an index holds for a message. A filter that fails does not hold: a message from outside must not break
    /// an instance that waits for another one.
    pub(in crate::engine) fn fits(&self, position: Position<'a>, index: usize, message: &Message) -> bool {
        let Work::Receive(alternatives) = &position.activity.work else { return false };
        let Some(receive) = alternatives.get(index) else { return false };
        self.scope(position).data(&message.data).allows(receive.when.as_ref()).unwrap_or(false)
    }

    /// Completes with a message.
    pub(in crate::engine) fn received(&mut self, position: Position<'a>, message: Message) -> Result<(), Incomplete> {
        let Message { name, key, data, kept, sender } = message;
        if let Some(kept) = kept {
            self.push(Effect::TakeMessage(kept));
        }
        let mut details = json!({ "name": name, "key": key });
        if let Some(sender) = sender {
            sender.sign(&mut details);
        }
        self.record(EntryKind::MessageReceived, position, details);
        self.complete(position, json!({ "name": name, "key": key, "data": data }), None)
    }

    /// Name and key of every message that a `receive` waits for, in its order.
    fn addresses(&self, position: Position<'a>, alternatives: &[Receive]) -> Result<Vec<(String, String)>, Failure> {
        let scope = self.scope(position);
        let address = |receive: &Receive| {
            let name = scope.key(&receive.name)?;
            let key = match (&receive.key, &self.instance.key) {
                (Some(template), _) => scope.key(template)?,
                (None, Some(key)) => key.clone(),
                (None, None) => {
                    let message = format!("`receive` of `{name}` needs a `key`: the instance was started without one");
                    return Err(Failure::new("expression", message));
                }
            };
            // A message with a longer name or key cannot be sent: the command would be refused.
            match [&name, &key].iter().any(|text| text.len() > NAME_MAX) {
                true => Err(Failure::new(
                    "expression",
                    format!("name and key of a message must have at most {NAME_MAX} bytes each"),
                )),
                false => Ok((name, key)),
            }
        };
        alternatives.iter().map(address).collect()
    }
}
