//! `leveret task list|count|show|next|claim|extend|release|complete|reassign|delegate|draft`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::instance::origin;
use super::output::{self, Output};
use crate::app::App;
use crate::contract;
use crate::contract::api::{TaskSummary, TaskView};
use crate::engine::{Act, InstanceId, Person, TaskId};
use crate::resilience::duration;
use crate::step::{self, Tasked};
use crate::store::tasks::{self, After, Filter, Order};

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
    #[arg(long = "as", value_name = "USER")]
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
    #[arg(long, default_value_t = 50)]
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
        Verb::List(list) => self::list(app, list.filter()?, output).await?,
        Verb::Count(list) => count(app, &list.filter()?, output).await?,
        Verb::Show { id } => show(app, TaskId(id), output).await?,
        Verb::Next { who, definition, lease } => {
            let lease_for = self::lease(app, lease.as_deref())?;
            match step::task_next(app, who.person(), definition.as_deref(), lease_for, &origin(app)).await? {
                Tasked::To(_, id) => show(app, id, output).await?,
                Tasked::Known(_) | Tasked::None => match output {
                    Output::Json => output::json(&json!(null))?,
                    Output::Table => output::line("there is nothing to do"),
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
    contract::refuse_nul(&form).map_err(anyhow::Error::msg)?;
    Ok(form)
}

fn lease(app: &App, asked: Option<&str>) -> Result<Duration> {
    let asked = asked.map(duration::parse).transpose().map_err(anyhow::Error::msg)?;
    Ok(app.config.tasks.lease(asked))
}

async fn act(app: &App, id: Uuid, (who, seen): (Who, Option<i64>), act: Act, output: Output) -> Result<()> {
    let outcome = act.outcome();
    step::task(app, TaskId(id), (who.person(), seen), act, &origin(app)).await?;
    match output {
        Output::Json => {
            let mut conn = app.store.duties().await?;
            output::json(&tasks::view(&mut conn, TaskId(id)).await?)
        }
        Output::Table => {
            output::line(format!("{id} is {outcome}"));
            Ok(())
        }
    }
}

async fn list(app: &App, filter: Filter, output: Output) -> Result<()> {
    let mut conn = app.store.duties().await?;
    let page = tasks::page(&mut conn, &filter).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            output::table(&["id", "task", "of", "priority", "due", "whose"], page.items.iter().map(line).collect());
            if let Some(next) = page.next {
                output::line(format!("there is more: --cursor {next}"));
            }
            Ok(())
        }
    }
}

fn line(task: &TaskSummary) -> Vec<String> {
    let whose = match (&task.completed_by, &task.claimed_by, &task.assignee) {
        (Some(by), _, _) => format!("{} by {by}", task.state),
        (None, Some(by), _) => format!("claimed by {by}"),
        (None, None, Some(assignee)) => assignee.clone(),
        (None, None, None) => "–".into(),
    };
    let key = task.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
    vec![
        task.id.to_string(),
        task.title.clone(),
        format!("{}{key}", task.definition),
        task.priority.to_string(),
        task.due_at.map(output::moment).unwrap_or_default(),
        whose,
    ]
}

async fn count(app: &App, filter: &Filter, output: Output) -> Result<()> {
    let mut conn = app.store.duties().await?;
    let total = tasks::total(&mut conn, filter).await?;
    match output {
        Output::Json => output::json(&total),
        Output::Table => {
            output::line(format!("{}{}", total.count, if total.more { " or more" } else { "" }));
            Ok(())
        }
    }
}

async fn show(app: &App, id: TaskId, output: Output) -> Result<()> {
    let mut conn = app.store.duties().await?;
    let Some(view) = tasks::view(&mut conn, id).await? else { bail!("there is no task {id}") };
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            describe(&view);
            Ok(())
        }
    }
}

fn describe(view: &TaskView) {
    let TaskSummary { id, title, state, definition, activity, priority, revision, .. } = &view.summary;
    let listed = |names: &[String]| Some(names.join(", ")).filter(|names| !names.is_empty());
    let known = |value: &Value| (!value.is_null()).then(|| value.to_string());
    let decisions = view.decisions.as_array().map(|decisions| {
        let word = |decision: &Value| format!("{} ({})", text(&decision["name"]), text(&decision["label"]));
        decisions.iter().map(word).collect::<Vec<_>>()
    });
    let rows = [
        ("id", Some(id.to_string())),
        ("task", Some(title.clone())),
        ("state", Some(state.clone())),
        ("of", Some(format!("{definition}, {activity}, instance {}", view.summary.instance))),
        ("priority", Some(priority.to_string())),
        ("revision", Some(revision.to_string())),
        ("description", view.description.clone()),
        ("data", known(&view.data)),
        ("users", listed(&view.users)),
        ("groups", listed(&view.groups)),
        ("excluded", listed(&view.excluded)),
        ("assignee", view.summary.assignee.clone()),
        ("claimed by", view.summary.claimed_by.clone()),
        ("until", view.summary.lease_until.map(output::moment)),
        ("due", view.summary.due_at.map(output::moment)),
        ("decisions", decisions.and_then(|decisions| listed(&decisions))),
        ("form", view.form.as_ref().and_then(known)),
        ("draft", view.draft.as_ref().and_then(known)),
        ("votes", view.votes.as_ref().and_then(known)),
        ("ballots", view.ballots.as_ref().and_then(known)),
        ("completed by", view.summary.completed_by.clone()),
        ("result", view.result.as_ref().and_then(known)),
    ];
    let rows = rows.into_iter().filter_map(|(name, text)| Some(vec![name.to_owned(), text?]));
    output::table(&["", ""], rows.collect());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
