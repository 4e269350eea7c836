//! `leveret task list|count|show|next|claim|extend|release|complete|reassign|delegate|draft`

mod shown;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::contract;
use crate::engine::{Act, InstanceId, Person, TaskId};
use crate::step::{self, Applied};
use crate::store::tasks::{self, After, Filter, Order};
use crate::time::duration;

/// Rows of a list, at most.
const LIST_MAX: i64 = 1_000;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List tasks: of somebody, the highest priority first, or all.
    List(List),
    /// Count tasks.
    Count(List),
    /// Show one task: what is asked, of whom, and how it can be decided.
    Show {
        /// Its id.
        id: Uuid,
    },
    /// Claim the task that comes first.
    Next {
        #[command(flatten)]
        who: Who,
        /// Only of this definition.
        #[arg(long)]
        definition: Option<String>,
        /// For how long, as in 30m.
        #[arg(long)]
        lease: Option<String>,
    },
    /// Take a task to oneself for a while.
    Claim(Claim),
    /// Keep what was claimed for longer.
    Extend(Claim),
    /// Give a task back.
    Release {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// Refuse if the task has another revision.
        #[arg(long)]
        revision: Option<i64>,
    },
    /// Do a task, or cast a vote.
    Complete {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// One of its decisions.
        #[arg(long)]
        decision: Option<String>,
        /// What is filled in, as JSON.
        #[arg(long, default_value = "null")]
        form: String,
        /// Why.
        #[arg(long)]
        comment: Option<String>,
        /// Refuse if the task has another revision.
        #[arg(long)]
        revision: Option<i64>,
    },
    /// Give a task to somebody, or back to all its candidates.
    Reassign(HandOver),
    /// Let somebody else do a task that one could do oneself.
    Delegate(HandOver),
    /// Keep what was filled in so far.
    Draft {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// What was filled in, as JSON.
        #[arg(long)]
        form: String,
    },
}

#[derive(Args)]
pub(super) struct Who {
    /// Who acts.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    user: String,
    /// The groups they belong to, with commas between them.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
}

impl Who {
    fn person(self) -> Person {
        Person { user: self.user, groups: self.groups }
    }
}

#[derive(Args)]
pub(super) struct List {
    /// Only what this user can do; of closed ones, what they did.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Only what members of these groups can do, with commas between them.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// Closed ones instead of open ones, newest first.
    #[arg(long)]
    closed: bool,
    /// Only of this definition.
    #[arg(long)]
    definition: Option<String>,
    /// Only of this instance.
    #[arg(long)]
    instance: Option<Uuid>,
    /// Only of at least this priority.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Only what is due before this moment.
    #[arg(long)]
    due_before: Option<jiff::Timestamp>,
    /// What is due first comes first.
    #[arg(long)]
    by_due: bool,
    /// Go on from here: what the page before said.
    #[arg(long)]
    cursor: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = output::LIMITS)]
    limit: i64,
}

impl List {
    fn filter(self) -> Result<Filter> {
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(After::parse(cursor).context("--cursor is not the `next` of a page before")?),
        };
        Ok(Filter {
            person: Person { user: self.user.unwrap_or_default(), groups: self.groups },
            closed: self.closed,
            definition: self.definition,
            instance: self.instance.map(InstanceId),
            priority: self.priority,
            due_before: self.due_before,
            order: if self.by_due { Order::Due } else { Order::Priority },
            after,
            limit: self.limit.clamp(1, LIST_MAX),
        })
    }
}

#[derive(Args)]
pub(super) struct Claim {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    who: Who,
    /// For how long, as in 30m.
    #[arg(long)]
    lease: Option<String>,
}

#[derive(Args)]
pub(super) struct HandOver {
    /// Its id.
    id: Uuid,
    #[command(flatten)]
    who: Who,
    /// To whom; left out, back to all candidates.
    #[arg(long)]
    to: Option<String>,
    /// Why.
    #[arg(long)]
    comment: Option<String>,
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::List(list) => shown::list(app, list.filter()?, output).await?,
        Verb::Count(list) => shown::count(app, &list.filter()?, output).await?,
        Verb::Show { id } => shown::show(app, TaskId(id), output).await?,
        Verb::Next { who, definition, lease } => {
            let lease_for = self::lease(app, lease.as_deref())?;
            match step::task_next(app, who.person(), definition.as_deref(), lease_for, &origin(app)).await? {
                Applied::New(Some(claimed)) => shown::show(app, claimed.id, output).await?,
                Applied::New(None) | Applied::Repeated(_) => match output {
                    Output::Json => output::json(&json!(null))?,
                    Output::Table => output::line("there is no task"),
                },
            }
        }
        Verb::Claim(Claim { id, who, lease }) => {
            let act = Act::Claim { lease_for: self::lease(app, lease.as_deref())? };
            self::act(app, id, (who, None), act, output).await?;
        }
        Verb::Extend(Claim { id, who, lease }) => {
            let act = Act::Extend { lease_for: self::lease(app, lease.as_deref())? };
            self::act(app, id, (who, None), act, output).await?;
        }
        Verb::Release { id, who, revision } => self::act(app, id, (who, revision), Act::Release, output).await?,
        Verb::Complete { id, who, decision, form, comment, revision } => {
            let act = Act::Complete { decision, form: read(&form)?, comment };
            self::act(app, id, (who, revision), act, output).await?;
        }
        Verb::Reassign(HandOver { id, who, to, comment }) => {
            self::act(app, id, (who, None), Act::Reassign { to, comment }, output).await?;
        }
        Verb::Delegate(HandOver { id, who, to, comment }) => {
            let to = to.context("--to says whom the task is delegated to")?;
            self::act(app, id, (who, None), Act::Delegate { to, comment }, output).await?;
        }
        Verb::Draft { id, who, form } => {
            self::act(app, id, (who, None), Act::Draft { form: read(&form)? }, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(form: &str) -> Result<Value> {
    let form: Value = serde_json::from_str(form).context("--form is not JSON")?;
    contract::refuse_unfit(&form).map_err(anyhow::Error::msg)?;
    Ok(form)
}

fn lease(app: &App, asked: Option<&str>) -> Result<Duration> {
    let asked = asked.map(duration::parse).transpose().map_err(anyhow::Error::msg)?;
    Ok(app.config.tasks.lease(asked))
}

async fn act(app: &App, id: Uuid, (who, seen): (Who, Option<i64>), act: Act, output: Output) -> Result<()> {
    let outcome = act.outcome();
    step::task(app, TaskId(id), who.person(), seen, act, &origin(app)).await?;
    let task = tasks::view(&mut *app.store.background().await?, TaskId(id)).await?;
    match output {
        Output::Json => output::json(&task),
        Output::Table => {
            // A vote that is not the last one leaves the task open.
            let counted = outcome == "completed" && task.is_some_and(|task| task.summary.closed_at.is_none());
            output::line(if counted { format!("the vote on {id} is counted") } else { format!("{id} is {outcome}") });
            Ok(())
        }
    }
}
