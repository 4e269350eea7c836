//! Consuming: a stream of deliveries that outlives connections, channels and queues.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff};
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::declare::{self, short};
use super::delivery::{Delivery, REQUEUE, Window};
use super::error::{Error, sort};
use super::link::{Link, REPAIR_AFTER};
use super::message::Queue;
use super::{Shared, supervisor, topology};

/// Subscribing, cancelling and giving back must each be done within this time.
const ANSWER_FOR: Duration = Duration::from_secs(10);
/// A subscription that lasted this long was a good one: the next wait is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Before a subscription is ended, deliveries are acknowledged again when none has come for so long: there are none.
const QUIET_FOR: Duration = Duration::from_millis(100);
/// In any case after this.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// If nothing comes for this long, the subscription is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(15);
/// The same, if a queue was found missing.
const RENEW_SOON: Duration = Duration::from_millis(200);

/// The deliveries of one queue.
pub struct Deliveries {
    shared: Arc<Shared>,
    queue: Queue,
    prefetch: u16,
    state: State,
    waits: ExponentialBackoff,
    /// The last failure that was logged.
    complaint: Option<String>,
    /// Whether it has never been subscribed.
    is_new: bool,
}

enum State {
    /// Nothing is subscribed; this is on its way. Kept here so that [`Deliveries::next`] may be dropped at any time.
    Subscribing(Pin<Box<dyn Future<Output = Result<Subscription, Error>> + Send>>),
    /// Deliveries come.
    Subscribed(Box<Subscription>),
    /// Nothing comes any more.
    Cancelled,
}

struct Subscription {
    link: Arc<Link>,
    channel: Channel,
    consumer: Consumer,
    since: Instant,
    window: Arc<Window>,
    /// When to subscribe anew if nothing comes.
    renew_at: Instant,
    /// Changes when this process finds a queue missing.
    missing: watch::Receiver<u64>,
}

/// What a subscription has to tell.
enum Event {
    Delivered(Box<lapin::message::Delivery>),
    Lost(Error),
    /// Nothing has come for a while.
    Idle,
}

impl Subscription {
    async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                biased;
                item = self.consumer.next() => {
                    self.renew_at = Instant::now() + RENEW_AFTER;
                    return match item {
                        Some(Ok(delivery)) => Event::Delivered(Box::new(delivery)),
                        Some(Err(error)) => Event::Lost(sort("consume", &error)),
                        None => Event::Lost(Error::Unavailable("it ended the subscription".into())),
                    };
                }
                () = self.link.lost.cancelled() => {
                    return Event::Lost(Error::Unavailable("the connection broke".into()));
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
}

impl Deliveries {
    pub(super) fn new(shared: Arc<Shared>, queue: Queue, prefetch: u16) -> Self {
        // Without a limit the library would buffer the whole queue.
        let prefetch = prefetch.max(1);
        let state = State::Subscribing(subscribing(&shared, &queue, prefetch, Duration::ZERO));
        Self { shared, queue, prefetch, state, waits: supervisor::waits().build(), complaint: None, is_new: true }
    }

    /// The next delivery, however long it takes; `None` only after [`Deliveries::cancel`] or the broker's stop.
    /// May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> Option<Delivery> {
        let stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.cancel().await;
                    return None;
                }
                delivery = self.advance() => match delivery {
                    Some(delivery) => return Some(delivery),
                    None if matches!(self.state, State::Cancelled) => return None,
                    None => {}
                },
            }
        }
    }

    /// One event: a delivery, or a change of state.
    async fn advance(&mut self) -> Option<Delivery> {
        match &mut self.state {
            State::Cancelled => None,
            State::Subscribing(subscribing) => {
                match subscribing.await {
                    Ok(subscription) => {
                        if self.is_new || self.complaint.take().is_some() {
                            tracing::info!(queue = %self.queue.name(), "consuming");
                        }
                        self.is_new = false;
                        self.state = State::Subscribed(Box::new(subscription));
                    }
                    Err(error) => self.retry_after(&error),
                }
                None
            }
            State::Subscribed(subscription) => {
                match subscription.next().await {
                    Event::Delivered(delivery) => {
                        let Subscription { channel, window, .. } = &**subscription;
                        return Some(Delivery::new(self.queue.clone(), channel.clone(), window.clone(), *delivery));
                    }
                    Event::Lost(error) => self.resubscribe(&error),
                    Event::Idle => self.renew(),
                }
                None
            }
        }
    }

    /// RabbitMQ forgets a subscription without a word when its queue is deleted and declared again at once, and its
    /// numbers do not show it. Nothing is lost by asking anew while there is nothing to do.
    fn renew(&mut self) {
        let next = subscribing(&self.shared, &self.queue, self.prefetch, Duration::ZERO);
        let State::Subscribed(old) = std::mem::replace(&mut self.state, State::Cancelled) else { return };
        self.state = State::Subscribing(Box::pin(async move {
            // If it cannot be ended in time, its channel is closed when it is dropped.
            let _ = timeout(ANSWER_FOR, give_back(old)).await;
            next.await
        }));
    }

    fn resubscribe(&mut self, error: &Error) {
        if let State::Subscribed(subscription) = &self.state
            && subscription.since.elapsed() > HEALTHY_AFTER
        {
            self.waits = supervisor::waits().build();
        }
        self.retry_after(error);
    }

    fn retry_after(&mut self, error: &Error) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            tracing::warn!(queue = %self.queue.name(), "not consuming: {text}");
            self.complaint = Some(text);
        }
        let wait = match error {
            Error::Mismatch(_) | Error::Bug(_) => REPAIR_AFTER,
            Error::Unavailable(_) => self.waits.next().unwrap_or(REPAIR_AFTER),
        };
        self.state = State::Subscribing(subscribing(&self.shared, &self.queue, self.prefetch, wait));
    }

    /// Ends the subscription and hands out what was delivered and not yet taken, so that it can be finished here: given
    /// back, it would look to the next consumer as if it had been begun. At most `prefetch` deliveries.
    ///
    /// RabbitMQ may send on for a moment after its consent to the end, which the library drops. So nothing is acknowledged
    /// before the end until the broker has sent all it may, or has nothing to send.
    pub async fn drain(&mut self) -> Vec<Delivery> {
        let State::Subscribed(subscription) = std::mem::replace(&mut self.state, State::Cancelled) else {
            return Vec::new();
        };
        let Subscription { channel, mut consumer, window, .. } = *subscription;
        let mut rest = Vec::new();
        let held = window.answers.clone().write_owned().await;
        let filling = async {
            while window.open.load(Ordering::Relaxed) < usize::from(self.prefetch) {
                let Ok(Some(Ok(delivery))) = timeout(QUIET_FOR, consumer.next()).await else { return };
                rest.push(Delivery::new(self.queue.clone(), channel.clone(), window.clone(), delivery));
            }
        };
        let _ = timeout(HOLD_MAX, filling).await;
        let ending = async {
            if channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.is_ok() {
                while let Some(Ok(delivery)) = consumer.next().await {
                    rest.push(Delivery::new(self.queue.clone(), channel.clone(), window.clone(), delivery));
                }
            }
        };
        if timeout(ANSWER_FOR, ending).await.is_err() {
            tracing::warn!(queue = %self.queue.name(), "the broker did not end the subscription in time");
        }
        drop(held);
        rest
    }

    /// Ends the subscription; what was delivered and not yet taken by [`Deliveries::next`] goes back to the queue.
    /// Deliveries already taken stay good until they are answered.
    pub async fn cancel(&mut self) {
        let State::Subscribed(subscription) = std::mem::replace(&mut self.state, State::Cancelled) else { return };
        if timeout(ANSWER_FOR, give_back(subscription)).await.is_err() {
            tracing::warn!(queue = %self.queue.name(), "the broker did not end the subscription in time");
        }
    }
}

async fn give_back(mut subscription: Box<Subscription>) {
    let Subscription { channel, consumer, .. } = &mut *subscription;
    if channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.is_err() {
        return;
    }
    while let Some(Ok(delivery)) = consumer.next().await {
        if channel.basic_nack(delivery.delivery_tag, REQUEUE).await.is_err() {
            return;
        }
    }
}

fn subscribing(
    shared: &Arc<Shared>,
    queue: &Queue,
    prefetch: u16,
    wait: Duration,
) -> Pin<Box<dyn Future<Output = Result<Subscription, Error>> + Send>> {
    let (shared, queue) = (shared.clone(), queue.clone());
    Box::pin(async move {
        sleep(wait).await;
        let link = shared.consuming_link().await?;
        subscribe(&shared, link, &queue, prefetch).await
    })
}

/// Declares the queue and subscribes, on a channel of its own.
async fn subscribe(shared: &Shared, link: Arc<Link>, queue: &Queue, prefetch: u16) -> Result<Subscription, Error> {
    let prefix = &shared.options.prefix;
    let missing = shared.missing.subscribe();
    let complaints = declare::declare(&link, &topology::queue(prefix, queue)).await?;
    if !complaints.is_empty() {
        return Err(Error::Mismatch(complaints.join("; ")));
    }
    let channel = link.channel().await?;
    let subscribed = timeout(ANSWER_FOR, async {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let name = short(&queue.physical(prefix));
        let Ok(name) = name else { return Ok(None) };
        let options = BasicConsumeOptions::default();
        channel.basic_consume(name, "".into(), options, FieldTable::default()).await.map(Some)
    });
    let consumer = subscribed
        .await
        .map_err(|_| Error::Unavailable(format!("no subscription within {ANSWER_FOR:?}")))?
        .map_err(|error| sort("subscribe", &error))?
        .ok_or_else(|| Error::Bug("the queue's name is too long".into()))?;
    let since = Instant::now();
    let window = Arc::default();
    Ok(Subscription { link, channel, consumer, since, window, renew_at: since + RENEW_AFTER, missing })
}
