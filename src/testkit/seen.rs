//! The state of a scenario, for assertions.

use jiff::Timestamp;
use serde_json::Value;

use crate::engine::{Attribute, Bookmark, Entry, Event, Failure, Instance, Message, Status};

use super::{Scenario, memory};

/// The state of the instance and its rows.
impl Scenario {
    /// The instance, once it was started.
    pub fn instance(&self) -> Option<&Instance> {
        self.memory.instance.as_ref()
    }

    /// The status of the instance.
    pub fn status(&self) -> Option<Status> {
        self.memory.instance.as_ref().map(|instance| instance.status)
    }

    /// The current activity of the instance; none if it has ended.
    pub fn standing(&self) -> Option<&str> {
        self.memory.instance.as_ref()?.state.branches.first().map(|branch| branch.activity.as_str())
    }

    /// The value of a declared variable.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.memory.instance.as_ref()?.variables.get(name)
    }

    /// The search attributes, as they were written last.
    pub fn search(&self) -> &[Attribute] {
        &self.memory.search
    }

    /// The output of the instance.
    pub fn output(&self) -> Option<&Value> {
        self.memory.instance.as_ref()?.output.as_ref()
    }

    /// The failure of the instance or of its incident.
    pub fn error(&self) -> Option<&Failure> {
        let instance = self.memory.instance.as_ref()?;
        instance.error.as_ref().or_else(|| memory::waits(instance).find_map(|wait| wait.on.failure()))
    }

    /// The history so far.
    pub fn history(&self) -> &[Entry] {
        &self.memory.history
    }

    /// The events so far.
    pub fn events(&self) -> &[Event] {
        &self.memory.events
    }

    /// The open bookmarks, oldest first.
    pub fn bookmarks(&self) -> impl Iterator<Item = &Bookmark> {
        self.memory.open.values()
    }

    /// The kept messages, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Message> {
        self.memory.kept.values()
    }

    /// The time of the clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
