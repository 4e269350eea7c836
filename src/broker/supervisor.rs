//! Keeps the connections open. The client library's own recovery is off: it does not report its end.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Purpose, REPAIR_AFTER};
use super::declaration::Problem;
use super::error::Error;
use super::publisher::{self, PublishJob};
use super::topology::Declaration;
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
/// A connection is offered at the latest this long after its exchanges are declared: its queues are normally declared by then.
const OFFER_AFTER: Duration = Duration::from_secs(3);
/// On a stop, queued messages must be published within this time.
const FLUSH_FOR: Duration = Duration::from_secs(10);
/// The same for messages that wait in delay queues, which may be lost: one that does not confirm must not hold up the stop.
const DELAYED_FLUSH_FOR: Duration = Duration::from_millis(500);

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
pub(super) async fn run(
    shared: Arc<Shared>,
    direct: Vec<mpsc::Receiver<PublishJob>>,
    delayed: Vec<mpsc::Receiver<PublishJob>>,
) {
    let (mut publishers, mut delaying) = (JoinSet::new(), JoinSet::new());
    for jobs in direct {
        publishers.spawn(publisher::run(shared.clone(), jobs));
    }
    for jobs in delayed {
        delaying.spawn(publisher::run(shared.clone(), jobs));
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
    let _ = timeout(DELAYED_FLUSH_FOR, async { while delaying.join_next().await.is_some() {} }).await;
    delaying.shutdown().await;
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
    let declarations = match (purpose, shared.options.topology) {
        (Purpose::Publishing, Topology::Declared) => topology::base(&shared.options.prefix),
        (Purpose::Publishing, Topology::Found) | (Purpose::Consuming, _) => Vec::new(),
    };
    let exchanges = tokio::select! {
        declared = declare::exchanges(connection, &declarations) => declared,
        () = connection.lost.cancelled() => Err(Error::Unavailable("the connection was lost".into())),
    };
    let exchanges = match exchanges {
        Ok(problems) => problems,
        Err(error) => {
            connection.close().await;
            return Err(error);
        }
    };
    if let Some(number) = shared.nodes.iter().position(|node| node.place == connection.node.place) {
        shared.note_problem(number, None);
    }
    let declared = CancellationToken::new();
    let mut upkeep = std::pin::pin!(keep_declared(shared, connection, &declarations, exchanges, &declared));
    // A queue that does not answer must not keep messages from the others.
    tokio::select! {
        () = declared.cancelled() => {}
        () = sleep(OFFER_AFTER) => {}
        () = connection.lost.cancelled() => {}
        () = &mut upkeep => {}
    }
    shared.current(purpose).offer(purpose, connection.clone());
    tokio::select! {
        () = connection.lost.cancelled() => shared.note_loss(purpose),
        () = shared.flushed.cancelled() => {}
        () = upkeep => {}
    }
    shared.current(purpose).withdraw();
    shared.troubled.send_replace(Vec::new());
    connection.close().await;
    Ok(())
}

/// Declares the queues, and everything again when something is missing, and at intervals while a declaration fails. `exchanges` are
/// the problems with those, which are declared before; `declared` is cancelled after the first pass. Never ends.
async fn keep_declared(
    shared: &Shared,
    connection: &Connection,
    declarations: &[Declaration],
    exchanges: Vec<Problem>,
    declared: &CancellationToken,
) {
    if declarations.is_empty() {
        declared.cancel();
        return std::future::pending().await;
    }
    let mut problems: Vec<Problem> = Vec::new();
    let mut first = Some(exchanges);
    loop {
        let pass = async {
            let mut now = match first.take() {
                Some(exchanges) => exchanges,
                None => declare::exchanges(connection, declarations).await?,
            };
            now.extend(declare::queues(connection, declarations, &problems).await?);
            Ok::<_, Error>(now)
        };
        match pass.await {
            Ok(mut now) => {
                now.sort_by(|one, other| one.name.cmp(&other.name));
                if now != problems {
                    report(&now);
                    shared.troubled.send_replace(now.iter().map(|problem| problem.says.clone()).collect());
                }
                problems = now;
            }
            Err(error) => tracing::debug!("the topology could not be declared: {error}"),
        }
        declared.cancel();
        sleep(REPAIR_EVERY).await;
        let again =
            async { if problems.is_empty() { std::future::pending().await } else { sleep(REPAIR_AFTER).await } };
        tokio::select! {
            () = connection.repair.notified() => {}
            () = again => {}
        }
    }
}

fn report(problems: &[Problem]) {
    for problem in problems {
        tracing::error!("the topology on the broker is wrong: {}", problem.says);
    }
}
