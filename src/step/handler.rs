//! A `run` step: Rust code or a registered statement inside the step's own transaction, kept apart from the decision by a savepoint.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;

use super::{Error, Follow, Moved, Position, fail_point, statement, write_guarded};
use crate::app::App;
use crate::config::HANDLER_FOR_MAX;
use crate::contract::{self, Unfit};
use crate::definition::Runs;
use crate::engine::{self, Command, Facts, Failure, HandlerCall, InstanceId, Refusal};
use crate::handlers::HandlerInput;
use crate::store::{self, Transaction, instances};

/// How a handler left its transaction.
enum Ran {
    /// It can be committed: with the handler's work, or rolled back to the savepoint.
    Usable(Box<Transaction>, Result<Value, Failure>),
    /// Its connection had to be closed; the failure is a transaction of its own.
    Closed(Failure),
}

/// Runs the handler and decides upon its outcome.
pub(super) async fn run(
    app: &App,
    at: &Position,
    call: HandlerCall,
    sequence: i64,
    follow: Follow,
) -> Result<Moved, Error> {
    let id = at.instance.id;
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    // Not the row: cancels, messages and other branches must not wait for the handler. Who fails here leaves it to the holder.
    if !instances::lock_branch_try(&mut transaction, id, call.branch).await? {
        transaction.rollback().await;
        return Ok(Moved::Elsewhere);
    }
    let command = Command::Continue { branch: call.branch, sequence };
    let (transaction, outcome) = match execute(app, at, &call, transaction).await? {
        Ran::Usable(transaction, outcome) => (*transaction, outcome),
        Ran::Closed(failure) => (Transaction::begin(app.store.steps().await?).await?, Err(failure)),
    };
    fail_point("step::handler_done");
    let has_worked = outcome.is_ok();
    match decide(app, transaction, (id, command.clone()), outcome, follow).await {
        // What the handler wrote breaks a rule that is looked at last: its failure, in a transaction of its own.
        Err(Error::Store(store::Error::Rejected { kind, message })) if has_worked => {
            let failure = Failure::new(format!("database.{kind}"), message);
            let transaction = Transaction::begin(app.store.steps().await?).await?;
            decide(app, transaction, (id, command), Err(failure), follow).await
        }
        other => other,
    }
}

/// Decides upon the outcome under the instance's lock, and commits.
async fn decide(
    app: &App,
    mut transaction: Transaction,
    (id, command): (InstanceId, Command),
    outcome: Result<Value, Failure>,
    follow: Follow,
) -> Result<Moved, Error> {
    let Some(loaded) = instances::lock(&mut transaction, id).await? else {
        transaction.rollback().await;
        return Ok(Moved::Refused(Refusal::Stale));
    };
    let definition = app.definition(&loaded.instance.definition, loaded.instance.version).await?;
    let facts = Facts { handler: Some(outcome), ..Facts::default() };
    match engine::step(&definition, &loaded.instance, command, facts, &app.context(loaded.now)) {
        Ok(step) => write_guarded(app, transaction, (&loaded.instance, step, loaded.now), None, follow).await,
        // The branch has gone while the handler ran: its work is undone with the rest.
        Err(refusal) => {
            transaction.rollback().await;
            Ok(Moved::Refused(refusal))
        }
    }
}

/// What is run, on the connection of the step.
type Work<'c> = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'c>>;

async fn execute(app: &App, at: &Position, call: &HandlerCall, mut transaction: Transaction) -> Result<Ran, Error> {
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
    // Whatever the activity says: after a minute without a statement the database ends the session, and that would look
    // like a database that is away, for which the handler is run again and again.
    let limit = call.timeout.map_or(HANDLER_FOR_MAX, |limit| limit.min(HANDLER_FOR_MAX));
    let ended = tokio::time::timeout(limit, running).await;
    let what = match &call.runs {
        Runs::Handler(_) => "handler",
        Runs::Statement(_) => "statement",
    };
    let outcome = match ended {
        Ok(Ok(outcome)) => outcome,
        // Half-way through a statement, perhaps: the connection is not used again, closing it undoes everything.
        Ok(Err(_)) => return Ok(closed(transaction, Failure::new("handler.panic", "the handler panicked"))),
        Err(_) => return Ok(closed(transaction, timed_out(what, limit))),
    };
    Ok(match outcome {
        Ok(value) if let Some((unfit, _)) = contract::find_unfit(&value, contract::DEPTH_MAX) => {
            transaction.undo_to_savepoint().await?;
            let failure = match unfit {
                Unfit::Nul => Failure::new("handler.result", "the result holds \\u0000, which PostgreSQL cannot keep"),
                Unfit::Deep => {
                    Failure::new("limit.depth", format!("the result of the {what}: {}", contract::too_deep()))
                }
            };
            Ran::Usable(Box::new(transaction), Err(failure))
        }
        Ok(value) => match transaction.release().await {
            Ok(()) => Ran::Usable(Box::new(transaction), Ok(value)),
            // A statement failed, the handler went on as if it had not: PostgreSQL refuses to keep any of it.
            Err(error) => {
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

fn work<'c>(app: &'c App, at: &Position, call: &'c HandlerCall, transaction: &'c mut Transaction) -> Work<'c> {
    match &call.runs {
        Runs::Handler(name) => {
            let told = HandlerInput {
                input: call.input.clone(),
                instance: at.instance.id,
                key: at.instance.key.clone(),
                activity: call.activity.clone(),
                attempt: call.attempt,
            };
            let handler = app.handlers.find(name);
            Box::pin(async move {
                // Looked for before; this is for the compiler.
                let handler =
                    handler.ok_or_else(|| Failure::new("handler.unknown", "the handler is not registered"))?;
                handler(transaction, told).await.map_err(Failure::from)
            })
        }
        Runs::Statement(name) => Box::pin(statement::run(app, name, &call.input, transaction)),
    }
}

/// An error is kept in any case: what PostgreSQL cannot keep of it is left out, or the step would never commit.
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
