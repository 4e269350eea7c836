//! Takes several steps of one branch in a row, each in its own transaction, under one delivery: the unacknowledged delivery is the
//! lease.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::app::App;
use crate::engine::{BranchId, Instance, InstanceId};
use crate::step::{self, Answer, Applied, Committed, Error, Executed, Follow, Next, Origin};
use crate::telemetry;

/// Reads of an instance that another worker may be moving; then the command waits in a delay queue.
const LOOKS_MAX: u32 = 5;
/// The shortest pause before another read; the longest is four times this.
const LOOK_AFTER_MS: u64 = 50;

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryFate {
    /// It is acknowledged: a commit, or a read of the database, says that no work is left for it.
    Done,
    /// Another worker seems to move the instance, or only another can: the command waits in a delay queue.
    Elsewhere,
    /// The timer is due at this moment.
    Early(Timestamp),
}

/// Reads an instance and drives it if a branch is ready. `from` is the branch and sequence of a step command.
pub(super) async fn instance(
    app: &App,
    id: InstanceId,
    from: Option<(BranchId, i64)>,
    redelivered: bool,
) -> Result<DeliveryFate, Error> {
    let Some(mut found) = step::find(app, id).await? else { return Ok(DeliveryFate::Done) };
    // Other commands than step commands must not wait in delay queues until another worker has moved the instance.
    if from.is_none() && found.next == Next::NotServed {
        step::hand_on(app, &found.instance).await?;
        return Ok(DeliveryFate::Done);
    }
    if redelivered && let Some(branch) = found.instance.ready_branch() {
        // The step may have killed this worker: count the crash before trying again.
        match step::crash(app, id, branch.id, branch.sequence).await? {
            Executed::Committed(counted) => found = *counted,
            Executed::Conflict | Executed::Refused(_) => return look_again(app, &found.instance).await,
        }
    }
    let Some(branch) = found.instance.ready_branch() else { return Ok(DeliveryFate::Done) };
    // The step command is behind its branch: the worker that moved it on may still be driving.
    if from.is_some_and(|(_, sequence)| branch.sequence > sequence) {
        return look_again(app, &found.instance).await;
    }
    steps(app, found).await
}

/// Takes steps while a branch is ready, within `worker.steps_per_delivery_max` and `worker.hold_delivery_for`. What was committed
/// before an error stays; the delivery is not acknowledged and comes again.
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
        let executed = step::step(app, &at, branch, follow).await?;
        telemetry::observe_step(kind(&executed), outcome(&executed), decided.elapsed());
        match executed {
            Executed::Committed(next) => at = *next,
            Executed::Conflict => return look_again(app, &at.instance).await,
            Executed::Refused(refusal) => {
                tracing::debug!(instance = %at.instance.id, %refusal, "a step was refused; reading the instance again");
                return look_again(app, &at.instance).await;
            }
        }
    }
    telemetry::observe_delivery_steps(steps);
    Ok(DeliveryFate::Done)
}

/// Drives what a command from outside left ready.
pub(super) async fn applied(
    app: &App,
    applied: Applied<Box<Committed>>,
    origin: &Origin,
    again: bool,
) -> Result<DeliveryFate, Error> {
    match applied {
        Applied::New(committed) => steps(app, *committed).await,
        Applied::Repeated(answer) => repeated(app, origin, answer, again).await,
    }
}

/// A command that was executed before: its sender gets the same answer again, because it may have missed the first one.
pub(super) async fn repeated(app: &App, origin: &Origin, answer: Answer, again: bool) -> Result<DeliveryFate, Error> {
    step::answer_again(app, origin, &answer).await?;
    known(app, answer.instance, again).await
}

/// A repetition is acknowledged only if its instance has no work left for this delivery.
pub(super) async fn known(app: &App, instance: Option<InstanceId>, again: bool) -> Result<DeliveryFate, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => self::instance(app, id, None, again).await,
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

/// The kind of activity a step was about, known once it is committed.
fn kind(executed: &Executed) -> &'static str {
    match executed {
        Executed::Committed(committed) => committed.kind,
        Executed::Conflict | Executed::Refused(_) => "unknown",
    }
}

/// Reads the instance until it has moved, or nothing is ready: only the database tells whether a branch still has to be driven,
/// not the assumption that another worker holds its delivery.
async fn look_again(app: &App, instance: &Instance) -> Result<DeliveryFate, Error> {
    let mut seen = ready_at(instance);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(Duration::from_millis(LOOK_AFTER_MS + fastrand::u64(0..3 * LOOK_AFTER_MS))).await;
        let Some(found) = step::find(app, instance.id).await? else { return Ok(DeliveryFate::Done) };
        let now = ready_at(&found.instance);
        if now.is_none() {
            return Ok(DeliveryFate::Done);
        }
        if now == seen {
            // It did not move between two reads: the worker that moved it has died, or waits for its own second read.
            return take_one(app, found).await;
        }
        seen = now;
    }
    Ok(DeliveryFate::Elsewhere)
}

/// Takes one step and leaves the rest to a step command; after another conflict the delay queue gives the other worker time.
async fn take_one(app: &App, at: Committed) -> Result<DeliveryFate, Error> {
    let branch = match at.next {
        Next::Here(branch) => branch,
        Next::HandedOn | Next::Rest => return Ok(DeliveryFate::Done),
        Next::NotServed => return Ok(DeliveryFate::Elsewhere),
    };
    match step::step(app, &at, branch, Follow::Always).await? {
        Executed::Committed(_) => Ok(DeliveryFate::Done),
        Executed::Conflict | Executed::Refused(_) => Ok(DeliveryFate::Elsewhere),
    }
}

/// The ready branch of an instance, and its sequence.
fn ready_at(instance: &Instance) -> Option<(BranchId, i64)> {
    instance.ready_branch().map(|branch| (branch.id, branch.sequence))
}
