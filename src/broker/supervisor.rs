//! Keeps the connections open. The client library's own recovery is off: it does not report its end.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Purpose, REPAIR_AFTER};
use super::error::Error;
use super::publisher::{self, PublishJob};
use super::turn::{Round, Turn};
use super::{Shared, Topology, declare, topology};

/// The first pause after an error.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause after an error; jitter may double it. Short, so that work continues soon after the broker is back.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A connection that lasted this long resets the backoff.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// The shortest time between two declarations of the topology on one connection.
const REPAIR_EVERY: Duration = Duration::from_secs(2);
/// On a stop, queued messages must be published within this time.
const FLUSH_FOR: Duration = Duration::from_secs(10);

/// The pauses after consecutive errors.
pub(super) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
}

/// Runs until `stop`, and then until everything is closed.
pub(super) async fn run(shared: Arc<Shared>, queues: Vec<mpsc::Receiver<PublishJob>>) {
    let mut publishers = JoinSet::new();
    for jobs in queues {
        publishers.spawn(publisher::run(shared.clone(), jobs));
    }
    let mut connections = JoinSet::new();
    connections.spawn(keep_connected(shared.clone(), Purpose::Publishing));
    connections.spawn(keep_connected(shared.clone(), Purpose::Consuming));

    shared.stop.cancelled().await;
    let flushed = timeout(FLUSH_FOR, async { while publishers.join_next().await.is_some() {} }).await;
    if flushed.is_err() {
        tracing::warn!("not every message was published before the stop; the outbox keeps them");
    }
    publishers.shutdown().await;
    shared.flushed.cancel();
    while connections.join_next().await.is_some() {}
    shared.closed.cancel();
}

/// Reconnects until `stop`, and then until the publishers are done.
async fn keep_connected(shared: Arc<Shared>, purpose: Purpose) {
    let current = shared.current(purpose);
    let mut pauses = backoff().build();
    let mut turn = Turn::new(&shared.nodes, shared.first);
    while let Some((number, node, limit)) = turn.node() {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = current.wanted() => {}
        }
        let connected = tokio::select! {
            () = shared.stop.cancelled() => return,
            connected = Connection::open(node, limit, &shared.options.name, purpose) => connected,
        };
        let started = Instant::now();
        let ended = match connected {
            Ok(connection) => {
                let ((), ended) = join(connection.watch(), serve(&shared, &connection, purpose)).await;
                ended
            }
            Err(error) => Err(error),
        };
        if shared.stop.is_cancelled() {
            return;
        }
        if started.elapsed() > HEALTHY_AFTER {
            pauses = backoff().build();
            turn.restart();
        }
        if let Err(error) = ended
            && shared.note_problem(number, Some(error.reason().to_owned()))
        {
            tracing::warn!(connection = purpose.name(), broker = node.place, "{error}");
        }
        // The next node may be well, and what this process holds is late already.
        if turn.pass() == Round::Continues {
            continue;
        }
        let pause = pauses.next().unwrap_or(BACKOFF_MAX);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Offers a connection until it is lost, or until everything is published after `stop`; then closes it.
async fn serve(shared: &Shared, connection: &Arc<Connection>, purpose: Purpose) -> Result<(), Error> {
    let declared = match purpose {
        Purpose::Publishing => tokio::select! {
            declared = declare_all(shared, connection) => declared.map(Some),
            () = connection.lost.cancelled() => Err(Error::Unavailable("the connection was lost".into())),
        },
        Purpose::Consuming => Ok(None),
    };
    let problems = match declared {
        Ok(problems) => problems,
        Err(error) => {
            connection.close().await;
            return Err(error);
        }
    };
    if let Some(number) = shared.nodes.iter().position(|node| node.place == connection.node.place) {
        shared.note_problem(number, None);
    }
    shared.current(purpose).offer(purpose, connection.clone());
    tokio::select! {
        () = connection.lost.cancelled() => shared.note_loss(purpose),
        () = shared.flushed.cancelled() => {}
        () = repair(shared, connection, problems) => {}
    }
    shared.current(purpose).withdraw();
    connection.close().await;
    Ok(())
}

/// Declares everything again when something is missing, and at intervals while a declaration fails. Never ends while the
/// connection works.
async fn repair(shared: &Shared, connection: &Connection, problems: Option<Vec<String>>) {
    let Some(mut problems) = problems else { return std::future::pending().await };
    report(&problems);
    while connection.is_open() {
        let again =
            async { if problems.is_empty() { std::future::pending().await } else { sleep(REPAIR_AFTER).await } };
        tokio::select! {
            () = connection.repair.notified() => {}
            () = again => {}
        }
        match declare_all(shared, connection).await {
            Ok(now) => {
                if now != problems {
                    report(&now);
                }
                problems = now;
            }
            Err(error) => tracing::debug!("the topology could not be declared again: {error}"),
        }
        sleep(REPAIR_EVERY).await;
    }
}

fn report(problems: &[String]) {
    for problem in problems {
        tracing::error!("the topology on the broker is wrong: {problem}");
    }
}

async fn declare_all(shared: &Shared, connection: &Connection) -> Result<Vec<String>, Error> {
    match shared.options.topology {
        Topology::Declared => declare::declare(connection, &topology::base(&shared.options.prefix)).await,
        Topology::Found => Ok(Vec::new()),
    }
}
