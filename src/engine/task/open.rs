//! Opening a task: everything its definition says is evaluated now, and stands in the task's own row from then on.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{self, Assign, AssignBy, Remind};
use crate::expression::{Data, Template};

use super::super::admit::Stand;
use super::super::fault::Stop;
use super::super::turn::Turn;
use super::super::{Bookmark, BookmarkKind, Effect, EntryKind, Facts, Failure, Phase, Wait, WaitOn, assign as values};
use super::assign::{People, choose, comparing};
use super::{FORM_MAX, Task, TaskId, TaskOutcome};

/// A title is cut above this many bytes: it is a line of a list.
const TITLE_MAX: usize = 500;
/// A description is cut above this many bytes.
const DESCRIPTION_MAX: usize = 16 * 1024;

impl<'a> Turn<'a> {
    /// Opens a task and waits for it.
    pub(in crate::engine) fn open_task(
        &mut self,
        stand: Stand<'a>,
        asked: &'a definition::Task,
        facts: Facts,
    ) -> Result<(), Stop> {
        let sight = self.sight(stand);
        let people = People::of(&sight, asked)?;
        let compares = comparing(&asked.assign).is_some() && !people.choice.is_empty();
        let standing = if compares { facts.standing.ok_or(Stop::Missing)? } else { Vec::new() };
        let by = (&self.instance, stand.activity.id.as_str(), self.context.chance);
        let assignee = choose(&asked.assign, &people.choice, &standing, by);
        let limit = self.limit(stand)?;
        let mut task = self.task(stand, asked, people)?;
        let timers = self.timers(stand, asked, &task)?;

        task.assignee = assignee;
        let bookmark = self.bookmark(stand, BookmarkKind::Task);
        let wait = self.open_wait(bookmark, WaitOn::Task);
        task.bookmark = wait.bookmark;
        task.id = TaskId::of(self.instance.id, wait.bookmark);
        if let (Assign::By { strategy: AssignBy::RoundRobin, .. }, Some(user)) = (&asked.assign, &task.assignee) {
            let activity = stand.activity.id.clone();
            self.push(Effect::TakeTurn { activity, user: user.clone() });
        }
        let mut waits = vec![wait];
        let timeout = limit.map(|due_at| (due_at, WaitOn::Timeout { due_at }));
        for (due_at, on) in timers.into_iter().chain(timeout) {
            waits.push(self.open_timer(stand, due_at, on));
        }
        let mut details = Map::new();
        details.insert("task".into(), json!(task.id));
        details.insert("users".into(), values::bounded(&json!(task.users)));
        details.insert("groups".into(), values::bounded(&json!(task.groups)));
        details.extend(task.assignee.as_ref().map(|user| ("assignee".into(), json!(user))));
        details.extend(task.due_at.map(|due_at| ("due_at".into(), json!(due_at))));
        details.extend(limit.map(|limit| ("timeout_at".into(), json!(limit))));
        self.record(EntryKind::TaskOpened, stand, Value::Object(details));
        self.tell_of_task("task_opened", &task, Map::new());
        self.push(Effect::OpenTask(Box::new(task)));
        self.branch_mut(stand).phase = Phase::Waiting(waits);
        Ok(())
    }

    /// Opens a timer of a task.
    pub(super) fn open_timer(&mut self, stand: Stand<'a>, due_at: Timestamp, on: WaitOn) -> Wait {
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(stand, BookmarkKind::Timer) };
        self.open_wait(bookmark, on)
    }

    fn task(&self, stand: Stand<'a>, asked: &definition::Task, people: People) -> Result<Task, Failure> {
        let sight = self.sight(stand);
        let text = |template: &Template| sight.text(template);
        let title = match asked.title.as_ref().or(stand.activity.title.as_ref()) {
            Some(title) => text(title)?,
            None => stand.activity.id.clone(),
        };
        let data = asked.data.as_ref().map_or(Ok(Value::Null), |data| sight.value(data))?;
        if values::size(&data) > FORM_MAX {
            let message = format!("the `data` of a task has more than {FORM_MAX} bytes");
            return Err(Failure::new("limit.data", message));
        }
        Ok(Task {
            // Both follow from the bookmark, which is opened when nothing can fail any more.
            id: TaskId(uuid::Uuid::nil()),
            bookmark: 0,
            revision: 0,
            activity: stand.activity.id.clone(),
            title: cut(title, TITLE_MAX),
            description: asked.description.as_ref().map(text).transpose()?.map(|text| cut(text, DESCRIPTION_MAX)),
            data,
            labels: stand.activity.labels.clone(),
            priority: self.priority(stand, asked.priority.as_ref())?.unwrap_or(self.instance.priority),
            users: people.users,
            groups: people.groups,
            excluded: people.excluded,
            assignee: None,
            delegated_by: None,
            claim: None,
            decisions: asked.decisions.clone(),
            form: asked.form.as_ref().map(|form| form.document().clone()),
            draft: None,
            vote: !asked.vote.is_empty(),
            ballots: Vec::new(),
            due_at: asked.due.as_ref().map(|due| sight.time(due)).transpose()?,
            opened_at: self.context.now,
            closed: None,
        })
    }

    pub(super) fn priority(&self, stand: Stand<'a>, asked: Option<&Data>) -> Result<Option<i16>, Failure> {
        let Some(data) = asked else { return Ok(None) };
        let value = self.sight(stand).value(data)?;
        let priority = value.as_i64().and_then(|number| i16::try_from(number).ok());
        match (priority, value.is_null()) {
            (None, true) => Ok(None),
            (Some(priority), _) => Ok(Some(priority)),
            (None, false) => {
                let message = format!("`priority` gives no whole number from {} to {}", i16::MIN, i16::MAX);
                Err(Failure::new("expression", message))
            }
        }
    }

    /// The timers of a task but for its timeout. What has passed is no reminder any more; what is due is due at once.
    fn timers(
        &self,
        stand: Stand<'a>,
        asked: &definition::Task,
        task: &Task,
    ) -> Result<Vec<(Timestamp, WaitOn)>, Failure> {
        let sight = self.sight(stand);
        let mut timers: Vec<_> = task.due_at.map(|due_at| (due_at, WaitOn::Due { due_at })).into_iter().collect();
        match &asked.remind {
            Remind::Never => {}
            Remind::At(moments) => {
                for (index, moment) in moments.iter().enumerate() {
                    let due_at = sight.time(moment)?;
                    if due_at > self.context.now {
                        timers.push((due_at, WaitOn::Remind { due_at, index }));
                    }
                }
            }
            Remind::Every { every, .. } => {
                let due_at = sight.after(every)?;
                timers.push((due_at, WaitOn::Remind { due_at, index: 0 }));
            }
        }
        for (index, escalation) in asked.escalate.iter().enumerate() {
            let due_at = sight.time(&escalation.after)?;
            timers.push((due_at, WaitOn::Escalate { due_at, index }));
        }
        Ok(timers)
    }

    /// Publishes what became of a task, if its definition wants that told.
    pub(super) fn tell_of_task(&mut self, name: &str, task: &Task, more: Map<String, Value>) {
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

impl Turn<'_> {
    /// Publishes that nobody waits for a task any more, for those who show it somewhere.
    pub(in crate::engine) fn tell_of_end(&mut self, id: TaskId, outcome: TaskOutcome) {
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
