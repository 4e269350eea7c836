//! How a command ended, and the instance that its commit left.

use jiff::Timestamp;

use super::once::Answer;
use crate::app::App;
use crate::definition::{Definition, Work};
use crate::engine::{Branch, BranchId, Instance, InstanceId, Refusal};
use crate::store::instances::Loaded;
use crate::store::{self, instances};

/// An instance as it was committed, and who takes its next step.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The instance.
    pub instance: Instance,
    /// The database's time of the commit, or of the read.
    pub now: Timestamp,
    /// The kind of the activity, or of the command, that the commit was about; empty if the instance was only read.
    pub kind: &'static str,
    /// Who takes the next step.
    pub next: Next,
}

/// Who takes the next step of an instance. It is decided once, when the commit is planned or the instance is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This process, of this branch.
    Here(BranchId),
    /// A worker that serves the queue: the step command was written in the same commit.
    HandedOn,
    /// Another worker: this process does not serve the queue, or does not have the handler. No step command was written.
    NotServed,
    /// There is no next step: no branch is ready.
    Rest,
}

/// Whether a commit that leaves a branch ready also writes its step command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Only if this process cannot take the next step itself.
    IfNeeded,
    /// Always: the process that commits does not take the next step.
    Always,
}

/// How the attempt to change an instance ended.
#[derive(Debug)]
pub enum Executed {
    /// It was committed.
    Committed(Box<Committed>),
    /// Another process has changed the instance meanwhile, or is changing it: read it again before you draw a conclusion.
    Conflict,
    /// The engine refused the command.
    Refused(Refusal),
}

/// How a command from outside ended.
#[derive(Debug)]
pub enum Applied<T> {
    /// It was executed now.
    New(T),
    /// It was executed before, with this answer.
    Repeated(Answer),
}

impl<T> Applied<T> {
    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Applied<U> {
        match self {
            Applied::New(value) => Applied::New(change(value)),
            Applied::Repeated(answer) => Applied::Repeated(answer),
        }
    }
}

/// Reads an instance, and who takes its next step.
///
/// # Errors
/// `Busy` if only newer binaries can read it.
pub async fn find(app: &App, id: InstanceId) -> Result<Option<Committed>, store::Error> {
    let mut conn = app.store.steps().await?;
    let Some(loaded) = instances::find(&mut conn, id).await? else { return Ok(None) };
    drop(conn);
    let Loaded { instance, now, .. } = loaded.movable()?;
    app.clock.observe(now);
    let next = match instance.ready_branch() {
        None => Next::Rest,
        Some(branch) => {
            let definition = app.definition(&instance.definition, instance.version).await?;
            if serves(app, &definition, &instance, branch) { Next::Here(branch.id) } else { Next::NotServed }
        }
    };
    Ok(Some(Committed { instance, now, kind: "", next }))
}

/// Whether this process serves the queue of an instance and has the handler of a branch's activity.
pub(super) fn serves(app: &App, definition: &Definition, instance: &Instance, branch: &Branch) -> bool {
    let queue_is_served = app.config.worker.queues.contains(&instance.queue);
    let work_is_known = match definition.activity(&branch.activity).map(|activity| &activity.work) {
        Some(Work::Run { runs, .. }) => app.knows(runs),
        Some(_) | None => true,
    };
    queue_is_served && work_is_known
}

/// The open timer that was opened last: its bookmark, and when it is due.
pub fn newest_timer(instance: &Instance) -> Option<(i64, Timestamp)> {
    let deadline = instance.state.deadline.iter().map(|deadline| (deadline.bookmark, deadline.due_at));
    let waits = instance.state.branches.iter().flat_map(Branch::waits);
    let timers = waits.filter_map(|wait| Some((wait.bookmark, wait.due_at?)));
    deadline.chain(timers).max()
}
