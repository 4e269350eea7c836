//! The broker as a client of its own sees it: the depth of queues, the events, and messages that Leveret never sends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use leveret::broker::{Queue, delay};
use leveret::contract::{CloudEvent, Continue};

use super::eventually;

/// Wake-ups that are taken at once.
const LATE_MAX: usize = 1_000;

/// A connection of the test's own.
pub(crate) struct Queues {
    connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Queues {
    /// Connects, and begins to collect events; the exchanges have to be there.
    pub(crate) async fn connect(url: &str, prefix: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let this = Self { connection, channel, prefix: prefix.to_owned() };
        let (queue, exchange) = (this.events(), format!("{prefix}.events"));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        this.channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await.unwrap();
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        this.channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), "#".into(), bind, none).await.unwrap();
        this
    }

    fn events(&self) -> String {
        format!("{}.test-events", self.prefix)
    }

    /// Messages that wait in a queue, by its whole name; none if it does not exist.
    async fn depth(&self, name: &str) -> u32 {
        // A channel of its own: asking for what is not there closes it.
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let depth = match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
            Ok(queue) => queue.message_count(),
            Err(_) => return 0,
        };
        channel.close(200, "bye".into()).await.unwrap();
        depth
    }

    /// Every queue of the test that holds a message, the delay queues included.
    pub(crate) async fn not_empty(&self) -> Vec<(String, u32)> {
        let steps = ["default", "default.urgent"].map(|name| Queue::Steps(name.into()));
        let work = [Queue::Commands, Queue::Urgent, Queue::Dead]
            .into_iter()
            .chain(steps)
            .map(|queue| queue.physical(&self.prefix));
        let delayed = delay::levels().map(|level| level.name(&self.prefix));
        let mut found = Vec::new();
        for name in delayed.chain(work).chain([format!("{}.parked", self.prefix)]) {
            let depth = self.depth(&name).await;
            if depth > 0 {
                found.push((name, depth));
            }
        }
        found
    }

    /// The same without the delay queues, where wake-ups of timers that are no longer needed stay until they are due.
    pub(crate) async fn work(&self) -> Vec<(String, u32)> {
        let delayed = format!("{}.delay.", self.prefix);
        self.not_empty().await.into_iter().filter(|(name, _)| !name.starts_with(&delayed)).collect()
    }

    /// After the last process has stopped: waits until commands, steps and dead letters are worked off; what is left then is reported,
    /// whole.
    pub(crate) async fn assert_work_done(&self, within: Duration) {
        let begun = Instant::now();
        let done = async || {
            self.take_late_wake_ups().await;
            self.work().await.is_empty() || begun.elapsed() >= within
        };
        eventually("commands, steps and dead letters are worked off", within * 2, done).await;
        let mut left = Vec::new();
        for (name, _) in self.work().await {
            let got = self.channel.basic_get(name.as_str().into(), BasicGetOptions { no_ack: true }).await;
            left.extend(got.unwrap().map(|got| {
                let (again, body) =
                    (got.delivery.redelivered, String::from_utf8_lossy(&got.delivery.data).into_owned());
                format!("{name}: redelivered {again}, {:?} {body}", got.delivery.properties)
            }));
        }
        assert!(left.is_empty(), "commands, steps and dead letters are left after {within:?}: {left:#?}");
    }

    /// Takes the wake-ups that have arrived since the last process stopped: nothing needed them any longer. One that is delivered again
    /// was not acknowledged, and stays.
    async fn take_late_wake_ups(&self) {
        let steps = Queue::Steps("default".into()).physical(&self.prefix);
        for _ in 0..LATE_MAX {
            let taken = BasicGetOptions::default();
            let Some(got) = self.channel.basic_get(steps.as_str().into(), taken).await.unwrap() else { return };
            let is_wake_up = got.delivery.properties.kind().as_ref().is_some_and(|kind| kind.as_str() == "fire");
            if got.delivery.redelivered || !is_wake_up {
                let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                got.delivery.nack(back).await.unwrap();
                return;
            }
            got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
    }

    /// The events that came, each as its id, its type and its instance. A repetition has the same id, and counts once.
    pub(crate) async fn take_events(&self) -> BTreeSet<(String, String, String)> {
        let events = self.take_whole_events().await.into_iter();
        events.map(|(event, _)| (event.id, event.kind, event.subject)).collect()
    }

    /// The events that came, each with everything that came with it, as a text.
    pub(crate) async fn take_whole_events(&self) -> Vec<(CloudEvent, String)> {
        let mut events = Vec::new();
        let (queue, taken) = (self.events(), BasicGetOptions { no_ack: true });
        while let Some(message) = self.channel.basic_get(queue.as_str().into(), taken).await.unwrap() {
            let delivery = message.delivery;
            super::contract::assert_fits(&delivery.properties, &delivery.data);
            let event: CloudEvent = serde_json::from_slice(&delivery.data).unwrap();
            let whole = format!("{:?} {}", delivery.properties, String::from_utf8_lossy(&delivery.data));
            events.push((event, whole));
        }
        events
    }

    /// Publishes a step command as Leveret would.
    pub(crate) async fn publish_continue(&self, command: &Continue) {
        let body = serde_json::to_vec(command).unwrap();
        let exchange = format!("{}.steps", self.prefix);
        let properties = BasicProperties::default().with_delivery_mode(2).with_type("continue".into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish(exchange.as_str().into(), "default".into(), options, &body, properties);
        let confirmed = sent.await.unwrap().await.unwrap();
        assert!(confirmed.is_ack(), "{confirmed:?}");
    }
}
