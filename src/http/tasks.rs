//! Tasks: inboxes, and the actions of people. The person is the caller, or one for whom the caller may act.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::Uri;
use axum::http::request::Parts;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::ApiState;
use super::answer::Answer;
use super::openapi::inputs::{Inputs, Reads};
use super::problem::Problem;
use super::request::{self, About, Commanding, Id, IfMatch, Said, Subject};
use crate::command::{self, Applied};
use crate::contract::api::{
    Page, TaskAssignRequest, TaskClaimRequest, TaskCompleteRequest, TaskCount, TaskDraftRequest, TaskNextRequest,
    TaskReleaseRequest, TaskSummary, TaskView,
};
use crate::contract::{self, LIST, LIST_MAX, NAME_MAX, PEOPLE_MAX};
use crate::engine::{Act, InstanceId, Person, TaskId};
use crate::store::tasks::{self, After, Filter, Order};
use crate::time::{duration, moment};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The user whose inbox it is.
    #[schemars(length(max = NAME_MAX))]
    user: Option<String>,
    /// Groups of the user, separated by commas.
    groups: Option<String>,
    /// `open` when left out.
    #[schemars(extend("enum" = ["open", "closed"]))]
    state: Option<String>,
    /// Only those of this definition.
    definition: Option<String>,
    /// Only those of this instance.
    instance: Option<Uuid>,
    /// Only those of at least this priority.
    priority: Option<i16>,
    /// Only those that are due before.
    #[serde(default, deserialize_with = "moment::deserialize_option")]
    due_before: Option<Timestamp>,
    /// `priority` when left out.
    #[schemars(extend("enum" = ["priority", "due"]))]
    order: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

/// The parameter for one group, exactly as written. It may be repeated, which the form that serde reads cannot express.
const GROUP: &str = "group";

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it only describes what is read by hand")]
struct GroupQuery {
    /// A group of the user, exactly as written. It may be repeated.
    #[schemars(length(max = PEOPLE_MAX), inner(length(min = 1, max = NAME_MAX)))]
    group: Option<Vec<String>>,
}

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

/// The filter that the query is.
pub(super) struct Inbox(Filter);

impl<S: Send + Sync> FromRequestParts<S> for Inbox {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        ListQuery::read(parts.uri.query().unwrap_or_default()).map(Inbox)
    }
}

impl Reads for Inbox {
    fn read(inputs: &mut Inputs<'_>) {
        inputs.query::<ListQuery>();
        inputs.query::<GroupQuery>();
    }
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Inbox(filter): Inbox,
) -> Result<Json<Page<TaskSummary>>, Problem> {
    let mut conn = api.app.store.background().await?;
    Ok(Json(tasks::page(&mut conn, &filter).await?))
}

pub(super) async fn count(State(api): State<ApiState>, Inbox(filter): Inbox) -> Result<Json<TaskCount>, Problem> {
    let mut conn = api.app.store.background().await?;
    Ok(Json(tasks::count(&mut conn, &filter).await?))
}

pub(super) async fn get(State(api): State<ApiState>, Id(id): Id) -> Result<Answer<TaskView>, Problem> {
    Ok(tagged(view(&api, TaskId(id)).await?))
}

/// A task with its revision as `ETag`.
fn tagged(view: TaskView) -> Answer<TaskView> {
    let revision = view.summary.revision;
    Answer::ok(view).tagged(revision)
}

async fn view(api: &ApiState, id: TaskId) -> Result<TaskView, Problem> {
    let mut conn = api.app.store.background().await?;
    tasks::view(&mut conn, id).await?.ok_or_else(|| Problem::not_found(format!("there is no task {id}")))
}

pub(super) async fn complete(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskCompleteRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let act = Act::Complete { decision: request.decision, form: request.form, comment: request.comment };
    self::act(&api, &about, seen, "complete", person(request.user, request.groups)?, act).await
}

pub(super) async fn claim(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskClaimRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let act = Act::Claim { lease_for: lease(&api, request.lease.as_deref())? };
    self::act(&api, &about, seen, "claim", person(request.user, request.groups)?, act).await
}

pub(super) async fn extend(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskClaimRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let act = Act::Extend { lease_for: lease(&api, request.lease.as_deref())? };
    self::act(&api, &about, seen, "extend", person(request.user, request.groups)?, act).await
}

pub(super) async fn release(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskReleaseRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let person = person(request.user, request.groups)?;
    self::act(&api, &about, seen, "release", person, Act::Release).await
}

pub(super) async fn reassign(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskAssignRequest>,
) -> Result<Answer<TaskView>, Problem> {
    request.to.as_deref().map_or(Ok(()), |to| request::bounded("to", to))?;
    let act = Act::Reassign { to: request.to, comment: request.comment };
    self::act(&api, &about, seen, "reassign", person(request.user, request.groups)?, act).await
}

pub(super) async fn delegate(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskAssignRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let to = request.to.ok_or_else(|| Problem::invalid("`to` is missing: name the user to delegate the task to"))?;
    request::bounded("to", &to)?;
    let act = Act::Delegate { to, comment: request.comment };
    self::act(&api, &about, seen, "delegate", person(request.user, request.groups)?, act).await
}

pub(super) async fn draft(
    State(api): State<ApiState>,
    seen: IfMatch,
    About(about, request): About<TaskDraftRequest>,
) -> Result<Answer<TaskView>, Problem> {
    let act = Act::Draft { form: request.form };
    self::act(&api, &about, seen, "draft", person(request.user, request.groups)?, act).await
}

pub(super) async fn claim_next(
    State(api): State<ApiState>,
    Commanding(headers): Commanding,
    Said(request, bytes): Said<TaskNextRequest>,
) -> Result<Answer<Option<TaskView>>, Problem> {
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
        Some(id) => {
            let view = view(&api, id).await?;
            let revision = view.summary.revision;
            Ok(Answer::ok(Some(view)).tagged(revision))
        }
        None => Ok(Answer::ok(None)),
    }
}

/// Performs the action and returns the task as it is afterwards.
async fn act(
    api: &ApiState,
    about: &Subject,
    IfMatch(seen): IfMatch,
    verb: &str,
    person: Person,
    act: Act,
) -> Result<Answer<TaskView>, Problem> {
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
