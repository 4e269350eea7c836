//! Delivers a message to an open wait.

use crate::definition::Definition;

use super::super::admit::{self, Position};
use super::super::transition::{Halt, Transition};
use super::super::{Context, Instance, Message, Refusal, Step};

/// Delivers a message, if the wait is open and its filter holds.
pub(in crate::engine) fn message(
    definition: &Definition,
    instance: &Instance,
    bookmark: i64,
    message: Message,
    context: &Context<'_>,
) -> Result<Step, Halt> {
    let (position, index) = admit::wait_for_message(definition, instance, bookmark)?;
    let mut transition = Transition::new(definition, context, instance.clone(), position.activity.work.kind());
    if !transition.fits(position, index, &message) {
        return Err(Refusal::NotMatching.into());
    }
    wait(&mut transition, position, bookmark, message)?;
    Ok(transition.done())
}

/// Completes a wait with its message.
pub(in crate::engine) fn wait<'a>(
    transition: &mut Transition<'a>,
    position: Position<'a>,
    bookmark: i64,
    message: Message,
) -> Result<(), Halt> {
    transition.take_wait(position, bookmark);
    transition.awaken(position);
    let outcome = transition.received(position, message);
    transition.apply_outcome(position, outcome)
}
