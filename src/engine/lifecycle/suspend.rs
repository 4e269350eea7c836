//! `suspend` and `resume`: pauses an instance until a person continues it.

use super::super::transition::{Halt, Transition};
use super::super::{
    Audit, Bookmark, BookmarkKind, Effect, EntryKind, Missed, Need, Refusal, Status, Step, admit, assign,
};
use super::replay;

/// Suspends an instance that is running.
pub(in crate::engine) fn suspend(mut transition: Transition<'_>, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    admit::require_not_suspended(&transition.instance).map_err(|_| Refusal::AlreadySuspended)?;
    transition.pause_instance(audit);
    Ok(transition.done())
}

/// Continues an instance that was suspended by a command, and replays what was missed.
pub(in crate::engine) fn resume(
    mut transition: Transition<'_>,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    transition.reopen_after_suspension(audit)?;
    replay::missed(&mut transition, missed.ok_or(Need::Missed)?)?;
    Ok(transition.done())
}

impl Transition<'_> {
    /// Pauses the instance; its waits stay open.
    fn pause_instance(&mut self, audit: Audit) {
        self.instance.status = Status::Suspended;
        let audit = audit.details();
        let details = assign::details(audit.clone());
        let number = self.open(Bookmark {
            number: 0,
            branch: None,
            activity: None,
            kind: BookmarkKind::Intervention,
            due_at: None,
            message: None,
            details: details.clone(),
            fingerprint: None,
        });
        self.instance.state.suspension = Some(number);
        self.record_whole(EntryKind::InstanceSuspended, details);
        self.announce("suspended", audit);
    }

    /// Continues an instance that was suspended by a command.
    fn reopen_after_suspension(&mut self, audit: Audit) -> Result<(), Refusal> {
        let Some(number) = self.instance.state.suspension.take() else {
            return Err(match admit::require_not_suspended(&self.instance) {
                Ok(()) => Refusal::NotSuspended,
                Err(_) => Refusal::SuspendedByFailure,
            });
        };
        self.instance.status = Status::Running;
        self.push(Effect::Consume(number));
        let audit = audit.details();
        self.record_whole(EntryKind::InstanceResumed, assign::details(audit.clone()));
        self.announce("resumed", audit);
        Ok(())
    }
}
