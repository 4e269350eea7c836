//! `leveret definition check|apply|list|show`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::definition::{Definition, Parsed, Problem, Severity, render};
use crate::store::{definitions, views};

/// Definitions of a list, at most.
const LIST_MAX: i64 = 1_000;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Report every problem of these documents, with place and hint; exit code 1 if one cannot be used.
    Check {
        /// YAML or JSON files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Store these documents; one whose content is known already changes nothing, otherwise it is the next version.
    Apply {
        /// YAML or JSON files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List definitions by name, each with its newest version.
    List {
        /// Only those after this name: `next` of the page before.
        #[arg(long)]
        cursor: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50, value_parser = output::LIMITS)]
        limit: i64,
    },
    /// Show the newest or one version of a definition.
    Show {
        /// Its name.
        name: String,
        /// One version.
        #[arg(long)]
        version: Option<i32>,
    },
}

fn read(file: &PathBuf) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

pub(super) fn check(files: &[PathBuf], output: Output) -> Result<ExitCode> {
    let mut all = Vec::new();
    let mut refused = 0;
    for file in files {
        let text = read(file)?;
        let problems = match Definition::parse(&text) {
            Ok(parsed) => parsed.warnings,
            Err(problems) => {
                refused += 1;
                problems
            }
        };
        let name = file.display().to_string();
        match output {
            Output::Json => all.push(json!({ "file": name, "problems": problems })),
            Output::Table => report(&name, &text, &problems),
        }
    }
    match output {
        Output::Json => output::json(&all)?,
        Output::Table if refused == 0 => {
            output::line(format!("{} of {} documents can be used", files.len(), files.len()))
        }
        Output::Table => output::line(format!("{refused} of {} documents cannot be used", files.len())),
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(name: &str, text: &str, problems: &[Problem]) {
    for problem in problems {
        output::line(render(problem, name, text));
    }
}

/// Parses one file; problems go to the screen.
pub(super) fn parse(file: &PathBuf) -> Result<Parsed> {
    let text = read(file)?;
    Definition::parse(&text).map_err(|problems| {
        let name = file.display().to_string();
        report(&name, &text, &problems);
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        anyhow::anyhow!("{name} has {errors} problems and was not applied")
    })
}

pub(super) async fn run(app: &App, verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Check { files } => return check(&files, output),
        Verb::Apply { files } => apply(app, &files, output).await?,
        Verb::List { cursor, limit } => list(app, cursor.as_deref(), limit.clamp(1, LIST_MAX), output).await?,
        Verb::Show { name, version } => show(app, &name, version, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(app: &App, files: &[PathBuf], output: Output) -> Result<()> {
    let mut done = Vec::new();
    for file in files {
        let parsed = parse(file)?;
        let mut conn = app.store.background().await?;
        let applied = definitions::apply(&mut conn, &parsed).await?;
        let hints = app.hints(&parsed.definition);
        done.push((parsed.definition.name, applied, hints));
    }
    match output {
        Output::Json => output::json(
            &done
                .iter()
                .map(|(name, applied, hints)| {
                    json!({ "name": name, "version": applied.version, "changed": applied.changed, "hints": hints })
                })
                .collect::<Vec<_>>(),
        ),
        Output::Table => {
            for (name, applied, hints) in done {
                let what = if applied.changed { "is new" } else { "was there already" };
                output::line(format!("{name} version {} {what}", applied.version));
                for hint in hints {
                    output::line(format!("  hint: {hint}; other processes may have it"));
                }
            }
            Ok(())
        }
    }
}

async fn list(app: &App, cursor: Option<&str>, limit: i64, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let page = views::definitions(&mut conn, cursor, limit).await?;
    match output {
        Output::Json => output::json(&page)?,
        Output::Table if page.items.is_empty() && cursor.is_none() => {
            output::line("no definitions yet: `leveret definition apply FILE` stores one");
        }
        Output::Table => {
            let rows = page.items.into_iter().map(|one| {
                let hash = one.hash.chars().take(12).collect();
                vec![one.name, one.version.to_string(), one.status, output::moment(one.created_at), hash]
            });
            output::table(&["name", "version", "status", "applied", "hash"], rows.collect());
            if let Some(next) = page.next {
                output::line(format!("there are more: --cursor {next}"));
            }
        }
    }
    Ok(())
}

async fn show(app: &App, name: &str, version: Option<i32>, output: Output) -> Result<()> {
    let mut conn = app.store.background().await?;
    let Some(view) = views::definition(&mut conn, name, version).await? else {
        bail!("there is no definition `{name}`{}", version.map(|v| format!(" version {v}")).unwrap_or_default());
    };
    match output {
        Output::Json => output::json(&view),
        Output::Table => {
            output::line(format!("{} version {} ({}), hash {}", view.name, view.version, view.status, view.hash));
            output::json(&view.content)
        }
    }
}
