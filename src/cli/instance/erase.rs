//! `leveret instance erase`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::actor;
use crate::app::App;
use crate::cli::output::{self, Output};
use crate::command::erasure::{Mode, Report, Whose, erase};
use crate::engine::InstanceId;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Of this instance.
    #[arg(long, value_name = "ID", required_unless_present = "key", conflicts_with = "key")]
    instance: Option<Uuid>,
    /// Of this business key: all its instances, and kept messages and dead letters with it.
    #[arg(long, value_parser = output::named)]
    key: Option<String>,
    /// Only instances of this definition, and no messages and dead letters.
    #[arg(long, requires = "key")]
    definition: Option<String>,
    /// Erase nothing: count what would be erased.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn run(app: &App, arguments: Arguments, output: Output) -> Result<ExitCode> {
    let Arguments { instance, key, definition, dry_run, reason } = arguments;
    let whose = match (instance, key) {
        (Some(id), _) => Whose::Instance(InstanceId(id)),
        (None, Some(key)) => Whose::Key { key, definition },
        (None, None) => bail!("say whose data: --instance or --key"),
    };
    let mode = if dry_run { Mode::Preview } else { Mode::Erase };
    let report = erase(app, &whose, mode, reason.as_deref(), &actor(app)).await?;
    tell(&report, mode, output)?;
    Ok(if report.alive_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report, mode: Mode, output: Output) -> Result<()> {
    let Report { instances, of_instances, messages, alive, alive_count } = report;
    match output {
        Output::Json => output::json(&json!({
            "dry_run": mode == Mode::Preview, "instances": instances, "history": of_instances.history,
            "tasks": of_instances.tasks, "calls": of_instances.calls, "dead_letters": of_instances.dead_letters,
            "messages": messages, "alive": alive, "alive_count": alive_count,
        })),
        Output::Table => {
            output::line(format!(
                "{} {instances} instances with {} rows of history, {} tasks and {} calls; {} dead letters and {messages} messages",
                if mode == Mode::Preview { "would erase" } else { "erased" },
                of_instances.history,
                of_instances.tasks,
                of_instances.calls,
                of_instances.dead_letters,
            ));
            if *alive_count > 0 {
                let named = alive.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                output::line(format!(
                    "{alive_count} instances live and keep their data, because they need it: let them end, or cancel them, \
                     and erase again: {named}"
                ));
            }
            Ok(())
        }
    }
}
