//! Logs, metrics and spans: how they are set up, and the one list of their names.

mod logs;
mod metrics;
pub mod spans;

pub use self::logs::start_logs;
pub use self::metrics::*;
