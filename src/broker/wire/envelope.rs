//! Addresses a message: exchange, routing key and AMQP properties. Pure.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::broker::delay;
use crate::broker::message::{DEADLINE, Outgoing, SENT_AT};
use crate::contract::{self, Exchange};

/// The largest body of a message in bytes. RabbitMQ 4 refuses a larger one by closing the channel.
pub const BODY_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all headers of a message: they must fit into one frame, or the connection is closed.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// The longest expiration in milliseconds: RabbitMQ closes the channel over one that does not fit into 32 bits.
const EXPIRATION_MAX_MS: i128 = 4_294_967_295;
/// Persistent.
const DELIVERY_MODE: u8 = 2;

/// Everything of a message but its body.
pub(in crate::broker) struct Envelope {
    pub(in crate::broker) exchange: ShortString,
    pub(in crate::broker) routing_key: ShortString,
    pub(in crate::broker) properties: BasicProperties,
}

/// Addresses a message that is published at `now`.
///
/// # Errors
/// Why it can never be sent. One such message must not hold up others.
pub(in crate::broker) fn seal(prefix: &str, message: &Outgoing, now: Timestamp) -> Result<Envelope, String> {
    if message.body.len() > BODY_MAX {
        return Err(format!("the body has {} bytes; at most {BODY_MAX} are allowed", message.body.len()));
    }
    let headers_bytes: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers_bytes > HEADERS_BYTES_MAX {
        return Err(format!("the headers have {headers_bytes} bytes; at most {HEADERS_BYTES_MAX} are allowed"));
    }
    let (exchange, routing_key) = route(prefix, message, now);
    Ok(Envelope {
        exchange: short("exchange", &exchange)?,
        routing_key: short("routing key", &routing_key)?,
        properties: properties(message, now)?,
    })
}

/// The exchange and routing key: those of a delay queue if the message has to wait, its own otherwise.
fn route(prefix: &str, message: &Outgoing, now: Timestamp) -> (String, String) {
    let level = delay::rank(message.due_at, now).and_then(|rank| delay::levels().nth(rank));
    match (level, message.queue()) {
        (Some(level), Some(queue)) => (level.name(prefix), queue.physical(prefix)),
        (Some(_), None) | (None, _) => (message.exchange.physical(prefix), message.routing_key.clone()),
    }
}

fn properties(message: &Outgoing, now: Timestamp) -> Result<BasicProperties, String> {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(short("header name", name)?, AMQPValue::LongString(value.as_str().into()));
    }
    headers.insert(short("header name", "schema")?, AMQPValue::LongLongInt(contract::SCHEMA));
    // The property `timestamp` is in seconds; how long a command waits in its queue is measured in milliseconds.
    headers.insert(short("header name", SENT_AT)?, AMQPValue::LongLongInt(now.as_millisecond()));
    let mut properties = BasicProperties::default()
        .with_delivery_mode(DELIVERY_MODE)
        .with_content_type(short("content type", "application/json")?)
        .with_message_id(short("message id", &message.message_id())?)
        .with_type(short("type", &message.kind)?)
        .with_timestamp(u64::try_from(now.as_second()).unwrap_or_default())
        .with_headers(headers);
    if let Some(priority) = message.priority {
        properties = properties.with_priority(priority);
    }
    if let Some(expiration) = expiration(message, now) {
        properties = properties.with_expiration(short("expiration", &expiration)?);
    }
    if let Some(app_id) = &message.app_id {
        properties = properties.with_app_id(short("app id", app_id)?);
    }
    if let Some(reply_to) = &message.reply_to {
        properties = properties.with_reply_to(short("reply-to", reply_to)?);
    }
    if let Some(correlation_id) = &message.correlation_id {
        properties = properties.with_correlation_id(short("correlation id", correlation_id)?);
    }
    Ok(properties)
}

/// Milliseconds until a request to an external worker is too late. RabbitMQ 4.3 returns a request to a worker that only nacks it without
/// an end; so the end of the attempt is the end of its request, on every version.
fn expiration(message: &Outgoing, now: Timestamp) -> Option<String> {
    if message.exchange != Exchange::Work {
        return None;
    }
    let deadline: Timestamp = message.headers.get(DEADLINE)?.parse().ok()?;
    let left = deadline.duration_since(now).as_millis().clamp(0, EXPIRATION_MAX_MS);
    Some(left.to_string())
}

fn short(what: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| format!("the {what} has {} bytes; at most 255 are allowed", text.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn step(due_in_millis: Option<i64>) -> Outgoing {
        Outgoing {
            id: Uuid::nil(),
            exchange: Exchange::Steps,
            routing_key: "slow".into(),
            kind: "continue".into(),
            app_id: None,
            headers: BTreeMap::new(),
            body: Vec::new(),
            due_at: due_in_millis.map(|millis| NOW + SignedDuration::from_millis(millis)),
            reply_to: None,
            correlation_id: None,
            priority: None,
            message_id: None,
        }
    }

    fn routed(message: &Outgoing) -> (String, String) {
        route("leveret", message, NOW)
    }

    #[test]
    fn a_due_message_goes_straight_to_its_exchange() {
        for due_in_millis in [None, Some(-5_000), Some(0), Some(60)] {
            assert_eq!(routed(&step(due_in_millis)), ("leveret.steps".into(), "slow".into()), "{due_in_millis:?}");
        }
    }

    #[test]
    fn a_message_that_is_not_due_takes_a_delay_queue() {
        assert_eq!(routed(&step(Some(1_500))), ("leveret.delay.1s".into(), "leveret.steps.slow".into()));
        let command = Outgoing { exchange: Exchange::Commands, routing_key: "message.paid".into(), ..step(Some(400)) };
        assert_eq!(routed(&command), ("leveret.delay.250ms".into(), "leveret.commands".into()));
    }

    #[test]
    fn an_event_never_waits() {
        let event = Outgoing { exchange: Exchange::Events, routing_key: "order.done".into(), ..step(Some(5_000)) };
        assert_eq!(routed(&event), ("leveret.events".into(), "order.done".into()));
    }

    #[test]
    fn a_message_is_persistent_and_carries_its_ids_and_type() {
        let message = Outgoing { message_id: Some("m-1".into()), app_id: Some("shop".into()), ..step(None) };
        let properties = seal("leveret", &message, NOW).map(|envelope| envelope.properties).expect("sendable");
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some("m-1"));
        assert_eq!(properties.app_id().as_ref().map(ShortString::as_str), Some("shop"));
        assert_eq!(properties.kind().as_ref().map(ShortString::as_str), Some("continue"));
        assert!(properties.headers().as_ref().is_some_and(|headers| headers.contains_key("schema")));
    }

    #[test]
    fn a_request_to_an_external_worker_expires_at_its_deadline() {
        let expires = |exchange, deadline: &str| {
            let headers = BTreeMap::from([(DEADLINE.to_owned(), deadline.to_owned())]);
            let envelope = seal("leveret", &Outgoing { exchange, headers, ..step(None) }, NOW).expect("sendable");
            envelope.properties.expiration().as_ref().map(ToString::to_string)
        };
        assert_eq!(expires(Exchange::Work, "1970-01-01T00:01:30.5Z").as_deref(), Some("90500"));
        assert_eq!(expires(Exchange::Work, "1969-12-31T00:00:00Z").as_deref(), Some("0"));
        assert_eq!(expires(Exchange::Work, "2999-01-01T00:00:00Z").as_deref(), Some("4294967295"));
        assert_eq!(expires(Exchange::Work, "never"), None);
        assert_eq!(expires(Exchange::Steps, "1970-01-01T00:01:30.5Z"), None);
    }

    #[test]
    fn a_message_has_a_priority_only_if_one_is_stated() {
        for priority in [None, Some(0)] {
            let message = Outgoing { priority, ..step(None) };
            let properties = seal("leveret", &message, NOW).map(|envelope| envelope.properties).expect("sendable");
            assert_eq!(properties.priority(), &priority);
        }
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused_with_a_reason() {
        let long = "x".repeat(256);
        let refused = [
            Outgoing { routing_key: long.clone(), ..step(None) },
            Outgoing { routing_key: "x".repeat(250), ..step(Some(1_000)) },
            Outgoing { correlation_id: Some(long.clone()), ..step(None) },
            Outgoing { headers: BTreeMap::from([(long, String::new())]), ..step(None) },
            Outgoing { headers: BTreeMap::from([("h".into(), "x".repeat(HEADERS_BYTES_MAX))]), ..step(None) },
            Outgoing { body: vec![b' '; BODY_MAX + 1], ..step(None) },
        ];
        for message in refused {
            assert!(seal("leveret", &message, NOW).is_err());
        }
    }
}
