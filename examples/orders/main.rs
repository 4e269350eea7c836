//! A program with its own handlers: everything the standard binary can do, and `demo`.
//!
//! `cargo run --example orders -- dev` runs everything; `cargo run --example orders -- demo` runs a demonstration.

mod demo;
mod shop;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("demo") {
        return demo::run(shop::handlers());
    }
    leveret::cli::run(shop::handlers())
}
