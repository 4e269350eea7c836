//! Decides with as much effort as it needs: at once with a brief budget, which is enough for nearly every step; if it is not, once
//! more with the whole budget on a thread that serves no sockets.

use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use crate::app::App;
use crate::definition::Definition;
use crate::engine::{self, Command, Decision, Facts, Instance};

/// Decides what a command does to an instance.
pub(super) async fn decide(
    app: &App,
    definition: &Arc<Definition>,
    instance: &Instance,
    command: &Command,
    facts: Facts,
    now: Timestamp,
) -> Result<Decision, Error> {
    // Facts are few and mostly absent: a copy is cheaper than to know beforehand.
    let again = facts.clone();
    let (decision, is_spent) = {
        let context = app.context(now);
        let decision = engine::decide(definition, instance, command, facts, &context);
        (decision, context.budget.is_spent())
    };
    if !is_spent {
        return Ok(decision);
    }
    Box::pin(patiently(app, definition, instance, command, again, now)).await
}

async fn patiently(
    app: &App,
    definition: &Arc<Definition>,
    instance: &Instance,
    command: &Command,
    facts: Facts,
    now: Timestamp,
) -> Result<Decision, Error> {
    let (definition, instance, command) = (definition.clone(), instance.clone(), command.clone());
    let patient = app.clone();
    let decide = move || engine::decide(&definition, &instance, &command, facts, &patient.patient_context(now));
    Ok(app.decide_elsewhere(decide).await?)
}
