//! One declaration: how it is sent to the broker, and why it failed.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::connection::Connection;
use super::error::{Error, answer_of, classify, is_missing};
use super::topology::{Argument, Declaration, Kind, Value};
use crate::fault::BrokerAnswer;

/// The broker must answer a declaration within this time. RabbitMQ 4.3 needs a minute to say that the node of a queue is down.
pub(super) const DECLARE_FOR: Duration = Duration::from_secs(5);

/// What a declaration does on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Creates what is missing, and fails where the arguments differ.
    Declare,
    /// Fails where it is missing, and creates nothing.
    Check,
}

/// An exchange or a queue that could not be declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Its name.
    pub(super) name: String,
    /// Why, with the name.
    pub(super) says: String,
    pub(super) cause: Cause,
}

/// Why something could not be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It exists with other arguments, or the broker refuses these.
    Different,
    /// The broker does not answer for it, or says that its node does not.
    Down,
}

/// A text as a short string of the protocol.
///
/// # Errors
/// [`Error::Bug`] if it has more than 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text)
        .map_err(|_| Error::Bug(format!("a name has {} bytes; at most 255 are allowed", text.len())))
}

/// An error of one channel becomes a problem; an error of the connection stays an error.
pub(super) fn explain(
    connection: &Connection,
    declaration: &Declaration,
    error: &DeclareError,
) -> Result<Problem, Error> {
    let name = name_of(declaration).to_owned();
    let (cause, why) = match error {
        DeclareError::Ours(error) => return Err(error.clone()),
        DeclareError::Unanswered(within) => (Cause::Down, format!("no answer within {within:?}")),
        DeclareError::Theirs(error) => match error.kind() {
            ErrorKind::ProtocolError(amqp) if connection.is_open() && error.is_amqp_soft_error() => {
                (if is_down(error) { Cause::Down } else { Cause::Different }, amqp.get_message().to_string())
            }
            _ => return Err(classify("declare", error)),
        },
    };
    Ok(Problem { says: format!("`{name}`: {why}"), name, cause })
}

/// Whether the broker knows the queue and cannot reach it. A declaration never fails because its queue is missing.
fn is_down(error: &lapin::Error) -> bool {
    answer_of(error) == Some(BrokerAnswer::Declare) && !is_missing(error)
}

fn name_of(declaration: &Declaration) -> &str {
    match declaration {
        Declaration::Exchange { name, .. } | Declaration::Queue { name, .. } => name,
        Declaration::Binding { queue, .. } => queue,
    }
}

pub(super) enum DeclareError {
    /// A name or an argument does not fit into the protocol.
    Ours(Error),
    /// The broker refuses it.
    Theirs(lapin::Error),
    /// The broker has not answered within this time.
    Unanswered(Duration),
}

impl From<Error> for DeclareError {
    fn from(error: Error) -> Self {
        DeclareError::Ours(error)
    }
}

pub(super) async fn apply(
    channel: &Channel,
    declaration: &Declaration,
    mode: Mode,
    within: Duration,
) -> Result<(), DeclareError> {
    let answer = async {
        match declaration {
            Declaration::Exchange { name, kind, arguments } => {
                let kind = match kind {
                    Kind::Direct => ExchangeKind::Direct,
                    Kind::Fanout => ExchangeKind::Fanout,
                    Kind::Topic => ExchangeKind::Topic,
                };
                let options = ExchangeDeclareOptions {
                    durable: true,
                    passive: mode == Mode::Check,
                    ..ExchangeDeclareOptions::default()
                };
                let declared = channel.exchange_declare(short(name)?, kind, options, table(arguments)?).await;
                declared.map_err(DeclareError::Theirs)
            }
            Declaration::Queue { name, arguments, .. } => {
                let options = QueueDeclareOptions { passive: mode == Mode::Check, ..QueueDeclareOptions::durable() };
                let declared = channel.queue_declare(short(name)?, options, table(arguments)?).await;
                declared.map(drop).map_err(DeclareError::Theirs)
            }
            Declaration::Binding { queue, exchange, key } => {
                let (queue, exchange, key) = (short(queue)?, short(exchange)?, short(key)?);
                let options = QueueBindOptions::default();
                let bound = channel.queue_bind(queue, exchange, key, options, FieldTable::default()).await;
                bound.map_err(DeclareError::Theirs)
            }
        }
    };
    timeout(within, answer).await.unwrap_or(Err(DeclareError::Unanswered(within)))
}

pub(super) fn table(arguments: &[Argument]) -> Result<FieldTable, Error> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::Number(number) => AMQPValue::LongLongInt(*number),
            Value::Text(text) => AMQPValue::LongString(text.as_str().into()),
        };
        table.insert(short(name)?, value);
    }
    Ok(table)
}
