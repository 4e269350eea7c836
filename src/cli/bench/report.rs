//! The figures of a measurement, and how they are printed.

use std::fs;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::output::{self, Output};
use crate::config::Config;
use crate::sandbox::Sandbox;

/// Clock ticks per second in /proc: a constant of Linux's interface.
const TICKS_PER_SECOND: f64 = 100.0;
/// The longest time a histogram holds, in microseconds.
const LONGEST_US: u64 = 600_000_000;

/// The figures of one workload.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Row {
    workload: &'static str,
    steps_per_second: Option<f64>,
    floor_ratio: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    cpu_s_per_1000_steps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    /// The share of the time spent outside of Leveret: in a server, or in an external worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<f64>,
    /// What the figures above do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

impl Row {
    pub(super) fn of(workload: &'static str) -> Self {
        Self { workload, ..Self::default() }
    }

    pub(super) fn with_rate(self, steps_per_second: f64) -> Self {
        Self { steps_per_second: Some(steps_per_second), ..self }
    }

    pub(super) fn with_cpu(self, cpu_s_per_1000_steps: f64) -> Self {
        Self { cpu_s_per_1000_steps: Some(cpu_s_per_1000_steps), ..self }
    }

    pub(super) fn with_theirs(self, share: f64) -> Self {
        Self { theirs: Some(share), ..self }
    }

    pub(super) fn with_remark(self, remark: String) -> Self {
        Self { remark: Some(remark), ..self }
    }

    pub(super) fn with_idle(self, memory_mb: f64, cpu_percent: f64) -> Self {
        Self { memory_mb: Some(memory_mb), cpu_percent: Some(cpu_percent), ..self }
    }

    /// Times in milliseconds.
    pub(super) fn with_times(self, times: Vec<f64>) -> Self {
        let Ok(mut histogram) = Histogram::<u64>::new_with_max(LONGEST_US, 3) else { return self };
        for time in times {
            histogram.saturating_record((time * 1_000.0) as u64);
        }
        let at = |quantile| Some(histogram.value_at_quantile(quantile) as f64 / 1_000.0);
        Self { p50_ms: at(0.5), p99_ms: at(0.99), ..self }
    }

    pub(super) fn with_ratio(self, ratio: f64) -> Self {
        Self { floor_ratio: Some(ratio), ..self }
    }

    pub(super) fn against(self, floor: f64) -> Self {
        Self { floor_ratio: self.steps_per_second.map(|rate| rate / floor), ..self }
    }

    /// Combines several rounds: the median of each figure.
    pub(super) fn median(rounds: Vec<Row>) -> Row {
        let of = |figure: fn(&Row) -> Option<f64>| {
            let known: Vec<f64> = rounds.iter().filter_map(figure).collect();
            (!known.is_empty()).then(|| median(&known))
        };
        Row {
            workload: rounds.first().map_or("", |row| row.workload),
            steps_per_second: of(|row| row.steps_per_second),
            floor_ratio: of(|row| row.floor_ratio),
            p50_ms: of(|row| row.p50_ms),
            p99_ms: of(|row| row.p99_ms),
            cpu_s_per_1000_steps: of(|row| row.cpu_s_per_1000_steps),
            memory_mb: of(|row| row.memory_mb),
            cpu_percent: of(|row| row.cpu_percent),
            theirs: of(|row| row.theirs),
            remark: None,
        }
    }

    pub(super) fn brief(&self) -> String {
        let rate = self.steps_per_second.unwrap_or_default();
        format!("{} {rate:.0} steps/s, {:.2} of the floor", self.workload, self.floor_ratio.unwrap_or_default())
    }
}

/// The median.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub(super) fn print(rows: &[Row], output: Output) -> Result<()> {
    match output {
        Output::Json => {
            let settings = settings();
            let all: Vec<Value> = rows
                .iter()
                .map(|row| {
                    let mut value = json!(row);
                    value["settings"] = settings.clone();
                    value
                })
                .collect();
            output::json(&all)
        }
        Output::Table => {
            let figure =
                |value: Option<f64>, digits: usize| value.map_or("–".into(), |value| format!("{value:.digits$}"));
            let line = |row: &Row| {
                let idle =
                    row.memory_mb.map(|mb| format!("{mb:.0} MB, {:.1} % of a core", row.cpu_percent.unwrap_or(0.0)));
                let theirs = row.theirs.map(|share| format!("{:.0} % outside of Leveret", share * 100.0));
                vec![
                    row.workload.to_owned(),
                    figure(row.steps_per_second, 0),
                    figure(row.floor_ratio, 2),
                    figure(row.p50_ms, 1),
                    figure(row.p99_ms, 1),
                    figure(row.cpu_s_per_1000_steps, 3),
                    idle.or(theirs).or_else(|| row.remark.clone()).unwrap_or_default(),
                ]
            };
            let header = ["workload", "steps/s", "of floor", "p50 ms", "p99 ms", "CPU s/1000 steps", ""];
            output::table(&header, rows.iter().map(line).collect());
            Ok(())
        }
    }
}

/// The settings and the machine of the measurement.
fn settings() -> Value {
    let config = Config::default();
    json!({
        "worker": config.worker, "pool_max": config.database.pool_max, "publishers": config.broker.publishers,
        "fsync": true, "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// CPU time of this process and of the servers since a point in time.
pub(super) struct CpuSince(f64);

impl CpuSince {
    pub(super) fn now(sandbox: &Sandbox) -> Self {
        Self(total(sandbox))
    }

    /// CPU seconds used since then.
    pub(super) fn elapsed(&self, sandbox: &Sandbox) -> f64 {
        total(sandbox) - self.0
    }
}

fn total(sandbox: &Sandbox) -> f64 {
    let servers: f64 = sandbox.server_processes().into_iter().map(cpu_seconds).sum();
    servers + cpu_seconds(std::process::id())
}

/// CPU seconds of a process and of its ended children; 0 if it does not exist.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain anything; utime, stime, cutime, cstime are fields 14 to 17 of the line.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Resident memory of a process in MB (10^6 bytes).
pub(super) fn memory_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1_024.0 / 1e6
}
