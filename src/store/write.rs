//! Turns a decision of the engine into the rows of one commit: numbered, hashed and complete before anything is sent.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::bookmarks::BookmarkRow;
use super::calls::{CallWrite, Sent};
use super::history::HistoryRow;
use super::moment::whole_micros;
use super::outbox::OutboxRow;
use super::tasks::TaskWrite;
use super::{Error, refuse_unfit};
use crate::engine::{Attribute, BookmarkKind, CallId, Effect, Instance, Step};

/// All rows of one commit.
#[derive(Debug, Clone)]
pub struct Write {
    /// The instance after the commit: with the new revision, history count and hash.
    pub instance: Instance,
    /// The revision that the row must still have; none for a start.
    pub(super) expected: Option<i64>,
    /// Whether the variables have changed.
    pub(super) variables_changed: bool,
    /// Whether the queue or the priority has changed.
    pub(super) queue_changed: bool,
    /// New history rows.
    pub history: Vec<HistoryRow>,
    /// New bookmarks.
    pub open: Vec<BookmarkRow>,
    /// Bookmarks that are consumed or closed; each must be open.
    pub finish: Vec<i64>,
    /// Kept messages that are consumed; each must still exist.
    pub take: Vec<i64>,
    /// Search attributes, if they were evaluated.
    pub search: Vec<Attribute>,
    /// Changes of tasks; each task must be as it was loaded.
    pub tasks: Vec<TaskWrite>,
    /// Changes of calls; each call must be as it was loaded.
    pub calls: Vec<CallWrite>,
    /// Whether a start counts among the live instances of its definition, which has a limit of them.
    pub counted: bool,
    /// The sender among whose live instances a start counts, if there is a limit for senders.
    pub counted_sender: Option<String>,
    /// Messages to publish: the caller adds events, wake-ups and follow-up commands.
    pub outbox: Vec<OutboxRow>,
}

impl Write {
    /// The rows of a step.
    ///
    /// `before` is the instance as loaded, or as the last commit left it; none for a start. `now` is the database's
    /// time; `horizon` is
    /// `timers.broker_horizon`.
    ///
    /// # Errors
    /// `Bug` if the step holds a value that PostgreSQL cannot store.
    pub fn from_step(before: Option<&Instance>, step: Step, now: Timestamp, horizon: Duration) -> Result<Write, Error> {
        let now = whole_micros(now);
        let Step { mut instance, effects, .. } = step;
        let expected = before.map(|before| before.revision);
        instance.revision = expected.unwrap_or(0) + 1;
        instance.history_count = before.map_or(0, |before| before.history_count);
        instance.history_hash = before.map_or([0; 32], |before| before.history_hash);
        if instance.status.has_ended() {
            instance.ended_at.get_or_insert(now);
        }
        let variables_changed = before.is_none_or(|before| before.variables != instance.variables);
        let queue_changed =
            before.is_some_and(|before| (&before.queue, before.priority) != (&instance.queue, instance.priority));
        let mut write = Write {
            instance,
            expected,
            variables_changed,
            queue_changed,
            history: Vec::new(),
            open: Vec::new(),
            finish: Vec::new(),
            take: Vec::new(),
            search: Vec::new(),
            tasks: Vec::new(),
            calls: Vec::new(),
            counted: false,
            counted_sender: None,
            outbox: Vec::new(),
        };
        for effect in &effects {
            write.add(effect, now, horizon)?;
        }
        write.refuse_what_cannot_be_kept()?;
        Ok(write)
    }

    /// Whether the revision is the only guard, so that [`super::commit::plain`] may be used. Waits for messages count
    /// as guards: their lock on name and key needs a transaction.
    pub fn is_plain(&self) -> bool {
        self.finish.is_empty()
            && self.take.is_empty()
            && self.tasks.is_empty()
            && self.calls.is_empty()
            && self.open.iter().all(|bookmark| bookmark.kind != BookmarkKind::Message)
    }

    /// Marks the request of a call that is opened as sent with this commit.
    pub fn send_at_once(&mut self, id: CallId, sent: Sent) {
        for write in &mut self.calls {
            if let CallWrite::Open { call, begun } = write
                && call.id == id
            {
                *begun = Some(sent);
            }
        }
    }

    fn add(&mut self, effect: &Effect, now: Timestamp, horizon: Duration) -> Result<(), Error> {
        match effect {
            Effect::Record(entry) => {
                let id = self.instance.id;
                let row = HistoryRow::after(id, self.instance.history_count, self.instance.history_hash, entry, now)?;
                self.instance.history_count = row.number;
                self.instance.history_hash = row.hash(id)?;
                self.history.push(row);
            }
            Effect::Open(bookmark) => self.open.push(BookmarkRow::open(bookmark, now, horizon)),
            Effect::Consume(number) | Effect::Close(number) => self.finish.push(*number),
            Effect::TakeMessage(id) => self.take.push(*id),
            // Of several steps in one commit the last one knows all variables.
            Effect::Index(attributes) => self.search.clone_from(attributes),
            Effect::OpenTask(task) => self.tasks.push(TaskWrite::Open(task.clone())),
            Effect::ChangeTask(task) => self.tasks.push(TaskWrite::Change(task.clone())),
            Effect::OfferTask(task) => self.tasks.push(TaskWrite::Offer(task.clone())),
            Effect::CloseTask { id, closed } => self.tasks.push(TaskWrite::Close(*id, closed.clone())),
            Effect::AdvanceRoundRobin { activity, user } => {
                self.tasks.push(TaskWrite::RoundRobin { activity: activity.clone(), user: user.clone() });
            }
            Effect::OpenCall(call) => self.calls.push(CallWrite::Open { call: call.clone(), begun: None }),
            Effect::ChangeCall { id, dispatch, change } => {
                self.calls.push(CallWrite::Change { id: *id, dispatch: *dispatch, change: Box::new(change.clone()) });
            }
            Effect::CloseCall { id, closed } => self.calls.push(CallWrite::Close(*id, Box::new(closed.clone()))),
            // The caller writes these messages; it knows exchanges and routing keys.
            Effect::Publish(_) | Effect::Remind { .. } => {}
        }
        Ok(())
    }

    // The API, expressions and handlers check this too; here is the last check, also for values that were wrapped too
    // often.
    fn refuse_what_cannot_be_kept(&self) -> Result<(), Error> {
        let refuse = |what: &str, value: &Value| {
            refuse_unfit(value).map_err(|problem| Error::Bug(format!("{what} cannot be stored: {problem}")))
        };
        if self.variables_changed {
            for (name, value) in &self.instance.variables {
                refuse("a variable", value)?;
                refuse("a variable", &Value::String(name.clone()))?;
            }
        }
        if self.expected.is_none() {
            self.instance.input.values().try_for_each(|value| refuse("the input", value))?;
        }
        self.instance.output.iter().try_for_each(|output| refuse("the output", output))?;
        self.instance.error.iter().try_for_each(|error| refuse("the error", &error.data))?;
        self.instance.state.values().try_for_each(|value| refuse("a value of a branch", value))?;
        self.history.iter().filter_map(|row| row.details.as_ref()).try_for_each(|value| refuse("history", value))?;
        self.tasks.iter().try_for_each(TaskWrite::refuse_what_cannot_be_kept)?;
        self.calls.iter().try_for_each(CallWrite::refuse_what_cannot_be_kept)?;
        self.open.iter().try_for_each(|bookmark| refuse("a bookmark", &bookmark.details))
    }
}
