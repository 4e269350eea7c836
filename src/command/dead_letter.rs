//! Dead letters: messages that could not be handled are stored with the reason, and can be redriven.

mod bulk;

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::Error;
use super::audit::{Asked, Done, Operation};
use super::committed::Applied;
use super::once::{Answer, Origin, ReplyTo, answer_again, reply};
use crate::app::App;
use crate::broker::{FIRST_EXCHANGE, FIRST_USER, Queue};
use crate::contract::Exchange;
use crate::store::dead_letters::{self, DeadLetter, StoredLetter};
use crate::store::inbox;
use crate::store::outbox::{self, OutboxRow};
use crate::store::suspects;
use crate::store::{self, Transaction, Undo};
use crate::telemetry;

pub use bulk::{Batch, Range, discard, discard_batch, preview, queue, redrive_batch};

/// The header with the queue in which the broker stopped redelivering a message.
const FIRST_QUEUE: &str = "x-first-death-queue";
/// The header with the exchange that such a message was published to.
const FIRST_DEATH_EXCHANGE: &str = "x-first-death-exchange";

/// A delivery that could not be handled.
#[derive(Debug, Clone)]
pub struct Undelivered {
    /// The message and the reason.
    pub letter: DeadLetter,
    /// The queue for the answer, if at least that could be read.
    pub reply_to: Option<ReplyTo>,
    /// Under which its crashes are counted: it is counted no longer once it is stored.
    pub suspect: Option<[u8; 32]>,
    /// Its row of the outbox, if it stays there until it is handled.
    pub row: Option<Uuid>,
}

/// Stores a delivery as a dead letter with its reason. If the delivery has an identity, a repetition gets the same answer.
pub async fn dead_letter(app: &App, undelivered: Undelivered, origin: Option<&Origin>) -> Result<(), Error> {
    let Undelivered { letter, reply_to, suspect, row } = undelivered;
    let answer = Answer { reason: Some(letter.reason.clone()), ..Answer::of("refused", None) };
    let stored = Transaction::run(app.store.steps().await?, async |transaction| {
        if let Some(origin) = origin {
            let row = origin.inbox(letter.kind.as_deref().unwrap_or("unknown"), &answer);
            if !inbox::insert(transaction, &row).await? {
                // A repetition gets the same answer and is stored once; another body with a used id is a dead letter of its own.
                let known = inbox::find(transaction, &origin.app_id, &origin.message_id).await?;
                if let Some(known) = known.filter(|known| known.body_hash == origin.body_hash) {
                    return Err(Undo::Value(Stored::Before(origin.repeated(known)?)));
                }
            }
        }
        let unidentified = reply_to.as_ref().filter(|_| origin.is_none());
        let to = origin.and_then(|origin| origin.reply_to.as_ref()).or(unidentified);
        let replies: Vec<OutboxRow> = to.map(|to| reply(app, to, &answer)).into_iter().collect();
        outbox::push(transaction, &replies).await?;
        // One that was redriven and fails again stays one dead letter.
        let sent_as = letter.message_id.as_deref().and_then(|id| id.parse().ok());
        let is_known = match sent_as {
            Some(sent_as) => dead_letters::mark_failed_again(transaction, sent_as, &letter).await?,
            None => false,
        };
        if !is_known {
            dead_letters::insert(transaction, &letter).await?;
        }
        if let Some(suspect) = &suspect {
            suspects::delete(transaction, suspect).await?;
        }
        if let Some(row) = row {
            outbox::delete(transaction, &[row]).await?;
        }
        Ok::<_, Undo<Stored, Error>>(Stored::Now(replies))
    })
    .await?;
    match (stored, origin) {
        (Stored::Now(replies), _) => {
            app.publish(replies);
            metrics::counter!(telemetry::DEAD_LETTERS).increment(1);
            Ok(())
        }
        (Stored::Before(answer), Some(origin)) => {
            if let Some(suspect) = &suspect {
                super::acquit(app, suspect).await;
            }
            answer_again(app, origin, &answer).await
        }
        (Stored::Before(_), None) => Ok(()),
    }
}

/// Whether a dead letter was stored.
enum Stored {
    /// It was stored now, with these replies.
    Now(Vec<OutboxRow>),
    /// It was stored before, with this answer.
    Before(Answer),
}

/// Redrives a dead letter: publishes it again to its first exchange, and returns its new message id. With the old id it would be
/// taken for a repetition of the refused command.
///
/// # Errors
/// `NotFound`; `Refused` if it was not stored as a whole, is not a command, or was redriven before.
pub async fn redrive<'a>(app: &App, id: i64, reason: Option<&str>, asked: impl Into<Asked<'a>>) -> Result<Uuid, Error> {
    let Asked { actor, origin, .. } = asked.into();
    let (object, sent_as) = (id.to_string(), app.new_id());
    let operation = Operation { actor, action: "dead_letter.redrive", subject: "dead_letter", object: &object, reason };
    let send = async |transaction: &mut Transaction| -> Result<_, Undo<_, Error>> {
        let Some(kept) = dead_letters::lock(transaction, id).await? else {
            return Err(Undo::Error(Error::NotFound(format!("there is no dead letter {id}"))));
        };
        let row = row(app, kept, sent_as).map_err(|why| Undo::Error(Error::Refused(why)))?;
        let rows = vec![row];
        outbox::push(transaction, &rows).await?;
        if !dead_letters::mark_redriven(transaction, id, sent_as).await? {
            return Err(Undo::Error(store::Error::Conflict.into()));
        }
        let details = Some(json!({ "message_id": sent_as }));
        Ok(Done::Changed { value: rows, outcome: "redriven", details })
    };
    let answer = Answer { message_id: Some(sent_as), ..Answer::of("redriven", None) };
    match operation.run_once(app, origin, &answer, send).await? {
        Applied::New(rows) => {
            app.publish(rows);
            Ok(sent_as)
        }
        Applied::Repeated(answer) => Ok(answer.message_id.unwrap_or(sent_as)),
    }
}

fn row(app: &App, kept: StoredLetter, sent_as: Uuid) -> Result<OutboxRow, String> {
    let StoredLetter { id, redriven_at, body_bytes, letter, .. } = kept;
    if let Some(at) = redriven_at {
        return Err(format!("dead letter {id} was redriven at {at}; if it fails again, it can be redriven again"));
    }
    if i64::try_from(letter.body.len()).ok() != Some(body_bytes) {
        return Err(format!(
            "dead letter {id} cannot be redriven: of its {body_bytes} bytes only {} were kept",
            letter.body.len()
        ));
    }
    let prefix = format!("{}.", app.config.broker.prefix);
    let first_queue = letter.headers.get(FIRST_QUEUE).filter(|_| letter.source == Queue::Dead.name());
    let queue = first_queue.map_or(&letter.source, |queue| queue);
    let queue = queue.strip_prefix(&prefix).unwrap_or(queue);
    let first_exchange = letter.headers.get(FIRST_DEATH_EXCHANGE).filter(|_| letter.source == Queue::Dead.name());
    let mut first_exchange = first_exchange.unwrap_or(&letter.exchange).clone();
    let forwarded = Exchange::Forwarded.physical(&app.config.broker.prefix);
    if first_exchange == forwarded
        && let Some(before) = letter.headers.get(FIRST_EXCHANGE)
    {
        first_exchange = before.clone();
    }
    let (exchange, routing_key) = place(queue, letter.routing_key)
        .ok_or_else(|| format!("dead letter {id} came from `{queue}`: only commands can be redriven"))?;
    let kind = letter.kind.ok_or_else(|| format!("dead letter {id} cannot be redriven: it has no `type`"))?;
    // Headers that the broker and the delay queues added belong to the earlier delivery.
    let is_kept = |name: &String| name == "traceparent" || name == "schema";
    let mut headers: BTreeMap<_, _> = letter.headers.into_iter().filter(|(name, _)| is_kept(name)).collect();
    // A command from outside is checked as one again, and keeps its user.
    if exchange == Exchange::Forwarded && first_exchange != forwarded {
        headers.insert(FIRST_EXCHANGE.into(), first_exchange);
        headers.extend(letter.user_id.map(|user_id| (FIRST_USER.into(), user_id)));
    }
    let row = OutboxRow::new(sent_as, exchange, routing_key, kind, letter.body).with_claimable(app.claimable());
    Ok(OutboxRow { app_id: letter.app_id, headers, instance_id: letter.instance_id, ..row })
}

/// The exchange and routing key that lead to a queue.
fn place(queue: &str, routing_key: String) -> Option<(Exchange, String)> {
    if queue == Queue::Commands.name() || queue == Queue::Urgent.name() {
        return Some((Exchange::Forwarded, routing_key));
    }
    queue.strip_prefix("steps.").map(|queue| (Exchange::Steps, queue.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redriven_message_is_sent_to_the_exchange_of_its_queue() {
        assert_eq!(place("commands", "start.order".into()), Some((Exchange::Forwarded, "start.order".into())));
        assert_eq!(place("urgent", "start.order".into()), Some((Exchange::Forwarded, "start.order".into())));
        assert_eq!(place("steps.default", "whatever".into()), Some((Exchange::Steps, "default".into())));
        assert_eq!(place("work.resize", "resize".into()), None);
        assert_eq!(place("events.audit", "order.shipped".into()), None);
    }
}
