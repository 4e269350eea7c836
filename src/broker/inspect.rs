//! Questions to the broker about its queues. They create nothing that stays.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::Broker;
use super::compare::{self, Compared};
use super::connection::Connection;
use super::declaration::{DECLARE_FOR, short, table};
use super::error::{Error, classify, is_mismatch, is_missing};
use super::message::Queue;
use super::topology::{self, Value};

/// The argument of a queue that is deleted at once, in milliseconds.
const PROBE_DELAY_MS: i64 = 1_000;
/// What that queue is called in errors.
const PROBE: &str = "a queue of its own";

/// What waits in a queue, and who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Messages that wait for a consumer.
    pub messages: u64,
    /// Consumers.
    pub consumers: u64,
}

impl Broker {
    /// Whether a queue exists.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn exists(&self, queue: &Queue) -> Result<bool, Error> {
        let connection = self.shared.publishing_connection()?;
        Ok(state(&connection, &queue.physical(&self.shared.options.prefix)).await?.is_some())
    }

    /// The number of messages of a queue that wait for a consumer; 0 if the queue does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn depth(&self, queue: &Queue) -> Result<u64, Error> {
        let connection = self.shared.publishing_connection()?;
        let state = state(&connection, &queue.physical(&self.shared.options.prefix)).await?;
        Ok(state.map_or(0, |state| u64::from(state.message_count())))
    }

    /// What waits in a queue, and who takes it; `None` if the queue does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn load(&self, queue: &Queue) -> Result<Option<Load>, Error> {
        let connection = self.shared.publishing_connection()?;
        let state = state(&connection, &queue.physical(&self.shared.options.prefix)).await?;
        Ok(state.map(|state| Load { messages: state.message_count().into(), consumers: state.consumer_count().into() }))
    }

    /// Whether a quorum queue delivers the highest priority first, always: RabbitMQ 4.3 and newer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn sorts_by_priority(&self) -> Result<bool, Error> {
        sorts_by_priority(&*self.shared.publishing_connection()?).await
    }

    /// The number of parked messages: their queue was deleted while they were delayed, or no reader could take them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn parked(&self) -> Result<u64, Error> {
        let connection = self.shared.publishing_connection()?;
        let state = state(&connection, &topology::parked(&self.shared.options.prefix)).await?;
        Ok(state.map_or(0, |state| u64::from(state.message_count())))
    }

    /// Compares the exchanges and queues that every process declares. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn verify(&self) -> Result<Compared, Error> {
        let connection = self.shared.publishing_connection()?;
        compare::compare(&connection, &topology::base(&self.shared.options.prefix)).await
    }

    /// Compares the queues of steps of these names, each of which is declared by the first worker that serves it. Creates
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the broker does not answer.
    pub async fn verify_steps(&self, queues: &[String]) -> Result<Compared, Error> {
        let connection = self.shared.publishing_connection()?;
        let prefix = &self.shared.options.prefix;
        let each = queues.iter().flat_map(|queue| topology::queue(prefix, &Queue::Steps(queue.clone())));
        let queues = each.filter(|declaration| matches!(declaration, topology::Declaration::Queue { .. }));
        compare::compare(&connection, &queues.collect::<Vec<_>>()).await
    }
}

/// The state of a queue; `None` if it does not exist.
///
/// # Errors
/// [`Error::Unavailable`] if the broker does not answer.
pub(super) async fn state(connection: &Connection, queue: &str) -> Result<Option<lapin::Queue>, Error> {
    let channel = connection.channel().await?;
    let inspected =
        channel.queue_declare(short(queue)?, QueueDeclareOptions::durable().passive(), FieldTable::default());
    match in_time(queue, inspected).await? {
        Ok(state) => Ok(Some(state)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(classify("inspect a queue", &error)),
    }
}

/// Whether a quorum queue delivers the highest priority first, always. The client library does not pass on the version of the broker. But
/// the version that brought this brought an argument as well that only quorum queues may have, and older versions do not know it.
///
/// # Errors
/// [`Error::Unavailable`] if the broker does not answer.
pub(super) async fn sorts_by_priority(connection: &Connection) -> Result<bool, Error> {
    let channel = connection.channel().await?;
    let arguments =
        [("x-queue-type", Value::Text("classic".into())), ("x-delayed-retry-min", Value::Number(PROBE_DELAY_MS))];
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    match in_time(PROBE, channel.queue_declare(short("")?, options, table(&arguments)?)).await? {
        Ok(probe) => {
            // Otherwise it is deleted with the connection.
            let _ = in_time(PROBE, channel.queue_delete(probe.name().clone(), QueueDeleteOptions::default())).await?;
            Ok(false)
        }
        Err(error) if is_mismatch(&error) => Ok(true),
        Err(error) => Err(classify("declare a queue of its own", &error)),
    }
}

async fn in_time<T>(queue: &str, answer: impl Future<Output = T>) -> Result<T, Error> {
    let answered = timeout(DECLARE_FOR, answer).await;
    answered.map_err(|_| Error::Unavailable(format!("{queue}: no answer within {DECLARE_FOR:?}")))
}
