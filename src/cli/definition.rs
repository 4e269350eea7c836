//! `leveret definition check|apply|list|show|graph`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::graph;
use super::output::{self, Output};
use crate::app::App;
use crate::command;
use crate::command::definition::Outcome;
use crate::contract::LIST;
use crate::definition::{Definition, Parsed, Problem, Severity, json_schema, render};
use crate::store::views;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Report every problem of these documents, with line and hint; exit code 1 if one is invalid.
    Check {
        /// YAML or JSON files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Store these documents, each as the next version of its definition; an unchanged document is not stored again.
    Apply {
        /// YAML or JSON files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of documents, with which editors complete and check them.
    Schema,
    /// List definitions by name, each with its newest version.
    List {
        /// Continue after the previous page: its `next`.
        #[arg(long)]
        cursor: Option<String>,
        #[arg(long, default_value_t = LIST, value_parser = output::LIMITS, help = output::limit())]
        limit: i64,
    },
    /// Show a definition.
    Show {
        /// The name of the definition.
        name: String,
        /// The version. Default: the newest.
        #[arg(long)]
        version: Option<i32>,
    },
    /// Draw a definition: its activities, and which leads to which.
    Graph(graph::OfDefinition),
}

fn read(file: &PathBuf) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

pub(super) fn check(files: &[PathBuf], output: Output) -> Result<ExitCode> {
    let mut all = Vec::new();
    let mut invalid = 0;
    for file in files {
        let text = read(file)?;
        let problems = match Definition::parse(&text) {
            Ok(parsed) => parsed.warnings,
            Err(problems) => {
                invalid += 1;
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
        Output::Table if invalid == 0 => {
            output::line(format!("{} of {} documents are valid", files.len(), files.len()))
        }
        Output::Table => output::line(format!("{invalid} of {} documents are invalid", files.len())),
    }
    Ok(if invalid == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the JSON Schema of documents.
pub(super) fn schema() -> Result<ExitCode> {
    output::json(&json_schema())?;
    Ok(ExitCode::SUCCESS)
}

fn report(name: &str, text: &str, problems: &[Problem]) {
    for problem in problems {
        output::line(render(problem, name, text));
    }
}

/// Parses one file, and prints its problems.
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
        Verb::Schema => return schema(),
        Verb::Apply { files } => apply(app, &files, output).await?,
        Verb::List { cursor, limit } => list(app, cursor.as_deref(), limit, output).await?,
        Verb::Show { name, version } => show(app, &name, version, output).await?,
        Verb::Graph(graph) => return graph::of_definition(app, &graph).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(app: &App, files: &[PathBuf], output: Output) -> Result<()> {
    let mut done = Vec::new();
    for file in files {
        let parsed = parse(file)?;
        if output == Output::Table {
            report(&file.display().to_string(), &read(file)?, &parsed.warnings);
        }
        let applied = match command::definition::apply(app, &parsed, None, &super::instance::actor(app)).await? {
            Outcome::Applied(applied) => applied,
            Outcome::Stale(newest) => anyhow::bail!("the newest version is {newest}: apply the document again"),
        };
        let hints = app.hints(&parsed.definition);
        done.push((parsed.definition.name, applied, parsed.warnings, hints));
    }
    match output {
        Output::Json => output::json(
            &done
                .iter()
                .map(|(name, applied, warnings, hints)| {
                    json!({
                        "name": name, "version": applied.version, "changed": applied.changed, "warnings": warnings,
                        "hints": hints,
                    })
                })
                .collect::<Vec<_>>(),
        ),
        Output::Table => {
            for (name, applied, _, hints) in done {
                let what = if applied.changed { "applied" } else { "unchanged" };
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
                output::line(format!("more: --cursor {next}"));
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
