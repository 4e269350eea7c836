//! The HTTP API. Commands run the same code as those from RabbitMQ, and the response is its outcome. A 2xx is durable.

mod access;
mod answer;
mod audit;
mod bodies;
mod bulk;
mod calls;
mod control;
mod definitions;
mod drawings;
mod guard;
mod health;
mod incidents;
mod instances;
mod listener;
mod live;
mod messages;
mod openapi;
mod operations;
mod pages;
mod patience;
mod problem;
mod readiness;
mod request;
mod route;
mod routes;
mod schedules;
mod targets;
mod tasks;
mod tls;
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

pub use self::access::{Need, RULES, Rule};
pub use self::problem::page as problems_page;

use self::listener::{Bounds, Serving};
use self::problem::Problem;
use self::tls::Tls;
use self::waiting::Seats;
use crate::app::App;
use crate::config::{Config, Openness};
use crate::contract;
use crate::telemetry::spans;

/// The largest document, in bytes; commands are bounded by `limits.message_max`.
const DOCUMENT_MAX: usize = 1024 * 1024;

/// The state that every route shares.
#[derive(Clone)]
pub(crate) struct ApiState {
    app: App,
    waits: Seats,
    live: Arc<live::Hub>,
    metrics: Option<Arc<PrometheusHandle>>,
}

impl ApiState {
    fn new(app: App, metrics: Option<PrometheusHandle>) -> Self {
        let config = &app.config.http;
        let connections_max = Bounds::new(config.connections_max).connections_max;
        let waits = Seats::new(config.waits_max, connections_max);
        // Some connections are left for requests that end.
        let listeners_max = config.listeners_max.min(connections_max.saturating_sub(connections_max / 8)).max(1);
        let live = Arc::new(live::Hub::new(listeners_max));
        Self { app, waits, live, metrics: metrics.map(Arc::new) }
    }
}

/// The routes of the API, of health and of metrics.
fn router(api: ApiState) -> Router {
    let gate = access::Gate::new(&api.app);
    let patience = patience::Patience::of(&api.app);
    routes::all(api.app.config.limits.message_max)
        .router()
        .merge(pages::router())
        .merge(access::routes(gate.clone()))
        .method_not_allowed_fallback(problem::no_method)
        .fallback(pages::no_route)
        .layer(middleware::from_fn_with_state(patience, patience::bounded))
        .layer(middleware::from_fn(without_nul))
        .layer(middleware::from_fn_with_state(gate, access::admit))
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

/// Says at the start who can use the API.
fn tell(config: &Config, address: SocketAddr) {
    let is_plain = config.http.cert_file.is_empty();
    match config.openness() {
        Openness::ThisMachine => tracing::info!(
            %address,
            "the API asks for no key: every program on this machine can use it; `access.authentication` changes that"
        ),
        Openness::Network => tracing::warn!(
            %address,
            "the API asks for no key and listens on the network, as `access.open_on_network` says: every program that reaches it can \
             do everything"
        ),
        Openness::Authenticated if is_plain && !address.ip().is_loopback() => tracing::warn!(
            %address,
            "the API listens on the network without TLS, so keys can be read on their way: set `http.cert_file` and `http.key_file`, \
             or listen on loopback behind a proxy that speaks TLS"
        ),
        Openness::Authenticated => tracing::info!(%address, "the API asks for a key"),
    }
}

/// Binds the listener and serves until the process is asked to stop; returns the address it listens on.
///
/// # Errors
/// If the address cannot be bound, or the certificate cannot be read.
pub async fn start(app: &App, metrics: Option<PrometheusHandle>) -> std::io::Result<SocketAddr> {
    let tls = Tls::read(&app.config.http).map_err(std::io::Error::other)?;
    let listener = TcpListener::bind(&app.config.http.listen).await?;
    let address = listener.local_addr()?;
    tell(&app.config, address);
    let hosts = Arc::new(guard::Hosts::new(address, &app.config.http));
    let bodies = Arc::new(Semaphore::new(bodies::BODIES_MAX));
    let api = ApiState::new(app.clone(), metrics);
    let hub = api.live.clone();
    let routes = router(api)
        .layer(middleware::from_fn_with_state(bodies, bodies::admit))
        .layer(middleware::from_fn_with_state(hosts, guard::guard))
        .layer(middleware::from_fn(problem::traced));
    let bounds = Bounds::new(app.config.http.connections_max);
    let serving = Serving { routes, bounds, tls, stop: app.stop.clone() };
    app.supervise("waits", waiting::watch);
    app.supervise("live", move |app| live::follow(app, hub.clone()));
    app.tasks.spawn(listener::serve(listener, serving));
    Ok(address)
}
