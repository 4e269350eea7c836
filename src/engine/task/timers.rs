//! The timers of a task: reminders, overdue, escalation. The task stays open.

use serde_json::{Map, Value, json};

use crate::definition::{self, Escalation, Remind, Work};

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{Effect, EntryKind, Failure, Need, Phase, TaskTimer, TimerKind, Wait, WaitOn, scope};
use super::assign::names;
use super::{PEOPLE_MAX, Task, TaskId};

impl<'a> Transition<'a> {
    /// Fires a timer of a task other than its timeout.
    pub(in crate::engine) fn fire_task_timer(
        &mut self,
        position: Position<'a>,
        bookmark: i64,
        timer: TaskTimer,
        task: Option<Option<Task>>,
    ) -> Result<(), Incomplete> {
        let task = match task {
            None => return Err(self.needs_task(position)),
            Some(task) => task,
        };
        let (Some(task), Work::Task(declared)) = (task, &position.activity.work) else {
            return Err(Incomplete::Mismatch);
        };
        let waits = self.branch(position).waits();
        let due_at = waits.iter().find(|wait| wait.bookmark == bookmark).and_then(|wait| wait.due_at);
        self.push(Effect::Consume(bookmark));
        self.forget_wait(position, bookmark);
        match timer {
            TaskTimer::Overdue => {
                self.record(EntryKind::TaskOverdue, position, json!({ "task": task.id, "due_at": due_at }));
                self.publish_task("task_overdue", &task, Map::new());
            }
            TaskTimer::Reminder { index } => self.remind(position, declared, index, &task),
            TaskTimer::Escalation { index } => {
                let escalation = declared.escalate.get(index).ok_or(Incomplete::Mismatch)?;
                self.escalate(position, escalation, task);
            }
        }
        Ok(())
    }

    fn needs_task(&self, position: Position<'a>) -> Incomplete {
        let open = self.branch(position).waits().iter().find(|wait| wait.on == WaitOn::Task);
        open.map_or(Incomplete::Mismatch, |wait| Need::Task(TaskId::of(self.instance.id, wait.bookmark)).into())
    }

    fn remind(&mut self, position: Position<'a>, declared: &definition::Task, index: usize, task: &Task) {
        let number = index.saturating_add(1);
        self.record(EntryKind::TaskReminded, position, json!({ "task": task.id, "number": number }));
        let holder = task.holder(self.context.now).map(|claim| claim.by.clone());
        let more = Map::from_iter([("number".to_owned(), json!(number)), ("claimed_by".to_owned(), json!(holder))]);
        self.publish_task("task_reminded", task, more);
        if let Remind::Every { every, times } = &declared.remind
            && number < usize::try_from(*times).unwrap_or(usize::MAX)
            // It could be evaluated when the task was opened; a failure now must not end the task.
            && let Ok(due_at) = self.scope(position).after(every)
        {
            let wait = self.open_timer(position, due_at, TimerKind::Task(TaskTimer::Reminder { index: number }));
            self.add_wait(position, wait);
        }
    }

    /// Offers a task to more people. If its expressions fail, the task stays as it is.
    fn escalate(&mut self, position: Position<'a>, escalation: &Escalation, task: Task) {
        match self.widened(position, escalation, task.clone()) {
            Ok(task) => {
                let details = json!({
                    "task": task.id, "users": task.users, "groups": task.groups, "priority": task.priority,
                });
                self.record(EntryKind::TaskEscalated, position, super::super::assign::bounded(&details));
                self.publish_task("task_escalated", &task, Map::new());
                self.push(Effect::OfferTask(Box::new(task)));
            }
            Err(failure) => {
                let error = Value::Object(super::super::assign::brief(&failure));
                self.record(EntryKind::TaskEscalated, position, json!({ "task": task.id, "error": error }));
                self.publish_task("task_escalated", &task, Map::from_iter([("error".to_owned(), error)]));
            }
        }
    }

    fn widened(&self, position: Position<'a>, escalation: &Escalation, mut task: Task) -> Result<Task, Failure> {
        let scope = self.scope(position);
        let users = names(&scope, escalation.candidates.users.as_ref(), "users")?;
        let groups = names(&scope, escalation.candidates.groups.as_ref(), "groups")?;
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
            return Err(Failure::new(
                "limit.people",
                format!("a task has at most {PEOPLE_MAX} users and {PEOPLE_MAX} groups"),
            ));
        }
        if is_wider {
            // The assignment ends, because the assignee has not acted; a claim keeps its lease.
            (task.assignee, task.delegated_by) = (None, None);
        }
        task.priority = self.priority(position, escalation.priority.as_ref())?.unwrap_or(task.priority);
        Ok(task)
    }

    fn forget_wait(&mut self, position: Position<'a>, bookmark: i64) {
        match &mut self.branch_mut(position).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.retain(|wait| wait.bookmark != bookmark),
        }
    }

    fn add_wait(&mut self, position: Position<'a>, wait: Wait) {
        match &mut self.branch_mut(position).phase {
            Phase::Ready | Phase::Concluded(_) => {}
            Phase::Waiting(waits) => waits.push(wait),
        }
    }
}

impl scope::Scope<'_> {
    /// When a task is due; null is never.
    pub(in crate::engine) fn due(
        &self,
        template: &crate::expression::Template,
    ) -> Result<Option<jiff::Timestamp>, Failure> {
        if self.is_null(template)? { Ok(None) } else { self.time(template).map(Some) }
    }

    /// A time, or a duration from now.
    pub(in crate::engine) fn time(&self, template: &crate::expression::Template) -> Result<jiff::Timestamp, Failure> {
        self.after(template).or_else(|failure| self.moment(template).map_err(|_| failure))
    }
}
