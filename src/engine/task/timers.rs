//! What a task's timers do: remind, say that it is overdue, offer it to more people. The task goes on waiting.

use serde_json::{Map, Value, json};

use crate::definition::{self, Escalation, Remind, Work};

use super::super::admit::Stand;
use super::super::fault::Stop;
use super::super::turn::Turn;
use super::super::{Effect, EntryKind, Failure, Phase, Wait, WaitOn, scope};
use super::assign::names;
use super::{PEOPLE_MAX, Task};

impl<'a> Turn<'a> {
    /// Fires a timer of a task that is none of its ends.
    pub(in crate::engine) fn fire_for_task(
        &mut self,
        stand: Stand<'a>,
        bookmark: i64,
        on: &WaitOn,
        task: Option<Task>,
    ) -> Result<(), Stop> {
        let (Some(task), Work::Task(asked)) = (task, &stand.activity.work) else { return Err(Stop::Missing) };
        self.push(Effect::Consume(bookmark));
        self.forget_wait(stand, bookmark);
        match on {
            WaitOn::Due { due_at } => {
                self.record(EntryKind::TaskOverdue, stand, json!({ "task": task.id, "due_at": due_at }));
                self.tell_of_task("task_overdue", &task, Map::new());
            }
            WaitOn::Remind { index, .. } => self.remind(stand, asked, *index, &task),
            WaitOn::Escalate { index, .. } => {
                let escalation = asked.escalate.get(*index).ok_or(Stop::Missing)?;
                self.escalate(stand, escalation, task);
            }
            WaitOn::Task
            | WaitOn::Timer { .. }
            | WaitOn::Timeout { .. }
            | WaitOn::Retry { .. }
            | WaitOn::Message { .. }
            | WaitOn::Intervention { .. }
            | WaitOn::Call { .. } => return Err(Stop::Missing),
        }
        Ok(())
    }

    fn remind(&mut self, stand: Stand<'a>, asked: &definition::Task, index: usize, task: &Task) {
        let number = index.saturating_add(1);
        self.record(EntryKind::TaskReminded, stand, json!({ "task": task.id, "number": number }));
        let holder = task.holder(self.context.now).map(|claim| claim.by.clone());
        let more = Map::from_iter([("number".to_owned(), json!(number)), ("claimed_by".to_owned(), json!(holder))]);
        self.tell_of_task("task_reminded", task, more);
        if let Remind::Every { every, times } = &asked.remind
            && number < usize::try_from(*times).unwrap_or(usize::MAX)
            // It could be told when the task was opened; what has changed since must not take the task away.
            && let Ok(due_at) = self.sight(stand).after(every)
        {
            let wait = self.open_timer(stand, due_at, WaitOn::Remind { due_at, index: number });
            self.add_wait(stand, wait);
        }
    }

    /// Offers a task to more people. One that fails leaves it as it is: it still waits for those it was offered to.
    fn escalate(&mut self, stand: Stand<'a>, escalation: &Escalation, task: Task) {
        match self.widened(stand, escalation, task.clone()) {
            Ok(task) => {
                let details = json!({
                    "task": task.id, "users": task.users, "groups": task.groups, "priority": task.priority,
                });
                self.record(EntryKind::TaskEscalated, stand, super::super::assign::bounded(&details));
                self.tell_of_task("task_escalated", &task, Map::new());
                self.push(Effect::OfferTask(Box::new(task)));
            }
            Err(failure) => {
                let error = Value::Object(super::super::assign::brief(&failure));
                self.record(EntryKind::TaskEscalated, stand, json!({ "task": task.id, "error": error }));
                self.tell_of_task("task_escalated", &task, Map::from_iter([("error".to_owned(), error)]));
            }
        }
    }

    fn widened(&self, stand: Stand<'a>, escalation: &Escalation, mut task: Task) -> Result<Task, Failure> {
        let sight = self.sight(stand);
        let users = names(&sight, escalation.candidates.users.as_ref(), "users")?;
        let groups = names(&sight, escalation.candidates.groups.as_ref(), "groups")?;
        let is_wider = !users.is_empty() || !groups.is_empty();
        for user in users {
            if !task.users.contains(&user) && !task.excluded.contains(&user) {
                task.users.push(user);
            }
        }
        for group in groups {
            if !task.groups.contains(&group) {
                task.groups.push(group);
            }
        }
        if task.users.len() > PEOPLE_MAX || task.groups.len() > PEOPLE_MAX {
            return Err(Failure::new("limit.people", format!("a task names at most {PEOPLE_MAX}")));
        }
        if is_wider {
            // Whoever had it to themselves let it lie; a claim keeps its lease.
            (task.assignee, task.delegated_by) = (None, None);
        }
        task.priority = self.priority(stand, escalation.priority.as_ref())?.unwrap_or(task.priority);
        Ok(task)
    }

    fn forget_wait(&mut self, stand: Stand<'a>, bookmark: i64) {
        match &mut self.branch_mut(stand).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.retain(|wait| wait.bookmark != bookmark),
        }
    }

    fn add_wait(&mut self, stand: Stand<'a>, wait: Wait) {
        match &mut self.branch_mut(stand).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.push(wait),
        }
    }
}

impl scope::Sight<'_> {
    /// A moment, or the moment so long after now.
    pub(in crate::engine) fn time(&self, template: &crate::expression::Template) -> Result<jiff::Timestamp, Failure> {
        self.after(template).or_else(|failure| self.moment(template).map_err(|_| failure))
    }
}
