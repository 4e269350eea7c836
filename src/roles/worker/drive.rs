//! Takes several steps of one branch under one delivery, each in its own transaction. The unacknowledged delivery is the lease.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::app::App;
use crate::broker::Delivery;
use crate::command::{self, Answer, Applied, Committed, Error, Executed, Follow, Next, Origin};
use crate::contract::Continue;
use crate::engine::{BranchId, Instance, InstanceId};
use crate::telemetry;

/// Polls of an instance that another worker may be moving; then the command goes to a delay queue.
const POLLS_MAX: u32 = 5;
/// The pause before a poll: from this up to four times this.
const POLL_AFTER_MS: u64 = 50;

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryFate {
    /// It is acknowledged: a commit of this worker, or the state in the database, shows that no step is left for it.
    Done,
    /// It goes to a delay queue: another worker seems to be moving the instance.
    Elsewhere,
    /// It is delayed: its timer is not due before this time.
    Early(Timestamp),
}

/// Whether the broker may have delivered a command before, to a worker that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redelivered {
    /// It may have.
    Yes,
    /// This is the first delivery.
    No,
}

impl Redelivered {
    pub(super) fn of(delivery: &Delivery) -> Self {
        if delivery.redelivered { Redelivered::Yes } else { Redelivered::No }
    }
}

/// Loads an instance and takes its steps if a branch is ready. `from` is the step command, if the delivery is one.
pub(super) async fn instance(
    app: &App,
    id: InstanceId,
    from: Option<&Continue>,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    let Some(mut found) = command::find(app, id).await? else { return Ok(DeliveryFate::Done) };
    // A step command may wait in a delay queue until another worker takes the step. Other commands leave a step command behind.
    if from.is_none() && found.next == Next::NotServed {
        command::hand_on(app, &found.instance).await?;
        return Ok(DeliveryFate::Done);
    }
    if redelivered == Redelivered::Yes
        && let Some(branch) = found.instance.ready_branch()
    {
        // It may have killed its worker: the crash is counted before another try.
        match command::crash(app, id, branch.id, branch.sequence).await? {
            Executed::Committed(counted) => found = *counted,
            Executed::Conflict | Executed::Refused(_) => return poll(app, &found.instance).await,
        }
    }
    let Some(branch) = found.instance.ready_branch() else { return Ok(DeliveryFate::Done) };
    // The step command is older than its branch: the worker that moved the branch may still be taking steps.
    if from.is_some_and(|from| branch.sequence > from.sequence) {
        return poll(app, &found.instance).await;
    }
    steps(app, found).await
}

/// Takes steps while a branch is ready, within the limits of one delivery. After an error, committed steps stay, and the
/// unacknowledged delivery is redelivered.
pub(super) async fn steps(app: &App, mut at: Committed) -> Result<DeliveryFate, Error> {
    let began = Instant::now();
    let mut steps = 0;
    loop {
        let branch = match at.next {
            Next::Here(branch) => branch,
            Next::HandedOn | Next::Rest => break,
            Next::NotServed => return Ok(DeliveryFate::Elsewhere),
        };
        steps += 1;
        let last = steps >= app.config.worker.steps_per_delivery_max
            || began.elapsed() >= app.config.worker.hold_delivery_for
            || app.stop.is_cancelled();
        let follow = if last { Follow::Always } else { Follow::IfNeeded };
        let decided = Instant::now();
        let executed = command::step(app, &at, branch, follow).await?;
        telemetry::observe_step(kind(&executed), outcome(&executed), decided.elapsed());
        match executed {
            Executed::Committed(next) => at = *next,
            Executed::Conflict => return poll(app, &at.instance).await,
            Executed::Refused(refusal) => {
                tracing::debug!(instance = %at.instance.id, %refusal, "a step was refused; polling the instance");
                return poll(app, &at.instance).await;
            }
        }
    }
    telemetry::observe_delivery_steps(steps);
    Ok(DeliveryFate::Done)
}

/// Takes the steps that follow a command from outside.
pub(super) async fn applied(
    app: &App,
    applied: Applied<Box<Committed>>,
    origin: &Origin,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    match applied {
        Applied::New(committed) => steps(app, *committed).await,
        Applied::Repeated(answer) => repeated(app, origin, answer, redelivered).await,
    }
}

/// A command that was handled before: its sender gets the same answer again, which it may have missed.
pub(super) async fn repeated(
    app: &App,
    origin: &Origin,
    answer: Answer,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    command::answer_again(app, origin, &answer).await?;
    known(app, answer.instance, redelivered).await
}

/// A duplicate: it is acknowledged only once its instance needs no step.
pub(super) async fn known(
    app: &App,
    instance: Option<InstanceId>,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => self::instance(app, id, None, redelivered).await,
        None => Ok(DeliveryFate::Done),
    }
}

fn outcome(executed: &Executed) -> &'static str {
    match executed {
        Executed::Committed(_) => "committed",
        Executed::Conflict => "lost",
        Executed::Refused(_) => "refused",
    }
}

/// The kind of activity of a step; known once it is committed.
fn kind(executed: &Executed) -> &'static str {
    match executed {
        Executed::Committed(committed) => committed.kind,
        Executed::Conflict | Executed::Refused(_) => "unknown",
    }
}

/// Polls an instance that another worker seems to be moving. Whether that worker still lives cannot be known; the database shows
/// whether a branch still needs a step.
async fn poll(app: &App, instance: &Instance) -> Result<DeliveryFate, Error> {
    let mut seen = ready_at(instance);
    for _ in 0..POLLS_MAX {
        tokio::time::sleep(Duration::from_millis(POLL_AFTER_MS + fastrand::u64(0..3 * POLL_AFTER_MS))).await;
        let Some(found) = command::find(app, instance.id).await? else { return Ok(DeliveryFate::Done) };
        let now = ready_at(&found.instance);
        if now.is_none() {
            return Ok(DeliveryFate::Done);
        }
        if now == seen {
            // It did not move meanwhile: the other worker died, or is polling as well.
            return take_one(app, found).await;
        }
        seen = now;
    }
    Ok(DeliveryFate::Elsewhere)
}

/// Takes one step and leaves the rest to a step command. If another worker was faster again, the delay queue gives it time.
async fn take_one(app: &App, at: Committed) -> Result<DeliveryFate, Error> {
    let branch = match at.next {
        Next::Here(branch) => branch,
        Next::HandedOn | Next::Rest => return Ok(DeliveryFate::Done),
        Next::NotServed => return Ok(DeliveryFate::Elsewhere),
    };
    match command::step(app, &at, branch, Follow::Always).await? {
        Executed::Committed(_) => Ok(DeliveryFate::Done),
        Executed::Conflict | Executed::Refused(_) => Ok(DeliveryFate::Elsewhere),
    }
}

/// The ready branch of an instance, with its sequence.
fn ready_at(instance: &Instance) -> Option<(BranchId, i64)> {
    instance.ready_branch().map(|branch| (branch.id, branch.sequence))
}
