//! `leveret target list`: the targets of calls, their breakers, limits and waiting calls.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::output::{self, Output};
use crate::app::App;
use crate::contract::LIST;
use crate::contract::api::TargetView;
use crate::store::targets;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List targets by name, with their circuit breakers, limits and waiting calls.
    List {
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    let Verb::List { limit } = verb;
    let mut conn = app.store.background().await?;
    let page = targets::list(&mut conn, None, limit).await?;
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() => output::line("no targets"),
        Output::Table => {
            let more = page.next.is_some();
            let header = ["target", "key", "breaker", "until", "waiting", "running", "limits", "last failure"];
            output::table(&header, page.items.into_iter().map(row).collect());
            if more {
                output::more(limit);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(one: TargetView) -> Vec<String> {
    let rate = one.rate.map(|rate| format!("{} per {}", rate.count, rate.per));
    let at_once = one.concurrency.map(|concurrency| format!("{concurrency} at once"));
    let limits: Vec<String> = rate.into_iter().chain(at_once).collect();
    vec![
        one.target,
        one.key.unwrap_or_default(),
        one.breaker,
        one.until.map(output::moment).unwrap_or_default(),
        one.waiting.to_string(),
        one.running.to_string(),
        limits.join(", "),
        one.last_failure.unwrap_or_default(),
    ]
}
