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
use crate::command::{self, Applied};
use crate::contract::{self, LIST};
use crate::engine::{Act, InstanceId, Person, TaskId};
use crate::store::tasks::{self, After, Filter, Order};
use crate::time::{duration, moment};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List the tasks of a person, or all, by priority.
    List(List),
    /// Count tasks.
    Count(List),
    /// Show one task: title, data, form, candidates and decisions.
    Show {
        /// The id of the task.
        id: Uuid,
    },
    /// Claim the first task of the inbox.
    Next {
        #[command(flatten)]
        who: Who,
        /// Only tasks of this definition.
        #[arg(long)]
        definition: Option<String>,
        /// How long the claim lasts, such as 30m.
        #[arg(long)]
        lease: Option<String>,
    },
    /// Claim a task for some time.
    Claim(Claim),
    /// Extend a claim.
    Extend(Claim),
    /// Release a claimed task.
    Release {
        /// The id of the task.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// Refuse if the task has another revision.
        #[arg(long)]
        revision: Option<i64>,
    },
    /// Complete a task, or cast a vote.
    Complete {
        /// The id of the task.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// One of the decisions of the task.
        #[arg(long)]
        decision: Option<String>,
        /// The filled-in form as JSON.
        #[arg(long, default_value = "null")]
        form: String,
        /// A comment for the history.
        #[arg(long)]
        comment: Option<String>,
        /// Refuse if the task has another revision.
        #[arg(long)]
        revision: Option<i64>,
    },
    /// Assign a task to another user, or return it to all its candidates.
    Reassign(HandOver),
    /// Delegate a task to another user.
    Delegate(HandOver),
    /// Save a draft of the form.
    Draft {
        /// The id of the task.
        id: Uuid,
        #[command(flatten)]
        who: Who,
        /// The draft as JSON.
        #[arg(long)]
        form: String,
    },
}

#[derive(Args)]
pub(super) struct Who {
    /// The acting user.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    user: String,
    #[command(flatten)]
    groups: Groups,
}

impl Who {
    fn person(self) -> Person {
        Person { user: self.user, groups: self.groups.all() }
    }
}

/// Names of groups may hold commas and outer blanks, as those of LDAP do.
#[derive(Args)]
pub(super) struct Groups {
    /// A group of the user, exactly as written; may be repeated.
    #[arg(long = "group", value_name = "GROUP", value_parser = output::named)]
    group: Vec<String>,
    /// The groups of the user, separated by commas. A text with a comma is also the name of one group.
    #[arg(long, value_name = "GROUPS")]
    groups: Vec<String>,
}

impl Groups {
    fn all(self) -> Vec<String> {
        let listed = self.groups.iter().flat_map(|listed| contract::listed_groups(listed));
        self.group.iter().cloned().chain(listed).collect()
    }
}

#[derive(Args)]
pub(super) struct List {
    /// Only tasks this user can complete; with --closed, tasks this user completed.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    groups: Groups,
    /// Closed tasks instead of open ones, newest first.
    #[arg(long)]
    closed: bool,
    /// Only tasks of this definition.
    #[arg(long)]
    definition: Option<String>,
    /// Only tasks of this instance.
    #[arg(long)]
    instance: Option<Uuid>,
    /// Only tasks of at least this priority.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Only tasks due before this time.
    #[arg(long, value_parser = moment::option)]
    due_before: Option<jiff::Timestamp>,
    /// Order by due time instead of priority.
    #[arg(long)]
    by_due: bool,
    /// Continue after the previous page: its `next`.
    #[arg(long)]
    cursor: Option<String>,
    #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
    limit: i64,
}

impl List {
    fn filter(self) -> Result<Filter> {
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(After::parse(cursor).context("--cursor must be the `next` of an earlier page")?),
        };
        Ok(Filter {
            person: Person { user: self.user.unwrap_or_default(), groups: self.groups.all() },
            closed: self.closed,
            definition: self.definition,
            instance: self.instance.map(InstanceId),
            priority: self.priority,
            due_before: self.due_before,
            order: if self.by_due { Order::Due } else { Order::Priority },
            after,
            limit: self.limit,
        })
    }
}

#[derive(Args)]
pub(super) struct Claim {
    /// The id of the task.
    id: Uuid,
    #[command(flatten)]
    who: Who,
    /// How long the claim lasts, such as 30m.
    #[arg(long)]
    lease: Option<String>,
}

#[derive(Args)]
pub(super) struct HandOver {
    /// The id of the task.
    id: Uuid,
    #[command(flatten)]
    who: Who,
    /// The new user. Default: all candidates (`reassign` only).
    #[arg(long)]
    to: Option<String>,
    /// A comment for the history.
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
            match command::task_next(app, who.person(), definition.as_deref(), lease_for, &origin(app)).await? {
                Applied::New(Some(claimed)) => shown::show(app, claimed.id, output).await?,
                Applied::New(None) | Applied::Repeated(_) => match output {
                    Output::Json => output::json(&json!(null))?,
                    Output::Table => output::line("no task is available"),
                },
            }
        }
        Verb::Claim(Claim { id, who, lease }) => {
            let act = Act::Claim { lease_for: self::lease(app, lease.as_deref())? };
            self::act(app, id, Actor { who, seen: None }, act, output).await?;
        }
        Verb::Extend(Claim { id, who, lease }) => {
            let act = Act::Extend { lease_for: self::lease(app, lease.as_deref())? };
            self::act(app, id, Actor { who, seen: None }, act, output).await?;
        }
        Verb::Release { id, who, revision } => {
            self::act(app, id, Actor { who, seen: revision }, Act::Release, output).await?
        }
        Verb::Complete { id, who, decision, form, comment, revision } => {
            let act = Act::Complete { decision, form: read(&form)?, comment };
            self::act(app, id, Actor { who, seen: revision }, act, output).await?;
        }
        Verb::Reassign(HandOver { id, who, to, comment }) => {
            self::act(app, id, Actor { who, seen: None }, Act::Reassign { to, comment }, output).await?;
        }
        Verb::Delegate(HandOver { id, who, to, comment }) => {
            let to = to.context("--to is missing: name the user to delegate the task to")?;
            self::act(app, id, Actor { who, seen: None }, Act::Delegate { to, comment }, output).await?;
        }
        Verb::Draft { id, who, form } => {
            self::act(app, id, Actor { who, seen: None }, Act::Draft { form: read(&form)? }, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(form: &str) -> Result<Value> {
    output::value("--form", form)
}

fn lease(app: &App, requested: Option<&str>) -> Result<Duration> {
    let requested = requested.map(duration::parse).transpose().map_err(anyhow::Error::msg)?;
    Ok(app.config.tasks.lease(requested))
}

/// Who acts, and the revision of the task they have seen.
struct Actor {
    who: Who,
    seen: Option<i64>,
}

async fn act(app: &App, id: Uuid, Actor { who, seen }: Actor, act: Act, output: Output) -> Result<()> {
    let outcome = act.outcome();
    command::task(app, TaskId(id), who.person(), seen, act, &origin(app)).await?;
    let task = tasks::view(&mut *app.store.background().await?, TaskId(id)).await?;
    match output {
        Output::Json => output::json(&task),
        Output::Table => {
            // A vote that is not the last one leaves the task open.
            let counted = outcome == "completed" && task.is_some_and(|task| task.summary.closed_at.is_none());
            output::line(if counted { format!("the vote on {id} was counted") } else { format!("{id} is {outcome}") });
            Ok(())
        }
    }
}
