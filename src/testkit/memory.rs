//! What a database would hold of one instance, with the guards a database has.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::{Bookmark, Effect, Entry, Event, Instance, Message, Missed, Phase, State, Step, Wait};

use super::Error;

/// The rows of one instance.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) instance: Option<Instance>,
    pub(super) open: BTreeMap<i64, Bookmark>,
    pub(super) kept: BTreeMap<i64, Message>,
    pub(super) history: Vec<Entry>,
    pub(super) events: Vec<Event>,
    kept_at: BTreeMap<i64, Timestamp>,
    kept_count: i64,
}

impl Memory {
    /// Keeps a message nobody waits for yet.
    pub(super) fn keep(&mut self, message: Message, now: Timestamp) {
        self.kept_count += 1;
        self.kept_at.insert(self.kept_count, now);
        self.kept.insert(self.kept_count, Message { kept: Some(self.kept_count), ..message });
    }

    /// Kept messages that open waits would take, oldest first.
    pub(super) fn missed(&self) -> Vec<Missed> {
        let mut missed = Vec::new();
        for (number, message) in &self.kept {
            let address = Some((message.name.clone(), message.key.clone()));
            for wait in self.open.values().filter(|wait| wait.message == address) {
                let at = self.kept_at.get(number).copied().unwrap_or_default();
                missed.push(Missed { bookmark: wait.number, at, message: message.clone() });
            }
        }
        missed
    }

    /// Writes a step, with the guards a database has.
    pub(super) fn absorb(&mut self, step: Step) -> Result<(), Error> {
        let mut instance = step.instance;
        instance.revision += 1;
        instance.state = stored(&instance.state)?;
        for effect in step.effects {
            match effect {
                Effect::Record(entry) => {
                    instance.history_count += 1;
                    self.history.push(entry);
                }
                Effect::Publish(event) => self.events.push(event),
                Effect::Open(bookmark) => {
                    let number = bookmark.number;
                    guard(self.open.insert(number, bookmark).is_none(), "opened twice", number)?;
                }
                Effect::Consume(number) | Effect::Close(number) => {
                    guard(self.open.remove(&number).is_some(), "not open", number)?;
                }
                Effect::TakeMessage(kept) => guard(self.kept.remove(&kept).is_some(), "no kept message", kept)?,
            }
        }
        let open: BTreeSet<i64> = self.open.keys().copied().collect();
        guard(open == known(&instance), "open but unknown to the instance, or known but not open", instance.revision)?;
        self.instance = Some(instance);
        Ok(())
    }
}

/// The bookmarks an instance waits for, as it knows them itself.
fn known(instance: &Instance) -> BTreeSet<i64> {
    let waits = waits(instance);
    let whole = instance.state.deadline.as_ref().map(|deadline| deadline.bookmark).into_iter();
    waits.map(|wait| wait.bookmark).chain(whole).chain(instance.state.suspension).collect()
}

fn guard(holds: bool, rule: &str, number: i64) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Broken(format!("{rule}: {number}"))) }
}

/// The state as it reads back after it was written.
fn stored(state: &State) -> Result<State, Error> {
    let broken = |error: serde_json::Error| Error::Broken(format!("the state cannot be stored: {error}"));
    serde_json::from_value(serde_json::to_value(state).map_err(broken)?).map_err(broken)
}

/// Everything the branches of an instance wait for.
pub(super) fn waits(instance: &Instance) -> impl Iterator<Item = &Wait> {
    instance.state.branches.iter().flat_map(|branch| match &branch.phase {
        Phase::Ready => &[],
        Phase::Waiting(waits) => waits.as_slice(),
    })
}
