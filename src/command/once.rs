//! Commands from outside are executed once: the inbox knows each by its sender and message id, with the answer.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Error;
use super::admission::Turn;
use super::committed::Follow;
use crate::app::App;
use crate::contract::Exchange;
use crate::engine::{CallId, InstanceId, Sender, TaskId};
use crate::store::inbox::{self, InboxRow, Outcome};
use crate::store::outbox::OutboxRow;
use crate::store::{self, outbox};

/// The sender and identity of a command from outside.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The sender.
    pub app_id: String,
    /// With `app_id` the identity of the command: it is executed once.
    pub message_id: String,
    /// SHA-256 of the body; the same id with another body is refused.
    pub body_hash: [u8; 32],
    /// Whether the process that commits also takes the next step.
    pub follow: Follow,
    /// W3C trace context of the message.
    pub trace: Option<String>,
    /// The address of the answer, if the sender wants one.
    pub reply_to: Option<ReplyTo>,
    /// The user of the broker who sent it, where the broker has verified one.
    pub user_id: Option<String>,
    /// The person who acts, where the door knows one: for the audit log.
    pub by: Option<String>,
    /// Who was authenticated and acts for that person, if it is somebody else.
    pub via: Option<String>,
    /// How a start takes its turn, where starts are limited.
    pub turn: Turn,
}

/// The address of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The queue.
    pub queue: String,
    /// The correlation id of the command.
    pub correlation_id: Option<String>,
}

/// The answer to the sender, the same each time the same message comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// `started`, `existing`, `delivered`, `kept`, `broadcast`, `cancelled`, `retried`, `suspended`, `resumed`, `rescheduled`,
    /// `terminated`, `skipped`, `jumped`, `set`, `rerun`, `queued`, `prioritised`, `refused`; of calls `completed`, `kept`, `noted`, `resolved`.
    pub outcome: String,
    /// Why the command was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The number of waits that a broadcast was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receivers: Option<usize>,
    /// The message id under which a dead letter was sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Uuid>,
}

impl Answer {
    pub(super) fn of(outcome: &str, instance: Option<InstanceId>) -> Self {
        Self {
            instance,
            outcome: outcome.into(),
            reason: None,
            task: None,
            call: None,
            receivers: None,
            message_id: None,
        }
    }
}

impl Origin {
    /// The origin of a command with this body.
    pub fn new(app_id: &str, message_id: &str, body: &[u8], follow: Follow) -> Self {
        Self {
            app_id: app_id.into(),
            message_id: message_id.into(),
            body_hash: Sha256::digest(body).into(),
            follow,
            trace: None,
            reply_to: None,
            user_id: None,
            by: None,
            via: None,
            turn: Turn::Now,
        }
    }

    /// Who acts, for the history: the person if the door knows one, or else the sender.
    pub(super) fn person(&self) -> String {
        self.by.as_ref().unwrap_or(&self.app_id).clone()
    }

    /// The sender, for the history.
    pub(super) fn sender(&self) -> Sender {
        Sender { app_id: self.app_id.clone(), user_id: self.user_id.clone() }
    }

    /// The inbox row by which a repetition is recognised.
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

    /// The answer to a repetition; an error if it is another command with the same id.
    pub(super) fn repeated(&self, known: InboxRow) -> Result<Answer, Error> {
        if known.body_hash != self.body_hash {
            return Err(Error::Reused(self.message_id.clone()));
        }
        serde_json::from_value(known.answer)
            .map_err(|error| store::Error::Bug(format!("an answer in the inbox cannot be read: {error}")).into())
    }

    /// The answer as a row for the sender's reply queue, if it wants one.
    pub(super) fn reply(&self, app: &App, answer: &Answer) -> Option<OutboxRow> {
        Some(reply(app, self.reply_to.as_ref()?, answer))
    }
}

/// An answer as an outbox row.
pub(super) fn reply(app: &App, to: &ReplyTo, answer: &Answer) -> OutboxRow {
    let body = json!(answer).to_string().into_bytes();
    let row = OutboxRow::new(app.new_id(), Exchange::Reply, &to.queue, "answer", body)
        .with_app_id("leveret")
        .with_claimable(app.claimable());
    OutboxRow { correlation_id: to.correlation_id.clone(), ..row }
}

/// Sends the answer once more to the sender of a repetition, if it wants one.
pub async fn answer_again(app: &App, origin: &Origin, answer: &Answer) -> Result<(), Error> {
    let Some(reply) = origin.reply(app, answer) else { return Ok(()) };
    let replies = vec![reply];
    // The command was committed before: this one statement is a transaction of its own.
    let mut conn = app.store.steps().await?;
    outbox::push(&mut conn, &replies).await?;
    drop(conn);
    app.publish(replies);
    Ok(())
}

/// Reads the answer of a command that was executed before.
///
/// # Errors
/// [`Error::Reused`] if the id was used for another body.
pub(super) async fn known(app: &App, origin: &Origin) -> Result<Option<Answer>, Error> {
    let mut conn = app.store.steps().await?;
    match inbox::find(&mut conn, &origin.app_id, &origin.message_id).await? {
        Some(row) => origin.repeated(row).map(Some),
        None => Ok(None),
    }
}

/// `{}` for an input that was not sent.
pub(super) fn input(value: Value) -> Value {
    if value.is_null() { json!({}) } else { value }
}
