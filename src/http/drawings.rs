//! Graphs of definitions and instances: SVG for pages, Mermaid for documents.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request::Id;
use crate::app::drawings::{Counts, Drawing, Format};
use crate::engine::InstanceId;

const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/definitions/{name}/graph.svg", get(definition_svg))
        .route("/definitions/{name}/graph.mmd", get(definition_mermaid))
        .route("/instances/{id}/graph.svg", get(instance_svg))
        .route("/instances/{id}/graph.mmd", get(instance_mermaid))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphQuery {
    version: Option<i32>,
    #[serde(default)]
    counts: bool,
}

pub(super) async fn definition_svg(
    api: State<ApiState>,
    name: Path<String>,
    query: Result<Query<GraphQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    definition(api, name, query, Format::Svg).await
}

pub(super) async fn definition_mermaid(
    api: State<ApiState>,
    name: Path<String>,
    query: Result<Query<GraphQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    definition(api, name, query, Format::Mermaid).await
}

pub(super) async fn instance_svg(api: State<ApiState>, id: Id) -> Result<impl IntoResponse, Problem> {
    instance(api, id, Format::Svg).await
}

pub(super) async fn instance_mermaid(api: State<ApiState>, id: Id) -> Result<impl IntoResponse, Problem> {
    instance(api, id, Format::Mermaid).await
}

async fn definition(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    query: Result<Query<GraphQuery>, QueryRejection>,
    format: Format,
) -> Result<Answer, Problem> {
    let Query(query) = query?;
    let counts = if query.counts { Counts::With } else { Counts::Without };
    let drawing = api.app.definition_drawing(&name, query.version, counts).await?;
    let drawing = drawing.ok_or_else(|| Problem::not_found(format!("there is no such version of `{name}`")))?;
    answer(&api, drawing, format).await
}

async fn instance(State(api): State<ApiState>, Id(id): Id, format: Format) -> Result<Answer, Problem> {
    let drawing = api.app.instance_drawing(InstanceId(id)).await?;
    let drawing = drawing.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))?;
    answer(&api, drawing, format).await
}

type Answer = ([(HeaderName, HeaderValue); 1], String);

async fn answer(api: &ApiState, drawing: Drawing, format: Format) -> Result<Answer, Problem> {
    let kind = match format {
        Format::Svg => SVG,
        Format::Mermaid => TEXT,
    };
    let drawn = api.app.draw(drawing, format).await?;
    Ok(([(header::CONTENT_TYPE, kind)], drawn))
}
