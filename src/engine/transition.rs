//! One decision in progress: the changed instance, and the effects so far.

use serde_json::{Map, Value, json};

use crate::definition::Definition;

use super::admit::Position;
use super::scope::Scope;
use super::{
    Bookmark, Branch, BranchId, CallClosed, CallEnd, CallId, Closed, Concluded, Context, Effect, Entry, EntryKind,
    Event, Failure, Instance, Need, Phase, Refusal, Status, Step, TaskId, TaskOutcome, TaskRefusal, Wait, WaitOn,
};

/// Why a transition ends without a step.
pub(super) enum Halt {
    /// The command changes nothing.
    Refuse(Refusal),
    /// A fact is missing.
    Need(Box<Need>),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<Need> for Halt {
    fn from(need: Need) -> Self {
        Self::Need(Box::new(need))
    }
}

impl From<TaskRefusal> for Halt {
    fn from(refusal: TaskRefusal) -> Self {
        Self::Refuse(refusal.into())
    }
}

/// The working state of a decision.
#[derive(Clone)]
pub(super) struct Transition<'a> {
    pub(super) definition: &'a Definition,
    pub(super) context: &'a Context<'a>,
    pub(super) instance: Instance,
    /// Variables assigned since the last history entry.
    pub(super) assigned: Vec<&'a str>,
    /// Whether a variable got a value: the search attributes are evaluated at the end.
    pub(super) indexes: bool,
    effects: Vec<Effect>,
    kind: &'static str,
}

impl<'a> Transition<'a> {
    pub(super) fn new(
        definition: &'a Definition,
        context: &'a Context<'a>,
        instance: Instance,
        kind: &'static str,
    ) -> Self {
        Self { definition, context, instance, assigned: Vec::new(), indexes: false, effects: Vec::new(), kind }
    }

    pub(super) fn done(mut self) -> Step {
        let searched = self.searched();
        if !searched.is_empty() {
            self.push(Effect::Index(searched));
        }
        Step { instance: self.instance, effects: self.effects, kind: self.kind }
    }

    pub(super) fn branch(&self, position: Position<'a>) -> &Branch {
        &self.instance.state.branches[position.at]
    }

    pub(super) fn branch_mut(&mut self, position: Position<'a>) -> &mut Branch {
        &mut self.instance.state.branches[position.at]
    }

    pub(super) fn scope(&self, position: Position<'a>) -> Scope<'_> {
        let visit = self.instance.state.visits.get(&position.activity.id).copied().unwrap_or(0);
        Scope::from(&self.instance, self.context, self.branch(position), visit)
    }

    /// Counts a step of a branch that did not wait.
    pub(super) fn advance(&mut self, position: Position<'a>) {
        let branch = self.branch_mut(position);
        branch.sequence += 1;
        branch.steps += 1;
        branch.crashes = 0;
    }

    /// Counts the step that ends a wait: the count of steps without a wait begins again.
    pub(super) fn awaken(&mut self, position: Position<'a>) {
        self.advance(position);
        self.branch_mut(position).steps = 0;
    }

    pub(super) fn record(&mut self, kind: EntryKind, position: Position<'a>, details: Value) {
        let activity = Some(position.activity.id.clone());
        let branch = Some(self.branch(position).id);
        self.push(Effect::Record(Entry { kind, activity, branch, details }));
    }

    pub(super) fn record_whole(&mut self, kind: EntryKind, details: Value) {
        self.push(Effect::Record(Entry { kind, activity: None, branch: None, details }));
    }

    pub(super) fn publish(&mut self, name: &str, data: Value) {
        let event = Event { name: name.to_owned(), data, at: self.context.now, group: None };
        self.push(Effect::Publish(event));
    }

    /// Publishes an event that tells of a group of incidents, unless the group is muted.
    pub(super) fn publish_of_group(&mut self, name: &str, data: Value, group: String) {
        let event = Event { name: name.to_owned(), data, at: self.context.now, group: Some(group) };
        self.push(Effect::Publish(event));
    }

    /// Publishes an event about the instance, with its business key, if the definition has `events.instance`.
    pub(super) fn announce(&mut self, name: &str, mut data: Map<String, Value>) {
        if self.definition.events.instance {
            if let Some(key) = &self.instance.key {
                data.insert("key".into(), json!(key));
            }
            self.publish(name, Value::Object(data));
        }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Opens a bookmark with the next number.
    pub(super) fn open(&mut self, bookmark: Bookmark) -> i64 {
        let number = self.instance.state.bookmarks.max(1);
        self.instance.state.bookmarks = number + 1;
        self.push(Effect::Open(Bookmark { number, ..bookmark }));
        number
    }

    /// Opens a bookmark as a wait of a branch.
    pub(super) fn open_wait(&mut self, bookmark: Bookmark, on: WaitOn) -> Wait {
        let due_at = bookmark.due_at;
        Wait { bookmark: self.open(bookmark), due_at, on }
    }

    /// Ends all waits of a branch: this bookmark is consumed, the others are closed.
    pub(super) fn take_wait(&mut self, position: Position<'a>, bookmark: i64) {
        for wait in self.clear_waits(position) {
            if wait.bookmark == bookmark {
                self.push(Effect::Consume(wait.bookmark));
            } else {
                self.close_wait(&wait, TaskOutcome::TimedOut);
            }
        }
    }

    /// Continues a branch with the outcome of the work it waited for. While the instance is suspended the outcome is kept.
    pub(super) fn conclude(&mut self, position: Position<'a>, outcome: Result<Value, Failure>) -> Result<(), Halt> {
        if self.instance.status == Status::Suspended {
            let (result, failure) = match outcome {
                Ok(result) => (Some(result), None),
                Err(failure) => (None, Some(failure)),
            };
            self.branch_mut(position).phase = Phase::Concluded(Concluded { at: self.context.now, result, failure });
            return Ok(());
        }
        self.awaken(position);
        let outcome = match outcome {
            Ok(result) => self.complete(position, result, None),
            Err(failure) => Err(failure.into()),
        };
        self.apply_outcome(position, outcome)
    }

    /// Closes all waits of a branch.
    pub(super) fn close_waits(&mut self, position: Position<'a>) {
        for wait in self.clear_waits(position) {
            self.close_wait(&wait, TaskOutcome::Cancelled);
        }
    }

    /// Closes a wait that is no longer needed, with its task or call.
    pub(super) fn close_wait(&mut self, wait: &Wait, outcome: TaskOutcome) {
        self.push(Effect::Close(wait.bookmark));
        if wait.on == WaitOn::Task {
            let closed = Closed { outcome, by: None, result: Value::Null, ballots: Vec::new() };
            let id = TaskId::of(self.instance.id, wait.bookmark);
            self.publish_task_closed(id, outcome);
            self.push(Effect::CloseTask { id, closed });
        }
        if let WaitOn::Call { .. } = wait.on {
            let closed = CallClosed { end: CallEnd::Cancelled, result: None, failure: None };
            self.push(Effect::CloseCall { id: CallId::of(self.instance.id, wait.bookmark), closed });
        }
    }

    fn clear_waits(&mut self, position: Position<'a>) -> Vec<Wait> {
        match std::mem::replace(&mut self.branch_mut(position).phase, Phase::Ready) {
            Phase::Ready | Phase::Concluded(_) => Vec::new(),
            Phase::Waiting(waits) => waits,
        }
    }

    /// A bookmark of a branch, without a due time or a message.
    pub(super) fn bookmark(&self, position: Position<'a>, kind: super::BookmarkKind) -> Bookmark {
        let branch: Option<BranchId> = Some(self.branch(position).id);
        let activity = Some(position.activity.id.clone());
        Bookmark {
            number: 0,
            branch,
            activity,
            kind,
            due_at: None,
            message: None,
            details: Value::Null,
            fingerprint: None,
        }
    }
}
