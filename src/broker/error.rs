//! Errors between this process and the broker, by what a caller can do about them.

use lapin::ErrorKind;

use crate::fault::{self, BrokerAnswer, Class};

/// An error of the broker or of its use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker is unreachable, blocked or too slow, or has refused the message: try again later.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    /// A queue or exchange exists with other arguments than ours: an operator has to decide.
    #[error("the broker has a queue or exchange with other arguments: {0}")]
    Mismatch(String),
    /// This program or its settings are wrong: trying again does not help.
    #[error("wrong use of the broker: {0}")]
    Bug(String),
}

impl Error {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Error::Unavailable(_) => Class::Transient,
            Error::Mismatch(_) => Class::Permanent,
            Error::Bug(_) => Class::Bug,
        }
    }

    /// Why, without the beginning that says what it means to callers.
    pub(super) fn reason(&self) -> &str {
        match self {
            Error::Unavailable(why) | Error::Mismatch(why) | Error::Bug(why) => why,
        }
    }
}

/// Classifies an error of the client library; `doing` names the operation that failed.
pub(super) fn classify(doing: &str, error: &lapin::Error) -> Error {
    let ErrorKind::ProtocolError(amqp) = error.kind() else { return Error::Unavailable(format!("{doing}: {error}")) };
    let why = format!("{doing}: {}", amqp.get_message());
    match fault::of_reply(amqp.get_id()).answer {
        BrokerAnswer::Different => Error::Mismatch(why),
        BrokerAnswer::Away | BrokerAnswer::Declare | BrokerAnswer::Count => Error::Unavailable(why),
    }
}

/// Whether the broker refused the arguments.
pub(super) fn is_mismatch(error: &lapin::Error) -> bool {
    answer_of(error) == Some(BrokerAnswer::Different)
}

/// Whether the broker answered that a queue or exchange does not exist. "Not found" is also its answer for a queue whose node is down.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) => {
            answer_of(error) == Some(BrokerAnswer::Declare) && says_missing(amqp.get_message().as_str())
        }
        _ => false,
    }
}

/// What a reply means that the broker gave; none for an error of the connection.
pub(super) fn answer_of(error: &lapin::Error) -> Option<BrokerAnswer> {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) => Some(fault::of_reply(amqp.get_id()).answer),
        _ => None,
    }
}

/// RabbitMQ 3.10 to 4.3 say "no queue 'x' in vhost '/'" or "no exchange …" after the name of the code; of a queue that is down they
/// say "home node … is down or inaccessible", "failed to perform operation …" or "process is stopped by supervisor".
fn says_missing(message: &str) -> bool {
    let message = message.split_once(" - ").map_or(message, |(_, rest)| rest);
    message.starts_with("no queue ") || message.starts_with("no exchange ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_down_is_not_missing() {
        assert!(says_missing("NOT_FOUND - no queue 'l.commands' in vhost '/'"));
        assert!(says_missing("no exchange 'l.commands' in vhost '/'"));
        for down in [
            "NOT_FOUND - home node 'rabbit@b' of durable queue 'l.delay.2s' in vhost '/' is down or inaccessible",
            "NOT_FOUND - failed to perform operation on queue 'l.delay.2s' in vhost '/' due to timeout",
            "NOT_FOUND - queue 'l.delay.2s' in vhost '/' process is stopped by supervisor",
        ] {
            assert!(!says_missing(down), "{down}");
        }
    }
}
