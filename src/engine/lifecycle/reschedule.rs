//! `timer.reschedule`: gives an open timer another time.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::transition::{Halt, Transition};
use super::super::{
    Audit, Bookmark, BookmarkKind, BranchId, Due, Effect, Entry, EntryKind, Phase, Refusal, Step, admit, assign, scope,
};

/// Gives an open timer another time.
pub(in crate::engine) fn timer(
    mut transition: Transition<'_>,
    bookmark: i64,
    due: Due,
    audit: Audit,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    admit::require_not_suspended(&transition.instance)?;
    transition.reschedule(bookmark, due, audit)?;
    Ok(transition.done())
}

impl Transition<'_> {
    /// Closes a timer and opens another one. Its number changes, so that wake-ups of the old one are void.
    fn reschedule(&mut self, bookmark: i64, due: Due, audit: Audit) -> Result<(), Refusal> {
        let due_at = due_at(self.context.now, due)?;
        let (from, branch, activity) = self.timer(bookmark)?;
        self.push(Effect::Close(bookmark));
        let number = self.open(Bookmark {
            number: 0,
            branch,
            activity: activity.clone(),
            kind: BookmarkKind::Timer,
            due_at: Some(due_at),
            message: None,
            details: Value::Null,
            fingerprint: None,
        });
        self.move_timer(bookmark, number, due_at);
        let mut details = audit.details();
        details.insert("bookmark".into(), json!(number));
        details.insert("due_at".into(), json!(due_at));
        details.insert("was_due_at".into(), json!(from));
        let entry = Entry { kind: EntryKind::TimerRescheduled, activity, branch, details: assign::details(details) };
        self.push(Effect::Record(entry));
        Ok(())
    }

    /// When an open timer is due, and its branch and activity.
    fn timer(&self, bookmark: i64) -> Result<(Timestamp, Option<BranchId>, Option<String>), Refusal> {
        if let Some(deadline) = self.instance.state.deadline.as_ref().filter(|known| known.bookmark == bookmark) {
            return Ok((deadline.due_at, None, None));
        }
        let (at, wait) = admit::waiting(&self.instance, bookmark).ok_or(Refusal::Closed(bookmark))?;
        let branch = &self.instance.state.branches[at];
        let due_at = wait.due_at.ok_or(Refusal::NotATimer(bookmark))?;
        Ok((due_at, Some(branch.id), Some(branch.activity.clone())))
    }

    fn move_timer(&mut self, bookmark: i64, number: i64, to: Timestamp) {
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

fn due_at(now: Timestamp, due: Due) -> Result<Timestamp, Refusal> {
    let due_at = match due {
        Due::At(due_at) => due_at,
        Due::After(duration) => scope::later(now, duration).ok_or(Refusal::TooFar)?,
    };
    // A time in the past fires at once. The database stores microseconds.
    Timestamp::from_microsecond(due_at.max(now).as_microsecond()).map_err(|_| Refusal::TooFar)
}
