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

use crate::broker::connection::Connection;
use crate::broker::declare::{self, Cause, short};
use crate::broker::delivery::{REQUEUE, Window};
use crate::broker::error::{Error, classify};
use crate::broker::message::Queue;
use crate::broker::{Shared, topology};

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
}

/// An event of a subscription.
pub(super) enum Event {
    Delivered(Box<lapin::message::Delivery>),
    Lost(Error),
    /// Nothing has arrived for a while.
    Idle,
}

impl Subscription {
    /// The next event. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                item = self.consumer.next() => {
                    self.renew_at = Instant::now() + RENEW_AFTER;
                    return match item {
                        Some(Ok(delivery)) => Event::Delivered(Box::new(delivery)),
                        Some(Err(error)) => Event::Lost(classify("consume", &error)),
                        None => Event::Lost(Error::Unavailable("it cancelled the subscription".into())),
                    };
                }
                () = self.connection.lost.cancelled() => {
                    return Event::Lost(Error::Unavailable("the connection was lost".into()));
                }
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

    /// Cancels it and requeues what has arrived and was not returned.
    pub(super) async fn return_rest(mut self) {
        let Self { channel, consumer, .. } = &mut self;
        if channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.is_err() {
            return;
        }
        while let Some(Ok(delivery)) = consumer.next().await {
            if channel.basic_nack(delivery.delivery_tag, REQUEUE).await.is_err() {
                return;
            }
        }
    }
}

/// Subscribes after a pause.
pub(super) fn subscribing(
    shared: &Arc<Shared>,
    queue: &Queue,
    prefetch: u16,
    wait: Duration,
) -> Pin<Box<dyn Future<Output = Result<Subscription, Error>> + Send>> {
    let (shared, queue) = (shared.clone(), queue.clone());
    Box::pin(async move {
        sleep(wait).await;
        let connection = shared.consuming_connection().await?;
        subscribe(&shared, connection, &queue, prefetch).await
    })
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
    let problems = declare::all(&connection, &topology::queue(prefix, queue)).await?;
    // Trouble with what it shares with other queues is told by the connection that publishes.
    if let Some(own) = problems.into_iter().find(|problem| problem.name == queue.physical(prefix)) {
        return Err(match own.cause {
            Cause::Different => Error::Mismatch(own.says),
            Cause::Down => Error::Unavailable(own.says),
        });
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
    let window = Arc::default();
    Ok(Subscription { connection, channel, consumer, since, window, renew_at: since + RENEW_AFTER, missing })
}
