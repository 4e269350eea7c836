//! `queue.set` and `priority.set`: change where the step commands of an instance wait.

use serde_json::json;

use crate::definition::is_name;

use super::super::transition::{Halt, Transition};
use super::super::{Audit, EntryKind, Refusal, Step, admit, assign};

/// Changes the queue. A worker that finds a step command of the instance in the old one passes it on.
pub(in crate::engine) fn set(mut transition: Transition<'_>, queue: String, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    if !is_name(&queue) {
        return Err(Refusal::NotAQueue(queue).into());
    }
    if queue == transition.instance.queue {
        return Err(Refusal::SameQueue(queue).into());
    }
    let mut details = audit.details();
    details.insert("to".into(), json!(queue));
    let from = std::mem::replace(&mut transition.instance.queue, queue);
    details.insert("from".into(), json!(from));
    transition.record_whole(EntryKind::QueueChanged, assign::details(details));
    Ok(transition.done())
}

/// Changes the priority. Step commands that were written before stay where they are, and are valid there.
pub(in crate::engine) fn prioritise(mut transition: Transition<'_>, priority: i16, audit: Audit) -> Result<Step, Halt> {
    admit::require_live(&transition.instance)?;
    if priority == transition.instance.priority {
        return Err(Refusal::SamePriority(priority).into());
    }
    let mut details = audit.details();
    details.insert("to".into(), json!(priority));
    let from = std::mem::replace(&mut transition.instance.priority, priority);
    details.insert("from".into(), json!(from));
    transition.record_whole(EntryKind::PriorityChanged, assign::details(details));
    Ok(transition.done())
}
