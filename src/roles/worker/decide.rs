//! From a command to the step that decides it, and to the stride that drives what it leaves ready.

use super::drive::{self, DeliveryFate};
use super::{calls, tasks};
use crate::app::App;
use crate::broker::Delivery;
use crate::contract::Command;
use crate::engine::{BranchId, Control, InstanceId, Refusal};
use crate::roles::command::Received;
use crate::step::{self, Applied, Delivered, Error, Executed, Origin, Started};

/// Decides a command and drives what it leaves ready.
pub(super) async fn carry_out(app: &App, received: &Received, delivery: &Delivery) -> Result<DeliveryFate, Error> {
    let none = || Error::Refused("the command has no sender".into());
    let origin = || received.origin.as_ref().ok_or_else(none);
    let again = delivery.redelivered;
    match &received.command {
        Command::Start(command) => match step::start(app, command.clone(), origin()?).await? {
            Applied::New(Started::New(committed)) => drive::steps(app, *committed).await,
            // The instance has not changed here: the process that changed it last drives it.
            Applied::New(Started::Existing(_)) => Ok(DeliveryFate::Done),
            Applied::Repeated(answer) => drive::repeated(app, origin()?, answer, again).await,
        },
        Command::Message(command) => match step::message(app, command.clone(), origin()?).await? {
            Applied::New(Delivered::To(committed)) => drive::steps(app, *committed).await,
            Applied::New(Delivered::Kept | Delivered::Broadcast(_)) => Ok(DeliveryFate::Done),
            Applied::Repeated(answer) => drive::repeated(app, origin()?, answer, again).await,
        },
        Command::Cancel(target) => control(app, Control::Cancel, target, origin()?, again).await,
        Command::Retry(target) => control(app, Control::Retry, target, origin()?, again).await,
        Command::Suspend(target) => control(app, Control::Suspend, target, origin()?, again).await,
        Command::Resume(target) => control(app, Control::Resume, target, origin()?, again).await,
        Command::Reschedule(command) => {
            drive::applied(app, step::reschedule(app, command, origin()?).await?, origin()?, again).await
        }
        Command::Deliver(copy) => match step::deliver(app, copy).await? {
            Executed::Committed(committed) => drive::steps(app, *committed).await,
            Executed::Conflict => Ok(DeliveryFate::Elsewhere),
            Executed::Refused(_) => drive::known(app, Some(InstanceId(copy.instance)), again).await,
        },
        Command::Continue(at) => {
            drive::instance(app, InstanceId(at.instance), Some((BranchId(at.branch), at.sequence)), again).await
        }
        Command::Fire(fire) => match step::fire(app, *fire).await? {
            Executed::Committed(committed) => drive::steps(app, *committed).await,
            Executed::Conflict => Ok(DeliveryFate::Elsewhere),
            Executed::Refused(Refusal::Early(due_at)) => Ok(DeliveryFate::Early(due_at)),
            // It has fired before, perhaps by a worker that died right after: if the branch is ready, it is driven here.
            Executed::Refused(_) => drive::known(app, Some(InstanceId(fire.instance)), again).await,
        },
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => {
            tasks::carry_out(app, &received.command, origin()?, again).await
        }
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => {
            calls::carry_out(app, &received.command, origin()?, again).await
        }
    }
}

async fn control(
    app: &App,
    what: Control,
    target: &crate::contract::Target,
    origin: &Origin,
    again: bool,
) -> Result<DeliveryFate, Error> {
    drive::applied(app, step::control(app, what, target, origin).await?, origin, again).await
}
