//! `leveret key create|list|revoke`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::instance::actor;
use super::output::{self, Output};
use crate::app::App;
use crate::command::api_key::{self, KeyRequest, Others};
use crate::contract::LIST;
use crate::contract::api::{ApiKeyView, Page};
use crate::contract::scope::{Role, Scope, Scopes};
use crate::store::api_keys;
use crate::time::{duration, moment};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make a key, and print it: it is shown once and stored nowhere.
    Create(Creating),
    /// List keys, newest first, without the keys themselves.
    List {
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<Uuid>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Revoke a key: it is refused everywhere within five seconds, and its sessions end.
    Revoke {
        /// The id of the key, as `key list` shows it.
        id: Uuid,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct Creating {
    /// The program or the person who acts with it, as commands, tasks and the audit log will name them.
    #[arg(value_parser = output::named)]
    name: String,
    /// What it may do, separated by commas: read, start, task, operate, admin.
    #[arg(long, value_delimiter = ',', value_parser = scope, required_unless_present = "role")]
    scope: Vec<Scope>,
    /// Or a role: viewer, clerk, operator or admin.
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// A group of its user, for candidates of tasks; may be repeated.
    #[arg(long, value_parser = output::named)]
    group: Vec<String>,
    /// Its commands may name another user who acts: for services in front of people. A key with the scope admin always may.
    #[arg(long)]
    acts_for_others: bool,
    /// It ends after this time, such as 90d. Default: never.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "expires_at")]
    expires_in: Option<Duration>,
    /// It ends at this time, such as 2026-12-31T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment::option)]
    expires_at: Option<Timestamp>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::name).join(", ");
    Scope::parse(text).ok_or_else(|| format!("it must be one of {}", known()))
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::name).join(", ");
    Role::parse(text).ok_or_else(|| format!("it must be one of {}", known()))
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Create(asked) => create(app, asked, output).await?,
        Verb::List { cursor, limit } => {
            let rows = api_keys::list(&mut *app.store.background().await?, cursor, limit).await?;
            list(Page::of(rows, limit, |last| last.id.to_string(), |item| item), output)?;
        }
        Verb::Revoke { id, reason } => {
            let name = api_key::revoke(app, id, reason.as_deref(), &actor(app)).await?;
            match output {
                Output::Json => output::json(&json!({ "id": id, "name": name, "revoked": true }))?,
                Output::Table => output::line(format!("the key {id} of {name} is revoked")),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(app: &App, asked: Creating, output: Output) -> Result<()> {
    let expires_at = match asked.expires_in {
        None => asked.expires_at,
        Some(after) => {
            let now = app.store.probe().await?.now;
            Some(now.checked_add(after).context("--expires-in is too long")?)
        }
    };
    let role = asked.role.map(Role::scopes).unwrap_or_default();
    let request = KeyRequest {
        name: asked.name,
        scopes: Scopes::from_iter(asked.scope).and(role),
        groups: asked.group,
        others: if asked.acts_for_others { Others::Allowed } else { Others::Never },
        expires_at,
    };
    let (key, view) = api_key::create(app, request, &actor(app)).await?;
    match output {
        Output::Json => {
            let mut told = json!(view);
            told["key"] = key.into();
            output::json(&told)?;
        }
        Output::Table => {
            output::line(&key);
            // On standard error, so that the key alone can be piped into a file.
            output::progress(&format!("key {} of {}; it is not shown again", view.id, view.name));
        }
    }
    Ok(())
}

fn list(page: Page<ApiKeyView>, output: Output) -> Result<()> {
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() => output::line("no keys yet: leveret key create NAME --role ROLE"),
        Output::Table => {
            let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), output::moment);
            let rows = page.items.into_iter().map(|one| {
                let state = one.revoked_at.map_or_else(String::new, |at| format!("revoked {}", output::moment(at)));
                let may = one.scopes.join(",") + if one.acts_for_others { " for others" } else { "" };
                let groups = one.groups.join(",");
                let id = one.id.to_string();
                vec![id, one.name, one.hint + "…", may, groups, time(one.expires_at), time(one.last_used_at), state]
            });
            output::table(&["id", "name", "key", "may", "groups", "expires", "last used", ""], rows.collect());
            if let Some(next) = page.next {
                output::line(format!("more: --cursor {next}"));
            }
        }
    }
    Ok(())
}
