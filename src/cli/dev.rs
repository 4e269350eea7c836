//! `leveret dev` and `leveret sandbox`: every role with private servers on this machine, for development.

mod first;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::serve::{self, Signals};
use super::{definition, output};
use crate::app::App;
use crate::broker::without_password;
use crate::config::Config;
use crate::handlers::Handlers;
use crate::roles::Role;
use crate::sandbox::{Profile, Sandbox, Status};
use crate::server::Server;
use crate::store::{definitions, migrate};
use crate::telemetry;

/// The parent of `.leveret`, where the private servers are.
const DIRECTORY: &str = ".";
/// The addresses of this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];
/// The folder of documents that `dev` applies.
const EXAMPLES: &str = "examples";

#[derive(Args)]
pub(super) struct Arguments {
    /// Folder of documents to apply.
    #[arg(long, default_value = EXAMPLES)]
    definitions: PathBuf,
}

#[derive(Subcommand)]
pub(super) enum SandboxVerb {
    /// Start the servers unless they run, and print their URLs.
    Start,
    /// Print the URLs of the running servers.
    Status,
    /// Stop the servers and keep their data.
    Stop,
    /// Stop the servers and delete their data.
    Remove,
}

/// Uses the running private servers of this directory where no URLs are configured.
pub(super) fn fall_back_to_sandbox(config: &mut Config) {
    if !config.database.url.is_empty() && !config.broker.url.is_empty() {
        return;
    }
    let directory = Profile::Durable.directory(Path::new(DIRECTORY));
    if let Ok(Some(status)) = Sandbox::status(&directory) {
        fill(config, status.database_url, status.amqp_url);
    }
}

fn fill(config: &mut Config, database_url: Option<String>, amqp_url: Option<String>) {
    for (url, private) in [(&mut config.database.url, database_url), (&mut config.broker.url, amqp_url)] {
        if url.is_empty() {
            *url = private.unwrap_or_default();
        }
    }
}

/// Starts private servers where no URLs are configured, and brings the schema up to date.
///
/// # Errors
/// If a server is not installed or does not start.
pub async fn prepare(config: &mut Config) -> Result<()> {
    if config.database.url.is_empty() || config.broker.url.is_empty() {
        output::progress("starting private servers under .leveret/ …");
        let directory = Profile::Durable.directory(Path::new(DIRECTORY));
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::start(&directory, Profile::Durable)).await??;
        fill(config, Some(sandbox.database_url.clone()), Some(sandbox.amqp_url.clone()));
    }
    migrate::run(&config.database.address()).await.context("cannot migrate the database")?;
    Ok(())
}

pub(super) async fn run(mut config: Config, arguments: Arguments, handlers: Handlers) -> Result<ExitCode> {
    telemetry::start_logs(&config.log);
    if config.outgoing.allow_addresses.is_empty() {
        // During development, requests go to servers of this machine.
        config.outgoing.allow_addresses = LOOPBACK.iter().filter_map(|network| network.parse().ok()).collect();
    }
    let configured = (config.database.url.clone(), config.broker.url.clone());
    prepare(&mut config).await?;
    let urls = (printable(&configured.0, &config.database.url), printable(&configured.1, &config.broker.url));
    let signals = Signals::listen()?;
    let server = Server::start(config, handlers, Role::ALL).await?;
    apply_folder(&server.app, &arguments.definitions).await?;
    let shown = first::show(&server.app).await?;
    output::line("");
    if let Some(address) = server.address {
        output::line(format!("dashboard  http://{address}/"));
        output::line(format!(
            "HTTP       http://{address}/api/v1   http://{address}/openapi.json   http://{address}/metrics"
        ));
    }
    output::line(format!("database   {}", urls.0));
    output::line(format!("broker     {}", urls.1));
    output::line("\nTo try next:");
    if let Some(address) = server.address.filter(|_| shown.is_task_waiting) {
        output::line(format!(
            "  open http://{address}/tasks?whose=all   and decide the expense report that waits there"
        ));
    }
    output::line("  leveret instance start countdown --watch   in another terminal");
    output::line("  leveret instance top   what lives, waits and fails, as it changes");
    output::line("\nCtrl-C stops this process; the servers run until `leveret sandbox stop`.");
    serve::until_stopped(server, signals).await
}

/// A URL to print: of private servers with the password, which is valid only here; of configured servers without.
fn printable(configured: &str, used: &str) -> String {
    if configured.is_empty() { used.to_owned() } else { without_password(used) }
}

/// Applies every document of a folder.
///
/// # Errors
/// If one has problems.
pub async fn apply_folder(app: &App, folder: &Path) -> Result<()> {
    for file in documents(folder)? {
        let parsed = definition::parse(&file)?;
        let mut conn = app.store.background().await?;
        let applied = definitions::apply(&mut conn, &parsed).await?;
        let what = if applied.changed { "applied" } else { "unchanged" };
        output::line(format!("{what:>9}  {} version {}", parsed.definition.name, applied.version));
    }
    Ok(())
}

/// The YAML files of a folder, in the order of their names.
fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    Ok(files)
}

pub(super) fn sandbox(verb: SandboxVerb) -> Result<ExitCode> {
    let directory = Profile::Durable.directory(Path::new(DIRECTORY));
    match verb {
        SandboxVerb::Start => {
            let sandbox = Sandbox::start(&directory, Profile::Durable)?;
            urls(&sandbox.database_url, &sandbox.amqp_url);
        }
        SandboxVerb::Status => match Sandbox::status(&directory)? {
            Some(Status { database_url: Some(database), amqp_url: Some(broker), .. }) => urls(&database, &broker),
            Some(_) | None => {
                output::line("the private servers of this directory do not run; `leveret sandbox start` starts them");
                return Ok(ExitCode::FAILURE);
            }
        },
        SandboxVerb::Stop => Sandbox::stop(&directory)?,
        SandboxVerb::Remove => Sandbox::remove(&directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn urls(database: &str, broker: &str) {
    output::line(format!("export DATABASE_URL={database}\nexport AMQP_URL={broker}"));
}
