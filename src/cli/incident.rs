//! `leveret incident list|groups|show|assign|comment|mute|unmute|resolve`

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::instance::{login_name, origin};
use super::output::{self, Output};
use crate::app::App;
use crate::command::{self, Applied, Author, IncidentAction, Run};
use crate::contract::LIST;
use crate::contract::api::{IncidentGroupDetails, IncidentGroupView, IncidentResolveView, IncidentView};
use crate::engine::InstanceId;
use crate::store::incidents::{self, Filter, GroupChange};
use crate::store::waits::{self, IncidentFilter};
use crate::time::{duration, moment};

/// The newest incidents of a group that are shown with it.
const SHOWN_MAX: i64 = 20;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// List open incidents, newest first: failures to retry, and suspended instances to resume.
    List {
        /// Only incidents of this definition.
        #[arg(long)]
        definition: Option<String>,
        /// Only incidents of this group.
        #[arg(long)]
        fingerprint: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// List open incidents by cause, the one with the newest incident first.
    Groups {
        /// Only groups of this definition.
        #[arg(long)]
        definition: Option<String>,
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show a group: its newest incidents, and what was noted about it.
    Show {
        /// The fingerprint, as `incident groups` shows it.
        fingerprint: String,
    },
    /// Say who looks after a group; without a user, that nobody does.
    Assign {
        /// The fingerprint of the group.
        fingerprint: String,
        /// The user who looks after it.
        #[arg(value_parser = output::named)]
        assignee: Option<String>,
        #[command(flatten)]
        author: AuthorArguments,
    },
    /// Comment a group.
    Comment {
        /// The fingerprint of the group.
        fingerprint: String,
        /// The comment.
        text: String,
        /// Who says it. Default: your login name.
        #[arg(long = "as", value_name = "USER", value_parser = output::named)]
        user: Option<String>,
    },
    /// Mute a group until a time.
    Mute {
        /// The fingerprint of the group.
        fingerprint: String,
        /// Until then, such as 2026-01-31T09:00:00Z.
        #[arg(long, value_name = "TIME", required_unless_present = "after", conflicts_with = "after", value_parser = moment::option)]
        until: Option<Timestamp>,
        /// For this long, such as 12h.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        after: Option<std::time::Duration>,
        #[command(flatten)]
        author: AuthorArguments,
    },
    /// Take back a mute.
    Unmute {
        /// The fingerprint of the group.
        fingerprint: String,
        #[command(flatten)]
        author: AuthorArguments,
    },
    /// Resolve the incidents of one instance.
    Resolve(Resolve),
}

#[derive(Args)]
pub(super) struct AuthorArguments {
    /// Who does it. Default: your login name.
    #[arg(long = "as", value_name = "USER", value_parser = output::named)]
    user: Option<String>,
    /// The reason.
    #[arg(long)]
    reason: Option<String>,
}

impl From<AuthorArguments> for Author {
    fn from(AuthorArguments { user, reason }: AuthorArguments) -> Self {
        Author { user: user.or_else(login_name), reason }
    }
}

#[derive(Args)]
pub(super) struct Resolve {
    /// The id of the instance.
    id: Uuid,
    /// How: try the activities again, end the instance as failed, or cancel it.
    #[arg(long = "as", value_parser = ["retry", "fail", "cancel"])]
    action: String,
    /// With retry: variables that are set before, as a JSON object.
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    /// The reason, stored in the history.
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::List { definition, fingerprint, limit } => {
            list(app, IncidentFilter { definition, fingerprint, before: None, limit }, output).await?;
        }
        Verb::Groups { definition, cursor, limit } => {
            let before = cursor.as_deref().map(str::parse).transpose().map_err(anyhow::Error::msg)?;
            groups(app, Filter { definition, before, limit }, output).await?;
        }
        Verb::Show { fingerprint } => show(app, &fingerprint, output).await?,
        Verb::Assign { fingerprint, assignee, author } => {
            change(app, &fingerprint, GroupChange::Assign(assignee), author.into(), output).await?;
        }
        Verb::Comment { fingerprint, text, user } => {
            let author = Author { user: user.or_else(login_name), reason: None };
            change(app, &fingerprint, GroupChange::Comment(text), author, output).await?;
        }
        Verb::Mute { fingerprint, until, after, author } => {
            let until = match after {
                Some(after) => Some(app.clock.now().checked_add(after).context("--after is too long")?),
                None => until,
            };
            change(app, &fingerprint, GroupChange::Mute(until), author.into(), output).await?;
        }
        Verb::Unmute { fingerprint, author } => {
            change(app, &fingerprint, GroupChange::Mute(None), author.into(), output).await?;
        }
        Verb::Resolve(what) => resolve(app, what, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(app: &App, filter: IncidentFilter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = waits::incidents(&mut conn, &filter).await?;
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() => output::line("no open incidents"),
        Output::Table => {
            output::table(&LIST_HEADER, page.items.into_iter().map(line).collect());
            page.next.iter().for_each(|_| output::more(filter.limit));
        }
    }
    Ok(())
}

const LIST_HEADER: [&str; 7] = ["instance", "definition", "key", "activity", "kind", "since", "reason"];

fn line(one: IncidentView) -> Vec<String> {
    let failure = one.failure.as_ref().map(|failure| {
        let text = |name: &str| failure.get(name).and_then(|text| text.as_str()).unwrap_or_default();
        format!("{}: {}", text("code"), text("message"))
    });
    let why = failure.or(one.note).unwrap_or_default();
    let at = one.activity.unwrap_or_else(|| "–".into());
    let since = output::moment(one.opened_at);
    vec![one.instance.to_string(), one.definition, one.key.unwrap_or_default(), at, one.kind, since, why]
}

async fn groups(app: &App, filter: Filter, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = incidents::groups(&mut conn, &filter).await?;
    match output {
        Output::Json => return output::json(&page),
        Output::Table if page.items.is_empty() => output::line("no open incidents"),
        Output::Table => {
            let header = ["id", "definition", "activity", "count", "newest", "assignee", "failure"];
            let row = |group: IncidentGroupView| {
                let muted = if group.muted { " (muted)" } else { "" };
                vec![
                    group.fingerprint,
                    group.definition,
                    group.activity.unwrap_or_else(|| "–".into()),
                    group.count.to_string(),
                    output::moment(group.last_at),
                    format!("{}{muted}", group.assignee.unwrap_or_else(|| "–".into())),
                    format!("{}: {}", group.code, group.message),
                ]
            };
            output::table(&header, page.items.into_iter().map(row).collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}

async fn show(app: &App, fingerprint: &str, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Some(group) = incidents::find_group(&mut conn, fingerprint).await? else {
        bail!("no open incident has the fingerprint `{fingerprint}`: see `leveret incident groups`")
    };
    let filter =
        IncidentFilter { fingerprint: Some(fingerprint.to_owned()), limit: SHOWN_MAX, ..IncidentFilter::default() };
    let newest = waits::incidents(&mut conn, &filter).await?.items;
    let notes = incidents::notes(&mut conn, fingerprint).await?;
    let details = IncidentGroupDetails { group, incidents: newest, notes };
    match output {
        Output::Json => output::json(&details),
        Output::Table => {
            describe(details);
            Ok(())
        }
    }
}

fn describe(IncidentGroupDetails { group, incidents, notes }: IncidentGroupDetails) {
    let versions: Vec<String> = group.versions.iter().map(i32::to_string).collect();
    let muted = group.muted_until.filter(|_| group.muted).map(output::moment);
    let rows = [
        ("fingerprint", group.fingerprint),
        ("failure", format!("{}: {}", group.code, group.message)),
        ("at", format!("{} of {}", group.activity.unwrap_or_else(|| "–".into()), group.definition)),
        ("versions", versions.join(", ")),
        ("open", group.count.to_string()),
        ("since", output::moment(group.first_at)),
        ("newest", output::moment(group.last_at)),
        ("assignee", group.assignee.unwrap_or_else(|| "–".into())),
        ("muted until", muted.unwrap_or_else(|| "–".into())),
    ];
    output::table(&["", ""], rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect());
    output::table(&LIST_HEADER, incidents.into_iter().map(line).collect());
    if !notes.is_empty() {
        let row = |note: crate::contract::api::IncidentNoteView| {
            let what = format!("{} {}", note.kind, note.value.unwrap_or_else(|| "–".into()));
            vec![output::moment(note.at), note.by, what, note.reason.unwrap_or_default()]
        };
        output::table(&["at", "by", "what", "reason"], notes.into_iter().map(row).collect());
    }
}

async fn change(app: &App, fingerprint: &str, what: GroupChange, author: Author, output: Output) -> Result<()> {
    let kind = what.kind();
    command::change_group(app, fingerprint, what, author, &origin(app)).await?;
    match output {
        Output::Json => output::json(&json!({ "fingerprint": fingerprint })),
        Output::Table => {
            output::line(format!("{fingerprint}: {kind}"));
            Ok(())
        }
    }
}

async fn resolve(app: &App, what: Resolve, output: Output) -> Result<()> {
    let variables = match what.set.as_deref().map(|text| output::value("--set", text)).transpose()? {
        None => Map::new(),
        Some(Value::Object(variables)) => variables,
        Some(other) => bail!("--set must be a JSON object of variables, as in '{{\"n\": 1}}'; it is {other}"),
    };
    let action = IncidentAction::parse(&what.action, variables.clone()).map_err(anyhow::Error::msg)?;
    let run = if what.dry_run { Run::Dry } else { Run::Execute };
    let applied =
        command::resolve_incidents(app, InstanceId(what.id), &action, what.reason, None, run, &origin(app)).await?;
    let resolved = match applied {
        Applied::New(resolved) => resolved,
        Applied::Repeated(answer) => {
            output::line(answer.outcome);
            return Ok(());
        }
    };
    let view = IncidentResolveView {
        id: what.id,
        dry_run: what.dry_run,
        status: resolved.status.to_owned(),
        at: resolved.at,
        variables,
        history: resolved.history,
    };
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            let would = if view.dry_run { "would be" } else { "is" };
            let at = if view.at.is_empty() { String::new() } else { format!(" at {}", view.at.join(", ")) };
            output::line(format!("{} {would} {}{at}: {}", view.id, view.status, view.history.join(", ")));
            Ok(())
        }
    }
}
