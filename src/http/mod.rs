//! The HTTP API. Commands run the same code as those from RabbitMQ, and the response is its outcome. A 2xx is durable.

mod answer;
mod audit;
mod bodies;
mod bulk;
mod calls;
mod control;
mod definitions;
mod guard;
mod health;
mod incidents;
mod instances;
mod listener;
mod messages;
mod openapi;
mod operations;
mod patience;
mod problem;
mod readiness;
mod request;
mod route;
mod routes;
mod schedules;
mod targets;
mod tasks;
mod waiting;
mod waits;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use self::problem::page as problems_page;

use self::listener::Bounds;
use self::problem::Problem;
use self::waiting::Seats;
use crate::app::App;
use crate::contract;
use crate::telemetry::spans;

/// The largest document, in bytes; commands are bounded by `limits.message_max`.
const DOCUMENT_MAX: usize = 1024 * 1024;

/// The state that every route shares.
#[derive(Clone)]
pub(crate) struct ApiState {
    app: App,
    waits: Seats,
    metrics: Option<Arc<PrometheusHandle>>,
}

/// The routes of the API, of health and of metrics.
pub fn router(app: App, metrics: Option<PrometheusHandle>) -> Router {
    let commands_max = app.config.limits.message_max;
    let connections_max = Bounds::new(app.config.http.connections_max).connections_max;
    let waits = Seats::new(app.config.http.waits_max, connections_max);
    let patience = patience::Patience::of(&app);
    let api = ApiState { app, waits, metrics: metrics.map(Arc::new) };
    routes::all(commands_max)
        .router()
        .method_not_allowed_fallback(problem::no_method)
        .fallback(problem::no_route)
        .layer(middleware::from_fn_with_state(patience, patience::bounded))
        .layer(middleware::from_fn(without_nul))
        .layer(middleware::from_fn(in_span))
        .with_state(api)
}

/// The HTTP API as an OpenAPI 3.1 document.
pub fn openapi() -> Value {
    openapi::document(&routes::all(contract::BODY_MAX).operations())
}

/// Answers a request in its span. The route is the pattern, not the path: keys and ids of clients stay out of the log.
async fn in_span(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let span = spans::request(request.method().as_str(), route);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    tracing::debug!(parent: &span, "request answered");
    response
}

/// Refuses an address with `%00`, whatever it is for: PostgreSQL cannot store or compare such a text.
async fn without_nul(request: Request, next: Next) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    for (what, text) in [("path", path), ("query", query)] {
        if text.contains("%00") {
            let detail = format!("the {what} of the address contains `%00`, which no name, key or id can have");
            return Problem::invalid(detail).into_response();
        }
    }
    next.run(request).await
}

/// Binds the listener and serves until the process is asked to stop; returns the address it listens on.
///
/// # Errors
/// If the address cannot be bound.
pub async fn start(app: &App, metrics: Option<PrometheusHandle>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(&app.config.http.listen).await?;
    let address = listener.local_addr()?;
    let hosts = Arc::new(guard::Hosts::new(address, &app.config.http.hosts));
    let bodies = Arc::new(Semaphore::new(bodies::BODIES_MAX));
    let routes = router(app.clone(), metrics)
        .layer(middleware::from_fn_with_state(bodies, bodies::admit))
        .layer(middleware::from_fn_with_state(hosts, guard::guard))
        .layer(middleware::from_fn(problem::traced));
    let bounds = Bounds::new(app.config.http.connections_max);
    app.supervise("waits", waiting::watch);
    app.tasks.spawn(listener::serve(listener, routes, bounds, app.stop.clone()));
    Ok(address)
}
