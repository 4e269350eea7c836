//! Tasks: inboxes, and the actions of people. The person is the caller, or one for whom the caller may act.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, About, Body, Id};
use crate::command::{self, Applied};
use crate::contract;
use crate::contract::api::{
    Page, TaskAssignRequest, TaskClaimRequest, TaskCompleteRequest, TaskCount, TaskDraftRequest, TaskNextRequest,
    TaskReleaseRequest, TaskSummary, TaskView,
};
use crate::engine::{Act, InstanceId, PEOPLE_MAX, Person, TaskId};
use crate::store::tasks::{self, After, Filter, Order};
use crate::time::{duration, moment};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    user: Option<String>,
    groups: Option<String>,
    state: Option<String>,
    definition: Option<String>,
    instance: Option<Uuid>,
    priority: Option<i16>,
    #[serde(default, deserialize_with = "moment::deserialize_option")]
    due_before: Option<Timestamp>,
    order: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

/// The parameter for one group, exactly as written. It may be repeated, which the form that serde reads cannot express.
const GROUP: &str = "group";

impl ListQuery {
    /// The filter of the part of an address after `?`.
    fn read(text: &str) -> Result<Filter, Problem> {
        let (groups, others): (Vec<_>, Vec<_>) =
            form_urlencoded::parse(text.as_bytes()).partition(|(name, _)| name == GROUP);
        let others = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
        let uri: Uri = format!("/?{others}").parse().map_err(|_| Problem::invalid("the query is not valid"))?;
        let Query(query) = Query::<ListQuery>::try_from_uri(&uri)?;
        query.filter(groups.into_iter().map(|(_, group)| group.into_owned()).collect())
    }

    fn filter(self, mut groups: Vec<String>) -> Result<Filter, Problem> {
        let limit = request::page(self.limit)?;
        let closed = match self.state.as_deref() {
            None | Some("open") => false,
            Some("closed") => true,
            Some(other) => {
                let other = request::shorten(other);
                return Err(Problem::invalid(format!("`{other}` is not a task state: use open or closed")));
            }
        };
        let order = match self.order.as_deref() {
            None | Some("priority") => Order::Priority,
            Some("due") => Order::Due,
            Some(other) => {
                let other = request::shorten(other);
                return Err(Problem::invalid(format!("`{other}` is not an order: use priority or due")));
            }
        };
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(
                After::parse(cursor)
                    .ok_or_else(|| Problem::invalid("`cursor` must be the `next` of an earlier page"))?,
            ),
        };
        groups.extend(self.groups.iter().flat_map(|listed| contract::listed_groups(listed)));
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
    State(api): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TaskSummary>>, Problem> {
    let filter = ListQuery::read(&query.unwrap_or_default())?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(tasks::page(&mut conn, &filter).await?))
}

pub(super) async fn count(State(api): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json<TaskCount>, Problem> {
    let filter = ListQuery::read(&query.unwrap_or_default())?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(tasks::count(&mut conn, &filter).await?))
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Response, Problem> {
    Ok(tagged(view(&api, TaskId(id)).await?))
}

/// A task with its revision as `ETag`.
fn tagged(view: TaskView) -> Response {
    (request::etag(view.summary.revision), Json(view)).into_response()
}

async fn view(api: &ApiState, id: TaskId) -> Result<TaskView, Problem> {
    let mut conn = api.app.store.background().await?;
    tasks::view(&mut conn, id).await?.ok_or_else(|| Problem::not_found(format!("there is no task {id}")))
}

pub(super) async fn complete(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskCompleteRequest = about.body()?;
    let act = Act::Complete { decision: request.decision, form: request.form, comment: request.comment };
    self::act(&api, &about, "complete", person(request.user, request.groups)?, act).await
}

pub(super) async fn claim(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskClaimRequest = about.body()?;
    let act = Act::Claim { lease_for: lease(&api, request.lease.as_deref())? };
    self::act(&api, &about, "claim", person(request.user, request.groups)?, act).await
}

pub(super) async fn extend(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskClaimRequest = about.body()?;
    let act = Act::Extend { lease_for: lease(&api, request.lease.as_deref())? };
    self::act(&api, &about, "extend", person(request.user, request.groups)?, act).await
}

pub(super) async fn release(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskReleaseRequest = about.body()?;
    let person = person(request.user, request.groups)?;
    self::act(&api, &about, "release", person, Act::Release).await
}

pub(super) async fn reassign(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskAssignRequest = about.body()?;
    request.to.as_deref().map_or(Ok(()), |to| request::bounded("to", to))?;
    let act = Act::Reassign { to: request.to, comment: request.comment };
    self::act(&api, &about, "reassign", person(request.user, request.groups)?, act).await
}

pub(super) async fn delegate(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskAssignRequest = about.body()?;
    let to = request.to.ok_or_else(|| Problem::invalid("`to` is missing: name the user to delegate the task to"))?;
    request::bounded("to", &to)?;
    let act = Act::Delegate { to, comment: request.comment };
    self::act(&api, &about, "delegate", person(request.user, request.groups)?, act).await
}

pub(super) async fn draft(State(api): State<ApiState>, about: About) -> Result<Response, Problem> {
    let request: TaskDraftRequest = about.body()?;
    let act = Act::Draft { form: request.form };
    self::act(&api, &about, "draft", person(request.user, request.groups)?, act).await
}

pub(super) async fn claim_next(
    State(api): State<ApiState>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let request: TaskNextRequest = request::body(&bytes)?;
    let person = person(request.user, request.groups)?;
    let lease_for = lease(&api, request.lease.as_deref())?;
    let identity = [b"claim-next".as_slice(), &bytes].concat();
    let origin = request::naming(request::origin(&api, &headers, &identity)?, Some(&person.user));
    let definition = request.definition.as_deref();
    let id = match command::task_next(&api.app, person, definition, lease_for, &origin).await? {
        Applied::New(claimed) => claimed.map(|claimed| claimed.id),
        Applied::Repeated(answer) => answer.task,
    };
    match id {
        Some(id) => Ok(tagged(view(&api, id).await?)),
        None => Ok(Json(json!(null)).into_response()),
    }
}

/// Performs the action and returns the task as it is afterwards.
async fn act(api: &ApiState, about: &About, verb: &str, person: Person, act: Act) -> Result<Response, Problem> {
    let seen = request::if_match(&about.headers)?;
    let origin = request::naming(about.origin(api, verb)?, Some(&person.user));
    let id = TaskId(about.id);
    command::task(&api.app, id, person, seen, act, &origin).await?;
    Ok(tagged(view(api, id).await?))
}

fn lease(api: &ApiState, requested: Option<&str>) -> Result<Duration, Problem> {
    let requested = requested.map(duration::parse).transpose().map_err(Problem::invalid)?;
    Ok(api.app.config.tasks.lease(requested))
}

fn person(user: String, groups: Vec<String>) -> Result<Person, Problem> {
    let user = request::acting("user", Some(user))?.unwrap_or_default();
    request::bounded("user", &user)?;
    let groups = request::acting_groups(&user, groups)?;
    bounded(Person { user, groups })
}

fn bounded(person: Person) -> Result<Person, Problem> {
    if person.groups.len() > PEOPLE_MAX {
        return Err(Problem::invalid(format!("`groups` has more than {PEOPLE_MAX} entries")));
    }
    person.groups.iter().try_for_each(|group| request::bounded("groups", group))?;
    Ok(person)
}
