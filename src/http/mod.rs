//! The HTTP API. Commands run the same code as those from RabbitMQ, and the response is its outcome. A 2xx is durable.

mod access;
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
mod operations;
mod pages;
mod problem;
mod readiness;
mod request;
mod schedules;
mod targets;
mod tasks;
mod tls;
mod waiting;
mod waits;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post, put};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use self::access::{Need, RULES, Rule};
use self::listener::{Bounds, Serving};
use self::problem::Problem;
use self::tls::Tls;
use self::waiting::Seats;
use crate::app::App;
use crate::config::{Config, Openness};
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
    let commands_max = api.app.config.limits.message_max;
    let gate = access::Gate::new(&api.app);
    let commands = Router::new()
        .route("/messages", post(messages::send).get(messages::list))
        .route("/timers", get(waits::timers))
        .route("/timers/{instance}/{bookmark}/reschedule", post(waits::reschedule))
        .merge(incident_routes())
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::get))
        .route("/calls/{id}/complete", post(calls::complete))
        .route("/calls/{id}/resolve", post(calls::resolve))
        .merge(record_routes())
        .route("/schedules", get(schedules::list))
        .route("/schedules/{name}", put(schedules::put).get(schedules::get).delete(schedules::delete))
        .route("/schedules/{name}/pause", post(schedules::pause))
        .route("/schedules/{name}/resume", post(schedules::resume))
        .route("/schedules/{name}/run", post(schedules::run))
        .route("/schedules/{name}/next", get(schedules::next))
        .merge(task_routes())
        .route("/targets", get(targets::list))
        .merge(instance_routes())
        .merge(bulk_routes())
        .merge(drawings::routes())
        .merge(live::routes())
        .layer(DefaultBodyLimit::max(commands_max));
    let documents = Router::new()
        .route("/definitions", get(definitions::list))
        .route("/definitions/check", post(definitions::check))
        .route("/definitions/{name}", put(definitions::apply).get(definitions::get))
        .route("/definitions/{name}/versions/{version}", get(definitions::get_version))
        .layer(DefaultBodyLimit::max(DOCUMENT_MAX));
    Router::new()
        .nest("/api/v1", commands.merge(documents).method_not_allowed_fallback(problem::no_method))
        .route("/livez", get(health::livez))
        .route("/readyz", get(readiness::readyz))
        .route("/metrics", get(health::metrics))
        .route("/asyncapi.json", get(health::asyncapi))
        .merge(pages::router())
        .merge(access::routes(gate.clone()))
        .method_not_allowed_fallback(problem::no_method)
        .fallback(pages::no_route)
        .layer(middleware::from_fn(without_nul))
        .layer(middleware::from_fn_with_state(gate, access::admit))
        .layer(middleware::from_fn(in_span))
        .with_state(api)
}

/// Instances and the operations on one.
fn instance_routes() -> Router<ApiState> {
    Router::new()
        .route("/instances", post(instances::start).get(instances::list))
        .route("/instances/{id}", get(instances::get))
        .route("/instances/{id}/history", get(instances::history))
        .route("/instances/{id}/cancel", post(control::cancel))
        .route("/instances/{id}/terminate", post(control::terminate))
        .route("/instances/{id}/retry", post(control::retry))
        .route("/instances/{id}/suspend", post(control::suspend))
        .route("/instances/{id}/resume", post(control::resume))
        .route("/instances/{id}/skip", post(control::skip))
        .route("/instances/{id}/jump", post(control::jump))
        .route("/instances/{id}/rerun", post(control::rerun))
        .route("/instances/{id}/variables", patch(control::set_variables))
        .route("/instances/{id}/queue", post(control::set_queue))
        .route("/instances/{id}/priority", post(control::set_priority))
}

/// Tasks of people.
fn task_routes() -> Router<ApiState> {
    Router::new()
        .route("/tasks", get(tasks::list))
        .route("/tasks/count", get(tasks::count))
        .route("/tasks/claim-next", post(tasks::claim_next))
        .route("/tasks/{id}", get(tasks::get))
        .route("/tasks/{id}/claim", post(tasks::claim))
        .route("/tasks/{id}/extend", post(tasks::extend))
        .route("/tasks/{id}/release", post(tasks::release))
        .route("/tasks/{id}/complete", post(tasks::complete))
        .route("/tasks/{id}/reassign", post(tasks::reassign))
        .route("/tasks/{id}/delegate", post(tasks::delegate))
        .route("/tasks/{id}/draft", post(tasks::draft))
}

/// Bulk jobs.
fn bulk_routes() -> Router<ApiState> {
    Router::new()
        .route("/bulk", post(bulk::start).get(bulk::list))
        .route("/bulk/{id}", get(bulk::get))
        .route("/bulk/{id}/items", get(bulk::items))
        .route("/bulk/{id}/pause", post(bulk::pause))
        .route("/bulk/{id}/resume", post(bulk::resume))
        .route("/bulk/{id}/abort", post(bulk::abort))
}

/// What is kept for a person to look at: the audit log and dead letters.
fn record_routes() -> Router<ApiState> {
    Router::new()
        .route("/audit", get(audit::list))
        .route("/dead-letters", get(operations::dead_letters))
        .route("/dead-letters/redrive", post(operations::redrive_all))
        .route("/dead-letters/drop", post(operations::drop_all))
        .route("/dead-letters/{id}", get(operations::dead_letter))
        .route("/dead-letters/{id}/redrive", post(operations::redrive))
        .route("/dead-letters/{id}/drop", post(operations::drop_one))
}

/// Incidents one by one, and by their cause.
fn incident_routes() -> Router<ApiState> {
    Router::new()
        .route("/incidents", get(waits::incidents))
        .route("/incidents/groups", get(incidents::groups))
        .route("/incidents/groups/{fingerprint}", get(incidents::group))
        .route("/incidents/groups/{fingerprint}/assign", post(incidents::assign))
        .route("/incidents/groups/{fingerprint}/comment", post(incidents::comment))
        .route("/incidents/groups/{fingerprint}/mute", post(incidents::mute))
        .route("/incidents/{instance}/resolve", post(incidents::resolve))
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
        .layer(middleware::from_fn_with_state(hosts, guard::guard));
    let bounds = Bounds::new(app.config.http.connections_max);
    let serving = Serving { routes, bounds, tls, stop: app.stop.clone() };
    app.supervise("waits", waiting::watch);
    app.supervise("live", move |app| live::follow(app, hub.clone()));
    app.tasks.spawn(listener::serve(listener, serving));
    Ok(address)
}
