//! Drains the broker's dead-letter queue into the `dead_letters` table, where people can see and redrive it.

use crate::app::App;
use crate::broker::{Delivery, Queue};
use crate::contract::Command;
use crate::engine::{BranchId, InstanceId};
use crate::roles::command;
use crate::step::{self, Undelivered};
use crate::store;

/// Letters filed at once.
const PREFETCH: u16 = 8;
/// Why a letter is here that brings no reason of its own.
const REASON: &str = "the broker gave up delivering it";

/// Files what the broker gave up on.
///
/// # Errors
/// As for any query; the letter stays in the queue.
pub async fn run(app: &App) -> Result<(), store::Error> {
    let mut letters = app.broker.consume(Queue::Dead, PREFETCH);
    loop {
        let letter = tokio::select! {
            letter = letters.next() => letter,
            () = app.stop.cancelled() => None,
        };
        let Some(letter) = letter else { break };
        if let Err(error) = file(app, &letter).await {
            letters.cancel().await;
            return Err(store::Error::Unavailable(error.to_string()));
        }
        if let Err(error) = letter.ack().await {
            tracing::debug!(%error, "an acknowledgement was lost; the letter will be filed twice");
        }
    }
    letters.cancel().await;
    Ok(())
}

async fn file(app: &App, letter: &Delivery) -> Result<(), step::Error> {
    // What names a place for replies here may be a request to a worker: Leveret would answer itself.
    let mut filed = Undelivered { reply_to: None, ..command::letter(letter) };
    let reason =
        filed.headers.remove("x-first-death-reason").map_or(REASON.to_owned(), |why| format!("{REASON} ({why})"));
    // An internal command that cannot be delivered must not be revived by the sweep for ever: its branch becomes an incident.
    let received = command::read(letter, app.config.limits.message_max).ok();
    filed.instance = received.as_ref().and_then(|received| command::instance(&received.command));
    if let Some(Command::Continue(at)) = received.map(|received| received.command) {
        match step::fail_undeliverable(app, InstanceId(at.instance), BranchId(at.branch), at.sequence, reason.clone())
            .await
        {
            Err(step::Error::Store(error @ store::Error::Bug(_))) => {
                // Never will: the letter must not keep those behind it from being filed.
                tracing::error!(%error, instance = %at.instance, "the incident of a dead step command cannot be opened");
            }
            other => other?,
        }
    }
    step::dead_letter(app, filed, &reason, None).await
}
