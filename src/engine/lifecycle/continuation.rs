//! Takes the next step of a branch: executes its current activity.

use crate::definition::Definition;

use super::super::admit;
use super::super::failure::FailedWork;
use super::super::transition::{Halt, Transition};
use super::super::{BranchId, Context, Facts, Failure, Instance, Step};

/// Executes the activity of a branch, if the step command is the newest.
pub(in crate::engine) fn proceed(
    definition: &Definition,
    instance: &Instance,
    branch: BranchId,
    sequence: i64,
    context: &Context<'_>,
    facts: Facts,
) -> Result<Step, Halt> {
    let position = admit::branch_for_continue(definition, instance, branch, sequence)?;
    let mut transition = Transition::new(definition, context, instance.clone(), position.activity.work.kind());
    let steps_max = context.steps_max;
    let exhausted = transition.branch(position).steps >= steps_max;
    transition.advance(position);
    if exhausted {
        let message = format!("the branch took {steps_max} steps without a wait");
        transition.incident(position, FailedWork::from(Failure::new("limit.steps", message)));
        return Ok(transition.done());
    }
    let outcome = transition.execute(position, facts);
    transition.apply_outcome(position, outcome)?;
    Ok(transition.done())
}
