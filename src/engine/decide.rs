//! The one entry to the engine for an instance that exists.

use crate::definition::Definition;

use super::lifecycle::{cancel, continuation, crash, deliver, fire, remedy, reschedule, resolve, retry, suspend};
use super::transition::{Halt, Transition};
use super::{
    CallCommand, CallReport, Command, Context, Control, Facts, Instance, Internal, Need, Refusal, Remedy, Step,
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
        Command::Instance(Control::Cancel, audit) => cancel::cancel(transition("cancel"), audit),
        Command::Instance(Control::Retry, audit) => retry::all(transition("retry"), audit, facts.missed),
        Command::Instance(Control::Suspend, audit) => suspend::suspend(transition("suspend"), audit),
        Command::Instance(Control::Resume, audit) => suspend::resume(transition("resume"), audit, facts.missed),
        Command::Instance(Control::Reschedule { bookmark, due }, audit) => {
            reschedule::timer(transition("reschedule"), bookmark, due, audit)
        }
        Command::Incident(Remedy::Retry { variables }, audit) => {
            remedy::retry(transition("retry"), variables, audit, facts.missed)
        }
        Command::Incident(Remedy::Fail, audit) => remedy::fail(transition("fail"), audit),
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
