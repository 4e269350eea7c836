//! Declares the topology on the broker, and compares it with what exists. Each call uses a new channel, because the
//! broker closes the channel on which a declaration fails.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, REPAIR_AFTER};
use super::error::{Error, classify, is_mismatch, is_missing};
use super::message::Queue;
use super::topology::{self, Argument, Declaration, Kind, Value};

/// The broker must answer a declaration within this time.
const DECLARE_FOR: Duration = Duration::from_secs(10);
/// The argument of a queue that is deleted at once, in milliseconds.
const PROBE_DELAY_MS: i64 = 1_000;

/// What a declaration does on the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Creates what is missing, and fails where the arguments differ.
    Declare,
    /// Fails where it is missing, and creates nothing.
    Check,
}

/// Declares everything it can. Returns one sentence for each declaration that failed, so that one of them does not stop the
/// others.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn declare(connection: &Connection, declarations: &[Declaration]) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    let mut channel = connection.channel().await?;
    for declaration in declarations {
        if let Err(error) = apply(&channel, declaration, Mode::Declare).await {
            problems.push(explain(connection, &error)?);
            channel = connection.channel().await?;
        }
    }
    Ok(problems)
}

/// Declares a queue of steps or of work, once per connection.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work. A declaration that fails is logged and tried again later.
pub(super) async fn declare_once(connection: &Connection, prefix: &str, queue: &Queue) -> Result<(), Error> {
    let name = queue.name();
    if connection.declared.is_known(&name) {
        return Ok(());
    }
    let problems = declare(connection, &topology::queue(prefix, queue)).await?;
    for problem in &problems {
        tracing::error!(queue = name, "the queue cannot be declared: {problem}");
    }
    connection.declared.remember(name, (!problems.is_empty()).then(|| Instant::now() + REPAIR_AFTER));
    Ok(())
}

/// How the exchanges and queues of the broker compare with their declarations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Number of those that are as declared.
    pub equal: usize,
    /// Names of those that do not exist.
    pub missing: Vec<String>,
    /// One sentence for each that has other arguments.
    pub different: Vec<String>,
}

impl Compared {
    /// Whether everything exists as declared.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty()
    }
}

/// Compares without creating anything.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn compare(connection: &Connection, declarations: &[Declaration]) -> Result<Compared, Error> {
    let mut compared = Compared::default();
    let mut channel = connection.channel().await?;
    for declaration in declarations {
        let (Declaration::Exchange { name, .. } | Declaration::Queue { name, .. }) = declaration else { continue };
        let mut done = apply(&channel, declaration, Mode::Check).await;
        if done.is_ok() {
            done = apply(&channel, declaration, Mode::Declare).await;
        }
        let Err(error) = done else {
            compared.equal += 1;
            continue;
        };
        let why = explain(connection, &error)?;
        match &error {
            DeclareError::Theirs(error) if is_missing(error) => compared.missing.push(name.clone()),
            DeclareError::Theirs(_) | DeclareError::Ours(_) => compared.different.push(why),
        }
        channel = connection.channel().await?;
    }
    Ok(compared)
}

/// The state of a queue; `None` if it does not exist.
///
/// # Errors
/// [`Error::Unavailable`] if the broker does not answer.
pub(super) async fn inspect(connection: &Connection, queue: &str) -> Result<Option<lapin::Queue>, Error> {
    let channel = connection.channel().await?;
    let inspected =
        channel.queue_declare(short(queue)?, QueueDeclareOptions::durable().passive(), FieldTable::default());
    match within(inspected).await? {
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
    match within(channel.queue_declare(short("")?, options, table(&arguments)?)).await? {
        Ok(probe) => {
            // Otherwise it is deleted with the connection.
            let _ = within(channel.queue_delete(probe.name().clone(), QueueDeleteOptions::default())).await?;
            Ok(false)
        }
        Err(error) if is_mismatch(&error) => Ok(true),
        Err(error) => Err(classify("declare a queue of its own", &error)),
    }
}

/// A text as a short string of the protocol.
///
/// # Errors
/// [`Error::Bug`] if it has more than 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text)
        .map_err(|_| Error::Bug(format!("a name has {} bytes; at most 255 are allowed", text.len())))
}

/// An error of one channel becomes a sentence; an error of the connection stays an error.
fn explain(connection: &Connection, error: &DeclareError) -> Result<String, Error> {
    match error {
        DeclareError::Ours(error) => Err(error.clone()),
        DeclareError::Theirs(error) => match error.kind() {
            ErrorKind::ProtocolError(amqp) if connection.is_open() && error.is_amqp_soft_error() => {
                Ok(amqp.get_message().to_string())
            }
            _ => Err(classify("declare", error)),
        },
    }
}

enum DeclareError {
    Ours(Error),
    Theirs(lapin::Error),
}

impl From<Error> for DeclareError {
    fn from(error: Error) -> Self {
        DeclareError::Ours(error)
    }
}

impl From<lapin::Error> for DeclareError {
    fn from(error: lapin::Error) -> Self {
        DeclareError::Theirs(error)
    }
}

async fn within<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    timeout(DECLARE_FOR, answer).await.map_err(|_| Error::Unavailable(format!("no answer within {DECLARE_FOR:?}")))
}

async fn apply(channel: &Channel, declaration: &Declaration, mode: Mode) -> Result<(), DeclareError> {
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
            within(channel.exchange_declare(short(name)?, kind, options, table(arguments)?)).await??;
        }
        Declaration::Queue { name, arguments } => {
            let options = QueueDeclareOptions { passive: mode == Mode::Check, ..QueueDeclareOptions::durable() };
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
