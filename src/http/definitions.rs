//! Apply, check and show definitions.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use super::ApiState;
use super::answer::Answer;
use super::problem::{Kind, Problem, place};
use super::request::{self, Acting, AfterName, Document, IfMatch, Path, Query, Two};
use crate::command;
use crate::command::definition::Outcome;
use crate::contract::api::{DefinitionAppliedView, DefinitionCheckView, DefinitionView, Page, Place};
use crate::definition::{Definition, Parsed};
use crate::store::views;

/// Reads and checks a document, on a thread that serves no sockets.
async fn parse(api: &ApiState, bytes: Bytes) -> Result<Parsed, Problem> {
    let check = move || {
        let text = std::str::from_utf8(&bytes).map_err(|_| Problem::invalid("the document is not UTF-8"))?;
        Definition::parse(text).map_err(|problems| {
            let detail = format!("{} problems; `errors` lists them all", problems.len());
            Problem::refused(Kind::Definition, detail, problems.iter().map(place::of_document).collect())
        })
    };
    match api.app.check_elsewhere(check).await? {
        Some(parsed) => parsed,
        None => {
            let detail = "too many documents wait to be checked; nothing was read: send it again";
            Err(Problem::new(Kind::Overloaded, detail))
        }
    }
}

pub(super) async fn check(
    State(api): State<ApiState>,
    Document(bytes): Document,
) -> Result<Json<DefinitionCheckView>, Problem> {
    let parsed = parse(&api, bytes).await?;
    let (warnings, hints) = (warnings(&parsed), api.app.hints(&parsed.definition));
    Ok(Json(DefinitionCheckView { hash: hex::encode(parsed.hash), name: parsed.definition.name, warnings, hints }))
}

fn warnings(parsed: &Parsed) -> Vec<Place> {
    parsed.warnings.iter().map(place::of_document).collect()
}

pub(super) async fn apply(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Acting(headers): Acting,
    IfMatch(seen): IfMatch,
    Document(bytes): Document,
) -> Result<Answer<DefinitionAppliedView>, Problem> {
    let parsed = parse(&api, bytes).await?;
    if parsed.definition.name != name {
        let named = &parsed.definition.name;
        return Err(Problem::invalid(format!("the document's name is `{named}`, but the path names `{name}`")));
    }
    let applied = match command::definition::apply(&api.app, &parsed, seen, &request::actor(&headers)?).await? {
        Outcome::Applied(applied) => applied,
        Outcome::Stale(newest) => {
            let detail =
                format!("the newest version of `{name}` is {newest}, not the one that was read: read it again");
            return Err(Problem::new(Kind::DefinitionStale, detail));
        }
    };
    let status = if applied.changed { StatusCode::CREATED } else { StatusCode::OK };
    let (warnings, hints) = (warnings(&parsed), api.app.hints(&parsed.definition));
    let view = DefinitionAppliedView { name, version: applied.version, changed: applied.changed, warnings, hints };
    let version = i64::from(view.version);
    Ok(Answer::new(status, view).tagged(version))
}

pub(super) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<AfterName>,
) -> Result<Json<Page<DefinitionView>>, Problem> {
    let (cursor, limit) = query.read()?;
    let mut conn = api.app.store.background().await?;
    Ok(Json(views::definitions(&mut conn, cursor.as_deref(), limit).await?))
}

pub(super) async fn get(
    State(api): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Answer<DefinitionView>, Problem> {
    show(&api, &name, None).await
}

pub(super) async fn get_version(
    State(api): State<ApiState>,
    Two(name, version): Two<String, i32>,
) -> Result<Answer<DefinitionView>, Problem> {
    show(&api, &name, Some(version)).await
}

async fn show(api: &ApiState, name: &str, version: Option<i32>) -> Result<Answer<DefinitionView>, Problem> {
    let mut conn = api.app.store.background().await?;
    let view = views::definition(&mut conn, name, version).await?;
    let tagged = |view: DefinitionView| {
        let version = i64::from(view.version);
        Answer::ok(view).tagged(version)
    };
    view.map(tagged).ok_or_else(|| {
        Problem::not_found(match version {
            Some(version) => format!("there is no definition `{name}` version {version}"),
            None => format!("there is no definition `{name}`"),
        })
    })
}
