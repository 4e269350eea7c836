//! The one door to an instance: load, find the facts, let the engine decide, commit; with the rule for lost races.

mod broadcast;
pub mod calls;
mod control;
mod correlate;
mod handler;
mod origin;
mod redrive;
mod rows;
pub mod schedule;
mod start;
mod statement;
mod tasks;

use jiff::Timestamp;

pub use broadcast::deliver;
pub use control::{Control, Controlled, control, crash, fail_undeliverable, fire, reschedule};
pub use correlate::{Delivered, message};
pub use origin::{Answer, Origin, ReplyTo, Undelivered, answer_again, dead_letter};
pub use redrive::redrive;
pub(crate) use rows::step_command;
pub use start::{Started, start};
pub use tasks::{Tasked, task, task_next};

use crate::app::App;
use crate::contract;
use crate::definition::Work;
use crate::engine::{self, Branch, BranchId, Command, Facts, Instance, InstanceId, Need, Refusal, Step};
use crate::store::commit::{self, Guarded};
use crate::store::inbox::InboxRow;
use crate::store::instances::Loaded;
use crate::store::write::Write;
use crate::store::{self, Transaction, instances, outbox};
use crate::telemetry;

/// An instance as it was committed, and the database's time of that commit: where the next step starts from.
#[derive(Debug, Clone)]
pub struct Position {
    /// The instance.
    pub instance: Instance,
    /// The database's time.
    pub now: Timestamp,
    /// The kind of the activity, or of the command, that the commit was about; empty where it was read.
    pub kind: &'static str,
    /// Whether a follow-up command was committed with it, so that the holder has nothing more to do.
    pub followed: bool,
}

/// Whether a commit that leaves a branch ready also writes its step command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Only where this process cannot take the next step itself.
    IfNeeded,
    /// Always: whoever commits does not stay to drive.
    Always,
}

/// How an attempt to move an instance ended.
#[derive(Debug)]
pub enum Moved {
    /// It was committed.
    To(Box<Position>),
    /// Somebody else has moved it meanwhile, or is about to: read again before concluding anything.
    Elsewhere,
    /// The engine said no.
    Refused(Refusal),
}

/// The inbox row of a command from outside, who sent it, and what the sender is told.
type Outside<'a> = Option<(InboxRow, &'a Origin, &'a Answer)>;

/// Why nothing could be decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database: try again, now or later.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The input of a start does not fit the definition.
    #[error("{why}")]
    Invalid {
        /// The sentence for a person.
        why: String,
        /// Each fault by itself, its place first, where that is known.
        faults: Vec<String>,
    },
    /// The command is refused, for this reason; the same command will be refused again.
    #[error("{0}")]
    Refused(String),
    /// It is about an attempt that has ended, or a call that has: there is nothing left to be told.
    #[error("{0}")]
    Late(String),
    /// What the command names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The task cannot be acted upon like this.
    #[error(transparent)]
    Task(engine::TaskRefusal),
    /// The same message id came with another body.
    #[error("message `{0}` was received before with another body; a new command needs a new message id")]
    Reused(String),
}

/// Reads where an instance stands.
pub async fn find(app: &App, id: InstanceId) -> Result<Option<Position>, store::Error> {
    let mut conn = app.store.steps().await?;
    let Some(loaded) = instances::find(&mut conn, id).await? else { return Ok(None) };
    let Loaded { instance, now, .. } = loaded.movable()?;
    app.clock.observe(now);
    Ok(Some(Position { instance, now, kind: "", followed: false }))
}

/// Takes one step of a branch that is ready, from the state held in memory.
///
/// # Errors
/// As for any query; nothing was committed then, or (`Unavailable` at the commit) nobody can tell.
pub async fn advance(app: &App, at: &Position, branch: BranchId, follow: Follow) -> Result<Moved, Error> {
    let instance = &at.instance;
    let Some(sequence) = instance.state.branches.iter().find(|known| known.id == branch).map(|known| known.sequence)
    else {
        return Ok(Moved::Refused(Refusal::Stale));
    };
    let command = Command::Continue { branch, sequence };
    let definition = app.definition(&instance.definition, instance.version).await?;
    let context = app.context(at.now);
    match engine::needs(&definition, instance, &command, &context) {
        // Boxed, so that the plain step, the hot path, is not as large as its rarer sisters.
        Need::Handler(call) => Box::pin(handler::run(app, at, call, sequence, follow)).await,
        Need::Messages(wanted) => Box::pin(correlate::receive(app, at, command, &wanted, follow)).await,
        Need::Standing(asked) => Box::pin(tasks::open(app, at, command, &asked, follow)).await,
        // Only commands of people and timers need one, and they are decided under the lock.
        Need::Task(_) => Ok(Moved::Refused(Refusal::Missing)),
        Need::Nothing => match engine::step(&definition, instance, command, Facts::default(), &context) {
            Ok(step) => write_plain(app, instance, step, at.now, follow).await,
            Err(refusal) => Ok(Moved::Refused(refusal)),
        },
    }
}

/// Writes a step nothing else guards, in one statement; one that opens or closes waits, in a transaction.
async fn write_plain(app: &App, before: &Instance, step: Step, now: Timestamp, follow: Follow) -> Result<Moved, Error> {
    let kind = step.kind;
    let (write, followed) = rows::write(app, Some(before), step, now, follow)?;
    if !write.is_plain() {
        return Box::pin(write_apart(app, write, followed, kind)).await;
    }
    fail_point("step::before_commit");
    let mut conn = app.store.steps().await?;
    let committed = commit::plain(&mut conn, &write).await?;
    drop(conn);
    fail_point("step::after_commit");
    Ok(match committed {
        Some(now) => Moved::To(Box::new(publish_committed(app, write, now, followed, kind))),
        None => Moved::Elsewhere,
    })
}

/// Writes a step that opens or closes waits, in a transaction.
async fn write_apart(app: &App, write: Write, followed: bool, kind: &'static str) -> Result<Moved, Error> {
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    match commit::guarded(&mut transaction, &write, None).await? {
        Guarded::Committed(now) => finish(app, transaction, write, now, followed, kind).await,
        Guarded::Conflict | Guarded::Duplicate(_) => {
            transaction.rollback().await;
            Ok(Moved::Elsewhere)
        }
    }
}

/// Decides and writes under the instance's lock: what a command with a second guard does, and so it cannot lose.
async fn write_locked(
    app: &App,
    mut transaction: Transaction,
    id: InstanceId,
    command: Command,
    outside: Outside<'_>,
) -> Result<Moved, Error> {
    let loaded = instances::lock(&mut *transaction, id).await?;
    Ok(decide(app, transaction, (id, loaded), command, outside).await?.end().await)
}

/// The same in a transaction of its own, with nothing to do before.
async fn lock_and_write(app: &App, id: InstanceId, command: Command) -> Result<Moved, Error> {
    let (transaction, loaded) = Transaction::begin_locked(app.store.steps().await?, id).await?;
    Ok(decide(app, transaction, (id, loaded), command, None).await?.end().await)
}

/// How a decision under the instance's lock ended.
enum Decided {
    /// As always.
    Moved(Moved),
    /// The engine said no; the transaction is still open, and has the lock.
    Refused(Box<Transaction>, Refusal),
}

impl Decided {
    async fn end(self) -> Moved {
        match self {
            Decided::Moved(moved) => moved,
            Decided::Refused(transaction, refusal) => {
                transaction.rollback().await;
                Moved::Refused(refusal)
            }
        }
    }
}

/// Decides and writes under the instance's lock; what is refused can still be written down under it.
async fn decide(
    app: &App,
    mut transaction: Transaction,
    (id, loaded): (InstanceId, Option<instances::Loaded>),
    command: Command,
    outside: Outside<'_>,
) -> Result<Decided, Error> {
    let Some(loaded) = loaded else {
        transaction.rollback().await;
        return Err(Error::NotFound(format!("there is no instance {id}")));
    };
    app.clock.observe(loaded.now);
    let definition = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    let context = app.context(loaded.now);
    let mut facts = match engine::needs(&definition, &loaded.instance, &command, &context) {
        Need::Task(id) => Facts { task: store::tasks::lock(&mut transaction, id).await?, ..Facts::default() },
        Need::Nothing | Need::Handler(_) | Need::Messages(_) | Need::Standing(_) => Facts::default(),
    };
    if control::looks_back(&command) {
        facts.missed = correlate::missed(&mut transaction, id).await?;
        facts.reported = store::calls::reported(&mut transaction, id).await?;
    }
    let settles = matches!(command, Command::CompleteCall { .. });
    let step = match engine::step(&definition, &loaded.instance, command, facts, &context) {
        Ok(step) if settles => calls::go_on(app, &definition, step, &context),
        Ok(step) => step,
        Err(refusal) => return Ok(Decided::Refused(Box::new(transaction), refusal)),
    };
    let follow = match &outside {
        Some((_, origin, _)) => origin.follow,
        // Whoever makes calls takes no steps.
        None if settles => Follow::Always,
        None => Follow::IfNeeded,
    };
    let moved = write_guarded(app, transaction, (&loaded.instance, step, loaded.now), outside, follow).await?;
    Ok(Decided::Moved(moved))
}

/// Writes a decision inside the transaction it was made in.
async fn write_guarded(
    app: &App,
    mut transaction: Transaction,
    (before, step, now): (&Instance, Step, Timestamp),
    outside: Outside<'_>,
    follow: Follow,
) -> Result<Moved, Error> {
    let kind = step.kind;
    let (mut write, followed) = rows::write(app, Some(before), step, now, follow)?;
    if let Some((_, origin, answer)) = &outside {
        write.outbox.extend(origin.reply(app, answer));
    }
    let inbox = outside.as_ref().map(|(row, _, _)| row);
    match commit::guarded(&mut transaction, &write, inbox).await? {
        Guarded::Committed(now) => finish(app, transaction, write, now, followed, kind).await,
        Guarded::Conflict | Guarded::Duplicate(_) => {
            transaction.rollback().await;
            Ok(Moved::Elsewhere)
        }
    }
}

async fn finish(
    app: &App,
    transaction: Transaction,
    write: Write,
    now: Timestamp,
    followed: bool,
    kind: &'static str,
) -> Result<Moved, Error> {
    fail_point("step::before_commit");
    transaction.commit().await?;
    fail_point("step::after_commit");
    Ok(Moved::To(Box::new(publish_committed(app, write, now, followed, kind))))
}

/// What follows a commit, in memory: hand the rows to the publisher, count.
fn publish_committed(app: &App, write: Write, now: Timestamp, followed: bool, kind: &'static str) -> Position {
    app.clock.observe(now);
    telemetry::count_step(kind, &write.instance);
    app.publish(write.outbox);
    if !write.calls.is_empty() {
        app.wake_callers();
    }
    Position { instance: write.instance, now, kind, followed }
}

/// Whether this process can take the next step of an instance itself.
fn can_go_on(app: &App, instance: &Instance, definition: &crate::definition::Definition) -> bool {
    let Some(branch) = instance.ready_branch() else { return false };
    let queue_is_served = app.config.worker.queues.contains(&instance.queue);
    let work_is_known = match definition.activity(&branch.activity).map(|activity| &activity.work) {
        Some(Work::Run { runs, .. }) => app.knows(runs),
        Some(_) | None => true,
    };
    queue_is_served && work_is_known
}

/// Whether this process has what the ready branch of an instance asks for.
pub async fn is_for_this_process(app: &App, instance: &Instance) -> Result<bool, store::Error> {
    let definition = app.definition(&instance.definition, instance.version).await?;
    Ok(can_go_on(app, instance, &definition))
}

/// The internal command that takes up a ready branch.
pub fn continuation(instance: &Instance) -> Option<contract::Continue> {
    instance.ready_branch().map(|branch| contract::Continue {
        instance: instance.id.0,
        branch: branch.id.0,
        sequence: branch.sequence,
    })
}

/// The timer that was opened last and is open still: its bookmark, and when it is due.
pub fn newest_timer(instance: &Instance) -> Option<(i64, Timestamp)> {
    let deadline = instance.state.deadline.iter().map(|deadline| (deadline.bookmark, deadline.due_at));
    let waits = instance.state.branches.iter().flat_map(Branch::waits);
    let timers = waits.filter_map(|wait| Some((wait.bookmark, wait.on.due_at()?)));
    deadline.chain(timers).max()
}

/// Writes the step command of a ready branch for whoever can carry it out.
pub async fn hand_on(app: &App, instance: &Instance) -> Result<(), store::Error> {
    let Some(continuation) = continuation(instance) else { return Ok(()) };
    let rows = vec![step_command(app, &instance.queue, "continue", &continuation, None)?];
    let mut conn = app.store.steps().await?;
    outbox::push(&mut conn, &rows).await?;
    drop(conn);
    app.publish(rows);
    Ok(())
}

/// A place where a test can kill the process; nothing without the feature `failpoints`.
pub fn fail_point(name: &'static str) {
    crate::failpoint::reach(name);
}
