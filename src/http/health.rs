//! Health, metrics and the AsyncAPI document: for orchestrators, Prometheus and generators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use futures_util::future::join;
use serde_json::{Value, json};

use super::ApiState;
use super::problem::Problem;
use crate::engine::Status;
use crate::store::commits::Commits;
use crate::store::session::Access;
use crate::{store, telemetry};

/// The database is away if it does not answer for this long: longer than a commit may take before it is said to hang.
const LOOK_FOR: Duration = Duration::from_secs(3);
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

/// 200 if the process can work: the database takes writes and confirms commits, the broker answers, and it is not stopping. Answers
/// within seconds.
pub(super) async fn readyz(State(api): State<ApiState>) -> (StatusCode, Json<Value>) {
    let database = database(&api.app.store).await;
    let broker = api.app.broker.is_connected();
    let blocked = api.app.broker.is_blocked();
    let stopping = api.app.stop.is_cancelled();
    let ready = database == ANSWERS && broker && !blocked && !stopping;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool, yes: &'static str, no: &'static str| if good { yes } else { no };
    let body = json!({
        "ready": ready,
        "database": database,
        "broker": word(broker, word(blocked, "blocked", "connected"), "away"),
        // The others work: no reason to send no requests here.
        "queues_in_trouble": api.app.broker.troubled(),
        "stopping": stopping,
    });
    (code, Json(body))
}

/// What a database says that takes writes.
const ANSWERS: &str = "answers";

/// Both looks at the same time: while commits hang, all connections but that of the second may be in use.
async fn database(store: &store::Store) -> &'static str {
    let (probe, commits) = join(tokio::time::timeout(LOOK_FOR, store.probe()), store.commits()).await;
    match (probe.map(|probe| probe.map(|probe| probe.access)), commits) {
        (Ok(Ok(Access::ReadOnly)), _) => "read-only",
        (_, Ok(Commits::Hang(_))) => "commits hang",
        (Ok(Ok(Access::Writable)), Ok(Commits::Confirmed)) => ANSWERS,
        (Ok(Ok(Access::Writable)), Err(_)) | (Ok(Err(_)) | Err(_), _) => "away",
    }
}

pub(super) async fn metrics(State(api): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let handle = api.metrics.clone().ok_or_else(|| Problem::not_found("this process does not record metrics"))?;
    if let Err(error) = measure(&api).await {
        // The process's own counters are useful even while the database is unavailable.
        tracing::debug!(%error, "metrics scrape without the figures of the database");
    }
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
