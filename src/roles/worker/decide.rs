//! From a command to the step that decides it, and to the stride that drives what it leaves ready.

use crate::app::App;
use crate::broker::Delivery;
use crate::contract::Command;
use crate::engine::{BranchId, InstanceId, Refusal};
use crate::roles::command::Received;
use crate::roles::stride::{self, Held};
use crate::roles::{calls, tasks};
use crate::step::{self, Answer, Delivered, Error, Moved, Origin, Started, Steer, Steered};
use crate::telemetry;

/// Decides a command and drives what it leaves ready.
pub(super) async fn carry_out(app: &App, received: &Received, delivery: &Delivery) -> Result<Held, Error> {
    let none = || Error::Refused("the command has no sender".into());
    let origin = || received.origin.as_ref().ok_or_else(none);
    let again = delivery.redelivered;
    match &received.command {
        Command::Start(command) => match step::start(app, command.clone(), origin()?).await? {
            Started::New(position) => stride::drive(app, *position).await,
            // Nothing was moved, so nothing waits for us: whoever moved it last drives it.
            Started::Existing(_) => Ok(Held::Done),
            Started::Known(answer) => repeated(app, origin()?, answer, again).await,
        },
        Command::Message(command) => match step::message(app, command.clone(), origin()?).await? {
            Delivered::To(position) => stride::drive(app, *position).await,
            Delivered::Kept | Delivered::Spread(_) => Ok(Held::Done),
            Delivered::Known(answer) => repeated(app, origin()?, answer, again).await,
        },
        Command::Cancel(target) => steer(app, Steer::Cancel, target, origin()?, again).await,
        Command::Retry(target) => steer(app, Steer::Retry, target, origin()?, again).await,
        Command::Suspend(target) => steer(app, Steer::Suspend, target, origin()?, again).await,
        Command::Resume(target) => steer(app, Steer::Resume, target, origin()?, again).await,
        Command::Reschedule(command) => {
            steered(app, step::reschedule(app, command, origin()?).await?, origin()?, again).await
        }
        Command::Deliver(copy) => match step::deliver(app, copy).await? {
            Moved::To(position) => stride::drive(app, *position).await,
            Moved::Elsewhere => Ok(Held::Elsewhere),
            Moved::Refused(_) => known(app, Some(InstanceId(copy.instance)), again).await,
        },
        Command::Continue(at) => {
            stride::take_up(app, InstanceId(at.instance), Some((BranchId(at.branch), at.sequence)), again).await
        }
        Command::Fire(fire) => match step::fire(app, *fire).await? {
            Moved::To(position) => stride::drive(app, *position).await,
            Moved::Elsewhere => Ok(Held::Elsewhere),
            Moved::Refused(Refusal::Early(due_at)) => Ok(Held::Early(due_at)),
            // Fired before, perhaps by a worker that died right after: if its branch is ready, we drive it.
            Moved::Refused(_) => known(app, Some(InstanceId(fire.instance)), again).await,
        },
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => {
            tasks::carry_out(app, &received.command, origin()?, again).await
        }
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => {
            calls::carry_out(app, &received.command, origin()?, again).await
        }
    }
}

async fn steer(
    app: &App,
    what: Steer,
    target: &crate::contract::Target,
    origin: &Origin,
    again: bool,
) -> Result<Held, Error> {
    steered(app, step::steer(app, what, target, origin).await?, origin, again).await
}

async fn steered(app: &App, steered: Steered, origin: &Origin, again: bool) -> Result<Held, Error> {
    match steered {
        Steered::To(position) => stride::drive(app, *position).await,
        Steered::Known(answer) => repeated(app, origin, answer, again).await,
    }
}

/// A command that was handled before: its sender is told the same again, and may have missed it the first time.
pub(in crate::roles) async fn repeated(app: &App, origin: &Origin, answer: Answer, again: bool) -> Result<Held, Error> {
    step::answer_again(app, origin, &answer).await?;
    known(app, answer.instance, again).await
}

/// A repetition: never acknowledged for being one, but because its instance does not wait for us.
async fn known(app: &App, instance: Option<InstanceId>, again: bool) -> Result<Held, Error> {
    metrics::counter!(telemetry::DUPLICATES).increment(1);
    match instance {
        Some(id) => stride::take_up(app, id, None, again).await,
        None => Ok(Held::Done),
    }
}
