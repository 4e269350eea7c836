//! Looks up the facts that a decision requires, inside its transaction.

use super::Error;
use crate::app::App;
use crate::definition::{Definition, VariableTypes};
use crate::engine::{Facts, Instance, InstanceId, KeptMessages, Missed, MissedMessage, Need};
use crate::store::{self, Transaction, Undo, bookmarks, calls, definitions, messages, tasks};

/// Decisions about one command: a `receive` reads at most this many pages of kept messages, the oldest first. They are read under
/// the lock on their names and keys, for which messages wait.
pub(super) const LOOKS_MAX: usize = 100;
/// Kept messages in one page.
const PAGE: i64 = 100;
/// Missed messages that are read when a suspended instance continues.
const MISSED_MAX: i64 = 1_000;

/// The answer to a need; `look` counts the decisions about this command from 1.
pub(super) async fn look_up<T>(
    app: &App,
    transaction: &mut Transaction,
    instance: &Instance,
    need: Need,
    look: usize,
) -> Result<Facts, Undo<T, Error>> {
    Ok(match need {
        Need::Messages { addresses, after } => {
            if after.is_none() {
                bookmarks::lock_correlation(transaction, &addresses).await?;
            }
            let list = messages::kept(transaction, &addresses, after.unwrap_or(0), PAGE).await?;
            let more = list.len() as i64 == PAGE && look + 1 < LOOKS_MAX;
            Facts { messages: Some(KeptMessages { list, more }), ..Facts::default() }
        }
        Need::Task(id) => Facts { task: Some(tasks::lock(transaction, id).await?), ..Facts::default() },
        Need::Ranks(assignment) => {
            tasks::lock_assignment(transaction, &instance.definition, &assignment).await?;
            let standing = tasks::standing(transaction, &instance.definition, &assignment).await?;
            Facts { ranks: Some(standing), ..Facts::default() }
        }
        Need::Missed => {
            let messages = missed(transaction, instance.id).await?;
            let outcomes = calls::reported(transaction, instance.id).await?;
            Facts { missed: Some(Missed { messages, outcomes }), ..Facts::default() }
        }
        Need::VariableTypes => {
            let types = variable_types(app, transaction, instance).await?;
            Facts { variable_types: Some(types), ..Facts::default() }
        }
        // A handler runs before the instance is locked: see `handler`.
        Need::Handler(call) => {
            let why = format!("activity `{}` of instance {} needs a handler under a lock", call.activity, instance.id);
            tracing::error!(queues = ?app.config.worker.queues, why, "a decision requires a handler under a lock");
            return Err(store::Error::Bug(why).into());
        }
    })
}

/// The types of the variables, by the document that the instance keeps: a stored definition does not know them.
async fn variable_types(
    app: &App,
    transaction: &mut Transaction,
    instance: &Instance,
) -> Result<VariableTypes, store::Error> {
    let stored = definitions::find(transaction, &instance.definition, Some(instance.version)).await?;
    let content = stored.map(|stored| stored.content).unwrap_or_default();
    app.decide_elsewhere(move || Definition::variable_types(&content)).await
}

/// Messages that arrived for an instance while it was suspended, oldest first. The instance is locked.
async fn missed(transaction: &mut Transaction, id: InstanceId) -> Result<Vec<MissedMessage>, store::Error> {
    // These locks are held already, unless the instance moved and was suspended once more since they were taken.
    let awaited = bookmarks::awaited(transaction, id).await?;
    bookmarks::lock_correlation(transaction, &awaited).await?;
    messages::missed(transaction, id, MISSED_MAX).await
}
