//! The pipeline: the instance of a command is locked or taken from memory; then the command is decided, planned as rows, committed
//! and published.
//!
//! [`Execution::locked`] decides under the lock of the instance, so that no other process can change it meanwhile. [`Execution::step`] decides on the
//! instance in memory and is guarded by the revision alone: it is cheaper, and may end in a conflict.

use std::sync::Arc;

use jiff::Timestamp;

use super::committed::{Committed, Executed, Follow, Next};
use super::once::{Answer, Origin};
use super::{Error, audit, effort, facts, fail_point, handler, muted, rows};
use crate::app::App;
use crate::definition::Definition;
use crate::engine::{
    self, CallCommand, CallReport, Command, Decision, Facts, Instance, InstanceId, Internal, Need, Step,
};
use crate::store::commit::{self, Guarded};
use crate::store::instances::Loaded;
use crate::store::write::Write;
use crate::store::{self, Transaction, Undo, bookmarks, instances};
use crate::telemetry;

/// One command on its way to its commit.
pub(super) struct Execution<'a> {
    pub(super) app: &'a App,
    command: Command,
    follow: Follow,
    sender: Option<Sender<'a>>,
    /// The revision that the sender has seen, if it is compared.
    seen: Option<i64>,
}

/// The sender of a command from outside, and its answer: both are committed with the command.
struct Sender<'a> {
    origin: &'a Origin,
    /// The name of the command in the inbox.
    kind: &'a str,
    answer: Answer,
}

/// The result of the body of a transaction.
pub(super) enum Ended {
    /// A step was written; it is committed with the transaction.
    Written(Box<Written>),
    /// No step was written.
    Not(Executed),
}

/// Why a transaction is rolled back: the command changed nothing, or failed.
pub(super) type Undone = Undo<Ended, Error>;

/// A step whose rows are written, or are about to be.
pub(super) struct Written {
    write: Write,
    now: Timestamp,
    next: Next,
    kind: &'static str,
}

impl<'a> Execution<'a> {
    /// A command that Leveret sends to itself.
    pub(super) fn internal(app: &'a App, command: impl Into<Command>, follow: Follow) -> Self {
        Self { app, command: command.into(), follow, sender: None, seen: None }
    }

    /// A command from outside: it is executed once, and its sender gets this answer.
    pub(super) fn from_outside(
        app: &'a App,
        command: impl Into<Command>,
        origin: &'a Origin,
        kind: &'a str,
        answer: Answer,
    ) -> Self {
        let sender = Some(Sender { origin, kind, answer });
        Self { app, command: command.into(), follow: origin.follow, sender, seen: None }
    }

    /// The same, refused if the instance has another revision under its lock.
    pub(super) fn if_at(self, seen: Option<i64>) -> Self {
        Self { seen, ..self }
    }

    /// Locks the instance, decides and commits, in a transaction of its own.
    pub(super) async fn locked(&self, id: InstanceId) -> Result<Executed, Error> {
        let lease = self.app.store.steps().await?;
        let ended = if self.command.replays() {
            Transaction::run(lease, async |transaction| self.in_transaction(transaction, id).await).await?
        } else {
            Transaction::run_locked(lease, id, async |transaction, loaded| {
                self.under_lock(transaction, id, loaded, Facts::default()).await
            })
            .await?
        };
        Ok(ended.publish(self.app))
    }

    /// Locks the instance in an open transaction, decides and writes.
    pub(super) async fn in_transaction(&self, transaction: &mut Transaction, id: InstanceId) -> Result<Ended, Undone> {
        let loaded = self.lock(transaction, id).await?;
        self.under_lock(transaction, id, loaded, Facts::default()).await
    }

    async fn lock(&self, transaction: &mut Transaction, id: InstanceId) -> Result<Option<Loaded>, store::Error> {
        if self.command.replays() {
            // Before the instance: messages take their locks in this order too.
            let awaited = bookmarks::awaited(transaction, id).await?;
            bookmarks::lock_correlation(transaction, &awaited).await?;
        }
        instances::lock(&mut **transaction, id).await
    }

    /// Decides under the locks of the command, and writes nothing: the instance as it is, and the step.
    pub(super) async fn rehearse(
        &self,
        transaction: &mut Transaction,
        id: InstanceId,
    ) -> Result<(Instance, Step), Undone> {
        let loaded = self.lock(transaction, id).await?;
        self.decide_locked(transaction, id, loaded, Facts::default()).await.map(|(before, step, _)| (before, step))
    }

    /// Decides and writes. The instance is locked; after a refusal it still is, and the caller may write something else.
    pub(super) async fn under_lock(
        &self,
        transaction: &mut Transaction,
        id: InstanceId,
        loaded: Option<Loaded>,
        facts: Facts,
    ) -> Result<Ended, Undone> {
        let (instance, step, now) = self.decide_locked(transaction, id, loaded, facts).await?;
        self.write(transaction, &instance, step, now).await
    }

    async fn decide_locked(
        &self,
        transaction: &mut Transaction,
        id: InstanceId,
        loaded: Option<Loaded>,
        facts: Facts,
    ) -> Result<(Instance, Step, Timestamp), Undone> {
        let Some(Loaded { instance, now, .. }) = loaded else {
            return Err(Undo::Error(Error::NotFound(format!("there is no instance {id}"))));
        };
        fail_point("step::locked");
        self.app.clock.observe(now);
        engine::require_revision(&instance, self.seen)
            .map_err(|refusal| Undo::Value(Ended::Not(Executed::Refused(refusal))))?;
        let definition = self.definition(&instance).await?;
        let step = self.decide(transaction, &definition, &instance, now, facts).await?;
        Ok((instance, step, now))
    }

    /// Takes one step from the instance in memory.
    pub(super) async fn step(&self, at: &Committed) -> Result<Executed, Error> {
        let Committed { instance, now, .. } = at;
        let definition = self.definition(instance).await?;
        match effort::decide(self.app, &definition, instance, &self.command, Facts::default(), *now).await? {
            Decision::Commit(step) => self.commit_alone(instance, step, *now).await,
            Decision::Refuse(refusal) => Ok(Executed::Refused(refusal)),
            // Boxed, so that the plain step, the hot path, is not as large as the rare ones.
            Decision::Need(Need::Handler(call)) => Box::pin(handler::run(self, at, call)).await,
            Decision::Need(need) => Box::pin(self.step_with(&definition, at, need)).await,
        }
    }

    /// The same step, with facts that are read under their own locks.
    async fn step_with(&self, definition: &Arc<Definition>, at: &Committed, need: Need) -> Result<Executed, Error> {
        let Committed { instance, now, .. } = at;
        let ended = Transaction::run(self.app.store.steps().await?, async |transaction| {
            let facts = facts::look_up(self.app, transaction, instance, need, 1).await?;
            let step = self.decide(transaction, definition, instance, *now, facts).await?;
            self.write(transaction, instance, step, *now).await
        })
        .await?;
        Ok(ended.publish(self.app))
    }

    /// Decides, and looks up what the decision requires.
    async fn decide(
        &self,
        transaction: &mut Transaction,
        definition: &Arc<Definition>,
        instance: &Instance,
        now: Timestamp,
        mut facts: Facts,
    ) -> Result<Step, Undone> {
        for look in 1..=facts::LOOKS_MAX {
            match effort::decide(self.app, definition, instance, &self.command, facts.clone(), now).await? {
                Decision::Commit(step) if self.completes_call() => {
                    return Ok(further_steps(self.app, definition, step, now));
                }
                Decision::Commit(step) => return Ok(step),
                Decision::Refuse(refusal) => return Err(Undo::Value(Ended::Not(Executed::Refused(refusal)))),
                Decision::Need(need) => facts.add(facts::look_up(self.app, transaction, instance, need, look).await?),
            }
        }
        Err(Undo::Value(Ended::Not(Executed::Conflict)))
    }

    /// Writes a step in an open transaction.
    pub(super) async fn write(
        &self,
        transaction: &mut Transaction,
        before: &Instance,
        mut step: Step,
        now: Timestamp,
    ) -> Result<Ended, Undone> {
        let groups = muted::groups(&step);
        if !groups.is_empty() {
            muted::hush(transaction, &groups, &mut step).await?;
        }
        let written = self.plan(before, step, now)?;
        self.write_planned(transaction, written).await
    }

    async fn write_planned(&self, transaction: &mut Transaction, mut written: Written) -> Result<Ended, Undone> {
        let inbox = self.sender.as_ref().map(|Sender { origin, kind, answer }| {
            written.write.outbox.extend(origin.reply(self.app, answer));
            origin.inbox(kind, answer)
        });
        match commit::guarded(transaction, &written.write, inbox.as_ref()).await? {
            Guarded::Committed(now) => written.now = now,
            Guarded::Conflict | Guarded::Duplicate(_) => return Err(Undo::Value(Ended::Not(Executed::Conflict))),
        }
        let entry = self.sender.as_ref().and_then(|Sender { origin, kind, answer }| {
            audit::noted(&self.command, written.write.instance.id, origin, kind, answer)
        });
        if let Some(entry) = entry {
            store::audit::append(transaction, &entry).await?;
        }
        fail_point("step::before_commit");
        Ok(Ended::Written(Box::new(written)))
    }

    /// Commits a step of which the revision is the only guard, in one statement; any other in a transaction.
    async fn commit_alone(&self, before: &Instance, mut step: Step, now: Timestamp) -> Result<Executed, Error> {
        let groups = muted::groups(&step);
        if !groups.is_empty() {
            muted::hush(&mut *self.app.store.steps().await?, &groups, &mut step).await?;
        }
        let mut written = self.plan(before, step, now)?;
        if !written.write.is_plain() {
            return Box::pin(self.commit_in_transaction(written)).await;
        }
        fail_point("step::before_commit");
        let mut conn = self.app.store.steps().await?;
        let committed = commit::plain(&mut conn, &written.write).await?;
        drop(conn);
        Ok(match committed {
            Some(now) => {
                written.now = now;
                Ended::Written(Box::new(written)).publish(self.app)
            }
            None => Executed::Conflict,
        })
    }

    async fn commit_in_transaction(&self, written: Written) -> Result<Executed, Error> {
        let lease = self.app.store.steps().await?;
        let ended = Transaction::run(lease, async |transaction| self.write_planned(transaction, written).await).await?;
        Ok(ended.publish(self.app))
    }

    fn plan(&self, before: &Instance, mut step: Step, now: Timestamp) -> Result<Written, Error> {
        if let Some(Sender { origin, .. }) = &self.sender {
            step.sign(&origin.sender());
        }
        let kind = step.kind;
        let (write, next) = rows::plan(self.app, Some(before), step, now, self.follow)?;
        Ok(Written { write, now, next, kind })
    }

    pub(super) async fn definition(&self, instance: &Instance) -> Result<Arc<Definition>, Error> {
        Ok(self.app.definition(&instance.definition, instance.version).await?)
    }

    fn completes_call(&self) -> bool {
        matches!(self.command, Command::Call(CallCommand { report: CallReport::Completed { .. }, .. }))
    }
}

impl Ended {
    /// Publishes what was committed.
    pub(super) fn publish(self, app: &App) -> Executed {
        match self {
            Ended::Written(written) => Executed::Committed(Box::new(written.publish(app))),
            Ended::Not(executed) => executed,
        }
    }
}

impl Written {
    /// A plan, and the database's time of its commit.
    pub(super) fn new(write: Write, now: Timestamp, next: Next, kind: &'static str) -> Self {
        Self { write, now, next, kind }
    }

    /// The rows.
    pub(super) fn planned(&self) -> &Write {
        &self.write
    }

    /// What follows the commit in memory: the rows go to the publisher, callers are woken, the step is counted.
    pub(super) fn publish(self, app: &App) -> Committed {
        fail_point("step::after_commit");
        let Written { write, now, next, kind } = self;
        app.clock.observe(now);
        telemetry::count_step(kind, &write.instance);
        app.publish(write.outbox);
        if !write.calls.is_empty() {
            app.wake_callers();
        }
        if write.instance.ended_at.is_some() {
            app.endings.ended(write.instance.id);
        }
        Committed { instance: write.instance, now, kind, next }
    }
}

/// Adds the steps that follow the outcome of a call and require no fact. So, of several calls in a row, the commit that closes one
/// opens the next. They share one brief budget: a step that needs more is left to its step command.
fn further_steps(app: &App, definition: &Definition, mut step: Step, now: Timestamp) -> Step {
    let context = app.context(now);
    for _ in 1..app.config.worker.steps_per_delivery_max {
        let Some(branch) = step.instance.ready_branch() else { break };
        let command = Internal::Continue { branch: branch.id, sequence: branch.sequence }.into();
        let decided = engine::decide(definition, &step.instance, &command, Facts::default(), &context);
        let Decision::Commit(next) = decided else { break };
        if context.budget.is_spent() {
            break;
        }
        telemetry::count_step_within(next.kind);
        step.effects.extend(next.effects);
        step.instance = next.instance;
    }
    step
}
