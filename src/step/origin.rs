//! Where a command from outside came from: its identity in the inbox, and who is to be told the answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Error, Follow, Moved, Position};
use crate::app::App;
use crate::contract::Exchange;
use crate::engine::{CallId, InstanceId, Refusal, TaskId};
use crate::store::dead_letters::{self, DeadLetter};
use crate::store::inbox::{self, InboxRow, Outcome};
use crate::store::outbox::OutboxRow;
use crate::store::{self, Transaction, outbox};

/// The identity of a command from outside.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Who sent it.
    pub app_id: String,
    /// Which one it is: together with `app_id` it is handled once.
    pub message_id: String,
    /// SHA-256 of the body: the same id with another body is refused.
    pub body_hash: [u8; 32],
    /// Whether whoever commits stays to drive what becomes ready.
    pub follow: Follow,
    /// W3C trace context of the message.
    pub trace: Option<String>,
    /// Queue and correlation id for the answer, if one is wanted.
    pub reply_to: Option<ReplyTo>,
}

/// Where an answer is wanted: a queue, and the correlation id to be sent along.
pub type ReplyTo = (String, Option<String>);

/// What the sender is told, now and whenever the same message comes again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The instance it concerned, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// `started`, `existing`, `delivered`, `kept`, `broadcast`, `cancelled`, `retried`, `suspended`, `resumed`, `rescheduled`,
    /// `refused`; of calls `completed`, `kept`, `noted`, `resolved`.
    pub outcome: String,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The task it concerned, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The call it concerned, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// How many waits a broadcast was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<usize>,
}

impl Answer {
    pub(super) fn of(outcome: &str, instance: Option<InstanceId>) -> Self {
        Self { instance, outcome: outcome.into(), reason: None, task: None, call: None, receivers: None }
    }
}

impl Origin {
    /// The origin of a command whose bytes are at hand.
    pub fn new(app_id: &str, message_id: &str, body: &[u8], follow: Follow) -> Self {
        Self {
            app_id: app_id.into(),
            message_id: message_id.into(),
            body_hash: Sha256::digest(body).into(),
            follow,
            trace: None,
            reply_to: None,
        }
    }

    /// The inbox row that makes a repetition known.
    pub(super) fn inbox(&self, command: &str, answer: &Answer) -> InboxRow {
        let refused = answer.outcome == "refused";
        InboxRow {
            app_id: self.app_id.clone(),
            message_id: self.message_id.clone(),
            command: command.into(),
            body_hash: self.body_hash,
            instance_id: answer.instance,
            outcome: if refused { Outcome::Refused } else { Outcome::Accepted },
            answer: json!(answer),
        }
    }

    /// What a repetition is told; an error if it is none, but another command under the same id.
    pub(super) fn again(&self, known: InboxRow) -> Result<Answer, Error> {
        if known.body_hash != self.body_hash {
            return Err(Error::Reused(self.message_id.clone()));
        }
        serde_json::from_value(known.answer)
            .map_err(|error| store::Error::Bug(format!("an answer in the inbox cannot be read: {error}")).into())
    }

    /// The answer as a row for the sender's reply queue.
    pub(super) fn reply(&self, app: &App, answer: &Answer) -> Option<OutboxRow> {
        Some(reply(app, self.reply_to.as_ref()?, answer))
    }
}

/// An answer as a row, to a queue and with the correlation id that its sender knows it by.
fn reply(app: &App, (queue, correlation): &ReplyTo, answer: &Answer) -> OutboxRow {
    let body = json!(answer).to_string().into_bytes();
    let row = OutboxRow::new(app.new_id(), Exchange::Reply, queue, "answer", body)
        .with_app_id("leveret")
        .with_claimable(app.claimable());
    OutboxRow { correlation_id: correlation.clone(), ..row }
}

/// Tells the sender of a repetition what it was told before, if it wants an answer.
pub async fn answer_again(app: &App, origin: &Origin, answer: &Answer) -> Result<(), Error> {
    let Some(reply) = origin.reply(app, answer) else { return Ok(()) };
    let replies = vec![reply];
    // One statement is a transaction of its own: the command's was committed long ago.
    let mut conn = app.store.steps().await?;
    outbox::push(&mut conn, &replies).await?;
    drop(conn);
    app.publish(replies);
    Ok(())
}

/// What is known of a delivery that could not be handled.
#[derive(Debug, Clone, Default)]
pub struct Undelivered {
    /// The queue it came from.
    pub source: String,
    /// The exchange it was published to.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// AMQP property `type`.
    pub kind: Option<String>,
    /// AMQP property `app_id`.
    pub app_id: Option<String>,
    /// AMQP property `message_id`.
    pub message_id: Option<String>,
    /// Its headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Its body, whatever it is.
    pub body: Vec<u8>,
    /// The instance it names.
    pub instance: Option<InstanceId>,
    /// Where its sender wants an answer, though the rest could not be read.
    pub reply_to: Option<ReplyTo>,
}

/// Files a delivery as a dead letter with its reason; if it is known by an id, a repetition is told the same.
pub async fn dead_letter(app: &App, letter: Undelivered, reason: &str, origin: Option<&Origin>) -> Result<(), Error> {
    let answer = Answer { reason: Some(reason.into()), ..Answer::of("refused", None) };
    let mut transaction = Transaction::begin(app.store.steps().await?).await?;
    if let Some(origin) = origin {
        let row = origin.inbox(letter.kind.as_deref().unwrap_or("unknown"), &answer);
        if !inbox::insert(&mut transaction, &row).await? {
            // A repetition of what was refused is refused again and filed once; another body under a used id is a letter of its own.
            let known = inbox::find(&mut transaction, &origin.app_id, &origin.message_id).await?;
            if let Some(known) = known.filter(|known| known.body_hash == origin.body_hash) {
                transaction.rollback().await;
                return answer_again(app, origin, &origin.again(known)?).await;
            }
        }
    }
    let stranger = letter.reply_to.as_ref().filter(|_| origin.is_none());
    let to = origin.and_then(|origin| origin.reply_to.as_ref()).or(stranger);
    let replies: Vec<OutboxRow> = to.map(|to| reply(app, to, &answer)).into_iter().collect();
    outbox::push(&mut transaction, &replies).await?;
    dead_letters::insert(
        &mut transaction,
        &DeadLetter {
            reason: reason.into(),
            source: letter.source,
            exchange: letter.exchange,
            routing_key: letter.routing_key,
            kind: letter.kind,
            app_id: letter.app_id,
            message_id: letter.message_id,
            headers: letter.headers,
            body: letter.body,
            instance_id: letter.instance,
        },
    )
    .await?;
    transaction.commit().await?;
    app.publish(replies);
    metrics::counter!(crate::telemetry::DEAD_LETTERS).increment(1);
    Ok(())
}

/// Reads the answer a repetition would get.
///
/// # Errors
/// [`Error::Reused`] if the id was used for another body.
pub(super) async fn known(app: &App, origin: &Origin) -> Result<Option<Answer>, Error> {
    let mut conn = app.store.steps().await?;
    match inbox::find(&mut conn, &origin.app_id, &origin.message_id).await? {
        Some(row) => origin.again(row).map(Some),
        None => Ok(None),
    }
}

/// The error, unless the same command was handled since it was looked for: then its answer, for that is what changed the instance.
pub(super) async fn meanwhile(app: &App, origin: &Origin, error: Error) -> Result<Answer, Error> {
    known(app, origin).await?.ok_or(error)
}

/// The instance as a command from outside has left it; or what the same command did meanwhile, or why it did nothing.
/// `refused` words the engine's refusal, `busy` that somebody else had the lock.
pub(super) async fn moved(
    app: &App,
    origin: &Origin,
    moved: Moved,
    (refused, busy): (impl FnOnce(Refusal) -> Error, &str),
) -> Result<Result<Box<Position>, Answer>, Error> {
    let error = match moved {
        Moved::To(position) => return Ok(Ok(position)),
        Moved::Refused(refusal) => refused(refusal),
        Moved::Elsewhere => store::Error::Busy(busy.into()).into(),
    };
    meanwhile(app, origin, error).await.map(Err)
}

/// `Value::Null` for the JSON a command did not carry.
pub(super) fn object(value: Value) -> Value {
    if value.is_null() { json!({}) } else { value }
}
