//! The work of bulk jobs: collects a page of items, or sends the commands of some. A crash repeats nothing: the message id of each command
//! is its job and its instance.

use futures_util::{StreamExt, stream};

use crate::app::App;
use crate::command::{self, Applied, Error, Follow, Origin, fail_point};
use crate::contract::Target;
use crate::contract::bulk::BulkOperation;
use crate::contract::filter::Filter;
use crate::engine::{Control, InstanceId};
use crate::store::bulk::{self, DueJob, Ended, ItemState};
use crate::store::{self, Transaction, search};
use crate::telemetry;

/// The sender of the commands of bulk jobs.
pub const SENDER: &str = "leveret.bulk";
/// Instances that are collected in one transaction.
const PAGE: i64 = 500;
/// Items that are claimed at once: they are done long before their claim expires.
const BATCH_MAX: i64 = 50;
/// Commands of one process at once, so that a job leaves room for the work of others.
const CONCURRENCY: usize = 4;
/// Attempts at one item.
const ATTEMPTS_MAX: i32 = 30;

/// What a pass has found.
enum Claimed {
    /// A page of a job that collects.
    Page,
    /// Items to work on, and the command of each.
    Items(Box<DueJob>, Control, Vec<(InstanceId, i32)>),
    /// Nothing is due.
    Nothing,
}

/// Collects or works on the job that is due first; false if none is.
///
/// # Errors
/// What was claimed is claimed again later.
pub async fn collect_or_work(app: &App) -> Result<bool, store::Error> {
    let lease = app.store.background().await?;
    let claimed: Result<Claimed, store::Error> = Transaction::run(lease, async |transaction| {
        let Some(job) = bulk::claim_due(transaction).await? else { return Ok(Claimed::Nothing) };
        let (filter, what) = match read(&job) {
            Ok(read) => read,
            Err(why) => {
                tracing::warn!(job = %job.id, why, "this binary cannot read a bulk job");
                bulk::put_off_job(transaction, job.id).await?;
                return Ok(Claimed::Page);
            }
        };
        if job.collects {
            collect(transaction, &job, &filter).await?;
            return Ok(Claimed::Page);
        }
        let limit = i64::from(job.pace).clamp(1, BATCH_MAX);
        let items = bulk::claim_items(transaction, &job, limit).await?;
        Ok(Claimed::Items(Box::new(job), what, items))
    })
    .await;
    match claimed? {
        Claimed::Nothing => Ok(false),
        Claimed::Page => {
            fail_point("bulk::collected");
            Ok(true)
        }
        Claimed::Items(job, what, items) => {
            work(app, &job, &what, items).await?;
            Ok(true)
        }
    }
}

/// The filter and the operation of a job. Both were read when it was stored; another version of Leveret may have stored it.
fn read(job: &DueJob) -> Result<(Filter, Control), String> {
    let filter = Filter::read(&job.filter).map_err(|error| error.to_string())?;
    let operation = BulkOperation::read(&job.operation, &job.arguments)?;
    Ok((filter, Control::from(operation)))
}

async fn collect(transaction: &mut Transaction, job: &DueJob, filter: &Filter) -> Result<(), store::Error> {
    // Ages count from the start of the job: else it would match more the longer it takes.
    let page = search::page(transaction, filter, job.cursor.map(InstanceId), PAGE, job.created_at).await?;
    job.collect(transaction, &page).await
}

async fn work(app: &App, job: &DueJob, what: &Control, items: Vec<(InstanceId, i32)>) -> Result<(), store::Error> {
    let sent: Vec<Result<Ended, InstanceId>> =
        stream::iter(items.into_iter().map(|(id, attempts)| send(app, job, what.clone(), id, attempts)))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
    fail_point("bulk::sent");
    let (mut ended, mut again) = (Vec::new(), Vec::new());
    for item in sent {
        telemetry::count_bulk_item(item.as_ref().map_or("again", |item| item.state.into()));
        match item {
            Ok(item) => ended.push(item),
            Err(id) => again.push(id),
        }
    }
    let mut conn = app.store.background().await?;
    bulk::mark_items(&mut conn, job.id, &ended).await?;
    if !again.is_empty() {
        bulk::put_off_items(&mut conn, job.id, &again).await?;
    }
    Ok(())
}

/// Sends the command of one item. The error is an item whose command could not be executed now.
async fn send(app: &App, job: &DueJob, what: Control, id: InstanceId, attempts: i32) -> Result<Ended, InstanceId> {
    let message_id = format!("{} {id}", job.id);
    let by = job.actor.clone();
    let origin = Origin { by, ..Origin::new(SENDER, &message_id, message_id.as_bytes(), Follow::Always) };
    let target =
        Target { instance: Some(id.0), reason: job.reason.clone(), actor: job.actor.clone(), ..Target::default() };
    let ended = |state: ItemState, detail: Option<String>| Ok(Ended { instance: id, state, detail });
    let new = |other: Option<InstanceId>| other.filter(|other| *other != id).map(|other| other.to_string());
    match command::control(app, what, &target, &origin).await {
        Ok(Applied::New(committed)) => {
            command::fail_point_at("bulk::executed", &id.to_string());
            ended(ItemState::Done, new(Some(committed.instance.id)))
        }
        // A process died between the commit and the mark.
        Ok(Applied::Repeated(answer)) => ended(ItemState::Done, new(answer.instance)),
        Err(Error::Store(error)) if attempts < ATTEMPTS_MAX => {
            tracing::debug!(job = %job.id, instance = %id, %error, "the command of a bulk job is sent again later");
            Err(id)
        }
        Err(Error::Store(error)) => ended(ItemState::Failed, Some(error.to_string())),
        Err(
            refused @ (Error::Refused(_)
            | Error::Invalid { .. }
            | Error::Limited { .. }
            | Error::Late(_)
            | Error::Changed(_)
            | Error::NotFound(_)
            | Error::Reused(_)
            | Error::Task(_)),
        ) => ended(ItemState::Refused, Some(refused.to_string())),
    }
}
