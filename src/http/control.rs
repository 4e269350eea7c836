//! Operations on one instance: each with a reason, an actor, a rehearsal, and a guard by revision.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, About};
use crate::command::{self, Applied};
use crate::contract::api::{ControlRequest, MoveRequest, PriorityRequest, QueueRequest, SkipRequest, VariablesRequest};
use crate::contract::{Operation, Target};
use crate::engine::Control;

pub(super) async fn cancel(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    plain(api, Control::Cancel, about).await
}

pub(super) async fn retry(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    plain(api, Control::Retry, about).await
}

pub(super) async fn suspend(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    plain(api, Control::Suspend, about).await
}

pub(super) async fn resume(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    plain(api, Control::Resume, about).await
}

pub(super) async fn terminate(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    plain(api, Control::Terminate, about).await
}

pub(super) async fn skip(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<SkipRequest>()?.operation(about.id);
    operate(api, operation, about).await
}

pub(super) async fn jump(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<MoveRequest>()?.jump(about.id);
    operate(api, operation, about).await
}

pub(super) async fn rerun(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<MoveRequest>()?.rerun(about.id);
    operate(api, operation, about).await
}

pub(super) async fn set_variables(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<VariablesRequest>()?.operation(about.id);
    operate(api, operation, about).await
}

pub(super) async fn set_queue(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<QueueRequest>()?.operation(about.id);
    operate(api, operation, about).await
}

pub(super) async fn set_priority(api: State<ApiState>, about: About) -> Result<Json<Value>, Problem> {
    let operation = about.body::<PriorityRequest>()?.operation(about.id);
    operate(api, operation, about).await
}

async fn plain(api: State<ApiState>, what: Control, about: About) -> Result<Json<Value>, Problem> {
    let target = about.body::<ControlRequest>()?.target(about.id);
    control(api, what, target, about).await
}

async fn operate(api: State<ApiState>, operation: Operation, about: About) -> Result<Json<Value>, Problem> {
    for (place, name) in operation.names() {
        request::bounded(place, name)?;
    }
    control(api, Control::from(&operation), operation.target().clone(), about).await
}

async fn control(
    State(api): State<ApiState>,
    what: Control,
    mut target: Target,
    about: About,
) -> Result<Json<Value>, Problem> {
    target.actor.as_deref().map_or(Ok(()), |actor| request::bounded("actor", actor))?;
    target.revision = guard(target.revision, request::if_match(&about.headers)?)?;
    target.actor = request::acting("actor", target.actor)?;
    let origin = request::naming(about.origin(&api, what.name())?, target.actor.as_deref());
    if target.dry_run {
        let preview = command::preview(&api.app, what, &target, &origin).await?;
        return Ok(Json(serde_json::to_value(preview).map_err(|error| Problem::internal(error.to_string()))?));
    }
    let id = about.id;
    match command::control(&api.app, what, &target, &origin).await? {
        Applied::New(committed) => {
            let instance = &committed.instance;
            let mut told = json!({ "id": instance.id, "status": instance.status, "revision": instance.revision });
            if instance.id.0 != id {
                told["rerun_of"] = json!(id);
            }
            Ok(Json(told))
        }
        Applied::Repeated(answer) => {
            Ok(Json(json!({ "id": answer.instance.map_or(id, |instance| instance.0), "outcome": answer.outcome })))
        }
    }
}

/// The one revision of the body and of `If-Match`.
fn guard(body: Option<i64>, header: Option<i64>) -> Result<Option<i64>, Problem> {
    match (body, header) {
        (Some(body), Some(header)) if body != header => {
            Err(Problem::invalid("`revision` and `If-Match` name different revisions: send one of them"))
        }
        (body, header) => Ok(body.or(header)),
    }
}
