//! The one entry to the engine for an instance that exists.

use crate::definition::Definition;

use super::lifecycle::{
    cancel, continuation, crash, deliver, fire, jump, queue, remedy, reschedule, resolve, retry, skip, suspend,
    variables,
};
use super::transition::{Halt, Transition};
use super::{
    Audit, CallCommand, CallReport, Command, Context, Control, Facts, Instance, Internal, Need, Refusal, Remedy, Step,
    TaskCommand, call, task,
};

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "a decision is taken apart where it is returned, and most are commits")]
pub enum Decision {
    /// Write this step.
    Commit(Step),
    /// The decision requires this fact: look it up and decide again.
    Need(Need),
    /// The command changes nothing.
    Refuse(Refusal),
}

/// Decides what a command does to an instance. `facts` answer the [`Need`]s of earlier decisions about the same command; the
/// first time they are empty. The step's instance keeps the revision that was loaded.
pub fn decide(
    definition: &Definition,
    instance: &Instance,
    command: &Command,
    facts: Facts,
    context: &Context<'_>,
) -> Decision {
    match step(definition, instance, command.clone(), facts, context) {
        Ok(step) => Decision::Commit(step),
        Err(Halt::Need(need)) => Decision::Need(*need),
        Err(Halt::Refuse(refusal)) => Decision::Refuse(refusal),
    }
}

fn step(
    definition: &Definition,
    instance: &Instance,
    command: Command,
    facts: Facts,
    context: &Context<'_>,
) -> Result<Step, Halt> {
    let transition = |kind| Transition::new(definition, context, instance.clone(), kind);
    match command {
        Command::Internal(Internal::Continue { branch, sequence }) => {
            continuation::proceed(definition, instance, branch, sequence, context, facts)
        }
        Command::Internal(Internal::Fire { bookmark }) => {
            fire::timer(definition, instance, bookmark, context, facts.task)
        }
        Command::Internal(Internal::Deliver { bookmark, message }) => {
            deliver::message(definition, instance, bookmark, message, context)
        }
        Command::Internal(Internal::Crash { branch, sequence, crash_max }) => {
            crash::count(transition("crash"), branch, sequence, crash_max)
        }
        Command::Internal(Internal::Unfireable { bookmark, why }) => {
            crash::unfireable(transition("undeliverable"), bookmark, why)
        }
        Command::Internal(Internal::Undeliverable { branch, sequence, why }) => {
            crash::undeliverable(transition("undeliverable"), branch, sequence, why)
        }
        Command::Incident(Remedy::Retry { variables }, audit) => {
            remedy::retry(transition("retry"), variables, audit, facts.missed, facts.variable_types)
        }
        Command::Incident(Remedy::Fail, audit) => remedy::fail(transition("fail"), audit),
        Command::Instance(what, audit) => control(definition, instance, what, audit, facts, context),
        Command::Task(TaskCommand { bookmark, person, seen, act }) => {
            task::act(transition("task"), bookmark, task::Actor { person, seen }, act, facts.task)
        }
        Command::Call(CallCommand { bookmark, report: CallReport::Completed { dispatch, outcome } }) => {
            call::complete(transition("call"), bookmark, dispatch, outcome)
        }
        Command::Call(CallCommand { bookmark, report: CallReport::GivenUp { dispatch, why } }) => {
            call::abandon(transition("call"), bookmark, dispatch, why)
        }
        Command::Call(CallCommand { bookmark, report: CallReport::Progress { dispatch, progress } }) => {
            call::progress(transition("call"), bookmark, dispatch, &progress)
        }
        Command::Call(CallCommand { bookmark, report: CallReport::Resolved { resolution, audit } }) => {
            resolve::call(transition("resolve"), bookmark, resolution, audit, facts.missed)
        }
    }
}

fn control(
    definition: &Definition,
    instance: &Instance,
    what: Control,
    audit: Audit,
    facts: Facts,
    context: &Context<'_>,
) -> Result<Step, Halt> {
    let transition = |kind| Transition::new(definition, context, instance.clone(), kind);
    match what {
        Control::Cancel => cancel::cancel(transition("cancel"), audit),
        Control::Terminate => cancel::terminate(transition("terminate"), audit),
        Control::Retry => retry::all(transition("retry"), audit, facts.missed),
        Control::Suspend => suspend::suspend(transition("suspend"), audit),
        Control::Resume => suspend::resume(transition("resume"), audit, facts.missed),
        Control::Reschedule { bookmark, due } => reschedule::timer(transition("reschedule"), bookmark, due, audit),
        Control::Skip { activity, result } => {
            skip::skip(transition("skip"), activity.as_deref(), result, audit, facts.missed)
        }
        Control::Jump { to } => jump::jump(transition("jump"), &to, audit, facts.missed),
        Control::Rerun { from } => jump::rerun(transition("rerun"), &from, audit, facts.missed),
        Control::SetVariables { values } => {
            variables::set(transition("variables"), values, audit, facts.variable_types)
        }
        Control::SetQueue { queue } => queue::set(transition("queue"), queue, audit),
        Control::Resolve { remedy } => step(definition, instance, Command::Incident(remedy, audit), facts, context),
        Control::SetPriority { priority } => queue::prioritise(transition("priority"), priority, audit),
    }
}
