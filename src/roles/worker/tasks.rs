//! Commands about tasks.

use std::time::Duration;

use super::drive::{self, DeliveryFate, Redelivered};
use crate::app::App;
use crate::command::{self, Error, Origin};
use crate::contract::Command;
use crate::engine::{Act, Person, TaskId};

/// Executes a command about a task, and takes the steps that follow.
pub(super) async fn execute(
    app: &App,
    command: &Command,
    origin: &Origin,
    redelivered: Redelivered,
) -> Result<DeliveryFate, Error> {
    let (task, person, seen, act) = match command {
        Command::TaskComplete(task) => {
            let (decision, form, comment) = (task.decision.clone(), task.form.clone(), task.comment.clone());
            let act = Act::Complete { decision, form, comment };
            (task.task, person(&task.user, &task.groups), task.revision, act)
        }
        Command::TaskClaim(task) => {
            let lease_for = task.lease.map(|seconds| Duration::from_secs(u64::from(seconds)));
            let act = Act::Claim { lease_for: app.config.tasks.lease(lease_for) };
            (task.task, person(&task.user, &task.groups), None, act)
        }
        Command::TaskRelease(task) => (task.task, person(&task.user, &[]), None, Act::Release),
        Command::Start(_)
        | Command::Message(_)
        | Command::Cancel(_)
        | Command::Retry(_)
        | Command::Continue(_)
        | Command::Fire(_)
        | Command::Suspend(_)
        | Command::Resume(_)
        | Command::Operate(_)
        | Command::Reschedule(_)
        | Command::Deliver(_)
        | Command::CallComplete(_)
        | Command::CallHeartbeat(_)
        | Command::CallProgress(_) => return Err(Error::Refused("this command is not about a task".into())),
    };
    drive::applied(app, command::task(app, TaskId(task), person, seen, act, origin).await?, origin, redelivered).await
}

fn person(user: &str, groups: &[String]) -> Person {
    Person { user: user.to_owned(), groups: groups.to_vec() }
}
