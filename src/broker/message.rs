//! Messages to be published, and the names of queues.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::contract::Exchange;

/// The header with the time a message was published, in milliseconds since 1970 by the database's clock.
pub const SENT_AT: &str = "sent_at";

/// The header of a command from outside that Leveret sends again: the exchange that its sender published it to.
pub const FIRST_EXCHANGE: &str = "leveret-first-exchange";

/// The header of such a command with the user of the broker who sent it. Only Leveret may be the `user_id` of what Leveret sends.
pub const FIRST_USER: &str = "leveret-first-user";

/// The header with the deadline of a request to an external worker, RFC 3339. The request expires then.
pub const DEADLINE: &str = "leveret-deadline";

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Commands of upstream services and external workers.
    Commands,
    /// Those that go before others.
    Urgent,
    /// The step commands of one of the configured queues.
    Steps(String),
    /// Dead letters.
    Dead,
    /// A listener's own queue of all events. The broker deletes it after ten minutes without a consumer.
    Events(String),
    /// Wake-ups for calls.
    Calls,
    /// Requests to external workers, by the name of the work.
    Work(String),
}

impl Queue {
    /// The name without the configured prefix, for logs and metrics.
    pub fn name(&self) -> String {
        match self {
            Queue::Commands => "commands".into(),
            Queue::Urgent => "urgent".into(),
            Queue::Steps(queue) => format!("steps.{queue}"),
            Queue::Dead => "dead".into(),
            Queue::Events(listener) => format!("events.{listener}"),
            Queue::Calls => "calls".into(),
            Queue::Work(name) => format!("work.{name}"),
        }
    }

    /// The name on the broker.
    pub fn physical(&self, prefix: &str) -> String {
        match self {
            Queue::Commands => format!("{prefix}.commands"),
            Queue::Urgent => format!("{prefix}.urgent"),
            Queue::Steps(queue) => format!("{prefix}.steps.{queue}"),
            Queue::Dead => format!("{prefix}.dead"),
            Queue::Events(listener) => format!("{prefix}.events.{listener}"),
            Queue::Calls => format!("{prefix}.calls"),
            Queue::Work(name) => format!("{prefix}.work.{name}"),
        }
    }
}

/// A message to be published: an outbox row, or a message that was never one.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The id of the outbox row; the AMQP `message_id` unless [`Outgoing::message_id`] is set.
    pub id: Uuid,
    /// The exchange.
    pub exchange: Exchange,
    /// The routing key; for [`Exchange::Steps`] the queue, for [`Exchange::Work`] the name of the work.
    pub routing_key: String,
    /// The AMQP `type`.
    pub kind: String,
    /// The AMQP `app_id`.
    pub app_id: Option<String>,
    /// Further headers; `schema` is added.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON.
    pub body: Vec<u8>,
    /// The time of delivery, by the database's clock; at once when left out. Messages that have a [`Outgoing::queue`] can wait.
    pub due_at: Option<Timestamp>,
    /// The AMQP `reply_to`: the queue for the answer.
    pub reply_to: Option<String>,
    /// The AMQP `correlation_id`: what the answer names.
    pub correlation_id: Option<String>,
    /// The AMQP `priority`. Only of a command that is sent to the end of its queue: RabbitMQ 4.3 delivers a lower one last.
    pub priority: Option<u8>,
    /// The id given by a sender outside, kept when its command is forwarded.
    pub message_id: Option<String>,
}

impl Outgoing {
    /// The AMQP `message_id`.
    pub fn message_id(&self) -> String {
        self.message_id.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Whether the broker returns the message if no queue is bound: yes, except for events and answers.
    pub fn is_mandatory(&self) -> bool {
        match self.exchange {
            // An event without a listener and an answer without its queue are not errors.
            Exchange::Events | Exchange::Reply => false,
            Exchange::Commands | Exchange::Urgent | Exchange::Forwarded | Exchange::Steps => true,
            Exchange::Work | Exchange::Calls | Exchange::Dead => true,
        }
    }

    /// The queue it is delivered to after a delay; `None` if such a message cannot wait.
    pub fn queue(&self) -> Option<Queue> {
        match self.exchange {
            Exchange::Commands | Exchange::Forwarded => Some(Queue::Commands),
            Exchange::Urgent => Some(Queue::Urgent),
            Exchange::Steps => Some(Queue::Steps(self.routing_key.clone())),
            Exchange::Calls => Some(Queue::Calls),
            Exchange::Work => Some(Queue::Work(self.routing_key.clone())),
            Exchange::Events | Exchange::Dead | Exchange::Reply => None,
        }
    }
}

/// The broker's answer to a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The broker has stored it.
    Confirmed,
    /// It was not stored: no queue is bound to its routing key, or it does not fit into the protocol. The reason.
    Returned(String),
    /// A queue has refused it, for instance because it is full. It may be accepted later.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_prefix() {
        assert_eq!(Queue::Steps("slow".into()).physical("acme"), "acme.steps.slow");
    }
}
