//! Executes a command, and takes the steps that follow.

use super::drive::{self, DeliveryFate, Redelivered};
use super::{calls, tasks};
use crate::app::App;
use crate::command::{self, Applied, Delivered, Error, Executed, Origin, Started};
use crate::contract::{Command, Target};
use crate::engine::{Control, InstanceId, Refusal};
use crate::roles::incoming::Received;

/// Executes a command, and takes the steps that follow.
pub(super) async fn execute(app: &App, received: &Received, redelivered: Redelivered) -> Result<DeliveryFate, Error> {
    let none = || Error::Refused("the command has no sender".into());
    let origin = || received.origin.as_ref().ok_or_else(none);
    match &received.command {
        Command::Start(command) => match command::start(app, command.clone(), origin()?).await? {
            Applied::New(Started::New(committed)) => drive::steps(app, *committed).await,
            // Nothing was committed, so no step follows: the worker of the last commit takes it.
            Applied::New(Started::Existing(_)) => Ok(DeliveryFate::Done),
            Applied::Repeated(answer) => drive::repeated(app, origin()?, answer, redelivered).await,
        },
        Command::Message(command) => match command::message(app, command.clone(), origin()?).await? {
            Applied::New(Delivered::To(committed)) => drive::steps(app, *committed).await,
            Applied::New(Delivered::Kept | Delivered::Broadcast(_)) => Ok(DeliveryFate::Done),
            Applied::Repeated(answer) => drive::repeated(app, origin()?, answer, redelivered).await,
        },
        Command::Cancel(target) => control(app, Control::Cancel, target, origin()?, redelivered).await,
        Command::Retry(target) => control(app, Control::Retry, target, origin()?, redelivered).await,
        Command::Suspend(target) => control(app, Control::Suspend, target, origin()?, redelivered).await,
        Command::Resume(target) => control(app, Control::Resume, target, origin()?, redelivered).await,
        Command::Operate(operation) => {
            drive::applied(app, command::operate(app, operation, origin()?).await?, origin()?, redelivered).await
        }
        Command::Reschedule(command) => {
            drive::applied(app, command::reschedule(app, command, origin()?).await?, origin()?, redelivered).await
        }
        Command::Deliver(copy) => match command::deliver(app, copy).await? {
            Executed::Committed(committed) => drive::steps(app, *committed).await,
            Executed::Conflict => Ok(DeliveryFate::Elsewhere),
            Executed::Refused(_) => drive::known(app, Some(InstanceId(copy.instance)), redelivered).await,
        },
        Command::Continue(at) => drive::instance(app, InstanceId(at.instance), Some(at), redelivered).await,
        Command::Fire(fire) => match command::fire(app, *fire).await? {
            Executed::Committed(committed) => drive::steps(app, *committed).await,
            Executed::Conflict => Ok(DeliveryFate::Elsewhere),
            Executed::Refused(Refusal::Early(due_at)) => Ok(DeliveryFate::Early(due_at)),
            // It was fired before, perhaps by a worker that died right after: if its branch is ready, the step is taken here.
            Executed::Refused(_) => drive::known(app, Some(InstanceId(fire.instance)), redelivered).await,
        },
        Command::TaskComplete(_) | Command::TaskClaim(_) | Command::TaskRelease(_) => {
            tasks::execute(app, &received.command, origin()?, redelivered).await
        }
        Command::CallComplete(_) | Command::CallHeartbeat(_) | Command::CallProgress(_) => {
            calls::execute(app, &received.command, origin()?, redelivered).await
        }
    }
}

async fn control(
    app: &App,
    what: Control,
    target: &Target,
    origin: &Origin,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    drive::applied(app, command::control(app, what, target, origin).await?, origin, redelivered).await
}
