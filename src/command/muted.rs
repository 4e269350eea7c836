//! The event of `on_failure.notify` is not published while the group of its incident is muted.

use crate::engine::{Effect, Step};
use crate::store::{self, Connection, incidents};

/// The groups whose events a step publishes, by their fingerprints. None for nearly every step, which then asks nothing.
pub(super) fn groups(step: &Step) -> Vec<String> {
    let group = |effect: &Effect| {
        let Effect::Publish(event) = effect else { return None };
        event.group.clone()
    };
    step.effects.iter().filter_map(group).collect()
}

/// Takes out of a step the events of groups that are muted now. The incident opens, and the history has it.
pub(super) async fn hush(conn: &mut Connection, groups: &[String], step: &mut Step) -> Result<(), store::Error> {
    let muted = incidents::muted(conn, groups).await?;
    step.effects.retain(|effect| {
        let Effect::Publish(event) = effect else { return true };
        event.group.as_ref().is_none_or(|group| !muted.contains(group))
    });
    Ok(())
}
