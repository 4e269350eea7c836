//! Keeps the connections up. The client library's own recovery is off: it can hang for ever.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::error::Error;
use super::link::{Link, Purpose, REPAIR_AFTER, without_password};
use super::publisher::{self, Job};
use super::{Shared, Topology, declare, topology};

/// The first wait after a failure.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait after a failure; jitter may double it. Short, so that everything goes on soon after the broker is back.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A connection that lasted this long was a good one: the next wait is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Two repairs of the topology are at least this far apart.
const REPAIR_EVERY: Duration = Duration::from_secs(2);
/// When stopping, what is queued has this long to get out.
const FLUSH_FOR: Duration = Duration::from_secs(10);

/// How long to wait after each failure in a row.
pub(super) fn waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(WAIT_MIN)
        .with_max_delay(WAIT_MAX)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
}

/// Runs until `stop`, and then until everything is closed.
pub(super) async fn run(shared: Arc<Shared>, queues: Vec<mpsc::Receiver<Job>>) {
    let mut publishers = JoinSet::new();
    for jobs in queues {
        publishers.spawn(publisher::run(shared.clone(), jobs));
    }
    let mut links = JoinSet::new();
    links.spawn(keep(shared.clone(), Purpose::Publishing));
    links.spawn(keep(shared.clone(), Purpose::Consuming));

    shared.stop.cancelled().await;
    let flushed = timeout(FLUSH_FOR, async { while publishers.join_next().await.is_some() {} }).await;
    if flushed.is_err() {
        tracing::warn!("not everything was published before the stop; it is published later");
    }
    publishers.shutdown().await;
    shared.flushed.cancel();
    while links.join_next().await.is_some() {}
    shared.closed.cancel();
}

/// Connects again and again until the publishers are done after `stop`.
async fn keep(shared: Arc<Shared>, purpose: Purpose) {
    let hub = shared.hub(purpose);
    let mut pauses = waits().build();
    let mut complaint = None;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = hub.wanted() => {}
        }
        let connected = tokio::select! {
            () = shared.stop.cancelled() => return,
            connected = Link::open(&shared.options.url, &shared.options.name, purpose) => connected,
        };
        let started = Instant::now();
        let ended = match connected {
            Ok(link) => {
                let ((), ended) = join(link.watch(), serve(&shared, &link, purpose)).await;
                ended
            }
            Err(error) => Err(error),
        };
        if shared.stop.is_cancelled() {
            return;
        }
        if let Err(error) = ended {
            let text = error.to_string();
            if complaint.as_ref() != Some(&text) {
                let broker = without_password(&shared.options.url);
                tracing::warn!(connection = purpose.name(), broker, "{text}");
                complaint = Some(text);
            }
        }
        if started.elapsed() > HEALTHY_AFTER {
            pauses = waits().build();
            complaint = None;
        }
        let pause = pauses.next().unwrap_or(WAIT_MAX);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Offers a connection until it is lost, or until everything is flushed after `stop`; then closes it.
async fn serve(shared: &Shared, link: &Arc<Link>, purpose: Purpose) -> Result<(), Error> {
    let declared = match purpose {
        Purpose::Publishing => tokio::select! {
            declared = declare_all(shared, link) => declared.map(Some),
            () = link.lost.cancelled() => Err(Error::Unavailable("the connection broke".into())),
        },
        Purpose::Consuming => Ok(None),
    };
    let complaints = match declared {
        Ok(complaints) => complaints,
        Err(error) => {
            link.close().await;
            return Err(error);
        }
    };
    shared.hub(purpose).offer(purpose, link.clone());
    tokio::select! {
        () = link.lost.cancelled() => {}
        () = shared.flushed.cancelled() => {}
        () = repair(shared, link, complaints) => {}
    }
    shared.hub(purpose).withdraw();
    link.close().await;
    Ok(())
}

/// Declares everything again when something turned out to be missing, and now and then as long as something is wrong.
/// Never ends while the connection works.
async fn repair(shared: &Shared, link: &Link, complaints: Option<Vec<String>>) {
    let Some(mut complaints) = complaints else { return std::future::pending().await };
    report(&complaints);
    while link.is_open() {
        let again =
            async { if complaints.is_empty() { std::future::pending().await } else { sleep(REPAIR_AFTER).await } };
        tokio::select! {
            () = link.repair.notified() => {}
            () = again => {}
        }
        match declare_all(shared, link).await {
            Ok(now) => {
                if now != complaints {
                    report(&now);
                }
                complaints = now;
            }
            Err(error) => tracing::debug!("the topology could not be declared again: {error}"),
        }
        sleep(REPAIR_EVERY).await;
    }
}

fn report(complaints: &[String]) {
    for complaint in complaints {
        tracing::error!("the topology on the broker is not what it has to be: {complaint}");
    }
}

async fn declare_all(shared: &Shared, link: &Link) -> Result<Vec<String>, Error> {
    match shared.options.topology {
        Topology::Declared => declare::declare(link, &topology::base(&shared.options.prefix)).await,
        Topology::Found => Ok(Vec::new()),
    }
}
