//! Claims and assignments of a task: claim, release, reassign, delegate.

use serde_json::{Map, Value, json};

use crate::contract::NAME_MAX;

use super::super::admit::Position;
use super::super::transition::Transition;
use super::super::{Effect, EntryKind, Refusal, assign as values, scope};
use super::act::TaskAction;
use super::{Claim, Task, TaskRefusal};

impl<'a> Transition<'a> {
    pub(super) fn claim(&mut self, action: TaskAction<'a>, lease_for: std::time::Duration) -> Result<(), Refusal> {
        let TaskAction { position, mut task, user, .. } = action;
        let now = self.context.now;
        let until = scope::later(now, lease_for)
            .ok_or_else(|| TaskRefusal::Form(vec!["the lease ends after the year 9999".into()]))?;
        let renewed = task.holder(now).is_some();
        // The history names the user whose lease expired.
        let lapsed = task.claim.take().filter(|before| before.until <= now && before.by != user);
        if !renewed {
            let mut details = Map::from_iter([
                ("task".to_owned(), json!(task.id)),
                ("by".to_owned(), json!(user)),
                ("until".to_owned(), json!(until)),
            ]);
            details.extend(lapsed.map(|before| ("lapsed".to_owned(), json!(before.by))));
            self.record(EntryKind::TaskClaimed, position, Value::Object(details));
        }
        task.claim = Some(Claim { by: user, until });
        self.push(Effect::ChangeTask(Box::new(task)));
        Ok(())
    }

    /// Releases a task: a delegated task returns to the user who delegated it, any other to all candidates.
    pub(super) fn release(&mut self, action: TaskAction<'a>) {
        let TaskAction { position, mut task, user, .. } = action;
        if task.claim.as_ref().is_some_and(|claim| claim.by == user) {
            task.claim = None;
        }
        let was_assigned = task.assignee.as_ref() == Some(&user);
        if was_assigned {
            task.assignee = task.delegated_by.take();
        }
        self.record(
            EntryKind::TaskReleased,
            position,
            json!({ "task": task.id, "by": user, "assignee": task.assignee }),
        );
        if was_assigned {
            self.publish_task("task_assigned", &task, Map::from_iter([("by".to_owned(), json!(user))]));
            self.push(Effect::OfferTask(Box::new(task)));
        } else {
            self.push(Effect::ChangeTask(Box::new(task)));
        }
    }

    pub(super) fn reassign(
        &mut self,
        action: TaskAction<'a>,
        to: Option<String>,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        let TaskAction { position, mut task, user, .. } = action;
        if let Some(to) = &to {
            may_receive(&task, to)?;
        }
        let from = std::mem::replace(&mut task.assignee, to);
        (task.claim, task.delegated_by) = (None, None);
        self.record_assignment(position, EntryKind::TaskReassigned, task, &user, from, comment);
        Ok(())
    }

    pub(super) fn delegate(
        &mut self,
        action: TaskAction<'a>,
        to: String,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        let TaskAction { position, mut task, user, .. } = action;
        may_receive(&task, &to)?;
        if to == user {
            return Err(TaskRefusal::Decision(format!("`{user}` cannot delegate to themselves")).into());
        }
        let from = task.assignee.replace(to);
        task.claim = None;
        task.delegated_by = Some(user.clone());
        self.record_assignment(position, EntryKind::TaskDelegated, task, &user, from, comment);
        Ok(())
    }

    fn record_assignment(
        &mut self,
        position: Position<'a>,
        kind: EntryKind,
        task: Task,
        by: &str,
        from: Option<String>,
        comment: Option<String>,
    ) {
        let mut details = Map::from_iter([
            ("task".to_owned(), json!(task.id)),
            ("by".to_owned(), json!(by)),
            ("to".to_owned(), json!(task.assignee)),
        ]);
        details.extend(from.map(|from| ("from".to_owned(), json!(from))));
        details.extend(comment.map(|comment| ("comment".to_owned(), values::bounded(&json!(comment)))));
        self.record(kind, position, Value::Object(details));
        self.publish_task("task_assigned", &task, Map::from_iter([("by".to_owned(), json!(by))]));
        self.push(Effect::OfferTask(Box::new(task)));
    }
}

/// A new assignee need not be a candidate, but must not be excluded.
fn may_receive(task: &Task, to: &str) -> Result<(), Refusal> {
    if to.is_empty() || to.len() > NAME_MAX {
        return Err(TaskRefusal::NotCandidate(to.chars().take(60).collect()).into());
    }
    if task.excluded.iter().any(|excluded| excluded == to) {
        return Err(TaskRefusal::Excluded(to.to_owned()).into());
    }
    Ok(())
}
