//! Opens a task: its expressions are evaluated once, and the values are kept in its row.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{self, Assign, AssignBy, Remind};
use crate::expression::{Data, Template};

use super::super::admit::Position;
use super::super::failure::Incomplete;
use super::super::transition::Transition;
use super::super::{
    Bookmark, BookmarkKind, Effect, EntryKind, Failure, Need, Phase, TaskTimer, TimerKind, Wait, WaitOn,
    assign as values,
};
use super::assign::{People, choose, compared};
use super::{FORM_MAX, Task, TaskId, TaskOutcome};

/// A title is cut above this many bytes: it is a line of a list.
const TITLE_MAX: usize = 500;
/// A description is cut above this many bytes.
const DESCRIPTION_MAX: usize = 16 * 1024;

impl<'a> Transition<'a> {
    /// Opens a task and waits for it.
    pub(in crate::engine) fn open_task(
        &mut self,
        position: Position<'a>,
        declared: &'a definition::Task,
        ranks: Option<Vec<(String, i64)>>,
    ) -> Result<(), Incomplete> {
        let scope = self.scope(position);
        let people = People::of(&scope, declared)?;
        let ranks = match (compared(&declared.assign, &position.activity.id, &people.choice), ranks) {
            (None, _) => Vec::new(),
            (Some(_), Some(ranks)) => ranks,
            (Some(assignment), None) => return Err(Need::Ranks(assignment).into()),
        };
        let assignee =
            choose(&declared.assign, &people.choice, &ranks, &self.instance, &position.activity.id, self.context);
        let limit = self.timeout_at(position)?;
        let mut task = self.task(position, declared, people)?;
        let timers = self.timers(position, declared, &task)?;

        task.assignee = assignee;
        let bookmark = self.bookmark(position, BookmarkKind::Task);
        let wait = self.open_wait(bookmark, WaitOn::Task);
        task.bookmark = wait.bookmark;
        task.id = TaskId::of(self.instance.id, wait.bookmark);
        if let (Assign::By { strategy: AssignBy::RoundRobin, .. }, Some(user)) = (&declared.assign, &task.assignee) {
            let activity = position.activity.id.clone();
            self.push(Effect::AdvanceRoundRobin { activity, user: user.clone() });
        }
        let mut waits = vec![wait];
        let timeout = limit.map(|due_at| (due_at, TimerKind::Timeout));
        for (due_at, kind) in timers.into_iter().chain(timeout) {
            waits.push(self.open_timer(position, due_at, kind));
        }
        let mut details = Map::new();
        details.insert("task".into(), json!(task.id));
        details.insert("users".into(), values::bounded(&json!(task.users)));
        details.insert("groups".into(), values::bounded(&json!(task.groups)));
        details.extend(task.assignee.as_ref().map(|user| ("assignee".into(), json!(user))));
        details.extend(task.due_at.map(|due_at| ("due_at".into(), json!(due_at))));
        details.extend(limit.map(|limit| ("timeout_at".into(), json!(limit))));
        self.record(EntryKind::TaskOpened, position, Value::Object(details));
        self.publish_task("task_opened", &task, Map::new());
        self.push(Effect::OpenTask(Box::new(task)));
        self.branch_mut(position).phase = Phase::Waiting(waits);
        Ok(())
    }

    /// Opens a timer of a task.
    pub(super) fn open_timer(&mut self, position: Position<'a>, due_at: Timestamp, kind: TimerKind) -> Wait {
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(position, BookmarkKind::Timer) };
        self.open_wait(bookmark, WaitOn::Timer(kind))
    }

    fn task(&self, position: Position<'a>, declared: &definition::Task, people: People) -> Result<Task, Failure> {
        let scope = self.scope(position);
        let text = |template: &Template| scope.text(template);
        let title = match declared.title.as_ref().or(position.activity.title.as_ref()) {
            Some(title) => text(title)?,
            None => position.activity.id.clone(),
        };
        let data = declared.data.as_ref().map_or(Ok(Value::Null), |data| scope.value(data))?;
        if values::size(&data) > FORM_MAX {
            let message = format!("the `data` of a task has more than {FORM_MAX} bytes");
            return Err(Failure::new("limit.data", message));
        }
        Ok(Task {
            // Both follow from the bookmark, which is opened after everything that can fail.
            id: TaskId(uuid::Uuid::nil()),
            bookmark: 0,
            revision: 0,
            activity: position.activity.id.clone(),
            title: cut(title, TITLE_MAX),
            description: declared.description.as_ref().map(text).transpose()?.map(|text| cut(text, DESCRIPTION_MAX)),
            data,
            labels: position.activity.labels.clone(),
            priority: self.priority(position, declared.priority.as_ref())?.unwrap_or(self.instance.priority),
            users: people.users,
            groups: people.groups,
            excluded: people.excluded,
            assignee: None,
            delegated_by: None,
            claim: None,
            decisions: declared.decisions.clone(),
            form: declared.form.as_ref().map(|form| form.document().clone()),
            draft: None,
            vote: !declared.vote.is_empty(),
            ballots: Vec::new(),
            due_at: declared.due.as_ref().map(|due| scope.due(due)).transpose()?.flatten(),
            opened_at: self.context.now,
            closed: None,
        })
    }

    pub(super) fn priority(&self, position: Position<'a>, declared: Option<&Data>) -> Result<Option<i16>, Failure> {
        let Some(data) = declared else { return Ok(None) };
        let value = self.scope(position).value(data)?;
        let priority = value.as_i64().and_then(|number| i16::try_from(number).ok());
        match (priority, value.is_null()) {
            (None, true) => Ok(None),
            (Some(priority), _) => Ok(Some(priority)),
            (None, false) => {
                let message = format!("`priority` must be a whole number from {} to {}", i16::MIN, i16::MAX);
                Err(Failure::new("expression", message))
            }
        }
    }

    /// The timers of a task except its timeout. A reminder in the past is left out; any other timer in the past fires at once.
    fn timers(
        &self,
        position: Position<'a>,
        declared: &definition::Task,
        task: &Task,
    ) -> Result<Vec<(Timestamp, TimerKind)>, Failure> {
        let scope = self.scope(position);
        let mut timers: Vec<_> =
            task.due_at.map(|due_at| (due_at, TimerKind::Task(TaskTimer::Overdue))).into_iter().collect();
        match &declared.remind {
            Remind::Never => {}
            Remind::At(moments) => {
                for (index, moment) in moments.iter().enumerate() {
                    let due_at = scope.time(moment)?;
                    if due_at > self.context.now {
                        timers.push((due_at, TimerKind::Task(TaskTimer::Reminder { index })));
                    }
                }
            }
            Remind::Every { every, .. } => {
                let due_at = scope.after(every)?;
                timers.push((due_at, TimerKind::Task(TaskTimer::Reminder { index: 0 })));
            }
        }
        for (index, escalation) in declared.escalate.iter().enumerate() {
            let due_at = scope.time(&escalation.after)?;
            timers.push((due_at, TimerKind::Task(TaskTimer::Escalation { index })));
        }
        Ok(timers)
    }

    /// Publishes an event about a task, if the definition has `events.task`.
    pub(super) fn publish_task(&mut self, name: &str, task: &Task, more: Map<String, Value>) {
        if !self.definition.events.task {
            return;
        }
        let mut data = Map::from_iter([
            ("task".to_owned(), json!(task.id)),
            ("activity".to_owned(), json!(task.activity)),
            ("title".to_owned(), json!(task.title)),
            ("priority".to_owned(), json!(task.priority)),
            ("assignee".to_owned(), json!(task.assignee)),
            ("users".to_owned(), json!(task.users)),
            ("groups".to_owned(), json!(task.groups)),
            ("due_at".to_owned(), json!(task.due_at)),
        ]);
        data.extend(self.instance.key.as_ref().map(|key| ("key".to_owned(), json!(key))));
        data.extend(more);
        self.publish(name, Value::Object(data));
    }
}

impl Transition<'_> {
    /// Publishes that a task was closed without a decision, for applications that show it.
    pub(in crate::engine) fn publish_task_closed(&mut self, id: TaskId, outcome: TaskOutcome) {
        if self.definition.events.task {
            let key = self.instance.key.clone();
            self.publish("task_closed", json!({ "task": id, "outcome": outcome.name(), "key": key }));
        }
    }
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push('…');
    }
    text
}
