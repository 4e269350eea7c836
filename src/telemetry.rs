//! Logs and metrics: how they are set up, and the one list of their names.

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::contract::api::TargetView;
use crate::engine::{Instance, Status};

/// Steps committed, by kind of activity or command.
pub const STEPS: &str = "leveret_steps_total";
/// Time of one step from decision to commit, by kind of activity and outcome.
pub const STEP_SECONDS: &str = "leveret_step_duration_seconds";
/// Time a step command waited between publisher and worker; delayed ones apart.
pub const QUEUE_WAIT: &str = "leveret_queue_wait_seconds";
/// Steps of one stride.
pub const STEPS_PER_DELIVERY: &str = "leveret_steps_per_delivery";
/// Instances that ended, by status.
pub const INSTANCES_ENDED: &str = "leveret_instances_ended_total";
/// Live instances, by status; counted at the scrape.
pub const INSTANCES: &str = "leveret_instances";
/// Deliveries, by queue and whether they came again.
pub const DELIVERIES: &str = "leveret_deliveries_total";
/// Commands that had been handled before.
pub const DUPLICATES: &str = "leveret_duplicates_total";
/// Messages filed as dead letters.
pub const DEAD_LETTERS: &str = "leveret_dead_letters_total";
/// Rows published, by outcome.
pub const PUBLISHED: &str = "leveret_relay_published_total";
/// Rows that did not fit into memory and were left to the sweep.
pub const PUBLISH_QUEUE_FULL: &str = "leveret_publish_queue_full_total";
/// Rows a sweep found.
pub const OUTBOX_SWEPT: &str = "leveret_outbox_swept_total";
/// Rows waiting to be published.
pub const OUTBOX_ROWS: &str = "leveret_outbox_rows";
/// Age of the oldest of them.
pub const OUTBOX_OLDEST: &str = "leveret_outbox_oldest_seconds";
/// How late a timer fired.
pub const TIMER_LATENESS: &str = "leveret_timer_lateness_seconds";
/// Ticks of schedules, by outcome.
pub const SCHEDULE_TICKS: &str = "leveret_schedule_ticks_total";
/// How late a schedule's instance was started.
pub const SCHEDULE_LATENESS: &str = "leveret_schedule_lateness_seconds";
/// Branches woken because they had been silent.
pub const BRANCHES_RECOVERED: &str = "leveret_branches_recovered_total";
/// Live instances that nothing will move.
pub const STUCK: &str = "leveret_stuck_instances";
/// Connections in use, by pool.
pub const POOL_IN_USE: &str = "leveret_pool_in_use";
/// Connections to the broker that were made again, by purpose.
pub const BROKER_RECONNECTS: &str = "leveret_broker_reconnects_total";
/// Calls that were put off, by what they had to wait for; no attempt.
pub const CALLS_PUT_OFF: &str = "leveret_calls_put_off_total";
/// How the breakers of targets stand: 0 closed, 1 half open, 2 open.
pub const BREAKER: &str = "leveret_breaker_state";
/// Calls that are to be made, by target.
pub const TARGET_WAITING: &str = "leveret_target_waiting";
/// Calls that are being made, by target.
pub const TARGET_RUNNING: &str = "leveret_target_running";
/// Attempts at calls that have ended, by kind and outcome.
pub const CALL_ATTEMPTS: &str = "leveret_call_attempts_total";
/// Heartbeats and progress reports of attempts that had ended.
pub const LATE_SIGNS: &str = "leveret_call_late_signs_total";
/// Time of one attempt over HTTP.
pub const CALL_SECONDS: &str = "leveret_call_duration_seconds";
/// Open calls, by state; counted at the scrape.
pub const CALLS: &str = "leveret_calls";
/// One, with the version as label.
pub const BUILD_INFO: &str = "leveret_build_info";

/// Buckets of durations, in seconds: from a fast statement to a slow handler.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Buckets of strides, in steps.
const STEP_BUCKETS: [f64; 7] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Starts logging to standard error. A second call changes nothing.
pub fn start_logs(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A file or a pipe is read by programs too.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Pretty => builder.with_target(false).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Somebody else (a test, an embedding program) has set up logging: theirs is used.
    drop(started);
}

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

/// Counts a committed step, and the end of its instance if it was the last.
pub fn count_step(kind: &'static str, instance: &Instance) {
    metrics::counter!(STEPS, "kind" => kind).increment(1);
    if instance.status.has_ended() {
        metrics::counter!(INSTANCES_ENDED, "status" => instance.status.name()).increment(1);
        tracing::info!(
            instance = %instance.id, definition = %instance.definition, key = instance.key.as_deref(),
            status = instance.status.name(), "an instance has ended"
        );
    } else if instance.status == Status::Suspended {
        tracing::warn!(
            instance = %instance.id, definition = %instance.definition, key = instance.key.as_deref(),
            "an instance is suspended: `leveret instance show` tells why, `instance watch` what to do"
        );
    } else {
        tracing::debug!(instance = %instance.id, kind, revision = instance.revision, "a step was committed");
    }
}

/// Counts a step that is committed together with the one before it.
pub fn count_step_within(kind: &'static str) {
    metrics::counter!(STEPS, "kind" => kind).increment(1);
}

/// Counts a delivery.
pub fn count_delivery(queue: &str, redelivered: bool) {
    let redelivered = if redelivered { "true" } else { "false" };
    metrics::counter!(DELIVERIES, "queue" => queue.to_owned(), "redelivered" => redelivered).increment(1);
}

/// Counts what one batch of the relay came to.
pub fn count_published(confirmed: usize, returned: usize) {
    metrics::counter!(PUBLISHED, "outcome" => "confirmed").increment(confirmed as u64);
    metrics::counter!(PUBLISHED, "outcome" => "returned").increment(returned as u64);
}

/// Records one step: how long it took from decision to commit, and how it ended.
pub fn observe_step(kind: &'static str, outcome: &'static str, took: Duration) {
    metrics::histogram!(STEP_SECONDS, "kind" => kind, "outcome" => outcome).record(took);
}

/// Records how long a step command waited in its queue, if it says when it was sent.
pub fn observe_queue_wait(sent_at: Option<&String>, now: Timestamp) {
    let Some(sent_at) = sent_at.and_then(|millis| millis.parse::<i64>().ok()) else { return };
    let waited = now.as_millisecond().saturating_sub(sent_at).max(0);
    metrics::histogram!(QUEUE_WAIT).record(waited as f64 / 1_000.0);
}

/// Records how late a timer was fired.
pub fn observe_lateness(due_at: Timestamp, now: Timestamp) {
    metrics::histogram!(TIMER_LATENESS).record(now.duration_since(due_at).as_secs_f64().max(0.0));
}

/// Counts an attempt at a call that has ended.
pub fn count_call(kind: &'static str, outcome: &'static str) {
    metrics::counter!(CALL_ATTEMPTS, "kind" => kind, "outcome" => outcome).increment(1);
}

/// Records how long an attempt took.
pub fn observe_call(kind: &'static str, took: Duration) {
    metrics::histogram!(CALL_SECONDS, "kind" => kind).record(took.as_secs_f64());
}

/// Counts ticks of schedules.
pub fn count_ticks(outcome: &'static str, count: u64) {
    metrics::counter!(SCHEDULE_TICKS, "outcome" => outcome).increment(count);
}

/// Records how late the instance of a tick was started.
pub fn observe_tick(tick: Timestamp, now: Timestamp) {
    metrics::histogram!(SCHEDULE_LATENESS).record(now.duration_since(tick).as_secs_f64().max(0.0));
}

/// Counts a call that was put off.
pub fn count_put_off(reason: &'static str) {
    metrics::counter!(CALLS_PUT_OFF, "reason" => reason).increment(1);
}

/// Records how a target stands.
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

/// Records the length of a stride.
pub fn observe_delivery_steps(steps: u32) {
    metrics::histogram!(STEPS_PER_DELIVERY).record(f64::from(steps));
}

/// Arms the fail points that the environment names in `FAILPOINTS`; nothing without the feature `failpoints`.
pub fn arm_fail_points() {
    // For the life of the process: dropped, it would disarm them.
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// A place where a test can kill the process; nothing without the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub fn fail_point(name: &'static str) {
    fail::fail_point!(name, |_| kill(name));
}

/// A place where a test can kill the process; nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
pub fn fail_point(_name: &'static str) {}

#[cfg(feature = "failpoints")]
fn kill(name: &str) {
    // The test waits for this line: a fault that did not fire proves nothing.
    tracing::error!(point = name, "killed at a fail point");
    // No destructor, no flush, no goodbye: what a power cut leaves.
    if nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}
