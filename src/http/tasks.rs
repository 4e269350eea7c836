//! Tasks: inboxes, and what people do with what they find there. Who acts is said by the caller.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Door;
use super::problem::Problem;
use super::request::{self, About, Body, Id};
use crate::contract::api::{
    Page, TaskAssignRequest, TaskClaimRequest, TaskCompleteRequest, TaskCount, TaskDraftRequest, TaskNextRequest,
    TaskReleaseRequest, TaskSummary, TaskView,
};
use crate::engine::{Act, InstanceId, PEOPLE_MAX, Person, TaskId};
use crate::step::{self, Tasked};
use crate::store::tasks::{self, After, Filter, Order};
use crate::time::duration;

/// Rows of a page: when nothing is said, and at most.
const PAGE: (i64, i64) = (50, 500);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    user: Option<String>,
    groups: Option<String>,
    state: Option<String>,
    definition: Option<String>,
    instance: Option<Uuid>,
    priority: Option<i16>,
    due_before: Option<Timestamp>,
    order: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

impl ListQuery {
    fn filter(self) -> Result<Filter, Problem> {
        let limit = self.limit.unwrap_or(PAGE.0);
        if !(1..=PAGE.1).contains(&limit) {
            return Err(Problem::invalid(format!("`limit` must be from 1 to {}", PAGE.1)));
        }
        let closed = match self.state.as_deref() {
            None | Some("open") => false,
            Some("closed") => true,
            Some(other) => {
                let other = request::shorten(other);
                return Err(Problem::invalid(format!("`{other}` is no state; there are open and closed")));
            }
        };
        let order = match self.order.as_deref() {
            None | Some("priority") => Order::Priority,
            Some("due") => Order::Due,
            Some(other) => {
                let other = request::shorten(other);
                return Err(Problem::invalid(format!("`{other}` is no order; there are priority and due")));
            }
        };
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(
                After::parse(cursor).ok_or_else(|| Problem::invalid("`cursor` is not the `next` of a page before"))?,
            ),
        };
        let groups = self.groups.iter().flat_map(|groups| groups.split(',')).map(str::trim);
        let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned).collect();
        let user = self.user.unwrap_or_default();
        if !user.is_empty() {
            request::bounded("user", &user)?;
        }
        Ok(Filter {
            person: bounded(Person { user, groups })?,
            closed,
            definition: self.definition,
            instance: self.instance.map(InstanceId),
            priority: self.priority,
            due_before: self.due_before,
            order,
            after,
            limit,
        })
    }
}

pub(super) async fn list(
    State(door): State<Door>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page<TaskSummary>>, Problem> {
    let Query(query) = query?;
    let filter = query.filter()?;
    let mut conn = door.app.store.background().await?;
    Ok(Json(tasks::page(&mut conn, &filter).await?))
}

pub(super) async fn count(
    State(door): State<Door>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<TaskCount>, Problem> {
    let Query(query) = query?;
    let filter = query.filter()?;
    let mut conn = door.app.store.background().await?;
    Ok(Json(tasks::count(&mut conn, &filter).await?))
}

pub(super) async fn get(State(door): State<Door>, Id(id): Id) -> Result<Response, Problem> {
    Ok(tagged(view(&door, TaskId(id)).await?))
}

fn tagged(view: TaskView) -> Response {
    (request::etag(view.summary.revision), Json(view)).into_response()
}

async fn view(door: &Door, id: TaskId) -> Result<TaskView, Problem> {
    let mut conn = door.app.store.background().await?;
    tasks::view(&mut conn, id).await?.ok_or_else(|| Problem::not_found(format!("there is no task {id}")))
}

/// A task with its revision as `ETag`.
pub(super) async fn complete(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskCompleteRequest = about.body()?;
    let act = Act::Complete { decision: request.decision, form: request.form, comment: request.comment };
    self::act(&door, &about, "complete", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn claim(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskClaimRequest = about.body()?;
    let act = Act::Claim { lease_for: lease(&door, request.lease.as_deref())? };
    self::act(&door, &about, "claim", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn extend(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskClaimRequest = about.body()?;
    let act = Act::Extend { lease_for: lease(&door, request.lease.as_deref())? };
    self::act(&door, &about, "extend", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn release(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskReleaseRequest = about.body()?;
    let person = person(request.user, request.groups)?;
    self::act(&door, &about, "release", (person, Act::Release)).await
}

pub(super) async fn reassign(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskAssignRequest = about.body()?;
    request.to.as_deref().map_or(Ok(()), |to| request::bounded("to", to))?;
    let act = Act::Reassign { to: request.to, comment: request.comment };
    self::act(&door, &about, "reassign", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn delegate(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskAssignRequest = about.body()?;
    let to = request.to.ok_or_else(|| Problem::invalid("`to` is missing: it says whom the task is delegated to"))?;
    request::bounded("to", &to)?;
    let act = Act::Delegate { to, comment: request.comment };
    self::act(&door, &about, "delegate", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn draft(State(door): State<Door>, about: About) -> Result<Response, Problem> {
    let request: TaskDraftRequest = about.body()?;
    let act = Act::Draft { form: request.form };
    self::act(&door, &about, "draft", (person(request.user, request.groups)?, act)).await
}

pub(super) async fn claim_next(
    State(door): State<Door>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let request: TaskNextRequest = request::body(&bytes)?;
    let person = person(request.user, request.groups)?;
    let lease_for = lease(&door, request.lease.as_deref())?;
    let identity = [b"claim-next".as_slice(), &bytes].concat();
    let origin = request::origin(&door, &headers, &identity)?;
    let definition = request.definition.as_deref();
    let id = match step::task_next(&door.app, person, definition, lease_for, &origin).await? {
        Tasked::To(_, id) => Some(id),
        Tasked::Known(answer) => answer.task,
        Tasked::None => None,
    };
    match id {
        Some(id) => Ok(tagged(view(&door, id).await?)),
        None => Ok(Json(json!(null)).into_response()),
    }
}

/// Does it, and shows the task as it is afterwards.
async fn act(door: &Door, about: &About, verb: &str, (person, act): (Person, Act)) -> Result<Response, Problem> {
    let seen = request::if_match(&about.headers)?;
    let origin = about.origin(door, verb)?;
    let id = TaskId(about.id);
    match step::task(&door.app, id, (person, seen), act, &origin).await? {
        Tasked::To(..) | Tasked::Known(_) | Tasked::None => Ok(tagged(view(door, id).await?)),
    }
}

fn lease(door: &Door, asked: Option<&str>) -> Result<Duration, Problem> {
    let asked = asked.map(duration::parse).transpose().map_err(Problem::invalid)?;
    Ok(door.app.config.tasks.lease(asked))
}

fn person(user: String, groups: Vec<String>) -> Result<Person, Problem> {
    request::bounded("user", &user)?;
    bounded(Person { user, groups })
}

fn bounded(person: Person) -> Result<Person, Problem> {
    if person.groups.len() > PEOPLE_MAX {
        return Err(Problem::invalid(format!("`groups` has more than {PEOPLE_MAX} entries")));
    }
    person.groups.iter().try_for_each(|group| request::bounded("groups", group))?;
    Ok(person)
}
