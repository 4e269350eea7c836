//! Bulk jobs: an operation on every instance that a filter matches, each as one ordinary command.

mod work;

use serde_json::json;
use uuid::Uuid;

use super::Error;
use super::audit::{self, Actor, Done, Operation};
use super::committed::Applied;
use super::once::{Answer, Origin};
use crate::app::App;
use crate::contract::bulk::{BulkOperation, BulkPreview, BulkRequest, BulkView, ITEMS_MAX, PACE, PACE_MAX};
use crate::contract::check_name;
use crate::contract::filter::Filter;
use crate::engine::Control;
use crate::store::bulk::{self, Change, Inserted, NewJob};
use crate::store::{Transaction, Undo, search, views};

pub use work::{SENDER, collect_or_work};

/// Rows of a preview.
const SAMPLE: i64 = 20;
/// Queries of a preview: with more, a count is only a beginning.
const COUNT_PAGES_MAX: u32 = 20;
/// The namespace of the ids of jobs.
const JOBS: Uuid = Uuid::from_u128(0x6f1c_2f0e_58a1_4f0b_9a55_6f9a_2f62_11c3);

/// A request that was read: its parts fit.
struct Asked {
    operation: BulkOperation,
    filter: Filter,
    pace: u32,
    items_max: u32,
}

/// What a request would do: how many instances its filter matches, and the newest of them.
///
/// # Errors
/// `Refused` if the request cannot be read.
pub async fn preview(app: &App, request: &BulkRequest) -> Result<BulkPreview, Error> {
    let asked = read(request)?;
    let mut conn = app.store.background().await?;
    let now = app.clock.now();
    let count = search::count(&mut conn, &asked.filter, COUNT_PAGES_MAX, now).await?;
    let sample = views::found(&mut conn, &asked.filter, None, SAMPLE, now).await?;
    Ok(BulkPreview {
        dry_run: true,
        operation: request.operation.clone(),
        filter: asked.filter.text().to_owned(),
        count: count.found,
        more: count.more,
        sample: sample.items,
    })
}

/// Starts a job; the same request with the same idempotency key is one job.
///
/// # Errors
/// `Refused` if the request cannot be read, or too many jobs have not ended; `Reused` if another request had the same key.
pub async fn start(app: &App, request: &BulkRequest, origin: &Origin) -> Result<BulkView, Error> {
    let asked = read(request)?;
    let (operation, arguments) = asked.operation.written();
    let job = NewJob {
        id: Uuid::new_v5(&JOBS, format!("{} {}", origin.app_id, origin.message_id).as_bytes()),
        body_hash: origin.body_hash,
        operation,
        arguments,
        filter: asked.filter.text().to_owned(),
        actor: request.actor.clone().or_else(|| origin.by.clone()),
        sender: origin.app_id.clone(),
        reason: request.reason.clone(),
        pace: i32::try_from(asked.pace).unwrap_or(i32::MAX),
        items_max: i64::from(asked.items_max),
    };
    let actor = Actor::naming(origin, request.actor.as_deref());
    let object = job.id.to_string();
    let operation = noted(&actor, "bulk.start", &object, request.reason.as_deref());
    let insert = async |transaction: &mut Transaction| -> Result<_, Undo<Inserted, Error>> {
        Ok(match bulk::insert(transaction, &job).await? {
            Inserted::New => {
                let details = json!({ "operation": &job.operation, "pace": job.pace, "items_max": job.items_max });
                Done::Changed { value: Inserted::New, outcome: "started", details: Some(details) }
            }
            other => Done::Unchanged(other),
        })
    };
    match operation.run(app, insert).await? {
        Inserted::New | Inserted::Again => get(app, job.id).await,
        Inserted::Reused => Err(Error::Reused(origin.message_id.clone())),
        Inserted::TooMany => Err(Error::Refused(format!(
            "{} bulk jobs have not ended, which is the most: abort one, or wait",
            bulk::LIVING_MAX
        ))),
    }
}

/// One job.
///
/// # Errors
/// `NotFound`.
pub async fn get(app: &App, id: Uuid) -> Result<BulkView, Error> {
    let mut conn = app.store.background().await?;
    bulk::find(&mut conn, id).await?.ok_or_else(|| Error::NotFound(format!("there is no bulk job {id}")))
}

/// Pauses, resumes or aborts a job. Items that are claimed are finished.
///
/// # Errors
/// `NotFound`; `Refused` if the job has ended.
pub async fn change<'a>(
    app: &App,
    id: Uuid,
    change: Change,
    asked: impl Into<audit::Asked<'a>>,
) -> Result<BulkView, Error> {
    let audit::Asked { actor, origin, .. } = asked.into();
    let (action, outcome) = match change {
        Change::Pause => ("bulk.pause", "paused"),
        Change::Resume => ("bulk.resume", "resumed"),
        Change::Abort => ("bulk.abort", "aborted"),
    };
    let object = id.to_string();
    let execute = async |transaction: &mut Transaction| -> Result<_, Undo<bool, Error>> {
        let changed = bulk::change(transaction, id, change).await?;
        // Undone, so that a refusal is not remembered as done.
        if changed { Ok(Done::changed(true, outcome)) } else { Err(Undo::Value(false)) }
    };
    let answer = Answer::of(outcome, None);
    let applied = noted(actor, action, &object, None).run_once(app, origin, &answer, execute).await?;
    let job = get(app, id).await?;
    if matches!(applied, Applied::New(true) | Applied::Repeated(_)) {
        Ok(job)
    } else {
        Err(Error::Refused(format!("the bulk job is {} already", job.state)))
    }
}

fn noted<'a>(actor: &'a Actor, action: &'static str, job: &'a str, reason: Option<&'a str>) -> Operation<'a> {
    Operation { actor, action, subject: "bulk", object: job, reason }
}

fn read(request: &BulkRequest) -> Result<Asked, Error> {
    let operation = BulkOperation::read(&request.operation, &request.arguments).map_err(Error::Refused)?;
    let filter = Filter::read(&request.filter).map_err(|error| Error::Refused(error.to_string()))?;
    if filter.is_empty() {
        return Err(Error::Refused("the filter is empty: name what is meant, as in `definition:order`".into()));
    }
    let pace = bounded("pace", request.pace, PACE, PACE_MAX)?;
    let items_max = bounded("items_max", request.items_max, ITEMS_MAX, ITEMS_MAX)?;
    if let Some(Err(error)) = request.actor.as_deref().map(check_name) {
        return Err(Error::Refused(format!("`actor` {error}")));
    }
    Ok(Asked { operation, filter, pace, items_max })
}

fn bounded(name: &str, asked: Option<u32>, default: u32, max: u32) -> Result<u32, Error> {
    match asked.unwrap_or(default) {
        value if (1..=max).contains(&value) => Ok(value),
        value => Err(Error::Refused(format!("`{name}` is {value}; it must be from 1 to {max}"))),
    }
}

impl From<BulkOperation> for Control {
    fn from(operation: BulkOperation) -> Self {
        match operation {
            BulkOperation::Cancel => Control::Cancel,
            BulkOperation::Terminate => Control::Terminate,
            BulkOperation::Retry => Control::Retry,
            BulkOperation::Suspend => Control::Suspend,
            BulkOperation::Resume => Control::Resume,
            BulkOperation::Skip(skip) => Control::Skip { activity: skip.activity, result: skip.result },
            BulkOperation::Jump(jump) => Control::Jump { to: jump.activity },
            BulkOperation::SetVariables(set) => Control::SetVariables { values: set.variables },
            BulkOperation::Rerun(rerun) => Control::Rerun { from: rerun.activity },
            BulkOperation::SetQueue(set) => Control::SetQueue { queue: set.queue },
            BulkOperation::SetPriority(set) => Control::SetPriority { priority: set.priority },
            BulkOperation::ResolveIncident(resolve) => super::control::resolution(resolve.action, resolve.variables),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(request: serde_json::Value) -> String {
        let request: BulkRequest = serde_json::from_value(request).unwrap();
        match read(&request) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{request:?} was read"),
        }
    }

    #[test]
    fn a_request_without_a_bound_or_a_meaning_is_refused() {
        let with = |name: &str, value: serde_json::Value| {
            let mut request = json!({ "operation": "cancel", "filter": "definition:order" });
            request[name] = value;
            refused(request)
        };
        assert!(with("filter", json!(" ")).contains("the filter is empty"));
        assert!(with("filter", json!("stat:x")).contains("at character 1 of the filter"));
        assert!(with("operation", json!("delete")).contains("unknown variant `delete`"));
        assert_eq!(with("pace", json!(0)), "`pace` is 0; it must be from 1 to 1000");
        assert_eq!(with("pace", json!(1_001)), "`pace` is 1001; it must be from 1 to 1000");
        assert_eq!(with("items_max", json!(100_001)), "`items_max` is 100001; it must be from 1 to 100000");
        assert!(with("actor", json!("")).starts_with("`actor` has 0 bytes"));
    }
}
