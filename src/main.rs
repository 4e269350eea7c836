//! The stock binary, without Rust handlers.

use std::process::ExitCode;

use leveret::handlers::Handlers;

fn main() -> ExitCode {
    leveret::cli::run(Handlers::new())
}
