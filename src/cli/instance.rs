//! `leveret instance start|list|show|history|watch|erase`; the operations on one instance are in `control`.

mod erase;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::output::{self, Output};
use super::{control, graph, top, watch};
use crate::app::App;
use crate::command::{self, Actor, Applied, Follow, Origin, Started};
use crate::contract::api::InstanceView;
use crate::contract::{self, LIST, OnConflict};
use crate::engine::{InstanceId, Status};
use crate::store::instances::Filter;
use crate::store::views;

/// The sender of commands from the command line, as stored in the inbox.
const APP_ID: &str = "leveret.cli";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Start an instance.
    Start(Start),
    /// List instances, newest first.
    List(List),
    /// Show one instance: status, variables, waits.
    Show {
        /// The id of the instance.
        id: Uuid,
    },
    /// Show the history of an instance.
    History {
        /// The id of the instance.
        id: Uuid,
    },
    /// Follow an instance until it ends or is suspended.
    Watch {
        /// The id of the instance.
        id: Uuid,
    },
    /// Show what lives, waits and fails, drawn again every two seconds until Ctrl-C.
    Top,
    /// Draw an instance: the path that it went, and where it stands.
    Graph(graph::OfInstance),
    #[command(flatten)]
    Operate(control::Verb),
    /// Erase the data of a person from ended instances, their history, tasks, calls, dead letters and kept messages.
    Erase(erase::Arguments),
}

#[derive(Args)]
pub(super) struct Start {
    /// The definition's name.
    #[arg(value_parser = output::named)]
    definition: String,
    /// The input as JSON.
    #[arg(long, default_value = "{}")]
    input: String,
    /// Business key, unique among live instances of the definition.
    #[arg(long, value_parser = output::named)]
    key: Option<String>,
    /// The version. Default: the newest active one.
    #[arg(long)]
    version: Option<i32>,
    /// The user for whom it is started, as `instance.started_by`. Default: your login name.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    user: Option<String>,
    /// The priority, from -32768 to 32767: above 0, it goes before instances that have none. Default: that of the definition.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Follow the instance until it ends or is suspended.
    #[arg(long)]
    watch: bool,
}

#[derive(Args)]
pub(super) struct List {
    /// Only those for which this holds: status:running definition:order key:PO-* var.amount>1000 started<1h
    #[arg(long, conflicts_with_all = ["definition", "status", "key"])]
    filter: Option<String>,
    /// Only instances started before this one, which the page before has named.
    #[arg(long)]
    cursor: Option<Uuid>,
    /// Only instances of this definition.
    #[arg(long)]
    definition: Option<String>,
    /// Only instances with this status: running, suspended, completed, failed, cancelled.
    #[arg(long)]
    status: Option<String>,
    /// Only instances with this business key.
    #[arg(long)]
    key: Option<String>,
    #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
    limit: i64,
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Start(start) => return self::start(app, start, output).await,
        Verb::List(list) => self::list(app, list, output).await?,
        Verb::Show { id } => show(app, id, output).await?,
        Verb::History { id } => watch::history(app, InstanceId(id), output).await?,
        Verb::Watch { id } => return watch::follow(app, InstanceId(id), output).await,
        Verb::Top => return top::run(app, output).await,
        Verb::Graph(arguments) => return graph::of_instance(app, &arguments).await,
        Verb::Operate(verb) => control::run(app, verb, output).await?,
        Verb::Erase(arguments) => return erase::run(app, arguments, output).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(app: &App, start: Start, output: Output) -> Result<ExitCode> {
    let input = output::value("--input", &start.input)?;
    let command = contract::Start {
        definition: start.definition,
        version: start.version,
        key: start.key,
        on_conflict: OnConflict::Reject,
        user: start.user.or_else(login_name),
        priority: start.priority,
        input,
    };
    let id = match command::start(app, command, &origin(app)).await? {
        Applied::New(Started::New(committed)) => committed.instance.id,
        Applied::New(Started::Existing(id)) => id,
        Applied::Repeated(answer) => answer.instance.context("the start was refused")?,
    };
    if start.watch {
        return watch::follow(app, id, output).await;
    }
    match output {
        Output::Json => output::json(&json!({ "id": id }))?,
        Output::Table => output::line(id.to_string()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of the account that runs the command; none if the system does not know it.
pub(super) fn login_name() -> Option<String> {
    let account = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
    account.map(|account| account.name).filter(|name| contract::check_name(name).is_ok())
}

/// A new identity: no two commands of the command line are duplicates.
pub(super) fn origin(app: &App) -> Origin {
    Origin { by: login_name(), ..Origin::new(APP_ID, &app.new_id().to_string(), b"", Follow::Always) }
}

/// Who uses the command line, for the audit log.
pub(super) fn actor(app: &App) -> Actor {
    Actor::of(&origin(app))
}

async fn list(app: &App, list: List, output: Output) -> Result<()> {
    let status = match &list.status {
        None => None,
        Some(name) => Some(
            Status::parse(name)
                .with_context(|| format!("`{name}` is not a status: use {}", Status::NAMES.join(", ")))?,
        ),
    };
    let limit = list.limit;
    let before = list.cursor.map(InstanceId);
    let mut conn = app.store.background().await?;
    let page = match &list.filter {
        Some(text) => {
            let filter = contract::filter::Filter::read(text)?;
            views::found(&mut conn, &filter, before, limit, app.clock.now()).await?
        }
        None => {
            let (definition, key) = (list.definition, list.key);
            let filter = Filter { definition, status, key, before, limit, ..Filter::default() };
            views::instances(&mut conn, &filter).await?
        }
    };
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let at = if one.at.is_empty() { "–".into() } else { one.at.join(", ") };
                let name = format!("{} v{}", one.definition, one.version);
                vec![
                    one.id.to_string(),
                    name,
                    one.key.unwrap_or_default(),
                    one.status,
                    at,
                    output::moment(one.started_at),
                ]
            });
            output::table(&["id", "definition", "key", "status", "activity", "started"], rows.collect());
            if let Some(next) = page.next {
                output::more(limit);
                output::line(format!("the next page: --cursor {next}"));
            }
            Ok(())
        }
    }
}

async fn show(app: &App, id: Uuid, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Some(view) = views::instance(&mut conn, InstanceId(id)).await? else { bail!("there is no instance {id}") };
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            describe(&view);
            Ok(())
        }
    }
}

fn describe(view: &InstanceView) {
    let summary = &view.summary;
    let mut rows = vec![
        vec!["id".into(), summary.id.to_string()],
        vec!["definition".into(), format!("{} version {}", summary.definition, summary.version)],
        vec!["status".into(), summary.status.clone()],
        vec!["started".into(), output::moment(summary.started_at)],
        vec!["revision".into(), view.revision.to_string()],
        vec!["input".into(), view.input.to_string()],
        vec!["variables".into(), view.variables.to_string()],
    ];
    let more = [
        ("key", summary.key.clone()),
        ("started by", view.started_by.clone()),
        ("user id", view.user_id.clone()),
        ("activity", Some(summary.at.join(", ")).filter(|at| !at.is_empty())),
        ("ended", summary.ended_at.map(output::moment)),
        ("output", view.output.as_ref().map(Value::to_string)),
        ("error", view.error.as_ref().map(Value::to_string)),
    ];
    rows.extend(more.into_iter().filter_map(|(name, text)| Some(vec![name.to_owned(), text?])));
    for wait in &view.waits {
        let what = match (&wait.name, wait.due_at, &wait.failure) {
            (Some(name), _, _) => format!("message `{name}` for key `{}`", wait.key.as_deref().unwrap_or_default()),
            (None, Some(due_at), _) => format!("{} due {}", wait.kind, output::moment(due_at)),
            (None, None, Some(failure)) => format!("a retry after {failure}"),
            (None, None, None) if wait.kind == "intervention" => {
                format!("a resume; suspended by a command: {}", wait.note.as_deref().unwrap_or("no reason given"))
            }
            (None, None, None) => match wait.task {
                Some(task) => format!("task {task}"),
                None => wait.kind.clone(),
            },
        };
        rows.push(vec!["waits for".into(), what]);
    }
    output::table(&["", ""], rows);
}
