//! Brings the topology to the broker, and compares it with what is there. Always on throw-away channels: the broker
//! closes the channel on which a declaration fails.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::error::{Error, is_missing, sort};
use super::link::Link;
use super::topology::{Argument, Declaration, Kind, Value};

/// One declaration must be answered within this time.
const DECLARE_FOR: Duration = Duration::from_secs(10);

/// What a declaration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Make it, or make sure it is the same.
    Declare,
    /// Only see whether it is there.
    Look,
}

/// Declares everything that can be declared. Answers with a sentence for each thing that could not, so that one bad
/// queue does not stop the others.
///
/// # Errors
/// [`Error::Unavailable`] if the connection is of no use.
pub(super) async fn declare(link: &Link, declarations: &[Declaration]) -> Result<Vec<String>, Error> {
    let mut complaints = Vec::new();
    let mut channel = link.channel().await?;
    for declaration in declarations {
        if let Err(error) = apply(&channel, declaration, Aim::Declare).await {
            complaints.push(explain(link, &error)?);
            channel = link.channel().await?;
        }
    }
    Ok(complaints)
}

/// Compares without creating anything: a sentence for each exchange or queue that is missing or has other arguments.
///
/// # Errors
/// [`Error::Unavailable`] if the connection is of no use.
pub(super) async fn compare(link: &Link, declarations: &[Declaration]) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    let mut channel = link.channel().await?;
    for declaration in declarations.iter().filter(|declaration| !matches!(declaration, Declaration::Binding { .. })) {
        for aim in [Aim::Look, Aim::Declare] {
            if let Err(error) = apply(&channel, declaration, aim).await {
                differences.push(explain(link, &error)?);
                channel = link.channel().await?;
                break;
            }
        }
    }
    Ok(differences)
}

/// The state of a queue, if it exists.
///
/// # Errors
/// [`Error::Unavailable`] if the broker does not answer.
pub(super) async fn look(link: &Link, queue: &str) -> Result<Option<lapin::Queue>, Error> {
    let channel = link.channel().await?;
    let looked = channel.queue_declare(short(queue)?, QueueDeclareOptions::durable().passive(), FieldTable::default());
    match within(looked).await? {
        Ok(state) => Ok(Some(state)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(sort("look at a queue", &error)),
    }
}

/// A text that fits into the protocol's short strings.
///
/// # Errors
/// [`Error::Bug`] if it does not.
pub(super) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::Bug(format!("a name of {} bytes is longer than 255", text.len())))
}

/// An error of one channel becomes a sentence; an error of the connection stays one.
fn explain(link: &Link, error: &Failure) -> Result<String, Error> {
    match error {
        Failure::Ours(error) => Err(error.clone()),
        Failure::Theirs(error) => match error.kind() {
            ErrorKind::ProtocolError(amqp) if link.is_open() && error.is_amqp_soft_error() => {
                Ok(amqp.get_message().to_string())
            }
            _ => Err(sort("declare", error)),
        },
    }
}

enum Failure {
    Ours(Error),
    Theirs(lapin::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Ours(error)
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        Failure::Theirs(error)
    }
}

async fn within<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    timeout(DECLARE_FOR, answer).await.map_err(|_| Error::Unavailable(format!("no answer within {DECLARE_FOR:?}")))
}

async fn apply(channel: &Channel, declaration: &Declaration, aim: Aim) -> Result<(), Failure> {
    match declaration {
        Declaration::Exchange { name, kind, arguments } => {
            let kind = match kind {
                Kind::Direct => ExchangeKind::Direct,
                Kind::Fanout => ExchangeKind::Fanout,
                Kind::Topic => ExchangeKind::Topic,
            };
            let options = ExchangeDeclareOptions {
                durable: true,
                passive: aim == Aim::Look,
                ..ExchangeDeclareOptions::default()
            };
            within(channel.exchange_declare(short(name)?, kind, options, table(arguments)?)).await??;
        }
        Declaration::Queue { name, arguments } => {
            let options = QueueDeclareOptions { passive: aim == Aim::Look, ..QueueDeclareOptions::durable() };
            within(channel.queue_declare(short(name)?, options, table(arguments)?)).await??;
        }
        Declaration::Binding { queue, exchange, key } => {
            let options = QueueBindOptions::default();
            let (queue, exchange, key) = (short(queue)?, short(exchange)?, short(key)?);
            within(channel.queue_bind(queue, exchange, key, options, FieldTable::default())).await??;
        }
    }
    Ok(())
}

fn table(arguments: &[Argument]) -> Result<FieldTable, Error> {
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
