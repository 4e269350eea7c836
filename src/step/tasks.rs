//! What people do with tasks: found, locked and decided upon like any command, with the task's row as a fact.

use std::time::Duration;

use super::origin::{self, Answer, Origin};
use super::{Error, Follow, Moved, Position, write_guarded, write_locked};
use crate::app::App;
use crate::engine::{self, Act, Assignment, Command, Facts, InstanceId, Person, Refusal, TaskId};
use crate::store::{Transaction, instances, tasks};

/// Searches for the next one, where all that could be were about to be taken by somebody else; and the rest in between.
const NEXT_LOOKS_MAX: usize = 4;
const NEXT_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Tasks that are tried in one search for the next one: each was about to be taken by somebody else.
const NEXT_TRIES_MAX: usize = 16;

/// How an act ended.
#[derive(Debug)]
pub enum Tasked {
    /// It was done.
    To(Box<Position>, TaskId),
    /// The same command was handled before.
    Known(Answer),
    /// There is no task to be claimed.
    None,
}

/// Opens a task whose assignee is chosen by turns or by load.
pub(super) async fn open(
    app: &App,
    at: &Position,
    command: Command,
    asked: &Assignment,
    follow: Follow,
) -> Result<Moved, Error> {
    let instance = &at.instance;
    let definition = app.definition(&instance.definition, instance.version).await?;
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    tasks::lock_assignment(&mut transaction, &instance.definition, asked).await?;
    let standing = tasks::standing(&mut transaction, &instance.definition, asked).await?;
    let facts = Facts { standing: Some(standing), ..Facts::default() };
    match engine::step(&definition, instance, command, facts, &app.context(at.now)) {
        Ok(step) => write_guarded(app, transaction, (instance, step, at.now), None, follow).await,
        Err(refusal) => {
            transaction.rollback().await;
            Ok(Moved::Refused(refusal))
        }
    }
}

/// Does something with a task. `seen` is the revision the person has seen of it.
///
/// # Errors
/// `NotFound` if there is no such task, `Task` or `Refused` with the engine's reason; nothing was changed then.
pub async fn task(
    app: &App,
    id: TaskId,
    (person, seen): (Person, Option<i64>),
    act: Act,
    origin: &Origin,
) -> Result<Tasked, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Tasked::Known(answer));
    }
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    let Some(found) = tasks::find_instance(&mut transaction, id).await? else {
        transaction.rollback().await;
        return Err(Error::NotFound(format!("there is no task {id}")));
    };
    let (instance, bookmark) = found;
    let (kind, outcome) = (act.kind(), act.outcome());
    let answer = Answer { task: Some(id), ..Answer::of(outcome, Some(instance)) };
    let command = Command::Act { bookmark, person, seen, act };
    let inbox = origin.inbox(kind, &answer);
    let moved = write_locked(app, transaction, instance, command, Some((inbox, origin, &answer))).await?;
    let known = origin::moved(app, origin, moved, (refused, "the task is being changed elsewhere")).await?;
    Ok(known.map_or_else(Tasked::Known, |position| Tasked::To(position, id)))
}

/// Claims the task a person should do next: the highest priority first, and of those the oldest.
///
/// # Errors
/// As [`task`].
pub async fn task_next(
    app: &App,
    person: Person,
    definition: Option<&str>,
    lease_for: Duration,
    origin: &Origin,
) -> Result<Tasked, Error> {
    if let Some(answer) = origin::known(app, origin).await? {
        return Ok(Tasked::Known(answer));
    }
    for _ in 1..NEXT_LOOKS_MAX {
        if let Some(found) = look(app, &person, definition, lease_for, origin).await? {
            return Ok(found);
        }
        tokio::time::sleep(NEXT_LOOK_EVERY).await;
    }
    let busy = || crate::store::Error::Busy("every task that could be next is being changed elsewhere".into()).into();
    look(app, &person, definition, lease_for, origin).await?.ok_or_else(busy)
}

/// One search; nothing if a task was passed over that might be claimed a moment later.
async fn look(
    app: &App,
    person: &Person,
    definition: Option<&str>,
    lease_for: Duration,
    origin: &Origin,
) -> Result<Option<Tasked>, Error> {
    let mut passed_over = Vec::new();
    let mut contended = false;
    while passed_over.len() < NEXT_TRIES_MAX {
        let mut transaction = Transaction::begin(app.store.steps().await?).await?;
        let Some((id, instance)) = tasks::claim_next(&mut transaction, person, definition, &passed_over).await? else {
            transaction.rollback().await;
            return Ok((!contended).then_some(Tasked::None));
        };
        // The row of the task comes after its instance's in the order of locks: whoever has that one is not waited for.
        let Some(bookmark) = claimable(&mut transaction, id, instance).await? else {
            transaction.rollback().await;
            contended = true;
            passed_over.push(id);
            continue;
        };
        let answer = Answer { task: Some(id), ..Answer::of("claimed", Some(instance)) };
        let act = Act::Claim { lease_for };
        let command = Command::Act { bookmark, person: person.clone(), seen: None, act };
        let inbox = origin.inbox("task.claim", &answer);
        match write_locked(app, transaction, instance, command, Some((inbox, origin, &answer))).await? {
            Moved::To(position) => return Ok(Some(Tasked::To(position, id))),
            moved @ (Moved::Refused(_) | Moved::Elsewhere) => {
                contended |= matches!(moved, Moved::Elsewhere);
                if let Some(answer) = origin::known(app, origin).await? {
                    return Ok(Some(Tasked::Known(answer)));
                }
                passed_over.push(id);
            }
        }
    }
    Ok((!contended).then_some(Tasked::None))
}

async fn claimable(transaction: &mut Transaction, id: TaskId, instance: InstanceId) -> Result<Option<i64>, Error> {
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
