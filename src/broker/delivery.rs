//! A delivered message that has to be acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::sync::RwLock;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::{Error, classify};
use super::identity;
use super::message::Queue;
use super::wire::sieve::UNREADABLE;

/// The largest number of headers kept of a message. A sender may send more.
pub const HEADERS_MAX: usize = 64;
/// The largest header value in bytes. Headers with longer values are left out.
pub const HEADER_MAX: usize = 4_096;
/// The beginning of the names of headers that Leveret sets.
pub const OWN: &str = "leveret-";
/// The header with the outbox row of a command that stays there until it is handled. It counts only in the exchange of such commands.
pub const OUTBOX_ROW: &str = "leveret-outbox-row";
/// An acknowledgement must be written within this time.
const WRITE_FOR: Duration = Duration::from_secs(5);
/// For a delivery that was not begun. RabbitMQ 4.3 does not count it towards the delivery limit.
pub(super) const RETURN: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };
/// For a delivery that was begun. Every version counts a `basic.reject`, and makes a dead letter of a message that is begun too often.
const GIVE_BACK: BasicRejectOptions = BasicRejectOptions { requeue: true };
const REFUSE: BasicRejectOptions = BasicRejectOptions { requeue: false };

/// A message that belongs to this process until it is acknowledged, returned, given back, rejected or dropped (which gives it back),
/// or until the connection is lost. Its content comes from outside; only its headers are bounded here.
pub struct Delivery {
    /// The queue it was consumed from.
    pub queue: Queue,
    /// The exchange it was last published to.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// Whether the broker may have delivered it before: a worker may have died while it handled it.
    pub redelivered: bool,
    /// The AMQP `type`.
    pub kind: Option<String>,
    /// The AMQP `app_id`.
    pub app_id: Option<String>,
    /// The AMQP `user_id`: the broker takes only that of the connection.
    pub user_id: Option<String>,
    /// The AMQP `message_id`, of a sender of AMQP 1.0 as text: the same id is the same text.
    pub message_id: Option<String>,
    /// The AMQP `correlation_id`.
    pub correlation_id: Option<String>,
    /// The AMQP `reply_to`.
    pub reply_to: Option<String>,
    /// The AMQP `content_type`.
    pub content_type: Option<String>,
    /// The AMQP `timestamp`, in seconds since 1970.
    pub timestamp: Option<i64>,
    /// The AMQP `priority`.
    pub priority: Option<u8>,
    /// Headers with a text, a number or a boolean, as text.
    pub headers: BTreeMap<String, String>,
    /// Why properties or headers could not be read. They are then not what was sent.
    pub unreadable: Option<String>,
    /// The header `schema`, as text. It is kept however many headers there are.
    pub schema: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    lease: Lease,
}

/// The right to acknowledge or return a delivery, once.
struct Lease {
    channel: Channel,
    tag: u64,
    settled: bool,
    window: Arc<Window>,
}

/// The state that a subscription shares with its deliveries.
pub(super) struct Window {
    /// The number of unacknowledged deliveries.
    pub(super) open: AtomicUsize,
    /// Locked for writing while no delivery may be acknowledged, so that the broker sends no more than the prefetch.
    pub(super) acks: Arc<RwLock<()>>,
    /// Closed when nothing uses it any more: a delivery of a queue that was read alone may outlive its subscription.
    _connection: Arc<Connection>,
}

impl Window {
    pub(super) fn on(connection: Arc<Connection>) -> Self {
        Self { open: AtomicUsize::new(0), acks: Arc::default(), _connection: connection }
    }
}

impl Drop for Lease {
    /// Gives back the delivery of a task that panics or is aborted: it counts as begun, or a message that makes its readers panic
    /// would come for ever. The first poll queues the frame, and nothing waits for the rest.
    fn drop(&mut self) {
        self.window.open.fetch_sub(1, Ordering::Relaxed);
        if !self.settled {
            let _ = self.channel.basic_reject(self.tag, GIVE_BACK).now_or_never();
        }
    }
}

impl Delivery {
    /// A delivery, which `window` counts as unacknowledged.
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
            user_id: text(properties.user_id()),
            message_id: identity::message_id(
                properties.message_id().as_ref().map(ShortString::as_str),
                properties.headers().as_ref(),
            ),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            content_type: text(properties.content_type()),
            timestamp: properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok()),
            priority: *properties.priority(),
            unreadable: headers.remove(UNREADABLE),
            schema: schema.map(|value| read_value(value).unwrap_or_else(|| "of an unknown type".into())),
            headers,
            lease: Lease { channel, tag: delivery.delivery_tag, settled: false, window },
            body: delivery.data,
        }
    }

    /// Acknowledges the delivery. `false`: the connection was lost before, and the message will be redelivered.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the acknowledgement could not be written in time; the message may be redelivered.
    pub async fn ack(mut self) -> Result<bool, Error> {
        #[cfg(feature = "seeded-bugs")]
        if self.lease.settled {
            return Ok(true);
        }
        self.lease.settled = true;
        let Lease { channel, tag, window, .. } = &self.lease;
        let _allowed = window.acks.read().await;
        match timeout(WRITE_FOR, channel.basic_ack(*tag, BasicAckOptions::default())).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection was lost before a delivery was acknowledged");
                Ok(false)
            }
            Err(_) => Err(Error::Unavailable(format!("not acknowledged within {WRITE_FOR:?}"))),
        }
    }

    /// Returns the message to its queue. Only for deliveries that were not begun: RabbitMQ 4.3 returns them any number of times.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection was lost, which returns the message as well.
    pub async fn requeue(mut self) -> Result<(), Error> {
        #[cfg(feature = "seeded-bugs")]
        if self.lease.settled {
            return Ok(());
        }
        self.lease.settled = true;
        let Lease { channel, tag, .. } = &self.lease;
        written(channel.basic_nack(*tag, RETURN)).await
    }

    /// Gives back a message that was begun and could not be finished. RabbitMQ counts how often, and beyond the delivery limit of the
    /// queue the message is a dead letter. Never a way to wait.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection was lost, which gives the message back as well.
    pub async fn give_back(self) -> Result<(), Error> {
        self.refuse(GIVE_BACK).await
    }

    /// Sends the message to the dead letters of its queue: it can never be handled.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the connection was lost, after which the message is redelivered.
    pub async fn reject(self) -> Result<(), Error> {
        self.refuse(REFUSE).await
    }

    /// Acknowledges a delivery of which nothing is done yet, if tests have put that bug in.
    #[cfg(feature = "seeded-bugs")]
    pub async fn ack_early(mut self) -> Self {
        if crate::seeded::is(crate::seeded::Bug::AckBeforeCommit) {
            self.lease.settled = true;
            let _ = self.lease.channel.basic_ack(self.lease.tag, BasicAckOptions::default()).await;
        }
        self
    }

    async fn refuse(mut self, options: BasicRejectOptions) -> Result<(), Error> {
        #[cfg(feature = "seeded-bugs")]
        if self.lease.settled {
            return Ok(());
        }
        self.lease.settled = true;
        let Lease { channel, tag, .. } = &self.lease;
        written(channel.basic_reject(*tag, options)).await
    }
}

/// Waits until a return is written, for a limited time.
async fn written(writing: impl Future<Output = lapin::Result<()>>) -> Result<(), Error> {
    timeout(WRITE_FOR, writing)
        .await
        .map_err(|_| Error::Unavailable(format!("not returned within {WRITE_FOR:?}")))?
        .map_err(|error| classify("return a delivery", &error))
}

impl std::fmt::Debug for Delivery {
    /// Without body and headers, which may hold secrets.
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
    // Those of Leveret first: any number of others must not hide them.
    let (own, others): (Vec<_>, Vec<_>) = readable.partition(|(name, _)| name.starts_with(OWN));
    own.into_iter().chain(others).take(HEADERS_MAX).collect()
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
    fn headers_with_texts_and_numbers_are_kept_and_others_left_out() {
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
    fn number_and_size_of_headers_are_bounded() {
        let many = table((0..1_000).map(|number| (format!("h{number}"), AMQPValue::LongInt(number))));
        assert_eq!(read_headers(&many).len(), HEADERS_MAX);
        let own = AMQPValue::LongString("commands".into());
        let behind = table(
            (0..100)
                .map(|number| (format!("a{number}"), AMQPValue::LongInt(number)))
                .chain([("leveret-x".into(), own)]),
        );
        assert!(read_headers(&behind).contains_key("leveret-x"));
        let long = table([("long".into(), AMQPValue::LongString("x".repeat(HEADER_MAX + 1).into()))]);
        assert!(read_headers(&long).is_empty());
    }
}
