//! Graphs of definitions and instances: SVG for pages, Mermaid for documents.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use super::request::{Id, Path, Query};
use crate::app::drawings::{Counts, Drawing, Format};
use crate::engine::InstanceId;

/// The media types, also for the document of the API.
pub(super) const SVG: &str = "image/svg+xml";
pub(super) const MERMAID: &str = "text/plain; charset=utf-8";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphQuery {
    /// The version; the newest one without it.
    #[schemars(range(min = 1))]
    version: Option<i32>,
    /// Whether each way says how often the newest instances went it, and how long that took on average.
    #[serde(default)]
    counts: bool,
}

pub(super) async fn definition_svg(
    api: State<ApiState>,
    name: Path<String>,
    query: Query<GraphQuery>,
) -> Result<Response, Problem> {
    definition(api, name, query, Format::Svg).await
}

pub(super) async fn definition_mermaid(
    api: State<ApiState>,
    name: Path<String>,
    query: Query<GraphQuery>,
) -> Result<Response, Problem> {
    definition(api, name, query, Format::Mermaid).await
}

pub(super) async fn instance_svg(api: State<ApiState>, id: Id) -> Result<Response, Problem> {
    instance(api, id, Format::Svg).await
}

pub(super) async fn instance_mermaid(api: State<ApiState>, id: Id) -> Result<Response, Problem> {
    instance(api, id, Format::Mermaid).await
}

async fn definition(
    State(api): State<ApiState>,
    Path(name): Path<String>,
    Query(query): Query<GraphQuery>,
    format: Format,
) -> Result<Response, Problem> {
    let counts = if query.counts { Counts::With } else { Counts::Without };
    let drawing = api.app.definition_drawing(&name, query.version, counts).await?;
    let drawing = drawing.ok_or_else(|| Problem::not_found(format!("there is no such version of `{name}`")))?;
    answer(&api, drawing, format).await
}

async fn instance(State(api): State<ApiState>, Id(id): Id, format: Format) -> Result<Response, Problem> {
    let drawing = api.app.instance_drawing(InstanceId(id)).await?;
    let drawing = drawing.ok_or_else(|| Problem::not_found(format!("there is no instance {id}")))?;
    answer(&api, drawing, format).await
}

async fn answer(api: &ApiState, drawing: Drawing, format: Format) -> Result<Response, Problem> {
    let media = match format {
        Format::Svg => SVG,
        Format::Mermaid => MERMAID,
    };
    let drawn = api.app.draw(drawing, format).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(media))], drawn).into_response())
}
