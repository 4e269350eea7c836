//! The stock binary: no handlers of its own.

use std::process::ExitCode;

use leveret::handlers::Handlers;

fn main() -> ExitCode {
    leveret::cli::run(Handlers::new())
}
