//! Declares the topology on the broker. Queues are declared side by side: one that does not answer is that queue's trouble alone. A
//! channel on which a declaration fails is given up, because the broker closes it, or answers on it much later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, REPAIR_AFTER};
use super::error::{Error, classify, is_mismatch, is_missing};
use super::message::Queue;
use super::topology::{self, Argument, Declaration, Holds, Kind, Value};

/// The broker must answer a declaration within this time. RabbitMQ 4.3 needs a minute to say that the node of a queue is down.
const DECLARE_FOR: Duration = Duration::from_secs(5);
/// Queues that are declared at once, each on a channel of its own. With every delay queue down, all are tried within a minute.
const AT_ONCE_MAX: usize = 4;
/// A publisher waits this long for the declaration of a queue that it needs for the first time, and then publishes without it.
const NEEDED_WITHIN: Duration = Duration::from_secs(1);
/// The argument of a queue that is deleted at once, in milliseconds.
const PROBE_DELAY_MS: i64 = 1_000;

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

/// The exchanges of a list, then each queue with its bindings.
pub(super) struct Parts<'a> {
    pub(super) exchanges: Vec<&'a Declaration>,
    pub(super) queues: Vec<Vec<&'a Declaration>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(declarations: &'a [Declaration]) -> Self {
        let mut parts = Self { exchanges: Vec::new(), queues: Vec::new() };
        for declaration in declarations {
            match declaration {
                Declaration::Exchange { .. } => parts.exchanges.push(declaration),
                Declaration::Queue { .. } => parts.queues.push(vec![declaration]),
                // After its queue; the order of the list makes sure of that.
                Declaration::Binding { .. } => {
                    parts.queues.last_mut().into_iter().for_each(|one| one.push(declaration))
                }
            }
        }
        parts
    }
}

/// Declares exchanges, which live in the broker's own store: if one is not answered, nothing can be published on this connection.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn exchanges(connection: &Connection, declarations: &[Declaration]) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    let exchanges = Parts::of(declarations).exchanges;
    if exchanges.is_empty() {
        return Ok(problems);
    }
    let mut channel = connection.channel().await?;
    for declaration in exchanges {
        let Err(error) = apply(&channel, declaration, Mode::Declare, DECLARE_FOR).await else { continue };
        let problem = explain(connection, declaration, &error)?;
        if problem.cause == Cause::Down {
            return Err(Error::Unavailable(problem.says));
        }
        problems.push(problem);
        channel = connection.channel().await?;
    }
    Ok(problems)
}

/// Declares queues and their bindings. A queue of wake-ups that was down before, and is down still, is deleted and made again.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn queues(
    connection: &Connection,
    declarations: &[Declaration],
    before: &[Problem],
) -> Result<Vec<Problem>, Error> {
    let queues = Parts::of(declarations).queues;
    let next = AtomicUsize::new(0);
    let share = async || -> Result<Vec<Problem>, Error> {
        let (mut problems, mut channel) = (Vec::new(), None);
        while let Some(queue) = queues.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(problem) = queue_with_bindings(connection, queue, &mut channel).await? else { continue };
            let was_down = before.iter().any(|before| before.name == problem.name && before.cause == Cause::Down);
            let holds_wake_ups = matches!(queue[0], Declaration::Queue { holds: Holds::WakeUps, .. });
            let again = problem.cause == Cause::Down && was_down && holds_wake_ups;
            problems.extend(if again { make_again(connection, queue, problem).await? } else { Some(problem) });
        }
        Ok(problems)
    };
    let shares = join_all((0..AT_ONCE_MAX.min(queues.len())).map(|_| share())).await;
    Ok(shares.into_iter().collect::<Result<Vec<_>, Error>>()?.concat())
}

/// Declares a queue and then its bindings; returns the first problem. `channel` is left usable or empty.
async fn queue_with_bindings(
    connection: &Connection,
    queue: &[&Declaration],
    channel: &mut Option<Channel>,
) -> Result<Option<Problem>, Error> {
    let mut first = None;
    for declaration in queue {
        let usable = match channel.take() {
            Some(usable) => usable,
            None => connection.channel().await?,
        };
        match apply(&usable, declaration, Mode::Declare, DECLARE_FOR).await {
            Ok(()) => *channel = Some(usable),
            Err(error) => {
                let problem = explain(connection, declaration, &error)?;
                let is_down = problem.cause == Cause::Down;
                first.get_or_insert(problem);
                if is_down {
                    break;
                }
            }
        }
    }
    Ok(first)
}

/// Deletes a queue of wake-ups that is down, and declares it again, on nodes that live.
async fn make_again(
    connection: &Connection,
    queue: &[&Declaration],
    problem: Problem,
) -> Result<Option<Problem>, Error> {
    let channel = connection.channel().await?;
    let deleted = channel.queue_delete(short(&problem.name)?, QueueDeleteOptions::default());
    match timeout(DECLARE_FOR, deleted).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, queue = problem.name, "a queue that is down cannot be deleted");
            return Ok(Some(problem));
        }
        Err(_) => return Ok(Some(problem)),
    }
    let again = queue_with_bindings(connection, queue, &mut Some(channel)).await?;
    if again.is_none() {
        tracing::warn!(
            queue = problem.name,
            "a delay queue was down and was made again; the timers whose wake-ups it held are some seconds late"
        );
    }
    Ok(again)
}

/// Declares everything on the list.
///
/// # Errors
/// [`Error::Unavailable`] if the connection does not work.
pub(super) async fn all(connection: &Connection, declarations: &[Declaration]) -> Result<Vec<Problem>, Error> {
    let mut problems = exchanges(connection, declarations).await?;
    problems.extend(queues(connection, declarations, &[]).await?);
    Ok(problems)
}

/// Declares queues of steps or of work that are needed for the first time on a connection. Waits a short time only: what is not
/// answered goes on in the background, and is logged and tried again later if it fails.
pub(super) async fn needed(connection: &Arc<Connection>, prefix: &str, queues: impl IntoIterator<Item = Queue>) {
    for queue in queues {
        let name = queue.name();
        let Some(declaring) = connection.declared.begin(&name) else { continue };
        if declaring.is_new {
            let (connection, declarations) = (connection.clone(), topology::queue(prefix, &queue));
            let done = declaring.done.clone();
            connection.background.clone().spawn(async move {
                let problems = match all(&connection, &declarations).await {
                    Ok(problems) => problems.into_iter().map(|problem| problem.says).collect(),
                    Err(error) => vec![error.to_string()],
                };
                for problem in problems.iter().filter(|_| connection.is_open()) {
                    tracing::error!(queue = name, "the queue cannot be declared: {problem}");
                }
                connection.declared.remember(name, (!problems.is_empty()).then(|| Instant::now() + REPAIR_AFTER));
                done.cancel();
            });
        }
        let _ = tokio::time::timeout_at(declaring.since + NEEDED_WITHIN, declaring.done.cancelled()).await;
    }
}

/// The state of a queue; `None` if it does not exist.
///
/// # Errors
/// [`Error::Unavailable`] if the broker does not answer.
pub(super) async fn inspect(connection: &Connection, queue: &str) -> Result<Option<lapin::Queue>, Error> {
    let channel = connection.channel().await?;
    let inspected =
        channel.queue_declare(short(queue)?, QueueDeclareOptions::durable().passive(), FieldTable::default());
    match timeout(DECLARE_FOR, inspected).await {
        Ok(Ok(state)) => Ok(Some(state)),
        Ok(Err(error)) if is_missing(&error) => Ok(None),
        Ok(Err(error)) => Err(classify("inspect a queue", &error)),
        Err(_) => Err(Error::Unavailable(format!("{queue}: no answer within {DECLARE_FOR:?}"))),
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
    match in_time(channel.queue_declare(short("")?, options, table(&arguments)?)).await? {
        Ok(probe) => {
            // Otherwise it is deleted with the connection.
            let _ = in_time(channel.queue_delete(probe.name().clone(), QueueDeleteOptions::default())).await?;
            Ok(false)
        }
        Err(error) if is_mismatch(&error) => Ok(true),
        Err(error) => Err(classify("declare a queue of its own", &error)),
    }
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    timeout(DECLARE_FOR, answer).await.map_err(|_| Error::Unavailable(format!("no answer within {DECLARE_FOR:?}")))
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
    const NOT_FOUND: u16 = 404;
    matches!(error.kind(), ErrorKind::ProtocolError(amqp) if amqp.get_id() == NOT_FOUND) && !is_missing(error)
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
