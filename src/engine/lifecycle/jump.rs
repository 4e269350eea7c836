//! `jump` and `rerun`: a branch continues at another activity, or at one that it has begun before.

use serde_json::json;

use super::super::flow::Route;
use super::super::transition::{Halt, Transition};
use super::super::{Audit, EntryKind, Missed, Need, Refusal, Status, Step, admit, assign};
use super::replay;

/// Continues at an activity of the definition.
pub(in crate::engine) fn jump(
    transition: Transition<'_>,
    to: &str,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    go(transition, to, EntryKind::BranchJumped, audit, missed)
}

/// Continues at an activity that was begun before. What was done since is kept.
pub(in crate::engine) fn rerun(
    transition: Transition<'_>,
    from: &str,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    admit::activity_begun(transition.definition, &transition.instance, from)?;
    go(transition, from, EntryKind::BranchRerun, audit, missed)
}

fn go(
    mut transition: Transition<'_>,
    to: &str,
    kind: EntryKind,
    audit: Audit,
    missed: Option<Missed>,
) -> Result<Step, Halt> {
    let Some(target) = transition.definition.activity(to) else {
        let version = transition.instance.version;
        return Err(Refusal::NoActivity { activity: to.to_owned(), version }.into());
    };
    let position = admit::position(transition.definition, &transition.instance, 0)?;
    let missed = missed.ok_or(Need::Missed)?;
    let mut details = audit.clone().details();
    details.insert("next".into(), json!(to));
    transition.record(kind, position, assign::details(details));
    transition.close_waits(position);
    // Step commands that were written before are stale from here.
    transition.awaken(position);
    transition.go_to(position, Route::To(target));
    transition.reopen_after_incident(audit);
    if transition.instance.status == Status::Running {
        replay::missed(&mut transition, missed)?;
    }
    Ok(transition.done())
}
