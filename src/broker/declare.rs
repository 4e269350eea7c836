//! Declares the topology on the broker. Queues are declared side by side: one that does not answer is that queue's trouble alone. A
//! channel on which a declaration fails is given up, because the broker closes it, or answers on it much later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::QueueDeleteOptions;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, REPAIR_AFTER};
use super::declaration::{Cause, DECLARE_FOR, Mode, Problem, apply, explain, short};
use super::error::Error;
use super::message::Queue;
use super::topology::{self, Declaration, Holds};

/// Queues that are declared at once, each on a channel of its own. With every delay queue down, all are tried within a minute.
const AT_ONCE_MAX: usize = 4;
/// A publisher waits this long for the declaration of a queue that it needs for the first time, and then publishes without it.
const NEEDED_WITHIN: Duration = Duration::from_secs(1);
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
