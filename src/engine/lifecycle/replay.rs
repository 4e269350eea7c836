//! Replays what an instance missed while it was suspended: messages, timers, outcomes of calls.

use jiff::Timestamp;

use super::super::admit::{self, DueTimer};
use super::super::transition::{Halt, Transition};
use super::super::{
    Branch, Effect, Missed, MissedMessage, Phase, Refusal, ReportedOutcome, Status, TimerKind, WaitOn, call,
};
use super::{deliver, fire};

/// Something that would have happened while the instance was suspended.
enum MissedItem {
    /// The work of the branch at this index ended.
    Concluded(usize),
    /// The timer with this bookmark was due.
    Timer(i64),
    /// The message at this index arrived.
    Message(usize),
    /// The outcome at this index arrived.
    Call(usize),
}

/// Replays what was missed, in the order of time. Each item ends a wait and opens none. An incident opens one,
/// and ends the replay.
pub(in crate::engine) fn missed(transition: &mut Transition<'_>, missed: Missed) -> Result<(), Halt> {
    let Missed { messages: mut missed, outcomes: mut reported } = missed;
    while transition.instance.status == Status::Running
        && let Some(item) = earliest(transition, &missed, &reported)?
    {
        match item {
            MissedItem::Concluded(at) => {
                let position = admit::position(transition.definition, &transition.instance, at)?;
                if let Phase::Concluded(reported) =
                    std::mem::replace(&mut transition.branch_mut(position).phase, Phase::Ready)
                {
                    transition.conclude(position, reported.outcome())?;
                }
            }
            MissedItem::Timer(bookmark) => {
                match admit::timer_for_fire(
                    transition.definition,
                    &transition.instance,
                    bookmark,
                    transition.context.now,
                )? {
                    DueTimer::Deadline => fire::deadline(transition, bookmark)?,
                    DueTimer::Wait(position, kind) => fire::wait(transition, position, bookmark, kind)?,
                }
            }
            MissedItem::Message(at) => {
                let MissedMessage { bookmark, message, .. } = missed.remove(at);
                // Two waits may match it, but it is delivered once.
                missed.retain(|other| other.message.kept != message.kept);
                let (position, _) = admit::wait_for_message(transition.definition, &transition.instance, bookmark)?;
                deliver::wait(transition, position, bookmark, message)?;
            }
            MissedItem::Call(at) => {
                let ReportedOutcome { bookmark, dispatch, outcome, .. } = reported.remove(at);
                call::complete_in(transition, bookmark, dispatch, outcome)?;
            }
        }
    }
    if transition.instance.status == Status::Running {
        transition.remind_of_task_timers();
    }
    Ok(())
}

/// The earliest item; of several at the same time, a message first.
fn earliest(
    transition: &Transition<'_>,
    missed: &[MissedMessage],
    reported: &[ReportedOutcome],
) -> Result<Option<MissedItem>, Halt> {
    let mut first: Option<(Timestamp, MissedItem)> = None;
    let mut consider = |at: Timestamp, item: MissedItem| {
        if first.as_ref().is_none_or(|(known, _)| at < *known) {
            first = Some((at, item));
        }
    };
    for (at, one) in missed.iter().enumerate() {
        match admit::wait_for_message(transition.definition, &transition.instance, one.bookmark) {
            Ok((position, index)) if transition.fits(position, index, &one.message) => {
                consider(one.at, MissedItem::Message(at));
            }
            // The filter does not hold, or the wait is closed: the message stays kept.
            Ok(_) | Err(Refusal::Closed(_)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    for (at, one) in reported.iter().enumerate() {
        match admit::call_for_outcome(transition.definition, &transition.instance, one.bookmark) {
            Ok(call) if call.dispatch == one.dispatch => consider(one.at, MissedItem::Call(at)),
            Ok(_) | Err(Refusal::Closed(_)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let deadline = transition.instance.state.deadline.iter().map(|deadline| (deadline.due_at, deadline.bookmark));
    let waits = transition.instance.state.branches.iter().flat_map(Branch::waits).filter_map(|wait| match wait.on {
        // A timer of a task needs the task: it is published again, see `remind_of_task_timers`.
        WaitOn::Timer(TimerKind::Task(_)) => None,
        WaitOn::Timer(TimerKind::Wait | TimerKind::Timeout | TimerKind::Retry) => Some((wait.due_at?, wait.bookmark)),
        WaitOn::Message { .. } | WaitOn::Intervention { .. } | WaitOn::Task | WaitOn::Call { .. } => None,
    });
    for (at, branch) in transition.instance.state.branches.iter().enumerate() {
        if let Phase::Concluded(reported) = &branch.phase {
            consider(reported.at, MissedItem::Concluded(at));
        }
    }
    for (due_at, bookmark) in deadline.chain(waits).filter(|(due_at, _)| *due_at <= transition.context.now) {
        consider(due_at, MissedItem::Timer(bookmark));
    }
    Ok(first.map(|(_, item)| item))
}

impl Transition<'_> {
    /// Publishes a command for each timer of a task that is due: firing it requires the task.
    fn remind_of_task_timers(&mut self) {
        let now = self.context.now;
        let waits = self.instance.state.branches.iter().flat_map(Branch::waits);
        let overdue = waits.filter_map(|wait| match (&wait.on, wait.due_at) {
            (WaitOn::Timer(TimerKind::Task(_)), Some(due_at)) if due_at <= now => {
                Some(Effect::Remind { bookmark: wait.bookmark, due_at })
            }
            (
                WaitOn::Timer(_)
                | WaitOn::Message { .. }
                | WaitOn::Intervention { .. }
                | WaitOn::Task
                | WaitOn::Call { .. },
                _,
            ) => None,
        });
        let overdue: Vec<_> = overdue.collect();
        for effect in overdue {
            self.push(effect);
        }
    }
}
