//! A `run` step: executes a handler or a statement inside the step's transaction, behind a savepoint.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use super::committed::{Committed, Executed};
use super::execution::{Ended, Execution};
use super::{Error, fail_point, statement};
use crate::app::App;
use crate::config::HANDLER_FOR_MAX;
use crate::contract::{self, Unfit};
use crate::definition::Runs;
use crate::engine::{Facts, Failure, HandlerCall, InstanceId, Refusal};
use crate::handlers::HandlerInput;
use crate::store::{self, Transaction, Undo, instances};
use crate::telemetry;

/// The transaction after a handler.
enum Ran {
    /// It can be committed: with the work of the handler, or after a rollback to the savepoint.
    Usable(Box<Transaction>, Result<Value, Failure>),
    /// Its connection was closed; the failure is committed in another transaction.
    Closed(Failure),
}

/// Runs the handler in the transaction of the step, and commits the step with the outcome.
///
/// [`Execution::step`] calls this, and this calls back into [`Execution::under_lock`]: a handler runs before the instance is locked,
/// so it cannot be a fact that is looked up in the middle of the pipeline.
// Not by `Transaction::run`: a connection whose handler panicked or timed out is closed instead of rolled back.
pub(super) async fn run(execution: &Execution<'_>, at: &Committed, call: HandlerCall) -> Result<Executed, Error> {
    let app = execution.app;
    let id = at.instance.id;
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    // Not the row: cancels, messages and other branches must not wait for the handler. Without this lock another worker has it.
    if !instances::lock_branch_try(&mut transaction, id, call.branch).await? {
        transaction.rollback().await;
        return Ok(Executed::Conflict);
    }
    let (transaction, outcome) = match execute(app, at, &call, transaction).await? {
        Ran::Usable(transaction, outcome) => (*transaction, outcome),
        Ran::Closed(failure) => (Transaction::begin(app.store.steps().await?).await?, Err(failure)),
    };
    fail_point("step::handler_done");
    let has_worked = outcome.is_ok();
    match commit(execution, transaction, id, outcome).await {
        // A constraint that is checked at the commit refuses what the handler wrote: its failure, in a transaction of its own.
        Err(Error::Store(store::Error::Rejected { kind, message })) if has_worked => {
            let failure = Failure::new(format!("database.{kind}"), message);
            let transaction = Transaction::begin(app.store.steps().await?).await?;
            commit(execution, transaction, id, Err(failure)).await
        }
        other => other,
    }
}

/// Decides under the instance's lock, with the outcome of the handler, and commits.
async fn commit(
    execution: &Execution<'_>,
    mut transaction: Transaction,
    id: InstanceId,
    outcome: Result<Value, Failure>,
) -> Result<Executed, Error> {
    let facts = Facts { handler: Some(outcome), ..Facts::default() };
    let ended = match instances::lock(&mut *transaction, id).await? {
        None => Err(Undo::Value(Ended::Not(Executed::Refused(Refusal::Stale)))),
        // A refusal means that the branch took a step while the handler ran: the work of the handler is rolled back.
        loaded @ Some(_) => execution.under_lock(&mut transaction, id, loaded, facts).await,
    };
    Ok(transaction.end(ended).await?.publish(execution.app))
}

/// The execution of a handler or statement on the connection of the step.
type Work<'c> = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'c>>;

async fn execute(app: &App, at: &Committed, call: &HandlerCall, mut transaction: Transaction) -> Result<Ran, Error> {
    if !app.knows(&call.runs) {
        transaction.rollback().await;
        let what = match &call.runs {
            Runs::Handler(name) => format!("the handler `{name}`"),
            Runs::Statement(name) => format!("the statement `{name}`"),
        };
        return Err(store::Error::Busy(format!("{what} is not registered in this process")).into());
    }
    transaction.savepoint().await?;
    let running = AssertUnwindSafe(work(app, at, call, &mut transaction)).catch_unwind();
    // Also with a longer timeout of the activity: after a minute without a statement the database ends the session, which would look
    // like an outage, after which the handler is executed again and again.
    let limit = call.timeout.map_or(HANDLER_FOR_MAX, |limit| limit.min(HANDLER_FOR_MAX));
    let ended = tokio::time::timeout(limit, running).await;
    let what = match &call.runs {
        Runs::Handler(_) => "handler",
        Runs::Statement(_) => "statement",
    };
    let outcome = match ended {
        Ok(Ok(outcome)) => outcome,
        // Code that panics where its query fails: if the connection was lost, the step is taken again.
        Ok(Err(_)) if let Some(lost) = transaction.find_loss_after_panic().await => return Err(lost.into()),
        // The connection may be in the middle of a statement: it is closed, which rolls back everything.
        Ok(Err(_)) => {
            telemetry::count_handler_panic(call.runs.name());
            return Ok(closed(transaction, Failure::new("handler.panic", "the handler panicked")));
        }
        Err(_) => return Ok(closed(transaction, timed_out(what, limit))),
    };
    Ok(match outcome {
        Ok(value) if let Some((unfit, place)) = contract::find_unfit(&value, contract::DEPTH_MAX) => {
            transaction.undo_to_savepoint().await?;
            let failure = match unfit {
                Unfit::Nul => {
                    Failure::new("handler.result", "the result contains \\u0000, which PostgreSQL cannot store")
                }
                Unfit::Number => Failure::new("handler.result", contract::too_large(&place)),
                Unfit::Deep => {
                    Failure::new("limit.depth", format!("the result of the {what}: {}", contract::too_deep()))
                }
            };
            Ran::Usable(Box::new(transaction), Err(failure))
        }
        Ok(value) => match transaction.release().await {
            Ok(()) => Ran::Usable(Box::new(transaction), Ok(value)),
            Err(error) => {
                // Not an outcome of the handler: the step is taken again, and no attempt is spent.
                if let Some(lost) = transaction.find_loss(&error).await {
                    return Err(lost.into());
                }
                // A statement failed and the handler ignored it: PostgreSQL refuses to commit any of it.
                let message = format!("the handler ignored a database error: {error}");
                closed(transaction, Failure::new("database.aborted", message))
            }
        },
        Err(error) => {
            transaction.undo_to_savepoint().await?;
            Ran::Usable(Box::new(transaction), Err(storable(error)))
        }
    })
}

fn work<'c>(app: &'c App, at: &Committed, call: &'c HandlerCall, transaction: &'c mut Transaction) -> Work<'c> {
    match &call.runs {
        Runs::Handler(name) => {
            let input = HandlerInput {
                input: call.input.clone(),
                instance: at.instance.id,
                key: at.instance.key.clone(),
                activity: call.activity.clone(),
                attempt: call.attempt,
            };
            let handler = app.handlers.find(name);
            Box::pin(async move {
                // It was looked up before; this arm is for the compiler.
                let handler =
                    handler.ok_or_else(|| Failure::new("handler.unknown", "the handler is not registered"))?;
                handler(transaction, input).await.map_err(Failure::from)
            })
        }
        Runs::Statement(name) => Box::pin(statement::run(app, name, &call.input, transaction)),
    }
}

/// The failure without what PostgreSQL cannot store, or its step could never be committed.
fn storable(mut failure: Failure) -> Failure {
    for text in [&mut failure.code, &mut failure.message] {
        *text = text.replace('\0', "\u{fffd}");
    }
    if contract::refuse_unfit(&failure.data).is_err() {
        failure.data = Value::Null;
    }
    failure
}

fn closed(transaction: Transaction, failure: Failure) -> Ran {
    drop(transaction);
    Ran::Closed(failure)
}

fn timed_out(what: &str, limit: Duration) -> Failure {
    let limit = crate::time::duration::format(limit);
    Failure::new("timeout", format!("the {what} did not return within {limit}"))
}
