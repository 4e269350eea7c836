//! An upstream service without our client: any properties, any bytes, and a queue for the answers.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{SOON, contract};

/// The `app_id` of what it sends.
const APP_ID: &str = "upstream";

/// Attempts to send one message, and the pause between them.
const SENT_MAX: usize = 50;
const SEND_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A connection with confirms.
pub(crate) struct Sender {
    _connection: Connection,
    channel: Channel,
    prefix: String,
    /// The queue of the answers, and its consumer.
    answers: String,
    coming: Mutex<Consumer>,
}

impl Sender {
    pub(crate) async fn connect(url: &str, prefix: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let answers = format!("answers-{prefix}-{:016x}", fastrand::u64(..));
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(answers.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
        let unacknowledged = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let coming = channel.basic_consume(answers.as_str().into(), "".into(), unacknowledged, FieldTable::default());
        let coming = Mutex::new(coming.await.unwrap());
        Self { _connection: connection, channel, prefix: prefix.to_owned(), answers, coming }
    }

    /// The properties of a command in order.
    pub(crate) fn properties(kind: &str, message_id: &str) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_app_id(APP_ID.into())
            .with_type(kind.into())
            .with_message_id(message_id.into())
    }

    /// Takes this number of messages from a queue, and gives them back: from now on they come as redelivered.
    pub(crate) async fn give_back(&self, queue: &str, count: usize) {
        let queue = format!("{}.{queue}", self.prefix);
        let mut last = None;
        for _ in 0..count {
            let taken = self.channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.unwrap();
            last = Some(taken.expect("a message waits").delivery_tag);
        }
        let all = BasicNackOptions { multiple: true, requeue: true };
        self.channel.basic_nack(last.unwrap(), all).await.unwrap();
    }

    /// A command in order.
    pub(crate) async fn command(&self, kind: &str, message_id: &str, body: &Value) {
        self.send("commands", &format!("{kind}.test"), Self::properties(kind, message_id), body.to_string().as_bytes())
            .await;
    }

    /// The same, and asks for an answer.
    pub(crate) async fn ask(&self, kind: &str, message_id: &str, body: &Value) {
        let asking = self.asking(Self::properties(kind, message_id), message_id);
        self.send("commands", &format!("{kind}.test"), asking, body.to_string().as_bytes()).await;
    }

    /// Properties that ask for an answer as well.
    pub(crate) fn asking(&self, properties: BasicProperties, about: &str) -> BasicProperties {
        properties.with_reply_to(self.answers.as_str().into()).with_correlation_id(format!("about {about}").into())
    }

    /// Waits for the one answer that was asked for.
    pub(crate) async fn answer(&self) -> Value {
        self.answers(1).await.pop().expect("it waits for one").1
    }

    /// Waits for this number of answers, and gives what has come in the order of what it is about: the correlation, and the body.
    pub(crate) async fn answers(&self, count: usize) -> Vec<(String, Value)> {
        let mut coming = self.coming.lock().await;
        let mut answers = Vec::new();
        loop {
            let delivery = if answers.len() < count {
                let came = timeout(SOON, coming.next()).await;
                came.unwrap_or_else(|_| panic!("{count} answers within {SOON:?}: only {answers:?}"))
            } else {
                // One too many is reported too.
                let Some(came) = coming.next().now_or_never() else { break };
                came
            };
            let delivery = delivery.expect("the queue of the answers exists").unwrap();
            assert_eq!(contract::assert_fits(&delivery.properties, &delivery.data), "answer");
            let about = delivery.properties.correlation_id().as_ref().map(ToString::to_string).unwrap_or_default();
            answers.push((about, serde_json::from_slice(&delivery.data).unwrap()));
        }
        answers.sort_by(|one, other| one.0.cmp(&other.0));
        answers
    }

    /// A step command, as Leveret would send it.
    pub(crate) async fn step(&self, kind: &str, body: &Value) {
        let properties = BasicProperties::default().with_delivery_mode(2).with_type(kind.into());
        self.send("steps", "default", properties, body.to_string().as_bytes()).await;
    }

    /// Anything at all; returns when the broker has it in a queue.
    pub(crate) async fn send(&self, exchange: &str, routing_key: &str, properties: BasicProperties, body: &[u8]) {
        let exchange = format!("{}.{exchange}", self.prefix);
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        for _ in 0..SENT_MAX {
            let (exchange, properties) = (exchange.as_str().into(), properties.clone());
            let sent = self.channel.basic_publish(exchange, routing_key.into(), mandatory, body, properties);
            match sent.await.unwrap().await.unwrap() {
                Confirmation::Ack(None) => return,
                // A queue that no worker has declared yet, or a quorum queue that has no leader for a moment: senders send again.
                Confirmation::Ack(Some(_)) | Confirmation::Nack(None) => sleep(SEND_AGAIN_AFTER).await,
                other => panic!("not taken: {other:?}"),
            }
        }
        panic!("refused {SENT_MAX} times");
    }
}
