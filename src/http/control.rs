//! Operations on one instance: each with a reason, an actor, a rehearsal, and a guard by revision.

use axum::Json;
use axum::extract::State;

use super::ApiState;
use super::problem::Problem;
use super::request::{self, About, IfMatch, Subject};
use crate::command::{self, Applied};
use crate::contract::api::{
    ControlAnswer, ControlRequest, ControlView, MoveRequest, PriorityRequest, QueueRequest, SkipRequest,
    VariablesRequest,
};
use crate::contract::{Operation, Target};
use crate::engine::Control;

pub(super) async fn cancel(
    api: State<ApiState>,
    seen: IfMatch,
    about: About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    plain(api, Control::Cancel, seen, about).await
}

pub(super) async fn retry(
    api: State<ApiState>,
    seen: IfMatch,
    about: About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    plain(api, Control::Retry, seen, about).await
}

pub(super) async fn suspend(
    api: State<ApiState>,
    seen: IfMatch,
    about: About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    plain(api, Control::Suspend, seen, about).await
}

pub(super) async fn resume(
    api: State<ApiState>,
    seen: IfMatch,
    about: About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    plain(api, Control::Resume, seen, about).await
}

pub(super) async fn terminate(
    api: State<ApiState>,
    seen: IfMatch,
    about: About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    plain(api, Control::Terminate, seen, about).await
}

pub(super) async fn skip(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<SkipRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.operation(about.id), seen, about).await
}

pub(super) async fn jump(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<MoveRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.jump(about.id), seen, about).await
}

pub(super) async fn rerun(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<MoveRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.rerun(about.id), seen, about).await
}

pub(super) async fn set_variables(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<VariablesRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.operation(about.id), seen, about).await
}

pub(super) async fn set_queue(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<QueueRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.operation(about.id), seen, about).await
}

pub(super) async fn set_priority(
    api: State<ApiState>,
    seen: IfMatch,
    About(about, said): About<PriorityRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    operate(api, said.operation(about.id), seen, about).await
}

async fn plain(
    api: State<ApiState>,
    what: Control,
    seen: IfMatch,
    About(about, said): About<ControlRequest>,
) -> Result<Json<ControlAnswer>, Problem> {
    let target = said.target(about.id);
    control(api, what, target, seen, about).await
}

async fn operate(
    api: State<ApiState>,
    operation: Operation,
    seen: IfMatch,
    about: Subject,
) -> Result<Json<ControlAnswer>, Problem> {
    for (place, name) in operation.names() {
        request::bounded(place, name)?;
    }
    control(api, Control::from(&operation), operation.target().clone(), seen, about).await
}

async fn control(
    State(api): State<ApiState>,
    what: Control,
    mut target: Target,
    IfMatch(seen): IfMatch,
    about: Subject,
) -> Result<Json<ControlAnswer>, Problem> {
    target.actor.as_deref().map_or(Ok(()), |actor| request::bounded("actor", actor))?;
    target.revision = guard(target.revision, seen)?;
    target.actor = request::acting("actor", target.actor)?;
    let origin = request::naming(about.origin(&api, what.name())?, target.actor.as_deref());
    if target.dry_run {
        let preview = command::preview(&api.app, what, &target, &origin).await?;
        return Ok(Json(ControlAnswer::Preview(Box::new(preview))));
    }
    let id = about.id;
    let done = match command::control(&api.app, what, &target, &origin).await? {
        Applied::New(committed) => {
            let instance = &committed.instance;
            ControlView {
                id: instance.id.0,
                status: Some(instance.status.name().to_owned()),
                revision: Some(instance.revision),
                rerun_of: (instance.id.0 != id).then_some(id),
                outcome: None,
            }
        }
        Applied::Repeated(answer) => ControlView {
            id: answer.instance.map_or(id, |instance| instance.0),
            status: None,
            revision: None,
            rerun_of: None,
            outcome: Some(answer.outcome),
        },
    };
    Ok(Json(ControlAnswer::Done(done)))
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
