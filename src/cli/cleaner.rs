//! `leveret cleaner`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::command::audit::Operation;
use crate::roles::cleaner::retention::{self, Rule};
use crate::store::retention::{Of, count_instances};

/// Instances are counted up to this number.
const COUNT_MAX: i64 = 100_000;

#[derive(Args)]
pub(super) struct Arguments {
    /// Delete nothing: count the ended instances that a pass would delete now, for each rule.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments, output: Output) -> Result<ExitCode> {
    if arguments.dry_run {
        return preview(app, output).await;
    }
    let actor = super::instance::actor(app);
    let operation = Operation { actor: &actor, action: "cleaner.run", subject: "cleaner", object: "", reason: None };
    operation.note(app, "begun", None).await?;
    let cleaned = retention::pass(app).await?;
    let numbers = json!({
        "instances": cleaned.instances, "closed": cleaned.closed, "inbox": cleaned.inbox,
        "dead_letters": cleaned.dead_letters, "audit": cleaned.audit, "exported": cleaned.exported,
    });
    operation.note(app, "done", Some(numbers.clone())).await?;
    match output {
        Output::Json => output::json(&numbers)?,
        Output::Table => output::line(format!(
            "deleted {} instances, {} closed rows of instances that live, {} inbox rows, {} dead letters and {} audit rows; exported {} \
             instances",
            cleaned.instances, cleaned.closed, cleaned.inbox, cleaned.dead_letters, cleaned.audit, cleaned.exported
        )),
    }
    Ok(ExitCode::SUCCESS)
}

async fn preview(app: &App, output: Output) -> Result<ExitCode> {
    let mut found = Vec::new();
    for rule in retention::rules(app).await? {
        let count = match rule.keeps.ends(app.clock.now()) {
            None => 0,
            Some(before) => {
                let mut conn = app.store.background().await?;
                count_instances(&mut conn, &rule.of, before, COUNT_MAX + 1).await?
            }
        };
        found.push((rule, count));
    }
    match output {
        Output::Json => {
            let items = found.iter().map(|(rule, count)| {
                json!({
                    "definition": definition(rule), "retention": rule.keeps.to_string(),
                    "instances": (*count).min(COUNT_MAX), "more": *count > COUNT_MAX,
                })
            });
            output::json(&json!({ "items": items.collect::<Vec<_>>() }))?;
        }
        Output::Table => {
            let rows = found.iter().map(|(rule, count)| {
                let count = if *count > COUNT_MAX { format!("more than {COUNT_MAX}") } else { count.to_string() };
                let definition = definition(rule).unwrap_or("every other definition").to_owned();
                vec![definition, rule.keeps.to_string(), count]
            });
            output::table(&["DEFINITION", "RETENTION", "INSTANCES"], rows.collect());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The definition of the rule; none for the rule of all others.
fn definition(rule: &Rule) -> Option<&str> {
    match &rule.of {
        Of::Definition(name) => Some(name),
        Of::AllBut(_) => None,
    }
}
