//! Deletes what is no longer kept: ended instances, inbox rows and dead letters. Every cleaner makes its own passes; rows that another one
//! has locked are left to it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::export;
use crate::app::{App, sleep_or_stop};
use crate::store::{
    self, audit,
    retention::{self, Of},
};
use crate::telemetry;
use crate::time::retention::Retention;

/// Rows of one delete.
const BATCH_MAX: i64 = 500;
/// Definitions with a retention of their own; instances of further ones are kept.
const DEFINITIONS_MAX: i64 = 10_000;
/// The pause after a batch, as a multiple of its time: a cleaner keeps the database busy for a quarter of its time at most.
const PAUSE_FACTOR: u32 = 3;
/// The shortest pause after a batch.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Which instances are kept for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whose instances.
    pub of: Of,
    /// How long, counted from their end.
    pub keeps: Retention,
}

/// What a pass has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Ended instances.
    pub instances: usize,
    /// Consumed bookmarks, closed tasks and ended calls of instances that live.
    pub closed: usize,
    /// Instances whose history was exported, before they are deleted.
    pub exported: usize,
    /// Inbox rows.
    pub inbox: usize,
    /// Dead letters.
    pub dead_letters: usize,
    /// Entries of the audit log.
    pub audit: usize,
}

/// The rules that hold now: one for each definition with `retention`, and one for all others.
///
/// # Errors
/// As for any query.
pub async fn rules(app: &App) -> Result<Vec<Rule>, store::Error> {
    let mut conn = app.store.background().await?;
    let named = retention::of_definitions(&mut conn, DEFINITIONS_MAX).await?;
    let others = Of::AllBut(named.iter().map(|(name, _)| name.clone()).collect());
    let mut rules: Vec<Rule> = named
        .into_iter()
        // The check of documents refuses other texts; one written by hand deletes nothing.
        .map(|(name, text)| Rule {
            of: Of::Definition(name),
            keeps: Retention::parse(&text).unwrap_or(Retention::Forever),
        })
        .collect();
    rules.push(Rule { of: others, keeps: app.config.retention.instances });
    Ok(rules)
}

/// How long ended instances of a definition are kept.
pub fn keeps(rules: &[Rule], definition: &str) -> Retention {
    let of = |rule: &&Rule| match &rule.of {
        Of::Definition(name) => name == definition,
        Of::AllBut(names) => !names.iter().any(|name| name == definition),
    };
    rules.iter().find(of).map_or(Retention::Forever, |rule| rule.keeps)
}

/// Deletes everything that is no longer kept, or as much as there is time for until the process stops.
///
/// Where history is exported, what could not be exported is not deleted; everything else is.
///
/// # Errors
/// As for any query, and if something could not be exported; what was deleted before stays deleted.
pub async fn pass(app: &App) -> Result<Cleaned, export::Error> {
    let (now, settings) = (app.clock.now(), &app.config.retention);
    let mut cleaned = Cleaned::default();
    if let Some(before) = settings.inbox.ends(now) {
        cleaned.inbox = aged(app, Aged::Inbox, before).await?;
    }
    if let Some(before) = settings.dead_letters.ends(now) {
        cleaned.dead_letters = aged(app, Aged::DeadLetters, before).await?;
    }
    if let Some(before) = settings.audit.ends(now) {
        cleaned.audit = aged(app, Aged::Audit, before).await?;
    }
    if let Some(before) = settings.closed.ends(now) {
        cleaned.closed = closed(app, before).await?;
    }
    let exported = export::pass(app).await;
    for rule in rules(app).await? {
        if let Some(before) = rule.keeps.ends(now) {
            cleaned.instances += instances(app, &rule.of, before).await?;
        }
    }
    cleaned.exported = exported?;
    Ok(cleaned)
}

/// Walks over the instances from the oldest on. Those that live are passed over, however many they are.
async fn instances(app: &App, of: &Of, before: Timestamp) -> Result<usize, store::Error> {
    let (mut after, mut deleted) = (None, 0);
    let needs = export::needs(app);
    while !app.stop.is_cancelled() {
        let began = Instant::now();
        let page =
            retention::delete_instances(app.store.background().await?, of, before, needs, after, BATCH_MAX).await?;
        deleted += page.deleted;
        count("instances", page.deleted);
        if page.seen < BATCH_MAX as usize {
            break;
        }
        after = page.last;
        pause(app, began).await;
    }
    Ok(deleted)
}

/// Walks over the instances that live, and began before the moment: nothing of younger ones is as old.
async fn closed(app: &App, before: Timestamp) -> Result<usize, store::Error> {
    let (mut after, mut deleted) = (None, 0);
    while !app.stop.is_cancelled() {
        let began = Instant::now();
        let mut conn = app.store.background().await?;
        let page = retention::delete_closed(&mut conn, before, after, BATCH_MAX).await?;
        drop(conn);
        deleted += page.deleted;
        count("closed", page.deleted);
        // A page of which not everything fitted into the batch is looked at again.
        if page.deleted < BATCH_MAX as usize {
            if page.seen < BATCH_MAX as usize {
                break;
            }
            after = page.last;
        }
        pause(app, began).await;
    }
    Ok(deleted)
}

/// Rows that go by their age alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aged {
    Inbox,
    DeadLetters,
    Audit,
}

/// Deletes batch by batch, until one is not full.
async fn aged(app: &App, what: Aged, before: Timestamp) -> Result<usize, store::Error> {
    let mut deleted = 0;
    while !app.stop.is_cancelled() {
        let began = Instant::now();
        let (name, batch) = delete(app, what, before).await?;
        deleted += batch;
        count(name, batch);
        if batch < BATCH_MAX as usize {
            break;
        }
        pause(app, began).await;
    }
    Ok(deleted)
}

async fn delete(app: &App, what: Aged, before: Timestamp) -> Result<(&'static str, usize), store::Error> {
    let mut conn = app.store.background().await?;
    Ok(match what {
        Aged::Inbox => ("inbox", retention::delete_inbox(&mut conn, before, BATCH_MAX).await?),
        Aged::DeadLetters => ("dead_letters", retention::delete_dead_letters(&mut conn, before, BATCH_MAX).await?),
        Aged::Audit => ("audit", audit::delete_before(conn, before, BATCH_MAX).await?),
    })
}

pub(super) async fn pause(app: &App, began: Instant) {
    sleep_or_stop(app, PAUSE_MIN.max(began.elapsed() * PAUSE_FACTOR)).await;
}

pub(super) fn count(what: &'static str, deleted: usize) {
    metrics::counter!(telemetry::CLEANED, "what" => what).increment(deleted as u64);
}
