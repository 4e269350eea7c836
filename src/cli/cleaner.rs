//! `leveret cleaner`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::command::audit::Operation;
use crate::roles::cleaner::retention::{self, Rule};
use crate::store::retention::{
    Of, count_audit, count_closed, count_dead_letters, count_inbox, count_instances, count_messages,
};

/// Rows are counted up to this number.
const COUNT_MAX: i64 = 100_000;

#[derive(Args)]
pub(super) struct Arguments {
    /// Delete nothing: count what would be deleted now: ended instances for each rule, and everything else.
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
    let others = others(app).await?;
    match output {
        Output::Json => {
            let items = found.iter().map(|(rule, count)| {
                json!({
                    "definition": definition(rule), "retention": rule.keeps.to_string(),
                    "instances": (*count).min(COUNT_MAX), "more": *count > COUNT_MAX,
                })
            });
            let others = others.iter().map(|other| {
                json!({
                    "what": other.what, "retention": other.keeps, "count": other.count.min(COUNT_MAX),
                    "more": other.count > COUNT_MAX,
                })
            });
            output::json(&json!({ "items": items.collect::<Vec<_>>(), "others": others.collect::<Vec<_>>() }))?;
        }
        Output::Table => {
            let counted = |count: i64| {
                if count > COUNT_MAX { format!("more than {COUNT_MAX}") } else { count.to_string() }
            };
            let rows = found.iter().map(|(rule, count)| {
                let definition = definition(rule).unwrap_or("every other definition").to_owned();
                vec![definition, rule.keeps.to_string(), counted(*count)]
            });
            output::table(&["DEFINITION", "RETENTION", "INSTANCES"], rows.collect());
            let rows =
                others.iter().map(|other| vec![other.what.to_owned(), other.keeps.clone(), counted(other.count)]);
            output::table(&["BESIDES", "RETENTION", "ROWS"], rows.collect());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a pass deletes besides ended instances.
struct Other {
    what: &'static str,
    keeps: String,
    count: i64,
}

async fn others(app: &App) -> Result<Vec<Other>> {
    let (now, settings, limit) = (app.clock.now(), &app.config.retention, COUNT_MAX + 1);
    let mut conn = app.store.background().await?;
    let mut found = Vec::new();
    for (what, keeps) in [
        ("closed rows of instances that live", settings.closed),
        ("inbox rows", settings.inbox),
        ("dead letters", settings.dead_letters),
        ("audit rows", settings.audit),
    ] {
        let count = match (keeps.ends(now), what) {
            (None, _) => 0,
            (Some(before), "inbox rows") => count_inbox(&mut conn, before, limit).await?,
            (Some(before), "dead letters") => count_dead_letters(&mut conn, before, limit).await?,
            (Some(before), "audit rows") => count_audit(&mut conn, before, limit).await?,
            (Some(before), _) => count_closed(&mut conn, before, limit).await?,
        };
        found.push(Other { what, keeps: keeps.to_string(), count });
    }
    let count = count_messages(&mut conn, now, limit).await?;
    found.push(Other { what: "expired messages", keeps: "their ttl".into(), count });
    Ok(found)
}

/// The definition of the rule; none for the rule of all others.
fn definition(rule: &Rule) -> Option<&str> {
    match &rule.of {
        Of::Definition(name) => Some(name),
        Of::AllBut(_) => None,
    }
}
