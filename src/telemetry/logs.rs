//! The log: lines on standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error. A second call has no effect.
pub fn start_logs(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours only on a terminal: files and pipes are read by programs.
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Pretty => builder.with_target(false).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A test or an embedding program may have set up logging already: theirs is used.
    drop(started);
}
