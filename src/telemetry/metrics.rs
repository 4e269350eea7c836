//! Metrics: the one list of their names, how they are recorded, and the recorder that renders them.

use std::time::Duration;

use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::contract::api::TargetView;
use crate::engine::{Instance, Status};

/// Steps committed, by kind of activity or command.
pub const STEPS: &str = "leveret_steps_total";
/// Time of one step from decision to commit, by kind of activity and outcome.
pub const STEP_SECONDS: &str = "leveret_step_duration_seconds";
/// Time a step command waited between publisher and worker, without its intended delay.
pub const QUEUE_WAIT: &str = "leveret_queue_wait_seconds";
/// Steps taken under one delivery.
pub const STEPS_PER_DELIVERY: &str = "leveret_steps_per_delivery";
/// Instances that ended, by status.
pub const INSTANCES_ENDED: &str = "leveret_instances_ended_total";
/// Live instances, by status; counted when scraped.
pub const INSTANCES: &str = "leveret_instances";
/// Deliveries, by queue and whether they were redelivered.
pub const DELIVERIES: &str = "leveret_deliveries_total";
/// Duplicate commands, recognised by the inbox.
pub const DUPLICATES: &str = "leveret_duplicates_total";
/// Messages stored as dead letters.
pub const DEAD_LETTERS: &str = "leveret_dead_letters_total";
/// Outbox rows published, by outcome.
pub const PUBLISHED: &str = "leveret_relay_published_total";
/// Outbox rows that did not fit into the publish queue and were left to the sweep.
pub const PUBLISH_QUEUE_FULL: &str = "leveret_publish_queue_full_total";
/// Outbox rows that a sweep claimed.
pub const OUTBOX_SWEPT: &str = "leveret_outbox_swept_total";
/// Outbox rows waiting to be published; counted when scraped.
pub const OUTBOX_ROWS: &str = "leveret_outbox_rows";
/// Age of the oldest row waiting to be published, in seconds.
pub const OUTBOX_OLDEST: &str = "leveret_outbox_oldest_seconds";
/// Delay between the due time of a timer and its firing.
pub const TIMER_LATENESS: &str = "leveret_timer_lateness_seconds";
/// Items of bulk jobs, by outcome.
pub const BULK_ITEMS: &str = "leveret_bulk_items_total";
/// Ticks of schedules, by outcome.
pub const SCHEDULE_TICKS: &str = "leveret_schedule_ticks_total";
/// Delay between a tick and the start of its instance.
pub const SCHEDULE_LATENESS: &str = "leveret_schedule_lateness_seconds";
/// Silent branches whose step command was published again.
pub const BRANCHES_RECOVERED: &str = "leveret_branches_recovered_total";
/// Starts over the broker that were put off because a limit of starts was reached.
pub const STARTS_PUT_OFF: &str = "leveret_starts_put_off_total";
/// Panics of handlers, by handler.
pub const HANDLER_PANICS: &str = "leveret_handler_panics_total";
/// Live instances that look stuck.
pub const STUCK: &str = "leveret_stuck_instances";
/// Database connections in use, by pool.
pub const POOL_IN_USE: &str = "leveret_pool_in_use";
/// Connections to the broker that were opened again, by purpose.
pub const BROKER_RECONNECTS: &str = "leveret_broker_reconnects_total";
/// Rows that were no longer kept, by what they are.
pub const CLEANED: &str = "leveret_cleaned_total";
/// Requests to the API that were not admitted, by reason.
pub const ACCESS_REFUSED: &str = "leveret_access_refused_total";
/// Calls postponed before an attempt, by reason.
pub const CALLS_PUT_OFF: &str = "leveret_calls_put_off_total";
/// State of a target's circuit breaker: 0 closed, 1 half open, 2 open.
pub const BREAKER: &str = "leveret_breaker_state";
/// Calls waiting for their attempt, by target.
pub const TARGET_WAITING: &str = "leveret_target_waiting";
/// Calls being made, by target.
pub const TARGET_RUNNING: &str = "leveret_target_running";
/// Finished attempts at calls, by kind and outcome.
pub const CALL_ATTEMPTS: &str = "leveret_call_attempts_total";
/// Heartbeats and progress reports that arrived after their attempt had ended.
pub const LATE_SIGNS: &str = "leveret_call_late_signs_total";
/// Duration of one attempt over HTTP.
pub const CALL_SECONDS: &str = "leveret_call_duration_seconds";
/// Open calls, by state; counted when scraped.
pub const CALLS: &str = "leveret_calls";
/// Clients that listen to server-sent events.
pub const LISTENERS: &str = "leveret_listeners";
/// Always 1, with the version as label.
pub const BUILD_INFO: &str = "leveret_build_info";

/// Buckets of durations, in seconds: from a fast statement to a slow handler.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Buckets of steps per delivery.
const STEP_BUCKETS: [f64; 7] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Starts the metrics recorder of this process; the handle renders `/metrics`.
///
/// # Errors
/// If a recorder is installed already.
pub fn start_metrics() -> Result<PrometheusHandle, String> {
    let wrong = |error: metrics_exporter_prometheus::BuildError| error.to_string();
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(STEPS_PER_DELIVERY.into()), &STEP_BUCKETS))
        .and_then(|builder| builder.install_recorder())
        .map_err(wrong)?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Counts a committed step, and the end of its instance if it was the last step.
pub fn count_step(kind: &'static str, instance: &Instance) {
    metrics::counter!(STEPS, "kind" => kind).increment(1);
    if instance.status.has_ended() {
        metrics::counter!(INSTANCES_ENDED, "status" => instance.status.name()).increment(1);
        tracing::info!(
            instance = %instance.id, definition = %instance.definition, key = instance.key.as_deref(),
            status = instance.status.name(), "instance ended"
        );
    } else if instance.status == Status::Suspended {
        tracing::warn!(
            instance = %instance.id, definition = %instance.definition, key = instance.key.as_deref(),
            "instance suspended: `leveret instance show` prints the error, `leveret instance watch` the next step"
        );
    } else {
        tracing::debug!(instance = %instance.id, kind, revision = instance.revision, "step committed");
    }
}

/// Counts a step that is committed together with the step before it.
pub fn count_step_within(kind: &'static str) {
    metrics::counter!(STEPS, "kind" => kind).increment(1);
}

/// Whether the broker delivers a message for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryCount {
    /// For the first time.
    First,
    /// Again: the consumer before did not acknowledge it.
    Redelivered,
}

/// Counts a panic of a handler. The names are those of the registry, so there are few.
pub fn count_handler_panic(handler: &str) {
    metrics::counter!(HANDLER_PANICS, "handler" => handler.to_owned()).increment(1);
}

/// Counts a delivery.
pub fn count_delivery(queue: &str, count: DeliveryCount) {
    let redelivered = match count {
        DeliveryCount::First => "false",
        DeliveryCount::Redelivered => "true",
    };
    metrics::counter!(DELIVERIES, "queue" => queue.to_owned(), "redelivered" => redelivered).increment(1);
}

/// Counts the published and the returned rows of one batch.
pub fn count_published(confirmed: usize, returned: usize) {
    metrics::counter!(PUBLISHED, "outcome" => "confirmed").increment(confirmed as u64);
    metrics::counter!(PUBLISHED, "outcome" => "returned").increment(returned as u64);
}

/// Records the time of one step from decision to commit, and its outcome.
pub fn observe_step(kind: &'static str, outcome: &'static str, took: Duration) {
    metrics::histogram!(STEP_SECONDS, "kind" => kind, "outcome" => outcome).record(took);
}

/// Records how long a step command waited in its queue, if it carries the time it was sent.
pub fn observe_queue_wait(sent_at: Option<&String>, now: Timestamp) {
    let Some(sent_at) = sent_at.and_then(|millis| millis.parse::<i64>().ok()) else { return };
    let waited = now.as_millisecond().saturating_sub(sent_at).max(0);
    metrics::histogram!(QUEUE_WAIT).record(waited as f64 / 1_000.0);
}

/// Records how late a timer was fired.
pub fn observe_lateness(due_at: Timestamp, now: Timestamp) {
    metrics::histogram!(TIMER_LATENESS).record(now.duration_since(due_at).as_secs_f64().max(0.0));
}

/// Counts a finished attempt at a call.
pub fn count_call(kind: &'static str, outcome: &'static str) {
    metrics::counter!(CALL_ATTEMPTS, "kind" => kind, "outcome" => outcome).increment(1);
}

/// Records the duration of an attempt at a call.
pub fn observe_call(kind: &'static str, took: Duration) {
    metrics::histogram!(CALL_SECONDS, "kind" => kind).record(took.as_secs_f64());
}

/// Counts an item of a bulk job.
pub fn count_bulk_item(outcome: &'static str) {
    metrics::counter!(BULK_ITEMS, "outcome" => outcome).increment(1);
}

/// Counts ticks of schedules.
pub fn count_ticks(outcome: &'static str, count: u64) {
    metrics::counter!(SCHEDULE_TICKS, "outcome" => outcome).increment(count);
}

/// Records how late the instance of a tick was started.
pub fn observe_tick(tick: Timestamp, now: Timestamp) {
    metrics::histogram!(SCHEDULE_LATENESS).record(now.duration_since(tick).as_secs_f64().max(0.0));
}

/// Counts a call that was postponed.
pub fn count_put_off(reason: &'static str) {
    metrics::counter!(CALLS_PUT_OFF, "reason" => reason).increment(1);
}

/// Records the breaker state and the load of a target.
pub fn measure_target(target: &TargetView) {
    let state = match target.breaker.as_str() {
        "closed" => 0.0,
        "half_open" => 1.0,
        _ => 2.0,
    };
    metrics::gauge!(BREAKER, "target" => target.target.clone()).set(state);
    metrics::gauge!(TARGET_WAITING, "target" => target.target.clone()).set(target.waiting as f64);
    metrics::gauge!(TARGET_RUNNING, "target" => target.target.clone()).set(target.running as f64);
}

/// Records the number of steps taken under one delivery.
pub fn observe_delivery_steps(steps: u32) {
    metrics::histogram!(STEPS_PER_DELIVERY).record(f64::from(steps));
}
