//! Apply, check and show definitions.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use super::request::{self, Document, Path};
use crate::command;
use crate::contract::api::{DefinitionView, Page};
use crate::definition::{self, Definition, Parsed};
use crate::store::views;

/// Reads and checks a document, on a thread that serves no sockets.
async fn parse(api: &ApiState, bytes: Bytes) -> Result<Parsed, Problem> {
    let check = move || {
        let text = std::str::from_utf8(&bytes).map_err(|_| Problem::invalid("the document is not UTF-8"))?;
        Definition::parse(text).map_err(|problems| {
            let errors = problems.iter().map(problem).collect();
            Problem::document(format!("{} problems; `errors` lists them all", problems.len()), errors)
        })
    };
    match api.app.check_elsewhere(check).await? {
        Some(parsed) => parsed,
        None => Err(Problem::overloaded("too many documents wait to be checked; nothing was read: send it again")),
    }
}

fn problem(problem: &definition::Problem) -> Value {
    json!({
        "severity": problem.severity, "path": problem.path, "line": problem.line, "column": problem.column,
        "detail": problem.message, "hint": problem.hint,
    })
}

pub(super) async fn check(State(api): State<ApiState>, Document(bytes): Document) -> Result<Json<Value>, Problem> {
    let parsed = parse(&api, bytes).await?;
    let warnings: Vec<Value> = parsed.warnings.iter().map(problem).collect();
    let (name, hash, hints) = (&parsed.definition.name, hex::encode(parsed.hash), api.app.hints(&parsed.definition));
    Ok(Json(json!({ "name": name, "hash": hash, "warnings": warnings, "hints": hints })))
}

pub(super) async fn apply(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Document(bytes): Document,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let parsed = parse(&api, bytes).await?;
    if parsed.definition.name != name {
        let named = &parsed.definition.name;
        return Err(Problem::invalid(format!("the document's name is `{named}`, but the path names `{name}`")));
    }
    let applied = command::definition::apply(&api.app, &parsed, &request::actor(&headers)?).await?;
    let warnings: Vec<Value> = parsed.warnings.iter().map(problem).collect();
    let code = if applied.changed { StatusCode::CREATED } else { StatusCode::OK };
    let hints = api.app.hints(&parsed.definition);
    let body = json!({
        "name": name, "version": applied.version, "changed": applied.changed, "warnings": warnings, "hints": hints,
    });
    Ok((code, Json(body)))
}

pub(super) async fn list(
    State(api): State<ApiState>,
    query: Result<Query<request::AfterName>, QueryRejection>,
) -> Result<Json<Page<DefinitionView>>, Problem> {
    let (cursor, limit) = query?.0.read()?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::definitions(&mut conn, cursor.as_deref(), limit).await?))
}

pub(super) async fn get(
    State(api): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<DefinitionView>, Problem> {
    show(&api, &name, None).await
}

pub(super) async fn get_version(
    State(api): State<ApiState>,
    Path((name, version)): Path<(String, i32)>,
) -> Result<Json<DefinitionView>, Problem> {
    show(&api, &name, Some(version)).await
}

async fn show(api: &ApiState, name: &str, version: Option<i32>) -> Result<Json<DefinitionView>, Problem> {
    let mut conn = api.app.store.background().await?;
    let view = views::definition(&mut conn, name, version).await?;
    view.map(Json).ok_or_else(|| {
        Problem::not_found(match version {
            Some(version) => format!("there is no definition `{name}` version {version}"),
            None => format!("there is no definition `{name}`"),
        })
    })
}
