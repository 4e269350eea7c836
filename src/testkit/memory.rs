//! The rows of one instance in memory, with the guards of a database.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::definition::AssignBy;
use crate::engine::{
    Assignment, Attribute, Bookmark, Branch, CallId, Closed, Effect, Entry, Event, Instance, Message, MissedMessage,
    State, Step, Task, TaskId, Wait, WaitOn,
};

use super::Error;
use super::calls::CallRow;

/// The rows of one instance.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) instance: Option<Instance>,
    pub(super) open: BTreeMap<i64, Bookmark>,
    pub(super) kept: BTreeMap<i64, Message>,
    pub(super) history: Vec<Entry>,
    pub(super) events: Vec<Event>,
    pub(super) search: Vec<Attribute>,
    /// All tasks, open and closed.
    pub(super) tasks: BTreeMap<TaskId, Task>,
    /// All calls, open and closed.
    pub(super) calls: BTreeMap<CallId, CallRow>,
    /// The number of the last turn, by activity and user.
    turns: BTreeMap<(String, String), i64>,
    kept_at: BTreeMap<i64, Timestamp>,
    kept_count: i64,
}

impl Memory {
    /// Keeps a message that no wait has taken.
    pub(super) fn keep(&mut self, message: Message, now: Timestamp) {
        self.kept_count += 1;
        self.kept_at.insert(self.kept_count, now);
        self.kept.insert(self.kept_count, Message { kept: Some(self.kept_count), ..message });
    }

    /// Kept messages for open waits, oldest first.
    pub(super) fn missed(&self) -> Vec<MissedMessage> {
        let mut missed = Vec::new();
        for (number, message) in &self.kept {
            let address = Some((message.name.clone(), message.key.clone()));
            for wait in self.open.values().filter(|wait| wait.message == address) {
                let at = self.kept_at.get(number).copied().unwrap_or_default();
                missed.push(MissedMessage { bookmark: wait.number, at, message: message.clone() });
            }
        }
        missed
    }

    fn take_turn(&mut self, activity: String, user: String) {
        let newest = self.turns.values().max().copied().unwrap_or(0);
        self.turns.insert((activity, user), newest + 1);
    }

    /// Writes a step, with the guards of a database.
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
                Effect::Index(attributes) => self.search = attributes,
                // The test advances the clock, which fires what is due.
                Effect::Remind { bookmark, .. } => guard(self.open.contains_key(&bookmark), "not open", bookmark)?,
                Effect::Open(bookmark) => {
                    let number = bookmark.number;
                    guard(self.open.insert(number, bookmark).is_none(), "opened twice", number)?;
                }
                Effect::Consume(number) | Effect::Close(number) => {
                    guard(self.open.remove(&number).is_some(), "not open", number)?;
                }
                Effect::TakeMessage(kept) => guard(self.kept.remove(&kept).is_some(), "no kept message", kept)?,
                Effect::OpenTask(task) => {
                    let number = task.bookmark;
                    guard(self.tasks.insert(task.id, *task).is_none(), "a task opened twice", number)?;
                }
                Effect::ChangeTask(task) | Effect::OfferTask(task) => self.change(*task)?,
                Effect::CloseTask { id, closed } => self.close(id, closed)?,
                Effect::AdvanceRoundRobin { activity, user } => self.take_turn(activity, user),
                Effect::OpenCall(call) => {
                    let number = call.bookmark;
                    guard(self.calls.insert(call.id, CallRow::new(*call)).is_none(), "a call opened twice", number)?;
                }
                Effect::ChangeCall { id, dispatch, change } => {
                    let known =
                        self.calls.get_mut(&id).filter(|known| known.closed.is_none() && known.dispatch == dispatch);
                    guard(
                        known.is_some(),
                        "a change to a call that is not open with this dispatch number",
                        dispatch.into(),
                    )?;
                    known.into_iter().for_each(|known| known.change(&change));
                }
                Effect::CloseCall { id, closed } => {
                    let known = self.calls.get_mut(&id).filter(|known| known.closed.is_none());
                    guard(known.is_some(), "a call that is not open is closed", 0)?;
                    known.into_iter().for_each(|known| known.closed = Some(closed.clone()));
                }
            }
        }
        self.agrees_with(&instance)?;
        self.instance = Some(instance);
        Ok(())
    }

    /// Fails if the open rows are not those that the instance waits for.
    fn agrees_with(&self, instance: &Instance) -> Result<(), Error> {
        let open: BTreeSet<i64> = self.open.keys().copied().collect();
        guard(open == known(instance), "open but unknown to the instance, or known but not open", instance.revision)?;
        let tasks: BTreeSet<TaskId> =
            self.tasks.values().filter(|task| task.closed.is_none()).map(|task| task.id).collect();
        let waited: BTreeSet<TaskId> = waits(instance)
            .filter(|wait| wait.on == WaitOn::Task)
            .map(|wait| TaskId::of(instance.id, wait.bookmark))
            .collect();
        guard(tasks == waited, "an open task without a wait, or a wait without an open task", instance.revision)?;
        let calls = self.open_calls();
        let waited: BTreeSet<i64> =
            waits(instance).filter(|wait| matches!(wait.on, WaitOn::Call { .. })).map(|wait| wait.bookmark).collect();
        guard(calls == waited, "an open call without a wait, or a wait without an open call", instance.revision)?;
        Ok(())
    }

    /// The bookmarks of calls that are open.
    fn open_calls(&self) -> BTreeSet<i64> {
        self.calls.values().filter(|known| known.closed.is_none()).map(|known| known.call.bookmark).collect()
    }

    fn change(&mut self, mut task: Task) -> Result<(), Error> {
        let known = self.tasks.get(&task.id);
        let fits = known.is_some_and(|known| known.closed.is_none() && known.revision == task.revision);
        guard(fits, "a task that is not open as it was loaded", task.bookmark)?;
        task.revision += 1;
        self.tasks.insert(task.id, task);
        Ok(())
    }

    fn close(&mut self, id: TaskId, closed: Closed) -> Result<(), Error> {
        let task = self.tasks.get_mut(&id).filter(|task| task.closed.is_none());
        guard(task.is_some(), "a task that is not open is closed", 0)?;
        if let Some(task) = task {
            task.revision += 1;
            task.closed = Some(closed);
        }
        Ok(())
    }

    /// The rank of each user for an assignment.
    pub(super) fn ranks(&self, asked: &Assignment) -> Vec<(String, i64)> {
        let load = |user: &str| {
            let theirs = |task: &&Task| task.closed.is_none() && task.assignee.as_deref() == Some(user);
            i64::try_from(self.tasks.values().filter(theirs).count()).unwrap_or(i64::MAX)
        };
        let turn = |user: &str| self.turns.get(&(asked.activity.clone(), user.to_owned())).copied().unwrap_or(0);
        let rank = |user: &String| match asked.strategy {
            AssignBy::LeastLoaded => load(user),
            AssignBy::RoundRobin | AssignBy::Random | AssignBy::Previous => turn(user),
        };
        asked.users.iter().map(|user| (user.clone(), rank(user))).collect()
    }
}

/// The bookmarks in the state of an instance.
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

/// All waits of the branches of an instance.
pub(super) fn waits(instance: &Instance) -> impl Iterator<Item = &Wait> {
    instance.state.branches.iter().flat_map(Branch::waits)
}
