//! What can be seen of a scenario.

use jiff::Timestamp;
use serde_json::Value;

use crate::engine::{Bookmark, Entry, Event, Failure, Instance, Message, Status};

use super::{Scenario, memory};

/// What can be seen of it.
impl Scenario {
    /// The instance, once it was started.
    pub fn instance(&self) -> Option<&Instance> {
        self.memory.instance.as_ref()
    }

    /// Where it stands in its life.
    pub fn status(&self) -> Option<Status> {
        self.memory.instance.as_ref().map(|instance| instance.status)
    }

    /// The activity it stands at; none if it has ended.
    pub fn standing(&self) -> Option<&str> {
        self.memory.instance.as_ref()?.state.branches.first().map(|branch| branch.activity.as_str())
    }

    /// The value of a declared variable.
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.memory.instance.as_ref()?.variables.get(name)
    }

    /// What it completed with.
    pub fn output(&self) -> Option<&Value> {
        self.memory.instance.as_ref()?.output.as_ref()
    }

    /// Why it failed, or what its incident is about.
    pub fn error(&self) -> Option<&Failure> {
        let instance = self.memory.instance.as_ref()?;
        instance.error.as_ref().or_else(|| memory::waits(instance).find_map(|wait| wait.on.failure()))
    }

    /// What happened so far.
    pub fn history(&self) -> &[Entry] {
        &self.memory.history
    }

    /// What was published so far.
    pub fn events(&self) -> &[Event] {
        &self.memory.events
    }

    /// The open bookmarks, oldest first.
    pub fn bookmarks(&self) -> impl Iterator<Item = &Bookmark> {
        self.memory.open.values()
    }

    /// The messages nobody has taken yet, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Message> {
        self.memory.kept.values()
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
