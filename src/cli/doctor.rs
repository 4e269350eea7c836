//! `leveret doctor`: finds problems and names the next step.

mod access;
mod commits;
mod links;
mod mend;
mod queues;
mod retention;
mod session;
mod vitals;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join;
use serde_json::json;

use super::output::{self, Output};
use crate::app::App;
use crate::command::{self, Overlooked};
use crate::config::Config;
use crate::store::session::Access;
use crate::store::{self, migrate, outbox, schedules, statements, stuck};
use crate::time::duration;

/// The most stuck instances listed.
const STUCK_MAX: i64 = 20;
/// The most messages listed that a wait has overlooked.
const OVERLOOKED_MAX: usize = 20;
/// The database must answer a first question within this time.
const DATABASE_FOR: Duration = Duration::from_secs(6);
/// The largest offset from the database's clock without a finding: only punctuality suffers, but people compare logs.
const CLOCK_MAX_S: f64 = 2.0;
/// An older outbox row means that no relay is running.
const OUTBOX_MAX: Duration = Duration::from_secs(60);
/// A schedule overdue for longer means that no process with the role `timers` is running.
const SCHEDULE_MAX: Duration = Duration::from_secs(60);
/// The most schedules checked.
const SCHEDULES_MAX: i64 = 1_000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// First do what is safe: create missing partitions, grant missing rights, declare missing queues. Noted in the audit log.
    #[arg(long)]
    mend: bool,
}

struct Finding {
    what: &'static str,
    good: bool,
    says: String,
}

pub(super) async fn run(mut config: Config, arguments: Arguments, output: Output) -> Result<ExitCode> {
    super::dev::fall_back_to_sandbox(&mut config);
    let mut findings = Vec::new();
    if config.database.url.is_empty() || config.broker.url.is_empty() {
        let says = "no servers are configured: set DATABASE_URL and AMQP_URL, or run `leveret sandbox start` here";
        return report(&[Finding { what: "settings", good: false, says: says.into() }], output);
    }
    if arguments.mend {
        findings.extend(mend::run(&config).await?);
    }
    let mut add = |what, good, says: String| findings.push(Finding { what, good, says });
    match migrate::fits(&config.database.address()).await {
        Ok(()) => add("schema", true, "matches this binary".into()),
        Err(error) => add("schema", false, error.to_string()),
    }
    let app = App::for_inspection(config, "leveret doctor")?;
    // Beside the checks of the database: a queue that does not answer takes some seconds.
    let broker = links::broker(&app);
    let database = look(&app);
    let (mut found, broker) = join(database, broker).await;
    findings.append(&mut found);
    findings.extend(broker);
    app.shut_down().await;
    report(&findings, output)
}

/// What the database says of itself and of the instances.
async fn look(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |what, good, says: String| findings.push(Finding { what, good, says });
    let probe = tokio::time::timeout(DATABASE_FOR, app.store.probe()).await.unwrap_or_else(|_| {
        Err(store::Error::Unavailable(format!("it has not answered for {}", duration::format(DATABASE_FOR))))
    });
    match probe {
        Ok(probe) => {
            let says = match probe.access {
                Access::Writable => "answers",
                Access::ReadOnly => {
                    "is read-only, so nothing runs: is it a standby, or is `default_transaction_read_only` set for the \
                     database or the role?"
                }
            };
            add("database", probe.access == Access::Writable, says.into());
            app.clock.observe(probe.now);
            let offset = app.clock.offset_seconds();
            let says = format!("{offset:+.3} s from the database's clock");
            add("clock", offset.abs() < CLOCK_MAX_S, says);
            if probe.access == Access::Writable {
                let finding = commits::check(app).await;
                add(finding.what, finding.good, finding.says);
            }
        }
        // Each of the others would wait for it as well.
        Err(error) => {
            add("database", false, format!("{error}; nothing in it can be checked"));
            return findings;
        }
    }
    if let Some(finding) = links::database(app) {
        add(finding.what, finding.good, finding.says);
    }
    findings.extend(checked("access", access::check(app).await.map(one)));
    findings.extend(checked("session", session::check(app).await.map(one)));
    findings.extend(checked("retention", retention::check(app).await.map(one)));
    findings.extend(checked("messages", overlooked(app).await.map(one)));
    findings.extend(checked("instances", database(app).await));
    findings.extend(checked("tables", vitals::check(app).await));
    findings.extend(checked("statements", registered(app).await.map(one)));
    findings
}

fn one(finding: Finding) -> Vec<Finding> {
    vec![finding]
}

/// What was found, or that it could not be looked at.
fn checked<E: std::fmt::Display>(what: &'static str, found: Result<Vec<Finding>, E>) -> Vec<Finding> {
    found.unwrap_or_else(|error| one(Finding { what, good: false, says: format!("cannot be checked: {error}") }))
}

async fn database(app: &App) -> Result<Vec<Finding>, store::Error> {
    let mut conn = app.store.background().await?;
    let stuck = stuck::list(&mut conn, STUCK_MAX).await?;
    let says = match stuck.is_empty() {
        true => "none is stuck".into(),
        false => stuck.iter().map(|one| format!("{}: {}", one.instance, one.why.name())).collect::<Vec<_>>().join("; "),
    };
    let untaken = stuck::untaken(&mut conn, STUCK_MAX).await?;
    let backlog = outbox::find_backlog(&mut conn).await?;
    let age = backlog.oldest_age.unwrap_or_default();
    let unsent = match backlog.unsent {
        0 => "no unpublished rows".to_owned(),
        count => format!("{count} unpublished rows, the oldest for {}", duration::format(age)),
    };
    let dead = match backlog.dead {
        0 => "none".to_owned(),
        count => {
            format!("{count}: no queue was bound to their routing key; bind one, then run `leveret outbox revive`")
        }
    };
    Ok(vec![
        Finding { what: "instances", good: stuck.is_empty(), says },
        Finding { what: "workers", good: untaken.is_empty(), says: taken(&untaken) },
        Finding { what: "outbox", good: age < OUTBOX_MAX, says: unsent },
        Finding { what: "dead rows", good: backlog.dead == 0, says: dead },
        planned(&mut conn).await?,
    ])
}

/// Checks that no message is kept which an open wait would take.
async fn overlooked(app: &App) -> Result<Finding, command::Error> {
    let found = command::overlooked(app, OVERLOOKED_MAX).await?;
    let says = match found.is_empty() {
        true => "none is kept that an open wait would take".to_owned(),
        false => found.iter().map(next_step).collect::<Vec<_>>().join("; "),
    };
    Ok(Finding { what: "messages", good: found.is_empty(), says })
}

/// A resumed instance takes what it missed.
fn next_step(one: &Overlooked) -> String {
    let Overlooked { instance, activity, name, key } = one;
    format!(
        "{instance} waits at `{activity}` although the message `{name}` with the key `{key}` is kept: run `leveret instance \
         suspend {instance}`, then `leveret instance resume {instance}`"
    )
}

fn taken(untaken: &[stuck::Untaken]) -> String {
    if untaken.is_empty() {
        return "no ready branch waits for a worker".into();
    }
    let each = untaken.iter().map(|one| format!("{} before `{}` in queue `{}`", one.count, one.activity, one.queue));
    let each = each.collect::<Vec<_>>().join(", ");
    format!(
        "branches have waited for two minutes: {each}. Is a worker running that serves the queue and has the handlers, and is it \
         fast enough?"
    )
}

/// Checks that schedules are started in time, and that their starts succeed.
async fn planned(conn: &mut store::Connection) -> Result<Finding, store::Error> {
    let first = schedules::next_wake_at(conn).await?;
    let late =
        first.and_then(|(wake_at, now)| Duration::try_from(now.duration_since(wake_at)).ok()).unwrap_or_default();
    let found = schedules::last_errors(conn, SCHEDULES_MAX).await?;
    let failing: Vec<String> =
        found.iter().filter_map(|(name, error)| Some(format!("{name}: {}", error.as_ref()?))).collect();
    let says = match (late > SCHEDULE_MAX, failing.is_empty()) {
        (true, _) => {
            format!("one is overdue by {}: is a process with the role `timers` running?", duration::format(late))
        }
        (false, false) => failing.join("; "),
        (false, true) => format!("{} checked, none fails", found.len()),
    };
    Ok(Finding { what: "schedules", good: late <= SCHEDULE_MAX && failing.is_empty(), says })
}

/// Checks that PostgreSQL can prepare the registered statements.
async fn registered(app: &App) -> Result<Finding, store::Error> {
    // As steps run them, with the search path of the role.
    let mut conn = app.store.steps().await?;
    let mut problems = Vec::new();
    for (name, statement) in &app.statements {
        match statements::check(&mut conn, statement).await {
            Ok(()) => {}
            Err(error @ store::Error::Unavailable(_)) => return Err(error),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    let says = match problems.is_empty() {
        true => format!("{} checked, PostgreSQL can prepare each", app.statements.len()),
        false => problems.join("; "),
    };
    Ok(Finding { what: "statements", good: problems.is_empty(), says })
}

fn report(findings: &[Finding], output: Output) -> Result<ExitCode> {
    let healthy = findings.iter().all(|finding| finding.good);
    match output {
        Output::Json => {
            let all: Vec<_> = findings
                .iter()
                .map(|finding| json!({ "what": finding.what, "good": finding.good, "says": finding.says }))
                .collect();
            output::json(&all)?;
        }
        Output::Table => {
            let rows = findings.iter().map(|finding| {
                let mark = if finding.good { "✓" } else { "✗" };
                vec![mark.into(), finding.what.into(), finding.says.clone()]
            });
            output::table(&["", "", ""], rows.collect());
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
