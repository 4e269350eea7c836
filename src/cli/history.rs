//! `leveret history verify|seal`: proves that nothing was changed, or that what was sealed is still there.

mod key;
mod seal;
mod sealing;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use tokio::time::Instant;

use super::output::{self, Output};
use crate::app::App;

/// Chains that are read at once.
const CHAINS_MAX: i64 = 500;
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Compute chains of hashes again, and name the first row of each that does not fit. Exit code 1 if there is one.
    Verify(verify::Arguments),
    /// Write the heads of all chains, signed, to a place outside of the database.
    Seal(sealing::Arguments),
}

/// What needs no database; none if the verb needs one.
pub(super) fn offline(verb: &Verb, output: Output) -> Result<Option<ExitCode>> {
    match verb {
        Verb::Verify(_) => Ok(None),
        Verb::Seal(arguments) => sealing::new_key(arguments, output),
    }
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Verify(arguments) => verify::run(app, arguments, output).await,
        Verb::Seal(arguments) => sealing::run(app, arguments, output).await,
    }
}

/// Says from time to time how far a pass over all chains is.
struct Progress {
    shown_at: Instant,
}

impl Progress {
    fn new() -> Self {
        Progress { shown_at: Instant::now() }
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        if self.shown_at.elapsed() >= PROGRESS_EVERY {
            self.shown_at = Instant::now();
            output::progress(&text());
        }
    }
}
