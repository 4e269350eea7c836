//! Tasks: written with the commit of their instance, and locked while a person acts on them.

use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::json::Json;
use super::moment::Moment;
use super::schema::functions::clock_timestamp;
use super::schema::leveret::{task_candidates, tasks};
use super::sql::Sql;
use super::{Connection, Error, refuse_unfit};
use crate::engine::{Closed, Instance, InstanceId, Task, TaskId};

mod choose;
mod filter;
mod inbox;
mod page;
mod row;
mod show;

pub use super::locks::lock_assignment;
pub use choose::{claim_next, standing};
pub use filter::{After, Filter, Order};
pub use inbox::{COUNT_MAX, count, explain, list, place};
use row::TaskRow;
pub use show::{page, view};

/// One change of a task in a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskWrite {
    /// A task is opened.
    Open(Box<Task>),
    /// A task changes; it must be open and have the revision it was loaded with.
    Change(Box<Task>),
    /// The same, and with it the inboxes it is in, or their order.
    Offer(Box<Task>),
    /// A task is closed; it must be open.
    Close(TaskId, Closed),
    /// A user goes to the end of the round robin of an activity.
    RoundRobin {
        /// The activity.
        activity: String,
        /// The user.
        user: String,
    },
}

impl TaskWrite {
    /// Checks that PostgreSQL can store it.
    pub(super) fn refuse_what_cannot_be_kept(&self) -> Result<(), Error> {
        let refuse = |value: &Value| {
            refuse_unfit(value).map_err(|problem| Error::Bug(format!("a task cannot be stored: {problem}")))
        };
        match self {
            TaskWrite::Open(task) | TaskWrite::Change(task) | TaskWrite::Offer(task) => {
                let texts = [&task.users, &task.groups, &task.excluded].into_iter().flatten();
                let texts = texts.chain([&task.title]).chain(&task.description).chain(&task.assignee);
                texts.map(|text| Value::String(text.clone())).try_for_each(|text| refuse(&text))?;
                [Some(&task.data), task.draft.as_ref(), task.form.as_ref()].into_iter().flatten().try_for_each(refuse)
            }
            TaskWrite::Close(_, closed) => refuse(&closed.result),
            TaskWrite::RoundRobin { user, .. } => refuse(&Value::String(user.clone())),
        }
    }
}

/// Writes the changes of tasks of a commit, after the row of the instance; false if a task was not as it had been loaded.
pub(super) async fn write(conn: &mut Connection, instance: &Instance, writes: &[TaskWrite]) -> Result<bool, Error> {
    for one in writes {
        let whole = match one {
            TaskWrite::Open(task) => open(conn, instance, task).await?,
            TaskWrite::Change(task) => change(conn, task).await?,
            TaskWrite::Offer(task) => change(conn, task).await? && offer_again(conn, instance, task).await?,
            TaskWrite::Close(id, closed) => close(conn, *id, closed).await?,
            TaskWrite::RoundRobin { activity, user } => {
                choose::take_turn(conn, &instance.definition, activity, user).await?
            }
        };
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn open(conn: &mut Connection, instance: &Instance, task: &Task) -> Result<bool, Error> {
    let row = TaskRow::of(instance, task)?;
    diesel::insert_into(tasks::table).values(row).execute(conn).await?;
    offer(conn, instance, task).await
}

async fn change(conn: &mut Connection, task: &Task) -> Result<bool, Error> {
    let claim = task.claim.as_ref();
    let changed = diesel::update(tasks::table.find(task.id.0))
        .filter(tasks::open.and(tasks::revision.eq(task.revision)))
        .set((
            tasks::revision.eq(task.revision + 1),
            tasks::priority.eq(task.priority),
            tasks::users.eq(&task.users),
            tasks::groups.eq(&task.groups),
            tasks::assignee.eq(&task.assignee),
            tasks::delegated_by.eq(&task.delegated_by),
            tasks::claimed_by.eq(claim.map(|claim| claim.by.as_str())),
            tasks::lease_until.eq(claim.map(|claim| Moment(claim.until))),
            tasks::draft.eq(task.draft.as_ref().map(Json)),
            tasks::ballots.eq(Json(&task.ballots)),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

async fn close(conn: &mut Connection, id: TaskId, closed: &Closed) -> Result<bool, Error> {
    diesel::delete(task_candidates::table.filter(task_candidates::task_id.eq(id.0))).execute(conn).await?;
    let result = (!closed.result.is_null()).then_some(Json(&closed.result));
    let ballots = (!closed.ballots.is_empty()).then_some(Json(&closed.ballots));
    let open = tasks::table.find(id.0).filter(tasks::open);
    let closing = (
        tasks::open.eq(false),
        tasks::revision.eq(tasks::revision + 1),
        tasks::closed_at.eq(clock_timestamp().nullable()),
        tasks::outcome.eq(closed.outcome.name()),
        tasks::completed_by.eq(&closed.by),
        tasks::result.eq(result),
    );
    let changed = match ballots {
        Some(ballots) => diesel::update(open).set((closing, tasks::ballots.eq(ballots))).execute(conn).await?,
        None => diesel::update(open).set(closing).execute(conn).await?,
    };
    Ok(changed == 1)
}

async fn offer_again(conn: &mut Connection, instance: &Instance, task: &Task) -> Result<bool, Error> {
    diesel::delete(task_candidates::table.filter(task_candidates::task_id.eq(task.id.0))).execute(conn).await?;
    offer(conn, instance, task).await
}

async fn offer(conn: &mut Connection, instance: &Instance, task: &Task) -> Result<bool, Error> {
    let candidates = offered_to(task);
    let count = candidates.len();
    let (opened_at, due_at) = (Moment(task.opened_at), task.due_at.map(Moment));
    let offer = Offer::bind((task.id.0, &instance.definition, task.priority, opened_at, due_at, candidates));
    Ok(offer.execute(conn).await? == count)
}

/// In whose inboxes a task is: only that of the assignee, or those of everybody who may still act on it.
fn offered_to(task: &Task) -> Vec<String> {
    if let Some(assignee) = &task.assignee {
        return vec![filter::user(assignee)];
    }
    let has_voted = |user: &&String| task.vote && task.ballots.iter().any(|ballot| ballot.user == **user);
    let users = task.users.iter().filter(|user| !has_voted(user)).map(|user| filter::user(user));
    users.chain(task.groups.iter().map(|group| filter::group(group))).collect()
}

struct Offer;

impl Sql for Offer {
    type Binds = (SqlUuid, Text, SmallInt, Timestamptz, Nullable<Timestamptz>, Array<Text>);
    type Row = ();
    const TEXT: &'static str = "
        INSERT INTO leveret.task_candidates (task_id, definition, priority, opened_at, due_at, candidate)
        SELECT $1, $2, $3, $4, $5, unnest($6)";
}

/// The instance of a task, and the bookmark with which it waits.
pub async fn find_instance(conn: &mut Connection, id: TaskId) -> Result<Option<(InstanceId, i64)>, Error> {
    let row = tasks::table.find(id.0).select((tasks::instance_id, tasks::bookmark));
    let found: Option<(Uuid, i64)> = row.first(conn).await.optional()?;
    Ok(found.map(|(instance, bookmark)| (InstanceId(instance), bookmark)))
}

/// Reads a task and locks it against writes until the transaction ends. Its instance must be locked already.
///
/// # Errors
/// `Busy` if the lock timeout expires.
pub async fn lock(conn: &mut Connection, id: TaskId) -> Result<Option<Task>, Error> {
    let row: Option<TaskRow> =
        tasks::table.find(id.0).for_no_key_update().select(TaskRow::as_select()).first(conn).await.optional()?;
    row.map(TaskRow::task).transpose()
}
