//! `leveret dead-letter list|show|redrive|drop`

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::instance::actor;
use super::output::{self, Output};
use crate::app::App;
use crate::command;
use crate::command::dead_letter::{self, Batch, Range};
use crate::contract::LIST;
use crate::contract::api::{DeadLetterView, Page};
use crate::store::dead_letters::{self, Filter, Which};
use crate::store::views;

/// Dead letters of one batch; progress is shown after each.
const BATCH_MAX: i64 = 100;
/// Refusals that are told one by one.
const REFUSALS_MAX: usize = 20;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List dead letters, newest first, each with its reason.
    List {
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<i64>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show one dead letter with its headers and its body.
    Show {
        /// The id of the dead letter.
        id: i64,
    },
    /// Send dead letters again to their original exchange, as new messages: one, or all that fit. Remove the cause first.
    Redrive(Chosen),
    /// Delete dead letters that nobody needs: one, or all that fit.
    Drop(Chosen),
}

#[derive(Args)]
pub(super) struct Chosen {
    /// The id of one dead letter.
    #[arg(conflicts_with_all = ["why", "kind", "queue", "definition", "app_id", "all", "dry_run"])]
    id: Option<i64>,
    /// Those whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Those of this type, such as start or message.
    #[arg(long)]
    kind: Option<String>,
    /// Those that came from this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Those that start this definition, or are about its instances.
    #[arg(long)]
    definition: Option<String>,
    /// Those of this sender.
    #[arg(long)]
    app_id: Option<String>,
    /// Every one.
    #[arg(long, conflicts_with_all = ["why", "kind", "queue", "definition", "app_id"])]
    all: bool,
    /// Change nothing: count those that fit by their reasons.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// What is done with the chosen ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redrive,
    Drop,
}

impl Deed {
    fn done(self) -> &'static str {
        match self {
            Deed::Redrive => "redriven",
            Deed::Drop => "dropped",
        }
    }

    fn which(self) -> Which {
        match self {
            Deed::Redrive => Which::Waiting,
            Deed::Drop => Which::All,
        }
    }
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Show { id } => {
            let mut conn = app.store.background().await?;
            let found = views::dead_letter(&mut conn, id).await?;
            output::json(&found.with_context(|| format!("there is no dead letter {id}"))?)?;
        }
        Verb::List { cursor, limit } => {
            let mut conn = app.store.background().await?;
            list(views::dead_letters(&mut conn, cursor, limit).await?, output)?;
        }
        Verb::Redrive(chosen) => return act(app, chosen, Deed::Redrive, output).await,
        Verb::Drop(chosen) => return act(app, chosen, Deed::Drop, output).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(app: &App, chosen: Chosen, deed: Deed, output: Output) -> Result<ExitCode> {
    let reason = chosen.reason.as_deref();
    if let Some(id) = chosen.id {
        one(app, id, deed, reason, output).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let queue = chosen.queue.as_deref().map(|queue| dead_letter::queue(app, queue));
    let Chosen { why, kind, definition, app_id, .. } = chosen;
    let filter = Filter { why, kind, queue, definition, app_id };
    if filter == Filter::default() && !chosen.all {
        bail!("say which: the id of one, or --why, --kind, --queue, --definition, --app-id, or --all");
    }
    let upto = dead_letters::newest(&mut *app.store.background().await?).await?;
    if chosen.dry_run {
        preview(app, &filter, deed, upto, output).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let whole = all(app, &filter, deed, upto, chosen.reason.as_deref()).await?;
    tell(&whole, deed, output)?;
    Ok(if whole.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one(app: &App, id: i64, deed: Deed, reason: Option<&str>, output: Output) -> Result<()> {
    match deed {
        Deed::Redrive => {
            let message_id = command::redrive(app, id, reason, &actor(app)).await?;
            match output {
                Output::Json => output::json(&json!({ "id": id, "message_id": message_id }))?,
                Output::Table => output::line(format!("sent again as message {message_id}")),
            }
        }
        Deed::Drop => {
            dead_letter::discard(app, id, reason, &actor(app)).await?;
            match output {
                Output::Json => output::json(&json!({ "id": id, "dropped": true }))?,
                Output::Table => output::line(format!("dropped dead letter {id}")),
            }
        }
    }
    Ok(())
}

/// Batch by batch, up to the newest one of the beginning.
async fn all(app: &App, filter: &Filter, deed: Deed, upto: i64, reason: Option<&str>) -> Result<Batch> {
    let (mut whole, mut after) = (Batch::default(), 0);
    loop {
        let range = Range { after, upto, limit: BATCH_MAX };
        let batch = match deed {
            Deed::Redrive => dead_letter::redrive_batch(app, filter, range, reason, &actor(app)).await?,
            Deed::Drop => dead_letter::discard_batch(app, filter, range, reason, &actor(app)).await?,
        };
        whole.done += batch.done;
        whole.refused += batch.refused;
        let room = REFUSALS_MAX.saturating_sub(whole.refusals.len());
        whole.refusals.extend(batch.refusals.into_iter().take(room));
        let Some(next) = batch.next else { return Ok(whole) };
        after = next;
        output::progress(&format!("{} {}, {} refused", whole.done, deed.done(), whole.refused));
    }
}

async fn preview(app: &App, filter: &Filter, deed: Deed, upto: i64, output: Output) -> Result<()> {
    let groups = dead_letter::preview(app, filter, deed.which(), upto).await?;
    let count: i64 = groups.iter().map(|group| group.count).sum();
    match output {
        Output::Json => {
            let items = groups
                .iter()
                .map(|group| json!({ "reason": group.reason, "count": group.count, "sample": group.sample }));
            output::json(&json!({ "count": count, "items": items.collect::<Vec<_>>(), "upto": upto }))?;
        }
        Output::Table => {
            let rows =
                groups.into_iter().map(|group| vec![group.count.to_string(), group.sample.to_string(), group.reason]);
            output::table(&["count", "newest", "reason"], rows.collect());
            output::line(format!("{count} would be {}", deed.done()));
        }
    }
    Ok(())
}

fn tell(whole: &Batch, deed: Deed, output: Output) -> Result<()> {
    match output {
        Output::Json => {
            let refusals: Vec<Value> = whole.refusals.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            output::json(&json!({ "done": whole.done, "refused": whole.refused, "refusals": refusals }))
        }
        Output::Table => {
            whole.refusals.iter().for_each(|(_, why)| output::line(why));
            output::line(format!("{} {}, {} refused", whole.done, deed.done(), whole.refused));
            Ok(())
        }
    }
}

fn list(page: Page<DeadLetterView>, output: Output) -> Result<()> {
    match output {
        Output::Json => return output::json(&page),
        Output::Table if page.items.is_empty() => output::line("no dead letters"),
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let sender = format!("{} {}", one.app_id.unwrap_or_default(), one.message_id.unwrap_or_default());
                let kind = one.kind.unwrap_or_default();
                let failures = one.failures.to_string();
                let redriven = one.redriven_at.map(output::moment).unwrap_or_default();
                let received = output::moment(one.received_at);
                vec![one.id.to_string(), received, kind, sender, failures, redriven, one.reason]
            });
            let header = ["id", "received", "type", "sender and id", "failures", "redriven", "reason"];
            output::table(&header, rows.collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}
