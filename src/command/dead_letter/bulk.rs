//! Many dead letters after their cause was removed: counted, redriven or discarded batch by batch, each in a transaction of its own.

use super::super::Error;
use super::super::audit::{Actor, Asked, Done, Operation};
use super::super::once::Answer;
use super::redrive;
use crate::app::App;
use crate::store::dead_letters::{self, Filter, Group, Which};
use crate::store::{Transaction, Undo};

/// Reasons that a preview shows.
const REASONS_MAX: i64 = 50;
/// Refusals of one batch that are told one by one.
const REFUSED_MAX: usize = 100;

/// A batch: above a number, up to one, and at most this many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Above this number.
    pub after: i64,
    /// Up to this number: what fails again meanwhile is not met again.
    pub upto: i64,
    /// At most this many.
    pub limit: i64,
}

/// What a batch has done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The number of those that were redriven or discarded.
    pub done: usize,
    /// The number of those that were refused.
    pub refused: usize,
    /// The first of these, with the reason of the refusal.
    pub refusals: Vec<(i64, String)>,
    /// The last that was looked at, if there may be more.
    pub next: Option<i64>,
}

/// A queue as the broker names it, whether it was said with the prefix or without.
pub fn queue(app: &App, said: &str) -> String {
    let prefix = format!("{}.", app.config.broker.prefix);
    if said.starts_with(&prefix) { said.to_owned() } else { prefix + said }
}

/// Those that fit, counted by their reasons.
///
/// # Errors
/// As for any query.
pub async fn preview(app: &App, filter: &Filter, which: Which, upto: i64) -> Result<Vec<Group>, Error> {
    let mut conn = app.store.background().await?;
    Ok(dead_letters::count(&mut conn, filter, which, upto, REASONS_MAX).await?)
}

/// Redrives a batch of those that fit and wait for it. One that is refused stays as it is.
///
/// # Errors
/// Of the database; what was redriven before stays redriven.
pub async fn redrive_batch(
    app: &App,
    filter: &Filter,
    range: Range,
    reason: Option<&str>,
    actor: &Actor,
) -> Result<Batch, Error> {
    each(app, filter, Deed::Redrive, range, reason, actor).await
}

/// Discards a batch of those that fit, redriven or not.
///
/// # Errors
/// Of the database; what was discarded before stays discarded.
pub async fn discard_batch(
    app: &App,
    filter: &Filter,
    range: Range,
    reason: Option<&str>,
    actor: &Actor,
) -> Result<Batch, Error> {
    each(app, filter, Deed::Discard, range, reason, actor).await
}

/// What is done with each of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redrive,
    Discard,
}

async fn each(
    app: &App,
    filter: &Filter,
    deed: Deed,
    range: Range,
    reason: Option<&str>,
    actor: &Actor,
) -> Result<Batch, Error> {
    let which = match deed {
        Deed::Redrive => Which::Waiting,
        Deed::Discard => Which::All,
    };
    let Range { after, upto, limit } = range;
    let mut conn = app.store.background().await?;
    let ids = dead_letters::matching(&mut conn, filter, which, after, upto, limit).await?;
    drop(conn);
    let full = ids.len() as i64 == limit;
    let mut batch = Batch { next: ids.last().copied().filter(|_| full), ..Batch::default() };
    for id in ids {
        let done = match deed {
            Deed::Redrive => redrive(app, id, reason, actor).await.map(drop),
            Deed::Discard => discard(app, id, reason, actor).await,
        };
        match done {
            Ok(()) => batch.done += 1,
            // Another process was first.
            Err(Error::NotFound(_)) => {}
            Err(Error::Refused(why)) => {
                batch.refused += 1;
                if batch.refusals.len() < REFUSED_MAX {
                    batch.refusals.push((id, why));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(batch)
}

/// Discards a dead letter. The audit log keeps that it was there, and why it was discarded.
///
/// # Errors
/// `NotFound`.
pub async fn discard<'a>(app: &App, id: i64, reason: Option<&str>, asked: impl Into<Asked<'a>>) -> Result<(), Error> {
    let Asked { actor, origin, .. } = asked.into();
    let object = id.to_string();
    let operation = Operation { actor, action: "dead_letter.drop", subject: "dead_letter", object: &object, reason };
    let discard = async |transaction: &mut Transaction| -> Result<_, Undo<(), Error>> {
        match dead_letters::delete(transaction, id).await? {
            true => Ok(Done::changed((), "dropped")),
            false => Err(Undo::Error(Error::NotFound(format!("there is no dead letter {id}")))),
        }
    };
    operation.run_once(app, origin, &Answer::of("dropped", None), discard).await.map(drop)
}
