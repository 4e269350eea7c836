//! Groups of incidents: list and show them, assign, comment and mute them; and the resolution of an instance's incidents.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Commanding, IfMatch, Path, Query, Said};
use crate::command::{self, Applied, Author, IncidentAction, Run};
use crate::contract::api::{
    GroupAssignRequest, GroupChangedView, GroupCommentRequest, GroupMuteRequest, IncidentGroupDetails,
    IncidentGroupView, IncidentResolveAnswer, IncidentResolveRequest, IncidentResolveView, Page, RepeatedView,
};
use crate::contract::{LIST, LIST_MAX};
use crate::engine::InstanceId;
use crate::store::incidents::{self, Filter, GroupChange};
use crate::store::waits::{self, IncidentFilter};
use crate::time::duration;

/// The newest incidents of a group that are shown with it.
const SHOWN_MAX: i64 = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsQuery {
    /// Only those of this definition.
    definition: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The number of rows.
    #[schemars(range(min = 1, max = LIST_MAX), extend("default" = LIST))]
    limit: Option<i64>,
}

pub(super) async fn groups(
    State(api): State<ApiState>,
    Query(query): Query<GroupsQuery>,
) -> Result<Json<Page<IncidentGroupView>>, Problem> {
    let limit = request::page(query.limit)?;
    let before = query.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let filter = Filter { definition: query.definition, before, limit };
    let mut conn = api.app.store.background().await?;
    Ok(Json(incidents::groups(&mut conn, &filter).await?))
}

pub(super) async fn group(
    State(api): State<ApiState>,
    Path(fingerprint): Path<String>,
) -> Result<Json<IncidentGroupDetails>, Problem> {
    let missing = || {
        let fingerprint = request::shorten(&fingerprint);
        Problem::not_found(format!("no open incident has the fingerprint `{fingerprint}`"))
    };
    let mut conn = api.app.store.background().await?;
    let group = incidents::find_group(&mut conn, &fingerprint).await?.ok_or_else(missing)?;
    let filter = IncidentFilter { fingerprint: Some(fingerprint.clone()), limit: SHOWN_MAX, ..Default::default() };
    let newest = waits::incidents(&mut conn, &filter).await?.items;
    let notes = incidents::notes(&mut conn, &fingerprint).await?;
    Ok(Json(IncidentGroupDetails { group, incidents: newest, notes }))
}

pub(super) async fn assign(
    api: State<ApiState>,
    Path(fingerprint): Path<String>,
    Commanding(headers): Commanding,
    Said(said, bytes): Said<GroupAssignRequest>,
) -> Result<Json<GroupChangedView>, Problem> {
    let GroupAssignRequest { assignee, user, reason } = said;
    change(api, &fingerprint, GroupChange::Assign(assignee), Author { user, reason }, &headers, &bytes).await
}

pub(super) async fn comment(
    api: State<ApiState>,
    Path(fingerprint): Path<String>,
    Commanding(headers): Commanding,
    Said(said, bytes): Said<GroupCommentRequest>,
) -> Result<Json<GroupChangedView>, Problem> {
    let GroupCommentRequest { text, user } = said;
    change(api, &fingerprint, GroupChange::Comment(text), Author { user, reason: None }, &headers, &bytes).await
}

pub(super) async fn mute(
    api: State<ApiState>,
    Path(fingerprint): Path<String>,
    Commanding(headers): Commanding,
    Said(said, bytes): Said<GroupMuteRequest>,
) -> Result<Json<GroupChangedView>, Problem> {
    let GroupMuteRequest { until, after, user, reason } = said;
    let until = match (until, after) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("send either `until` (a time) or `after` (a duration such as 12h)"));
        }
        (until, None) => until,
        (None, Some(after)) => {
            let after = duration::parse(&after).map_err(Problem::invalid)?;
            let until = api.app.clock.now().checked_add(after);
            Some(until.map_err(|_| Problem::invalid("`after` is too long"))?)
        }
    };
    change(api, &fingerprint, GroupChange::Mute(until), Author { user, reason }, &headers, &bytes).await
}

async fn change(
    State(api): State<ApiState>,
    fingerprint: &str,
    what: GroupChange,
    author: Author,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Json<GroupChangedView>, Problem> {
    // An idempotency key covers the path as well.
    let identity = [what.kind().as_bytes(), fingerprint.as_bytes(), bytes].concat();
    let author = Author { user: request::acting("user", author.user)?, ..author };
    let origin = request::naming(request::origin(&api, headers, &identity)?, author.user.as_deref());
    command::change_group(&api.app, fingerprint, what, author, &origin).await?;
    Ok(Json(GroupChangedView { fingerprint: fingerprint.to_owned() }))
}

pub(super) async fn resolve(
    State(api): State<ApiState>,
    Path(instance): Path<Uuid>,
    Commanding(headers): Commanding,
    IfMatch(seen): IfMatch,
    Said(request, bytes): Said<IncidentResolveRequest>,
) -> Result<Json<IncidentResolveAnswer>, Problem> {
    let action = IncidentAction::parse(&request.action, request.variables.clone()).map_err(Problem::invalid)?;
    let run = if request.dry_run { Run::Dry } else { Run::Execute };
    let identity = [b"incident.resolve".as_slice(), instance.as_bytes(), &bytes].concat();
    let origin = request::origin(&api, &headers, &identity)?;
    let id = InstanceId(instance);
    let view = match command::resolve_incidents(&api.app, id, &action, request.reason, seen, run, &origin).await? {
        Applied::New(resolved) => IncidentResolveAnswer::Resolved(IncidentResolveView {
            id: instance,
            dry_run: request.dry_run,
            status: resolved.status.to_owned(),
            at: resolved.at,
            variables: request.variables,
            history: resolved.history,
        }),
        Applied::Repeated(answer) => {
            IncidentResolveAnswer::Repeated(RepeatedView { id: instance, outcome: answer.outcome })
        }
    };
    Ok(Json(view))
}
