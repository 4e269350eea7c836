//! What is sent, and the names of where it goes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::contract::Exchange;

/// The header that says when a message was published, in milliseconds since 1970 by the database's clock.
pub const SENT_AT: &str = "sent_at";

/// Where something is consumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Commands from outside.
    Commands,
    /// The step commands of a queue.
    Steps(String),
    /// What could not be handled.
    Dead,
    /// A listener's own queue of all events; it goes when nobody has listened for ten minutes.
    Events(String),
    /// Wake-ups that a call is to be made.
    Calls,
    /// Requests to workers outside, by the name of the work.
    Work(String),
}

impl Queue {
    /// The name without the configured prefix, for people and metrics.
    pub fn name(&self) -> String {
        match self {
            Queue::Commands => "commands".into(),
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
            Queue::Steps(queue) => format!("{prefix}.steps.{queue}"),
            Queue::Dead => format!("{prefix}.dead"),
            Queue::Events(listener) => format!("{prefix}.events.{listener}"),
            Queue::Calls => format!("{prefix}.calls"),
            Queue::Work(name) => format!("{prefix}.work.{name}"),
        }
    }
}

/// A message to be published: an outbox row, or one of the few that were not first a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The outbox row; the AMQP `message_id` unless [`Outgoing::message_id`] is set.
    pub id: Uuid,
    /// Where to.
    pub exchange: Exchange,
    /// The routing key; for [`Exchange::Steps`] the queue, for [`Exchange::Work`] the name of the work.
    pub routing_key: String,
    /// The AMQP `type`.
    pub kind: String,
    /// The AMQP `app_id`.
    pub app_id: Option<String>,
    /// Further headers; `schema` is added.
    pub headers: BTreeMap<String, String>,
    /// JSON.
    pub body: Vec<u8>,
    /// Deliver it at this moment of the database's clock; at once when left out. Only commands and step commands can wait.
    pub due_at: Option<Timestamp>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// What an answer names.
    pub correlation_id: Option<String>,
    /// The id given by a sender outside, kept when its command travels on.
    pub message_id: Option<String>,
}

impl Outgoing {
    /// The AMQP `message_id`.
    pub fn message_id(&self) -> String {
        self.message_id.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Whether a message that reaches no queue comes back: everything but events.
    pub fn is_mandatory(&self) -> bool {
        match self.exchange {
            // Nobody listening, or the asker gone, is no failure.
            Exchange::Events | Exchange::Reply => false,
            Exchange::Commands | Exchange::Steps | Exchange::Work | Exchange::Calls | Exchange::Dead => true,
        }
    }

    /// The queue at the end of the ladder, if messages of this kind can wait on it.
    pub fn queue(&self) -> Option<Queue> {
        match self.exchange {
            Exchange::Commands => Some(Queue::Commands),
            Exchange::Steps => Some(Queue::Steps(self.routing_key.clone())),
            Exchange::Calls => Some(Queue::Calls),
            Exchange::Work => Some(Queue::Work(self.routing_key.clone())),
            Exchange::Events | Exchange::Dead | Exchange::Reply => None,
        }
    }
}

/// What became of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The broker has taken it.
    Confirmed,
    /// It is nowhere: no queue is bound to its routing key, or it does not fit into the protocol. Why.
    Returned(String),
    /// A queue has refused it, full perhaps. It counts for nothing: later it may be taken.
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
