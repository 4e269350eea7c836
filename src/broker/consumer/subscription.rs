//! One subscription of a queue, on a channel of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::isolation::Reading;
use crate::broker::connection::{Connection, Purpose};
use crate::broker::declaration::{Cause, short};
use crate::broker::delivery::{RETURN, Window};
use crate::broker::error::{Error, classify};
use crate::broker::message::Queue;
use crate::broker::turn::Turn;
use crate::broker::{Shared, Topology, topology};
use crate::broker::{declare, inspect};

/// The broker must answer a subscription, and each cancellation, within this time.
pub(super) const ANSWER_FOR: Duration = Duration::from_secs(10);
/// A subscription without a delivery for this time is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(15);
/// The same, after this process found a queue missing.
const RENEW_SOON: Duration = Duration::from_millis(200);

/// A subscription and its channel.
pub(super) struct Subscription {
    connection: Arc<Connection>,
    pub(super) channel: Channel,
    pub(super) consumer: Consumer,
    pub(super) since: Instant,
    pub(super) window: Arc<Window>,
    /// When to subscribe again if nothing arrives.
    renew_at: Instant,
    /// Changes when this process finds a queue missing.
    missing: watch::Receiver<u64>,
    /// Set if the queue is read alone.
    alone: Option<Alone>,
}

/// What a queue that is read alone has of its own.
struct Alone {
    /// When it is read with the others again.
    until: Instant,
    /// Watches its connection; none when that was lost.
    watching: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Alone {
    /// Resolves when the queue may be read with the others again. Watches the connection meanwhile.
    async fn over(&mut self) {
        loop {
            let Some(watching) = &mut self.watching else { return sleep_until(self.until).await };
            tokio::select! {
                () = watching => self.watching = None,
                () = sleep_until(self.until) => return,
            }
        }
    }
}

/// Why there is no subscription.
pub(super) enum NotSubscribed {
    /// The connection of its own was lost.
    Lost(Error),
    Other(Error),
}

/// An event of a subscription.
pub(super) enum Event {
    Delivered(Box<lapin::message::Delivery>),
    Lost(Error),
    /// The queue was read alone, and lost its connection.
    OwnConnectionLost(Error),
    /// Nothing has arrived for a while.
    Idle,
    /// The queue was read alone, and no connection was lost for a while.
    Recovered,
}

impl Subscription {
    /// The next event. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                item = self.consumer.next() => {
                    self.renew_at = Instant::now() + RENEW_AFTER;
                    let error = match item {
                        Some(Ok(delivery)) => return Event::Delivered(Box::new(delivery)),
                        Some(Err(error)) => classify("consume", &error),
                        None => Error::Unavailable("it cancelled the subscription".into()),
                    };
                    return self.lost(error);
                }
                () = self.connection.lost.cancelled() => {
                    return self.lost(Error::Unavailable("the connection was lost".into()));
                }
                () = over(&mut self.alone) => return Event::Recovered,
                Ok(()) = self.missing.changed() => self.renew_at = Instant::now() + RENEW_SOON,
                () = sleep_until(self.renew_at) => {
                    if self.window.open.load(Ordering::Relaxed) == 0 {
                        return Event::Idle;
                    }
                    self.renew_at = Instant::now() + RENEW_AFTER;
                }
            }
        }
    }

    fn lost(&self, error: Error) -> Event {
        match self.alone {
            Some(_) if !self.connection.is_open() => Event::OwnConnectionLost(error),
            Some(_) | None => Event::Lost(error),
        }
    }

    /// Cancels it and requeues what has arrived and was not returned.
    pub(super) async fn return_rest(mut self) {
        let Self { channel, consumer, connection, .. } = &mut self;
        if !connection.is_open() {
            return;
        }
        if channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.is_err() {
            return;
        }
        while let Some(Ok(delivery)) = consumer.next().await {
            if channel.basic_nack(delivery.delivery_tag, RETURN).await.is_err() {
                return;
            }
        }
    }
}

async fn over(alone: &mut Option<Alone>) {
    match alone {
        Some(alone) => alone.over().await,
        None => std::future::pending().await,
    }
}

/// Subscribes after a pause.
pub(super) fn subscribing(
    shared: &Arc<Shared>,
    queue: &Queue,
    prefetch: u16,
    alone_until: Option<Instant>,
    wait: Duration,
) -> Pin<Box<dyn Future<Output = Result<Subscription, NotSubscribed>> + Send>> {
    let (shared, queue) = (shared.clone(), queue.clone());
    Box::pin(async move {
        sleep(wait).await;
        let reading = || Reading::until(alone_until.max(shared.alone_until()), Instant::now());
        if let Reading::Alone(until) = reading() {
            return subscribe_alone(&shared, &queue, until).await;
        }
        let connection = shared.consuming_connection().await.map_err(NotSubscribed::Other)?;
        // There may have been losses meanwhile.
        match reading() {
            Reading::Alone(until) => subscribe_alone(&shared, &queue, until).await,
            Reading::Together => subscribe(&shared, connection, &queue, prefetch).await.map_err(NotSubscribed::Other),
        }
    })
}

/// Subscribes on a new connection, to the node of the shared one, and to one message at a time.
async fn subscribe_alone(shared: &Shared, queue: &Queue, until: Instant) -> Result<Subscription, NotSubscribed> {
    let name = format!("{} {} alone", shared.options.name, queue.name());
    let beside = shared.consuming_connection().await.map_err(NotSubscribed::Other)?;
    let number = shared.nodes.iter().position(|node| node.place == beside.node.place).unwrap_or(shared.first);
    let Some((_, node, limit)) = Turn::new(&shared.nodes, number).node() else {
        return Err(NotSubscribed::Other(Error::Unavailable("there is no node to connect to".into())));
    };
    let opened = Connection::open(node, limit, &name, Purpose::Consuming).await;
    let connection = opened.map_err(NotSubscribed::Other)?;
    let watched = connection.clone();
    let mut watching: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { watched.watch().await });
    let subscribed = tokio::select! {
        subscribed = subscribe(shared, connection.clone(), queue, 1) => subscribed,
        () = &mut watching => Err(Error::Unavailable("the connection was lost".into())),
    };
    match subscribed {
        Ok(subscription) => Ok(Subscription { alone: Some(Alone { until, watching: Some(watching) }), ..subscription }),
        Err(error) if connection.is_open() => Err(NotSubscribed::Other(error)),
        Err(error) => Err(NotSubscribed::Lost(error)),
    }
}

/// Declares the queue. Trouble with what it shares with other queues is told by the connection that publishes.
async fn declare_with_its_own(connection: &Connection, prefix: &str, queue: &Queue) -> Result<(), Error> {
    let problems = declare::all(connection, &topology::queue(prefix, queue)).await?;
    match problems.into_iter().find(|problem| problem.name == queue.physical(prefix)) {
        None => Ok(()),
        Some(own) => Err(match own.cause {
            Cause::Different => Error::Mismatch(own.says),
            Cause::Down => Error::Unavailable(own.says),
        }),
    }
}

/// Declares the queue and subscribes, on a new channel.
async fn subscribe(
    shared: &Shared,
    connection: Arc<Connection>,
    queue: &Queue,
    prefetch: u16,
) -> Result<Subscription, Error> {
    let prefix = &shared.options.prefix;
    let missing = shared.missing.subscribe();
    // A client that only reads needs no right to declare what is there.
    let is_found = shared.options.topology == Topology::Found
        && inspect::state(&connection, &queue.physical(prefix)).await?.is_some();
    if !is_found {
        declare_with_its_own(&connection, prefix, queue).await?;
    }
    let channel = connection.channel().await?;
    let subscribed = timeout(ANSWER_FOR, async {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let name = short(&queue.physical(prefix));
        let Ok(name) = name else { return Ok(None) };
        let options = BasicConsumeOptions::default();
        channel.basic_consume(name, "".into(), options, FieldTable::default()).await.map(Some)
    });
    let consumer = subscribed
        .await
        .map_err(|_| Error::Unavailable(format!("no answer to a subscription within {ANSWER_FOR:?}")))?
        .map_err(|error| classify("subscribe", &error))?
        .ok_or_else(|| Error::Bug("the queue's name has more than 255 bytes".into()))?;
    let since = Instant::now();
    let window = Arc::new(Window::on(connection.clone()));
    let renew_at = since + RENEW_AFTER;
    Ok(Subscription { connection, channel, consumer, since, window, renew_at, missing, alone: None })
}
