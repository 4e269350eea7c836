//! Decides with as much effort as it needs: at once with a brief budget, which is enough for nearly every step; if it is not, once
//! more with the whole budget on a thread that serves no sockets.

use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use crate::app::App;
use crate::definition::Definition;
use crate::engine::{self, Command, Context, Decision, Facts, Instance, Refusal, Start, Step};

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
    let brief = |context: &Context<'_>| engine::decide(definition, instance, command, facts, context);
    with_effort(app, now, brief, || {
        let (definition, instance, command) = (definition.clone(), instance.clone(), command.clone());
        move |context: &Context<'_>| engine::decide(&definition, &instance, &command, again, context)
    })
    .await
}

/// Decides the first step of a new instance.
pub(super) async fn start(
    app: &App,
    definition: &Arc<Definition>,
    start: impl Fn() -> Start,
    now: Timestamp,
) -> Result<Result<Step, Refusal>, Error> {
    with_effort(
        app,
        now,
        |context: &Context<'_>| engine::start(definition, start(), context),
        || {
            let (definition, start) = (definition.clone(), start());
            move |context: &Context<'_>| engine::start(&definition, start, context)
        },
    )
    .await
}

/// The same decision twice: `brief` borrows what it needs; `owned` makes one that may go to another thread, and is called only if the brief
/// budget was not enough.
async fn with_effort<T, W>(
    app: &App,
    now: Timestamp,
    brief: impl FnOnce(&Context<'_>) -> T,
    owned: impl FnOnce() -> W,
) -> Result<T, Error>
where
    T: Send + 'static,
    W: FnOnce(&Context<'_>) -> T + Send + 'static,
{
    let (decided, is_spent) = {
        let context = app.context(now);
        (brief(&context), context.budget.is_spent())
    };
    if !is_spent {
        return Ok(decided);
    }
    let (patient, decide) = (app.clone(), owned());
    // Boxed, so that the plain step, the hot path, is not as large as the rare ones.
    Ok(Box::pin(app.decide_elsewhere(move || decide(&patient.patient_context(now)))).await?)
}
