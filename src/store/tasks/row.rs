//! Conversion between a task of the engine and its row.

use diesel::prelude::*;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::super::Error;
use super::super::json::Document;
use super::super::moment::Moment;
use super::super::schema::leveret::tasks;
use crate::engine::{Claim, Closed, Instance, Task, TaskId, TaskOutcome};

/// All columns of the engine's task.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = tasks)]
pub(super) struct TaskRow {
    pub(super) id: Uuid,
    pub(super) instance_id: Uuid,
    pub(super) bookmark: i64,
    pub(super) definition: String,
    pub(super) activity: String,
    pub(super) instance_key: Option<String>,
    pub(super) revision: i64,
    pub(super) open: bool,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) data: Document,
    pub(super) labels: Document,
    pub(super) priority: i16,
    pub(super) users: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) excluded: Vec<String>,
    pub(super) assignee: Option<String>,
    pub(super) delegated_by: Option<String>,
    pub(super) claimed_by: Option<String>,
    pub(super) lease_until: Option<Moment>,
    pub(super) decisions: Document,
    pub(super) form: Option<Document>,
    pub(super) draft: Option<Document>,
    pub(super) vote: bool,
    pub(super) ballots: Document,
    pub(super) due_at: Option<Moment>,
    pub(super) opened_at: Moment,
    pub(super) closed_at: Option<Moment>,
    pub(super) outcome: Option<String>,
    pub(super) completed_by: Option<String>,
    pub(super) result: Option<Document>,
}

impl TaskRow {
    pub(super) fn of(instance: &Instance, task: &Task) -> Result<TaskRow, Error> {
        Ok(TaskRow {
            id: task.id.0,
            instance_id: instance.id.0,
            bookmark: task.bookmark,
            definition: instance.definition.clone(),
            activity: task.activity.clone(),
            instance_key: instance.key.clone(),
            revision: task.revision + 1,
            open: true,
            title: task.title.clone(),
            description: task.description.clone(),
            data: Document(task.data.clone()),
            labels: Document::of(&task.labels)?,
            priority: task.priority,
            users: task.users.clone(),
            groups: task.groups.clone(),
            excluded: task.excluded.clone(),
            assignee: task.assignee.clone(),
            delegated_by: task.delegated_by.clone(),
            claimed_by: task.claim.as_ref().map(|claim| claim.by.clone()),
            lease_until: task.claim.as_ref().map(|claim| Moment(claim.until)),
            decisions: Document::of(&task.decisions)?,
            form: task.form.clone().map(Document),
            draft: task.draft.clone().map(Document),
            vote: task.vote,
            ballots: Document::of(&task.ballots)?,
            due_at: task.due_at.map(Moment),
            opened_at: Moment(task.opened_at),
            closed_at: None,
            outcome: None,
            completed_by: None,
            result: None,
        })
    }

    pub(super) fn task(self) -> Result<Task, Error> {
        let unreadable = |what: &str| Error::Bug(format!("task {} has {what} that this binary cannot read", self.id));
        let closed = match &self.outcome {
            None => None,
            Some(outcome) => Some(Closed {
                outcome: TaskOutcome::parse(outcome).ok_or_else(|| unreadable("an outcome"))?,
                by: self.completed_by.clone(),
                result: self.result.clone().map(Value::from).unwrap_or_default(),
                ballots: Vec::new(),
            }),
        };
        Ok(Task {
            id: TaskId(self.id),
            revision: self.revision,
            bookmark: self.bookmark,
            labels: self.labels.read().ok_or_else(|| unreadable("labels"))?,
            decisions: self.decisions.read().ok_or_else(|| unreadable("decisions"))?,
            ballots: self.ballots.read().ok_or_else(|| unreadable("ballots"))?,
            activity: self.activity,
            title: self.title,
            description: self.description,
            data: self.data.0,
            priority: self.priority,
            users: self.users,
            groups: self.groups,
            excluded: self.excluded,
            assignee: self.assignee,
            delegated_by: self.delegated_by,
            claim: self.claimed_by.zip(self.lease_until).map(|(by, until)| Claim { by, until: until.0 }),
            form: self.form.map(Value::from),
            draft: self.draft.map(Value::from),
            vote: self.vote,
            due_at: self.due_at.map(Timestamp::from),
            opened_at: self.opened_at.0,
            closed,
        })
    }
}
