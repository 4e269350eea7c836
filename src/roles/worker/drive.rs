//! Several steps of one branch in a row, each in its own transaction, under one delivery: the unacknowledged delivery is the lease.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::app::App;
use crate::engine::{BranchId, Instance, InstanceId, Refusal};
use crate::step::{self, Answer, Error, Follow, Moved, Origin, Position};
use crate::telemetry;

/// Looks at an instance that somebody else may be moving; then the command goes down the ladder.
const LOOKS_MAX: u32 = 5;
/// The pause before another look: from this, up to four times this.
const LOOK_AFTER_MS: u64 = 50;

/// What the holder of a delivery may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryFate {
    /// Acknowledge: a commit of ours, or a look into the database, says that nothing here waits for us.
    Done,
    /// Somebody else seems to move it: send it down the ladder.
    Elsewhere,
    /// A timer is not due before then.
    Early(Timestamp),
}

/// Reads an instance and drives it if a branch is ready. `from` is the branch and sequence of a step command.
pub(super) async fn instance(
    app: &App,
    id: InstanceId,
    from: Option<(BranchId, i64)>,
    redelivered: bool,
) -> Result<DeliveryFate, Error> {
    let Some(mut position) = step::find(app, id).await? else { return Ok(DeliveryFate::Done) };
    // What is no step command itself must not travel up and down the ladder until somebody else has moved the instance.
    if from.is_none() && position.instance.is_ready() && !step::is_for_this_process(app, &position.instance).await? {
        step::hand_on(app, &position.instance).await?;
        return Ok(DeliveryFate::Done);
    }
    if redelivered && let Some(branch) = position.instance.ready_branch() {
        // It may be we who were killed by it: count before trying again.
        match step::crash(app, id, branch.id, branch.sequence).await? {
            Moved::To(counted) => position = *counted,
            Moved::Elsewhere | Moved::Refused(_) => return look_again(app, position).await,
        }
    }
    let Some(branch) = position.instance.ready_branch() else { return Ok(DeliveryFate::Done) };
    // A step command that is behind its branch: whoever moved it on may still be driving.
    if from.is_some_and(|(_, sequence)| branch.sequence > sequence) {
        return look_again(app, position).await;
    }
    steps(app, position).await
}

/// Takes steps while a branch is ready and the stride's bounds allow it.
///
/// # Errors
/// As for any step; what was committed stays, and the delivery, not acknowledged, comes again.
pub(super) async fn steps(app: &App, mut position: Position) -> Result<DeliveryFate, Error> {
    let began = Instant::now();
    let mut steps = 0;
    loop {
        if position.followed {
            break;
        }
        let Some(branch) = position.instance.ready_branch().map(|branch| branch.id) else { break };
        if !step::is_for_this_process(app, &position.instance).await? {
            return Ok(DeliveryFate::Elsewhere);
        }
        steps += 1;
        let last = steps >= app.config.worker.steps_per_delivery_max
            || began.elapsed() >= app.config.worker.hold_delivery_for
            || app.stop.is_cancelled();
        let follow = if last { Follow::Always } else { Follow::IfNeeded };
        let decided = Instant::now();
        let moved = step::advance(app, &position, branch, follow).await?;
        telemetry::observe_step(kind(&moved), outcome(&moved), decided.elapsed());
        match moved {
            Moved::To(next) => position = *next,
            Moved::Elsewhere => return look_again(app, position).await,
            Moved::Refused(refusal) => return refused(app, position, &refusal).await,
        }
    }
    telemetry::observe_delivery_steps(steps);
    Ok(DeliveryFate::Done)
}

/// A command that was handled before: its sender is told the same again, and may have missed it the first time.
pub(super) async fn repeated(app: &App, origin: &Origin, answer: Answer, again: bool) -> Result<DeliveryFate, Error> {
    step::answer_again(app, origin, &answer).await?;
    known(app, answer.instance, again).await
}

/// A repetition: never acknowledged for being one, but because its instance does not wait for us.
pub(super) async fn known(app: &App, instance: Option<InstanceId>, again: bool) -> Result<DeliveryFate, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => self::instance(app, id, None, again).await,
        None => Ok(DeliveryFate::Done),
    }
}

fn outcome(moved: &Moved) -> &'static str {
    match moved {
        Moved::To(_) => "committed",
        Moved::Elsewhere => "lost",
        Moved::Refused(_) => "refused",
    }
}

/// The kind of activity a step was about, known once it is committed.
fn kind(moved: &Moved) -> &'static str {
    match moved {
        Moved::To(position) => position.kind,
        Moved::Elsewhere | Moved::Refused(_) => "unknown",
    }
}

async fn refused(app: &App, position: Position, refusal: &Refusal) -> Result<DeliveryFate, Error> {
    tracing::debug!(instance = %position.instance.id, %refusal, "a step was refused; looking again");
    look_again(app, position).await
}

/// Nobody may conclude that somebody else holds a delivery: only the database tells whether a branch still has to be driven.
async fn look_again(app: &App, position: Position) -> Result<DeliveryFate, Error> {
    let id = position.instance.id;
    let mut seen = at(&position.instance);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(Duration::from_millis(LOOK_AFTER_MS + fastrand::u64(0..3 * LOOK_AFTER_MS))).await;
        let Some(found) = step::find(app, id).await? else { return Ok(DeliveryFate::Done) };
        let now = at(&found.instance);
        if now.is_none() {
            return Ok(DeliveryFate::Done);
        }
        if now == seen {
            // It did not move while we looked: whoever moved it is gone, or waits for its own second look.
            return take_one(app, found).await;
        }
        seen = now;
    }
    Ok(DeliveryFate::Elsewhere)
}

/// Takes one step after a look and leaves the rest to a step command; losing again, the ladder gives the others time.
async fn take_one(app: &App, position: Position) -> Result<DeliveryFate, Error> {
    let Some(branch) = position.instance.ready_branch().map(|branch| branch.id) else { return Ok(DeliveryFate::Done) };
    if !step::is_for_this_process(app, &position.instance).await? {
        return Ok(DeliveryFate::Elsewhere);
    }
    match step::advance(app, &position, branch, Follow::Always).await? {
        Moved::To(_) => Ok(DeliveryFate::Done),
        Moved::Elsewhere | Moved::Refused(_) => Ok(DeliveryFate::Elsewhere),
    }
}

/// Where the ready branch of an instance stands.
fn at(instance: &Instance) -> Option<(BranchId, i64)> {
    instance.ready_branch().map(|branch| (branch.id, branch.sequence))
}
