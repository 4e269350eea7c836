//! For upstream services in Rust: starts and controls instances by messages that the broker confirms. To do it inside a database
//! transaction of the service, see `client::sql` (feature `client-diesel`).
//!
//! ```no_run
//! # async fn example() -> Result<(), leveret::client::Error> {
//! use leveret::client::Client;
//! use leveret::contract::Start;
//! use serde_json::json;
//!
//! let client = Client::connect("amqp://127.0.0.1:5672", "leveret", "shop").await?;
//! let start = Start { definition: "order".into(), key: Some("A-17".into()), input: json!({"amount": 12}), ..Start::default() };
//! client.start("order-A-17", &start).await?;
//! client.close().await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "client-diesel")]
pub mod sql;
mod worker;

pub use worker::{Job, Worker};

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::broker::{self, Broker, Exchange, Outgoing, Queue, Sent, Topology};
use crate::contract::{BODY_MAX, Message, Reschedule, Start, Target, TaskComplete, is_reserved_sender, json};
use crate::time::clock::Clock;

/// The broker must answer within this time.
const CONNECT_FOR: Duration = Duration::from_secs(10);
/// Tries of one command, across reconnects and while Leveret declares its queues on an empty broker.
const TRIES_MAX: u32 = 5;
/// The pause between two tries.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the broker did not confirm a command. Send it again with the same message id: it is handled once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not answer in time.
    #[error("the broker at {0} did not answer within 10 s")]
    Connect(String),
    /// The name of the sender is one of Leveret.
    #[error("the sender `{0}` is a part of Leveret: choose a name that does not begin with `leveret.`")]
    Sender(String),
    /// The URL is invalid.
    #[error("{0}")]
    Url(String),
    /// The connection was lost before the confirm.
    #[error("the command was not confirmed: {0}; send it again with the same message id")]
    Unconfirmed(String),
    /// The queue of commands does not exist under this prefix.
    #[error("no queue takes commands here ({0}); start Leveret with this prefix first")]
    Unroutable(String),
    /// The body is too large.
    #[error("the command has {0} bytes; at most {BODY_MAX} are allowed")]
    TooLarge(usize),
    /// The body has a number that would become another one.
    #[error("the command {0}")]
    Number(#[from] json::Refused),
    /// The body cannot be written as JSON.
    #[error("the command cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A connection that sends commands.
pub struct Client {
    broker: Broker,
    clock: Clock,
    app_id: String,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Client {
    /// Connects. `app_id` names the sending service, within which message ids are unique.
    ///
    /// # Errors
    /// [`Error::Connect`] if the broker does not answer; [`Error::Url`] if the URL is invalid; [`Error::Sender`] if `app_id` is
    /// reserved.
    pub async fn connect(url: &str, prefix: &str, app_id: &str) -> Result<Self, Error> {
        if is_reserved_sender(app_id) {
            return Err(Error::Sender(app_id.to_owned()));
        }
        broker::check(url).map_err(|error| Error::Url(error.to_string()))?;
        let client = Self::prepare(url, prefix, app_id);
        if tokio::time::timeout(CONNECT_FOR, client.broker.connected()).await.is_err() {
            client.stop.cancel();
            return Err(Error::Connect(broker::without_password(url)));
        }
        Ok(client)
    }

    /// Starts to connect, and does not wait.
    fn prepare(url: &str, prefix: &str, app_id: &str) -> Self {
        let options = broker::Options {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            publishers: 1,
            confirm_timeout: CONNECT_FOR,
            name: format!("leveret client of {app_id}"),
            topology: Topology::Found,
        };
        let (stop, clock, tasks) = (CancellationToken::new(), Clock::default(), TaskTracker::new());
        let (broker, supervisor) = Broker::start(options, clock.clone(), stop.clone());
        tasks.spawn(supervisor);
        Self { broker, clock, app_id: app_id.to_owned(), stop, tasks }
    }

    /// Starts an instance. Whether the command is accepted is shown by the events of the instance.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn start(&self, message_id: &str, start: &Start) -> Result<(), Error> {
        self.send("start", &start.definition, message_id, start).await
    }

    /// Sends a message to an instance that waits for its name and key, now or within its time to live.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn message(&self, message_id: &str, message: &Message) -> Result<(), Error> {
        self.send("message", &message.name, message_id, message).await
    }

    /// Cancels an instance.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn cancel(&self, message_id: &str, target: &Target) -> Result<(), Error> {
        self.send("cancel", "instance", message_id, target).await
    }

    /// Retries the incident of an instance.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn retry(&self, message_id: &str, target: &Target) -> Result<(), Error> {
        self.send("retry", "instance", message_id, target).await
    }

    /// Completes a task, or casts a vote. Whether the command is accepted is shown by the events of the instance.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn complete(&self, message_id: &str, task: &TaskComplete) -> Result<(), Error> {
        self.send("task.complete", "task", message_id, task).await
    }

    /// Suspends an instance until it is resumed.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn suspend(&self, message_id: &str, target: &Target) -> Result<(), Error> {
        self.send("suspend", "instance", message_id, target).await
    }

    /// Resumes an instance that was suspended by a command.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn resume(&self, message_id: &str, target: &Target) -> Result<(), Error> {
        self.send("resume", "instance", message_id, target).await
    }

    /// Changes the due time of an open timer.
    ///
    /// # Errors
    /// [`Error`] if the broker did not confirm the command.
    pub async fn reschedule(&self, message_id: &str, command: &Reschedule) -> Result<(), Error> {
        self.send("timer.reschedule", "instance", message_id, command).await
    }

    /// Publishes what is queued, and closes the connection.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn send(&self, kind: &str, name: &str, message_id: &str, body: &impl Serialize) -> Result<(), Error> {
        let body = json::bytes(body)?;
        json::refuse_numbers(&body)?;
        if body.len() > BODY_MAX {
            return Err(Error::TooLarge(body.len()));
        }
        let outgoing = Outgoing {
            id: Uuid::now_v7(),
            exchange: Exchange::Commands,
            routing_key: format!("{kind}.{name}"),
            kind: kind.to_owned(),
            app_id: Some(self.app_id.clone()),
            message_id: Some(message_id.to_owned()),
            headers: BTreeMap::new(),
            body,
            due_at: None,
            reply_to: None,
            correlation_id: None,
            priority: None,
        };
        let mut last = String::new();
        for attempt in 1..=TRIES_MAX {
            match self.broker.publish(vec![outgoing.clone()]).await.map(|sent| sent.into_iter().next()) {
                Ok(Some(Sent::Confirmed)) => return Ok(()),
                Ok(Some(Sent::Returned(reason))) => return Err(Error::Unroutable(reason)),
                Ok(Some(Sent::Refused)) => last = "a queue refused it".into(),
                Ok(None) => last = "no answer".into(),
                Err(error) => last = error.to_string(),
            }
            if attempt < TRIES_MAX {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            if tokio::time::timeout(CONNECT_FOR, self.broker.connected()).await.is_err() {
                break;
            }
        }
        // Publishing to a missing exchange looks like a closed channel.
        if self.broker.exists(&Queue::Commands).await == Ok(false) {
            return Err(Error::Unroutable("the queue of commands does not exist".into()));
        }
        Err(Error::Unconfirmed(last))
    }
}
