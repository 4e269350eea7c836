//! What people do to an instance that has not failed: suspend it, let it go on, put a timer off; and what it missed meanwhile.

use jiff::Timestamp;
use serde_json::json;

use super::admit::{self, DueTimer};
use super::call::complete_in;
use super::failure::on_behalf;
use super::step::{deliver, expire, fire};
use super::transition::Transition;
use super::{
    Bookmark, BookmarkKind, Branch, BranchId, Due, Effect, EntryKind, Facts, MissedMessage, Phase, Refusal,
    ReportedOutcome, Status, Step, TimerKind, WaitOn, assign, scope,
};

/// Suspends an instance that moves.
pub(super) fn suspend(
    mut transition: Transition<'_>,
    by: Option<String>,
    reason: Option<String>,
) -> Result<Step, Refusal> {
    admit::require_live(&transition.instance)?;
    admit::require_not_suspended(&transition.instance).map_err(|_| Refusal::AlreadySuspended)?;
    transition.suspend(by, reason);
    Ok(transition.done())
}

/// Lets one go on that was suspended by hand, with what it missed.
pub(super) fn resume(
    mut transition: Transition<'_>,
    (by, reason): (Option<String>, Option<String>),
    facts: Facts,
) -> Result<Step, Refusal> {
    admit::require_live(&transition.instance)?;
    transition.reopen_after_suspension(by, reason)?;
    replay(&mut transition, facts)?;
    Ok(transition.done())
}

/// Lets an open timer be due at another moment.
pub(super) fn reschedule(
    mut transition: Transition<'_>,
    bookmark: i64,
    due: Due,
    whose: (Option<String>, Option<String>),
) -> Result<Step, Refusal> {
    admit::require_live(&transition.instance)?;
    admit::require_not_suspended(&transition.instance)?;
    transition.reschedule(bookmark, due, whose)?;
    Ok(transition.done())
}

impl Transition<'_> {
    /// Lets the instance stand still. What it waits for stays open.
    fn suspend(&mut self, by: Option<String>, reason: Option<String>) {
        self.instance.status = Status::Suspended;
        let told = on_behalf(by, reason);
        let details = assign::details(told.clone());
        let number = self.open(Bookmark {
            number: 0,
            branch: None,
            activity: None,
            kind: BookmarkKind::Intervention,
            due_at: None,
            message: None,
            details: details.clone(),
        });
        self.instance.state.suspension = Some(number);
        self.record_whole(EntryKind::InstanceSuspended, details);
        self.announce("suspended", told);
    }

    /// Lets an instance move again that was suspended by hand.
    fn reopen_after_suspension(&mut self, by: Option<String>, reason: Option<String>) -> Result<(), Refusal> {
        let Some(number) = self.instance.state.suspension.take() else {
            return Err(match admit::require_not_suspended(&self.instance) {
                Ok(()) => Refusal::NotSuspended,
                Err(_) => Refusal::ByFailure,
            });
        };
        self.instance.status = Status::Running;
        self.push(Effect::Consume(number));
        let told = on_behalf(by, reason);
        self.record_whole(EntryKind::InstanceResumed, assign::details(told.clone()));
        self.announce("resumed", told);
        Ok(())
    }

    /// Closes a timer and opens it anew for another moment. Its number changes, so that wake-ups of the old one are void.
    fn reschedule(
        &mut self,
        bookmark: i64,
        due: Due,
        (by, reason): (Option<String>, Option<String>),
    ) -> Result<(), Refusal> {
        let due_at = moment(self.context.now, due)?;
        let (from, branch, activity) = self.timer(bookmark)?;
        self.push(Effect::Close(bookmark));
        let number = self.open(Bookmark {
            number: 0,
            branch,
            activity: activity.clone(),
            kind: BookmarkKind::Timer,
            due_at: Some(due_at),
            message: None,
            details: serde_json::Value::Null,
        });
        self.moved(bookmark, number, due_at);
        let mut details = on_behalf(by, reason);
        details.insert("bookmark".into(), json!(number));
        details.insert("due_at".into(), json!(due_at));
        details.insert("was_due_at".into(), json!(from));
        let entry =
            super::Entry { kind: EntryKind::TimerRescheduled, activity, branch, details: assign::details(details) };
        self.push(Effect::Record(entry));
        Ok(())
    }

    /// When an open timer is due, and whose it is.
    fn timer(&self, bookmark: i64) -> Result<(Timestamp, Option<BranchId>, Option<String>), Refusal> {
        if let Some(deadline) = self.instance.state.deadline.as_ref().filter(|known| known.bookmark == bookmark) {
            return Ok((deadline.due_at, None, None));
        }
        let (at, wait) = admit::waiting(&self.instance, bookmark).ok_or(Refusal::Gone(bookmark))?;
        let branch = &self.instance.state.branches[at];
        let due_at = wait.due_at.ok_or(Refusal::NoTimer(bookmark))?;
        Ok((due_at, Some(branch.id), Some(branch.activity.clone())))
    }

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
        overdue.collect::<Vec<_>>().into_iter().for_each(|effect| self.push(effect));
    }

    fn moved(&mut self, bookmark: i64, number: i64, to: Timestamp) {
        if let Some(deadline) = self.instance.state.deadline.as_mut().filter(|known| known.bookmark == bookmark) {
            (deadline.bookmark, deadline.due_at) = (number, to);
        }
        for branch in &mut self.instance.state.branches {
            let Phase::Waiting(waits) = &mut branch.phase else { continue };
            for wait in waits.iter_mut().filter(|wait| wait.bookmark == bookmark) {
                (wait.bookmark, wait.due_at) = (number, Some(to));
            }
        }
    }
}

fn moment(now: Timestamp, due: Due) -> Result<Timestamp, Refusal> {
    let moment = match due {
        Due::At(moment) => moment,
        Due::After(duration) => scope::later(now, duration).ok_or(Refusal::TooFar)?,
    };
    // One that has passed is now. Microseconds are what the database keeps.
    Timestamp::from_microsecond(moment.max(now).as_microsecond()).map_err(|_| Refusal::TooFar)
}

/// What should have happened while the instance was suspended.
enum MissedItem {
    /// The work of the branch at this place ended.
    Concluded(usize),
    /// A timer's moment passed.
    Timer(i64),
    /// The message at this place of the list came.
    Message(usize),
    /// The outcome of a call at this place of the list came.
    Call(usize),
}

/// Does what was missed, in the order of its moments. Whatever is done ends a wait and opens none but an incident's, after which
/// nothing is done any more.
pub(super) fn replay(transition: &mut Transition<'_>, facts: Facts) -> Result<(), Refusal> {
    let Facts { mut missed, mut reported, .. } = facts;
    while transition.instance.status == Status::Running
        && let Some(missed_item) = earliest(transition, &missed, &reported)?
    {
        match missed_item {
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
                    DueTimer::Deadline => expire(transition, bookmark)?,
                    DueTimer::Wait(position, on) => fire(transition, position, bookmark, on)?,
                }
            }
            MissedItem::Message(at) => {
                let MissedMessage { bookmark, message, .. } = missed.remove(at);
                // Two waits may have wanted it; it is there once.
                missed.retain(|other| other.message.kept != message.kept);
                let (position, _) = admit::wait_for_message(transition.definition, &transition.instance, bookmark)?;
                deliver(transition, position, bookmark, message)?;
            }
            MissedItem::Call(at) => {
                let ReportedOutcome { bookmark, dispatch, outcome, .. } = reported.remove(at);
                complete_in(transition, (bookmark, dispatch), outcome)?;
            }
        }
    }
    if transition.instance.status == Status::Running {
        transition.remind_of_task_timers();
    }
    Ok(())
}

/// What comes first of what is still missed; of the same moment the message.
fn earliest(
    transition: &Transition<'_>,
    missed: &[MissedMessage],
    reported: &[ReportedOutcome],
) -> Result<Option<MissedItem>, Refusal> {
    let mut first: Option<(Timestamp, MissedItem)> = None;
    let mut consider = |at: Timestamp, missed_item: MissedItem| {
        if first.as_ref().is_none_or(|(known, _)| at < *known) {
            first = Some((at, missed_item));
        }
    };
    for (place, one) in missed.iter().enumerate() {
        match admit::wait_for_message(transition.definition, &transition.instance, one.bookmark) {
            Ok((position, index)) if transition.fits(position, index, &one.message) => {
                consider(one.at, MissedItem::Message(place))
            }
            // The filter does not hold, or nobody waits for it any more: it stays kept.
            Ok(_) | Err(Refusal::Gone(_)) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    for (place, one) in reported.iter().enumerate() {
        match admit::call_for_outcome(transition.definition, &transition.instance, one.bookmark) {
            Ok((_, dispatch, _)) if dispatch == one.dispatch => consider(one.at, MissedItem::Call(place)),
            Ok(_) | Err(Refusal::Gone(_)) => {}
            Err(refusal) => return Err(refusal),
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
    Ok(first.map(|(_, missed_item)| missed_item))
}
