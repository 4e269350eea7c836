//! Tasks: what people do with them, and the search for the next one.

use std::time::Duration;

use super::committed::{Applied, Committed, Executed};
use super::execution::{Ended, Execution};
use super::once::{self, Answer, Origin};
use super::{Error, applied};
use crate::app::App;
use crate::engine::{Act, InstanceId, Person, Refusal, TaskCommand, TaskId};
use crate::store::{self, Transaction, Undo, instances, tasks};

/// Searches for the next task while every candidate is locked by another process.
const NEXT_LOOKS_MAX: usize = 4;
/// The pause between two searches.
const NEXT_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Candidates of one search that were locked by another process.
const NEXT_TRIES_MAX: usize = 16;

/// A task that was claimed, and its instance.
#[derive(Debug)]
pub struct Claimed {
    /// The task.
    pub id: TaskId,
    /// Its instance.
    pub committed: Box<Committed>,
}

/// Executes an action of a person on a task. `seen` is the revision of the task that the person has seen.
///
/// # Errors
/// `NotFound` if there is no such task, `Task` or `Refused` with the engine's reason; nothing was changed then.
pub async fn task(
    app: &App,
    id: TaskId,
    person: Person,
    seen: Option<i64>,
    act: Act,
    origin: &Origin,
) -> Result<Applied<Box<Committed>>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    let ended: Result<Ended, Error> = Transaction::run(app.store.steps().await?, async |transaction| {
        let Some((instance, bookmark)) = tasks::find_instance(transaction, id).await? else {
            return Err(Undo::Error(Error::NotFound(format!("there is no task {id}"))));
        };
        let (kind, outcome) = (act.kind(), act.outcome());
        let answer = Answer { task: Some(id), ..Answer::of(outcome, Some(instance)) };
        let command = TaskCommand { bookmark, person, seen, act };
        Execution::from_outside(app, command, origin, kind, answer).in_transaction(transaction, instance).await
    })
    .await;
    applied::applied(app, origin, ended, refused, "the task is being changed by another process").await
}

/// Claims the task that a person should do next: the highest priority first, and of those the oldest. `None` if there is no task.
///
/// # Errors
/// As for [`task`]; `Busy` if every candidate is locked by another process.
pub async fn task_next(
    app: &App,
    person: Person,
    definition: Option<&str>,
    lease_for: Duration,
    origin: &Origin,
) -> Result<Applied<Option<Claimed>>, Error> {
    if let Some(answer) = once::known(app, origin).await? {
        return Ok(Applied::Repeated(answer));
    }
    for _ in 1..NEXT_LOOKS_MAX {
        if let Some(found) = search(app, &person, definition, lease_for, origin).await? {
            return Ok(found);
        }
        tokio::time::sleep(NEXT_LOOK_EVERY).await;
    }
    let busy = || store::Error::Busy("every candidate is being changed by another process".into()).into();
    search(app, &person, definition, lease_for, origin).await?.ok_or_else(busy)
}

/// How a try to claim a candidate ended.
enum Tried {
    /// There is no candidate.
    None,
    /// Another process has locked this one, or is changing it.
    Contended(TaskId),
    /// The candidate was claimed, or could not be.
    Ended(TaskId, Ended),
}

/// One search; nothing if a candidate was passed over that might be claimed a moment later.
async fn search(
    app: &App,
    person: &Person,
    definition: Option<&str>,
    lease_for: Duration,
    origin: &Origin,
) -> Result<Option<Applied<Option<Claimed>>>, Error> {
    let mut passed_over = Vec::new();
    let mut contended = false;
    while passed_over.len() < NEXT_TRIES_MAX {
        let tried = Transaction::run(app.store.steps().await?, async |transaction| {
            claim_candidate(app, transaction, person, definition, &passed_over, lease_for, origin).await
        })
        .await?;
        let (id, ended) = match tried {
            Tried::None => break,
            Tried::Contended(id) => {
                contended = true;
                passed_over.push(id);
                continue;
            }
            Tried::Ended(id, ended) => (id, ended),
        };
        match ended.publish(app) {
            Executed::Committed(committed) => return Ok(Some(Applied::New(Some(Claimed { id, committed })))),
            executed @ (Executed::Refused(_) | Executed::Conflict) => {
                contended |= matches!(executed, Executed::Conflict);
                if let Some(answer) = once::known(app, origin).await? {
                    return Ok(Some(Applied::Repeated(answer)));
                }
                passed_over.push(id);
            }
        }
    }
    Ok((!contended).then_some(Applied::New(None)))
}

async fn claim_candidate(
    app: &App,
    transaction: &mut Transaction,
    person: &Person,
    definition: Option<&str>,
    passed_over: &[TaskId],
    lease_for: Duration,
    origin: &Origin,
) -> Result<Tried, Undo<Tried, Error>> {
    let Some((id, instance)) = tasks::claim_next(transaction, person, definition, passed_over).await? else {
        return Err(Undo::Value(Tried::None));
    };
    // The task is locked after its instance in the order of locks: a locked instance is not waited for.
    let Some(bookmark) = claimable(transaction, id, instance).await? else {
        return Err(Undo::Value(Tried::Contended(id)));
    };
    let answer = Answer { task: Some(id), ..Answer::of("claimed", Some(instance)) };
    let command = TaskCommand { bookmark, person: person.clone(), seen: None, act: Act::Claim { lease_for } };
    let execution = Execution::from_outside(app, command, origin, "task.claim", answer);
    match execution.in_transaction(transaction, instance).await {
        Ok(ended) => Ok(Tried::Ended(id, ended)),
        Err(Undo::Value(ended)) => Err(Undo::Value(Tried::Ended(id, ended))),
        Err(Undo::Error(error)) => Err(Undo::Error(error)),
    }
}

async fn claimable(
    transaction: &mut Transaction,
    id: TaskId,
    instance: InstanceId,
) -> Result<Option<i64>, store::Error> {
    if !instances::lock_try(transaction, instance).await? {
        return Ok(None);
    }
    Ok(tasks::find_instance(transaction, id).await?.map(|(_, bookmark)| bookmark))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Task(refusal) => Error::Task(refusal),
        other => Error::Refused(other.to_string()),
    }
}
