//! A message on loan from the broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::sync::RwLock;
use tokio::time::timeout;

use super::error::{Error, sort};
use super::message::Queue;
use super::sieve::UNREADABLE;

/// Headers kept of a message; a sender outside may send more.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a header's value; longer ones are left out.
pub const HEADER_MAX: usize = 4_096;
/// An answer must be written within this time.
const ANSWER_FOR: Duration = Duration::from_secs(5);
pub(super) const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };
const REJECT: BasicNackOptions = BasicNackOptions { multiple: false, requeue: false };

/// A message that is ours until it is acknowledged or requeued, dropped (which requeues it), or the connection breaks.
/// Everything in it comes from outside and is bounded by nothing but the broker, except the headers.
pub struct Delivery {
    /// Where it was consumed.
    pub queue: Queue,
    /// Where it was published last.
    pub exchange: String,
    /// With which routing key.
    pub routing_key: String,
    /// Whether the broker may have delivered it before.
    pub redelivered: bool,
    /// The AMQP `type`.
    pub kind: Option<String>,
    /// The AMQP `app_id`.
    pub app_id: Option<String>,
    /// The AMQP `message_id`.
    pub message_id: Option<String>,
    /// The AMQP `correlation_id`.
    pub correlation_id: Option<String>,
    /// The AMQP `reply_to`.
    pub reply_to: Option<String>,
    /// The AMQP `content_type`.
    pub content_type: Option<String>,
    /// The AMQP `timestamp`, in seconds since 1970.
    pub timestamp: Option<i64>,
    /// Headers that are texts, numbers or booleans, as text.
    pub headers: BTreeMap<String, String>,
    /// What was wrong with properties or headers that could not be read: they are not what was sent then.
    pub unreadable: Option<String>,
    /// The header `schema`, as text, however many headers there are.
    pub schema: Option<String>,
    /// The content.
    pub body: Vec<u8>,
    lease: Lease,
}

/// The right to answer, once.
struct Lease {
    channel: Channel,
    tag: u64,
    answered: bool,
    window: Arc<Window>,
}

/// What a subscription and its deliveries know of each other.
#[derive(Default)]
pub(super) struct Window {
    /// Unanswered deliveries.
    pub(super) open: AtomicUsize,
    /// Taken whole while no delivery may be acknowledged, so that the broker sends no more than the prefetch.
    pub(super) answers: Arc<RwLock<()>>,
}

impl Drop for Lease {
    /// Whoever panics or is aborted holds nothing back. The first poll queues the frame; nobody waits for more.
    fn drop(&mut self) {
        self.window.open.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            let _ = self.channel.basic_nack(self.tag, REQUEUE).now_or_never();
        }
    }
}

impl Delivery {
    /// The window counts the unanswered deliveries of the subscription, this one included.
    pub(super) fn new(queue: Queue, channel: Channel, window: Arc<Window>, delivery: lapin::message::Delivery) -> Self {
        window.open.fetch_add(1, Ordering::Relaxed);
        let properties = &delivery.properties;
        let text = |property: &Option<ShortString>| property.as_ref().map(ToString::to_string);
        let mut headers = properties.headers().as_ref().map(read_headers).unwrap_or_default();
        let schema = properties.headers().as_ref().and_then(|table| table.inner().get("schema"));
        Self {
            queue,
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            kind: text(properties.kind()),
            app_id: text(properties.app_id()),
            message_id: text(properties.message_id()),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            content_type: text(properties.content_type()),
            timestamp: properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok()),
            unreadable: headers.remove(UNREADABLE),
            schema: schema.map(|value| read_value(value).unwrap_or_else(|| "of no known type".into())),
            headers,
            lease: Lease { channel, tag: delivery.delivery_tag, answered: false, window },
            body: delivery.data,
        }
    }

    /// Tells the broker that it is done. `false`: the connection broke before, and it will be delivered again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the answer could not be written in time; it will be delivered again, or not.
    pub async fn ack(mut self) -> Result<bool, Error> {
        self.lease.answered = true;
        let Lease { channel, tag, window, .. } = &self.lease;
        let _allowed = window.answers.read().await;
        match timeout(ANSWER_FOR, channel.basic_ack(*tag, BasicAckOptions::default())).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a delivery was lost before it was acknowledged");
                Ok(false)
            }
            Err(_) => Err(Error::Unavailable(format!("not acknowledged within {ANSWER_FOR:?}"))),
        }
    }

    /// Gives it back to the queue: only for deliveries not begun, never as a way to wait.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection broke, which gives it back as well.
    pub async fn requeue(mut self) -> Result<(), Error> {
        self.lease.answered = true;
        self.refuse(REQUEUE).await
    }

    /// Gives it to the dead letters of its queue: it can never be understood.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection broke, after which it is delivered again.
    pub async fn reject(mut self) -> Result<(), Error> {
        self.lease.answered = true;
        self.refuse(REJECT).await
    }

    async fn refuse(&self, options: BasicNackOptions) -> Result<(), Error> {
        let Lease { channel, tag, .. } = &self.lease;
        timeout(ANSWER_FOR, channel.basic_nack(*tag, options))
            .await
            .map_err(|_| Error::Unavailable(format!("not given back within {ANSWER_FOR:?}")))?
            .map_err(|error| sort("give back a delivery", &error))
    }
}

impl std::fmt::Debug for Delivery {
    /// Without body and headers, which may hold secrets and anything else.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("kind", &self.kind)
            .field("message_id", &self.message_id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn read_headers(table: &FieldTable) -> BTreeMap<String, String> {
    let readable = table.inner().iter().filter_map(|(name, value)| Some((name.to_string(), read_value(value)?)));
    readable.take(HEADERS_MAX).collect()
}

fn read_value(value: &AMQPValue) -> Option<String> {
    let text = match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.to_owned(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => return None,
    };
    (text.len() <= HEADER_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: impl IntoIterator<Item = (String, AMQPValue)>) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(name.as_str().into(), value);
        }
        table
    }

    #[test]
    fn texts_and_numbers_are_read_and_the_rest_is_left_out() {
        let headers = read_headers(&table([
            ("schema".into(), AMQPValue::LongInt(1)),
            ("traceparent".into(), AMQPValue::LongString("00-ab".into())),
            ("not text".into(), AMQPValue::LongString(vec![0xff, 0xfe].into())),
            ("nested".into(), AMQPValue::FieldTable(FieldTable::default())),
        ]));
        let read: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("schema", "1"), ("traceparent", "00-ab")]);
    }

    #[test]
    fn hostile_headers_are_bounded() {
        let many = table((0..1_000).map(|number| (format!("h{number}"), AMQPValue::LongInt(number))));
        assert_eq!(read_headers(&many).len(), HEADERS_MAX);
        let long = table([("long".into(), AMQPValue::LongString("x".repeat(HEADER_MAX + 1).into()))]);
        assert!(read_headers(&long).is_empty());
    }
}
