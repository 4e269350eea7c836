//! What a decision requires beyond the instance.

use crate::contract::NAME_MAX;
use crate::definition::{Activity, Definition, Receive, Runs, Timeout, Work};
use crate::expression::Data;

use super::scope::{self, Sight};
use super::{Branch, Command, Context, Failure, HandlerCall, Instance, Need, TaskId, admit, task};

/// Says what must be looked up or run before [`super::step()`] can decide.
///
/// Nothing, if the command will be refused, or if what would be needed cannot be told because an expression fails:
/// `step` makes a failure of that.
pub fn needs(definition: &Definition, instance: &Instance, command: &Command, context: &Context<'_>) -> Need {
    let (branch, sequence) = match command {
        Command::Continue { branch, sequence } => (*branch, *sequence),
        Command::Act { bookmark, .. } => return Need::Task(TaskId::of(instance.id, *bookmark)),
        Command::Fire { bookmark } => {
            let task = admit::task_of_timer(instance, *bookmark);
            return task.map_or(Need::Nothing, |task| Need::Task(TaskId::of(instance.id, task)));
        }
        Command::Deliver { .. }
        | Command::Retry { .. }
        | Command::Cancel { .. }
        | Command::Crash { .. }
        | Command::Undeliverable { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Reschedule { .. }
        | Command::CompleteCall { .. }
        | Command::Progress { .. }
        | Command::Resolve { .. } => return Need::Nothing,
    };
    let Ok(stand) = admit::ready(definition, instance, branch, sequence) else { return Need::Nothing };
    let branch = &instance.state.branches[stand.at];
    if branch.steps >= context.steps_max {
        return Need::Nothing;
    }
    let sight = Sight::from(instance, context, branch, scope::visit(instance, branch));
    let allowed = || sight.allows(stand.activity.when.as_ref()).unwrap_or(false);
    let need = match &stand.activity.work {
        Work::Run { runs, input } if allowed() => {
            call(&sight, branch, stand.activity, (runs, input)).map(Need::Handler)
        }
        Work::Receive(alternatives) if allowed() => addresses(&sight, alternatives, instance).map(Need::Messages),
        Work::Task(asked) if allowed() => {
            let assignment = task::assignment(&sight, &stand.activity.id, asked);
            assignment.map(|assignment| assignment.map_or(Need::Nothing, Need::Standing))
        }
        Work::Run { .. }
        | Work::Receive(_)
        | Work::Task(_)
        | Work::Set(_)
        | Work::Switch(_)
        | Work::Emit { .. }
        | Work::Wait(_)
        | Work::Raise { .. }
        | Work::End(_)
        | Work::Http(_)
        | Work::Call(_) => return Need::Nothing,
    };
    need.unwrap_or(Need::Nothing)
}

/// The run of a handler or statement, with everything it receives.
pub(super) fn call(
    sight: &Sight<'_>,
    branch: &Branch,
    activity: &Activity,
    (runs, input): (&Runs, &Data),
) -> Result<HandlerCall, Failure> {
    let timeout = match &activity.timeout {
        Timeout::Default => Some(sight.default_timeout()),
        Timeout::None => None,
        Timeout::After(template) => Some(sight.duration(template)?),
    };
    Ok(HandlerCall {
        branch: branch.id,
        activity: activity.id.clone(),
        attempt: branch.attempt,
        runs: runs.clone(),
        input: sight.value(input)?,
        timeout,
    })
}

/// Name and key of every message a `receive` waits for, in its order.
pub(super) fn addresses(
    sight: &Sight<'_>,
    alternatives: &[Receive],
    instance: &Instance,
) -> Result<Vec<(String, String)>, Failure> {
    let address = |receive: &Receive| {
        let name = sight.text(&receive.name)?;
        let key = match (&receive.key, &instance.key) {
            (Some(template), _) => sight.key(template)?,
            (None, Some(key)) => key.clone(),
            (None, None) => {
                let message = format!("`receive` of `{name}` has no `key`, and the instance has none to use instead");
                return Err(Failure::new("expression", message));
            }
        };
        // Nobody can send it: commands with longer ones are refused.
        match [&name, &key].iter().any(|text| text.len() > NAME_MAX) {
            true => Err(Failure::new("expression", format!("name and key of a message have at most {NAME_MAX} bytes"))),
            false => Ok((name, key)),
        }
    };
    alternatives.iter().map(address).collect()
}
