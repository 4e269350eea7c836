//! Consumes a queue: a stream of deliveries that outlives connections, channels and queues.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff};
use futures_util::StreamExt;
use lapin::options::BasicCancelOptions;
use tokio::time::{Instant, timeout};

use super::connection::REPAIR_AFTER;
use super::delivery::Delivery;
use super::error::Error;
use super::message::Queue;
use super::{Shared, supervisor};

mod isolation;
mod subscription;

use isolation::ALONE_FOR;
pub(super) use isolation::Losses;
use subscription::{ANSWER_FOR, Event, NotSubscribed, Subscription, subscribing};

/// A subscription that lasted this long resets the backoff.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Before a subscription is cancelled, the broker counts as idle when no delivery has arrived for this time.
/// A starved broker pauses for more than 100 ms now and then, and what it sends later is redelivered.
const QUIET_FOR: Duration = Duration::from_millis(250);
/// The pause between two connections over a queue that is read alone: short, so that the message that costs them soon exceeds its
/// delivery limit.
const ALONE_AFTER: Duration = Duration::from_millis(100);
/// Acknowledgements are held back for at most this time before a subscription is cancelled.
const HOLD_MAX: Duration = Duration::from_secs(2);

/// The deliveries of one queue.
pub struct Deliveries {
    shared: Arc<Shared>,
    queue: Queue,
    prefetch: u16,
    state: State,
    backoff: ExponentialBackoff,
    /// Until when it is read alone, because of losses of its own.
    alone_until: Option<Instant>,
    /// The last error that was logged.
    last_problem: Option<String>,
    /// Whether it was never subscribed.
    is_new: bool,
}

enum State {
    /// A subscription is being opened. Kept here so that [`Deliveries::next`] may be dropped at any time.
    Subscribing(Pin<Box<dyn Future<Output = Result<Subscription, NotSubscribed>> + Send>>),
    /// Deliveries arrive.
    Subscribed(Box<Subscription>),
    /// The subscription was ended for good.
    Cancelled,
}

impl Deliveries {
    pub(super) fn new(shared: Arc<Shared>, queue: Queue, prefetch: u16) -> Self {
        // Without a limit the library would buffer the whole queue.
        let prefetch = prefetch.max(1);
        let state = State::Subscribing(subscribing(&shared, &queue, prefetch, None, Duration::ZERO));
        Self {
            shared,
            queue,
            prefetch,
            state,
            backoff: supervisor::backoff().build(),
            alone_until: None,
            last_problem: None,
            is_new: true,
        }
    }

    /// Waits for the next delivery; `None` only after [`Deliveries::cancel`] or the stop of [`super::Broker`]. Cancel-safe.
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

    /// Handles one event: returns a delivery, or changes the state.
    async fn advance(&mut self) -> Option<Delivery> {
        match &mut self.state {
            State::Cancelled => None,
            State::Subscribing(subscribing) => {
                match subscribing.await {
                    Ok(subscription) => {
                        if self.is_new || self.last_problem.take().is_some() {
                            tracing::info!(queue = %self.queue.name(), "consuming");
                        }
                        self.is_new = false;
                        self.state = State::Subscribed(Box::new(subscription));
                    }
                    Err(NotSubscribed::Lost(error)) => self.reconnect(&error),
                    Err(NotSubscribed::Other(error)) => self.retry_after(&error),
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
                    Event::OwnConnectionLost(error) => self.reconnect(&error),
                    Event::Idle | Event::Recovered => self.renew(),
                }
                None
            }
        }
    }

    /// RabbitMQ silently drops a subscription when its queue is deleted and declared again at once, and nothing it reports shows
    /// that. Subscribing again while there is nothing to do loses nothing.
    fn renew(&mut self) {
        self.subscribe_after(Duration::ZERO);
    }

    fn resubscribe(&mut self, error: &Error) {
        if let State::Subscribed(subscription) = &self.state
            && subscription.since.elapsed() > HEALTHY_AFTER
        {
            self.backoff = supervisor::backoff().build();
        }
        self.retry_after(error);
    }

    /// Subscribes again soon after the connection of its own was lost.
    fn reconnect(&mut self, error: &Error) {
        tracing::debug!(queue = %self.queue.name(), "the connection of this queue was lost: {error}");
        self.alone_until = Some(Instant::now() + ALONE_FOR);
        self.subscribe_after(ALONE_AFTER);
    }

    fn retry_after(&mut self, error: &Error) {
        let text = error.to_string();
        if self.last_problem.as_ref() != Some(&text) {
            tracing::warn!(queue = %self.queue.name(), "not consuming: {text}");
            self.last_problem = Some(text);
        }
        let wait = match error {
            Error::Mismatch(_) | Error::Bug(_) => REPAIR_AFTER,
            Error::Unavailable(_) => self.backoff.next().unwrap_or(REPAIR_AFTER),
        };
        self.subscribe_after(wait);
    }

    /// Ends the present subscription, if there is one, and subscribes after a pause.
    ///
    /// One that the broker has cancelled is ended as well: in RabbitMQ 4.3 a consumer that exceeded the consumer timeout is there until
    /// its client says so, and after a late acknowledgement it gets further messages, which nothing here would receive.
    fn subscribe_after(&mut self, wait: Duration) {
        let next = subscribing(&self.shared, &self.queue, self.prefetch, self.alone_until, wait);
        let old = std::mem::replace(&mut self.state, State::Cancelled);
        self.state = State::Subscribing(Box::pin(async move {
            if let State::Subscribed(old) = old {
                // If it cannot be cancelled in time, its channel is closed when it is dropped.
                let _ = timeout(ANSWER_FOR, old.return_rest()).await;
            }
            next.await
        }));
    }

    /// Cancels the subscription and returns the deliveries that were prefetched and not yet taken, at most `prefetch`, so that they
    /// can be finished here: requeued, they would look to the next consumer as if they had been begun.
    ///
    /// RabbitMQ may send further deliveries for a moment after it has confirmed the cancellation, and the library drops them. So
    /// acknowledgements are held back before the cancellation until the broker has sent all it may, or has nothing to send.
    pub async fn drain(&mut self) -> Vec<Delivery> {
        let State::Subscribed(subscription) = std::mem::replace(&mut self.state, State::Cancelled) else {
            return Vec::new();
        };
        let Subscription { channel, mut consumer, window, .. } = *subscription;
        let mut rest = Vec::new();
        let held = window.acks.clone().write_owned().await;
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
            tracing::warn!(queue = %self.queue.name(), "the broker did not confirm the cancellation of the subscription in time");
        }
        drop(held);
        rest
    }

    /// Cancels the subscription and requeues the deliveries that [`Deliveries::next`] has not returned yet. Deliveries already
    /// returned stay valid until they are acknowledged.
    pub async fn cancel(&mut self) {
        let State::Subscribed(subscription) = std::mem::replace(&mut self.state, State::Cancelled) else { return };
        if timeout(ANSWER_FOR, subscription.return_rest()).await.is_err() {
            tracing::warn!(queue = %self.queue.name(), "the broker did not confirm the cancellation of the subscription in time");
        }
    }
}
