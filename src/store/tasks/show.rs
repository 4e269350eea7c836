//! Tasks in the form of the API.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;

use super::super::moment::Moment;
use super::super::schema::functions::clock_timestamp;
use super::super::schema::leveret::tasks;
use super::super::{Connection, Error};
use super::TaskRow;
use super::filter::Filter;
use super::inbox;
use crate::contract::api::{Page, TaskSummary, TaskView};
use crate::engine::{TaskId, counted};

/// A page of tasks.
pub async fn page(conn: &mut Connection, filter: &Filter) -> Result<Page<TaskSummary>, Error> {
    let items = inbox::list(conn, filter).await?;
    let cursor = |last: &TaskSummary| inbox::place(filter, last).to_string();
    Ok(Page::of(items, filter.limit, cursor, |item| item))
}

/// One task with all details.
pub async fn view(conn: &mut Connection, id: TaskId) -> Result<Option<TaskView>, Error> {
    let found: Option<(TaskRow, Moment)> =
        tasks::table.find(id.0).select((TaskRow::as_select(), clock_timestamp())).first(conn).await.optional()?;
    let Some((row, now)) = found else { return Ok(None) };
    let task = row.clone().task()?;
    let holder = task.holder(now.0).filter(|_| task.closed.is_none()).cloned();
    let (claimed_by, lease_until) = holder.map(|claim| (claim.by, claim.until)).unzip();
    Ok(Some(TaskView {
        votes: task.vote.then(|| counted(&task)),
        ballots: row.vote.then_some(row.ballots.0),
        summary: TaskSummary {
            id: row.id,
            instance: row.instance_id,
            key: row.instance_key,
            definition: row.definition,
            activity: row.activity,
            revision: row.revision,
            title: row.title,
            priority: row.priority,
            state: inbox::state(row.outcome),
            assignee: row.assignee,
            claimed_by,
            lease_until,
            vote: row.vote,
            due_at: row.due_at.map(Timestamp::from),
            opened_at: row.opened_at.0,
            closed_at: row.closed_at.map(Timestamp::from),
            completed_by: row.completed_by,
        },
        description: row.description,
        data: row.data.0,
        labels: row.labels.0,
        users: row.users,
        groups: row.groups,
        excluded: row.excluded,
        delegated_by: row.delegated_by,
        decisions: row.decisions.0,
        form: row.form.map(Value::from),
        draft: row.draft.map(Value::from),
        result: row.result.map(Value::from),
    }))
}
