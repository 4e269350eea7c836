//! Health, metrics and the AsyncAPI document: for orchestrators, Prometheus and generators.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde_json::Value;

use super::ApiState;
use super::problem::{self, Kind, Problem};
use super::request::{Path, shorten};
use crate::engine::Status;
use crate::{store, telemetry};

/// Targets with metrics: each is a label.
const TARGETS_MAX: i64 = 200;

/// 200 while the process runs.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The contract of messages as AsyncAPI.
pub(super) async fn asyncapi(State(api): State<ApiState>) -> Json<Value> {
    Json(crate::contract::asyncapi::document(&api.app.config.broker.prefix))
}

/// The HTTP API as OpenAPI.
pub(super) async fn openapi() -> Json<Value> {
    Json(super::openapi())
}

/// What a kind of problem means, and what to do.
pub(super) async fn problem(Path(name): Path<String>) -> Result<String, Problem> {
    let found = Kind::find(&name).map(problem::told);
    found.ok_or_else(|| Problem::not_found(format!("there is no problem `{}`", shorten(&name))))
}

pub(super) async fn metrics(State(api): State<ApiState>) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let handle = api.metrics.clone().ok_or_else(|| Problem::not_found("this process does not record metrics"))?;
    if let Err(error) = measure(&api).await {
        // The process's own counters are useful even while the database is unavailable.
        tracing::debug!(%error, "metrics scrape without the figures of the database");
    }
    metrics::gauge!(telemetry::LISTENERS).set(api.live.listeners() as f64);
    handle.run_upkeep();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()))
}

/// Reads the figures that only the database knows.
async fn measure(api: &ApiState) -> Result<(), store::Error> {
    let mut conn = api.app.store.background().await?;
    let counts = store::instances::count_by_status(&mut conn).await?;
    // Every status each time: one without instances would keep its last figure.
    for status in Status::ALL.iter().copied().filter(|status| !status.has_ended()) {
        let count = counts.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count);
        metrics::gauge!(telemetry::INSTANCES, "status" => status.name()).set(count as f64);
    }
    let calls = store::calls::count_open(&mut conn).await?;
    for state in ["pending", "running", "waiting", "reported", "unknown"] {
        let count = calls.iter().find(|(found, _)| found == state).map_or(0, |(_, count)| *count);
        metrics::gauge!(telemetry::CALLS, "state" => state).set(count as f64);
    }
    let backlog = store::outbox::find_backlog(&mut conn).await?;
    metrics::gauge!(telemetry::OUTBOX_ROWS).set(backlog.unsent as f64);
    metrics::gauge!(telemetry::OUTBOX_OLDEST).set(backlog.oldest_age.unwrap_or_default().as_secs_f64());
    let stuck = store::stuck::count(&mut conn, api.app.config.recovery.after).await?;
    metrics::gauge!(telemetry::STUCK).set(stuck as f64);
    // Targets without key, and a bounded number of them: each is a label.
    let targets = store::targets::list(&mut conn, None, TARGETS_MAX).await?;
    targets.items.iter().filter(|target| target.key.is_none()).for_each(telemetry::measure_target);
    for (pool, used) in ["steps", "background"].into_iter().zip(api.app.store.in_use()) {
        metrics::gauge!(telemetry::POOL_IN_USE, "pool" => pool).set(used.lent as f64);
    }
    Ok(())
}
