//! Instances that an outage meets in every state: queued, running, between two steps, waiting for a timer, or just requested.

use std::fmt::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use leveret::broker::Queue;
use leveret::client::Client;
use leveret::contract::Start;
use leveret::roles::Role;
use leveret::sandbox::Sandbox;
use leveret::server::Server;
use serde_json::json;

use super::RECOVERS_WITHIN;
use crate::support::{Fresh, InProcess, SOON, eventually, ledger};

/// Steps of a journey before its nap, and after it.
const LEGS: i64 = 4;
/// Naps are from one second to four.
const NAPS: i64 = 4;

/// A process on private servers, and a client that reconnects.
pub(super) struct Load {
    pub(super) leveret: InProcess,
    client: Client,
    /// A second process, for the queue that the first does not serve.
    slow: Option<Server>,
}

impl Load {
    /// Every step goes through the broker, so that an outage meets as many messages as possible.
    pub(super) async fn on(servers: &Sandbox) -> Self {
        let leveret =
            InProcess::with_ledger_on(Fresh::on(servers).await, |config| config.worker.steps_per_delivery_max = 1)
                .await;
        leveret.apply(&journey("journey", "default")).await;
        leveret.apply(&journey("slow-journey", "slow")).await;
        let fresh = &leveret.fresh;
        let client = Client::connect(&fresh.amqp_url, &fresh.prefix, "travellers").await.unwrap();
        Self { leveret, client, slow: None }
    }

    /// Starts journeys with these numbers; returns when the broker has confirmed all of them, however long it is down.
    pub(super) async fn start(&self, numbers: Range<i64>) {
        self.start_each("journey", numbers).await;
    }

    /// The same on a queue without a worker: every step command is in its queue, and nowhere else.
    pub(super) async fn start_slow(&self, numbers: Range<i64>) {
        let count = numbers.end - numbers.start;
        self.start_each("slow-journey", numbers).await;
        let (broker, queue) = (&self.leveret.app().broker, Queue::Steps("slow".into()));
        let queued = async || broker.depth(&queue).await.is_ok_and(|depth| i64::try_from(depth) == Ok(count));
        eventually("every step command is in the queue", SOON, queued).await;
    }

    /// Serves that queue.
    pub(super) async fn serve_slow(&mut self) {
        let mut config = self.leveret.app().config.clone();
        config.worker.queues = vec!["slow".into()];
        self.slow = Some(Server::start(config, ledger::handlers(), &[Role::Worker]).await.unwrap());
    }

    async fn start_each(&self, definition: &str, numbers: Range<i64>) {
        let starts = numbers.map(async |number| {
            let start = Start {
                definition: definition.into(),
                key: Some(number.to_string()),
                input: json!({ "pause": format!("{}s", 1 + number % NAPS) }),
                ..Start::default()
            };
            let message_id = format!("start {number}");
            let sent = async || self.client.start(&message_id, &start).await.is_ok();
            eventually("the start is confirmed", Duration::from_secs(60), sent).await;
        });
        join_all(starts).await;
    }

    /// Waits until this number of journeys is committed and under way, some at every stage.
    pub(super) async fn is_under_way(&self, count: i64) {
        let leveret = &self.leveret;
        leveret.count_becomes(count, "leveret.instances").await;
        let pending = async || {
            leveret.count("leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL").await > 10
                && leveret.count("leveret.instances WHERE ready").await > 10
        };
        eventually("timers are pending and steps are due", SOON, pending).await;
    }

    /// The number of journeys that have not ended.
    pub(super) async fn travelling(&self) -> i64 {
        self.leveret.count("leveret.instances WHERE ended_at IS NULL").await
    }

    /// Waits until all have ended, and compares the rows with what is expected. Returns the time until the last end.
    pub(super) async fn all_arrive(self, count: i64) -> Duration {
        let Self { leveret, client, slow } = self;
        let since = Instant::now();
        let arrived = async || leveret.count("leveret.instances WHERE status = 'completed'").await == count;
        eventually("every journey has ended", RECOVERS_WITHIN, arrived).await;
        let took = since.elapsed();
        let doubled =
            "(SELECT instance, activity, count(*) AS times FROM ledger GROUP BY 1, 2) AS done WHERE times <> 1";
        assert_eq!(leveret.lines("instance || ' ' || activity || ' ' || times", doubled).await, [""; 0]);
        assert_eq!(leveret.count("ledger").await, 2 * LEGS * count, "every leg of every journey, once");
        assert_eq!(leveret.count("leveret.history WHERE kind = 'TimerFired'").await, count);
        assert_eq!(leveret.count("leveret.instances").await, count);
        assert_eq!(leveret.dead_letters().await, [""; 0]);
        // A step command that was put off by another worker's step is still in a delay queue: it comes while somebody takes it.
        let queues = leveret.queues().await;
        eventually("what was delayed has come", RECOVERS_WITHIN, async || queues.not_empty().await.is_empty()).await;
        client.close().await;
        if let Some(slow) = slow {
            assert!(slow.stop().await, "it did not stop in time");
        }
        leveret.close().await;
        took
    }
}

fn journey(name: &str, queue: &str) -> String {
    let input = "input: { type: object, properties: { pause: { type: string } } }";
    let mut text = format!("name: {name}\nqueue: {queue}\n{input}\nactivities:\n");
    for leg in 0..2 * LEGS {
        if leg == LEGS {
            text.push_str("  - { id: nap, wait: { for: '${ pause }' } }\n");
        }
        writeln!(text, "  - {{ id: leg-{leg}, run: {{ handler: book }} }}").unwrap();
    }
    text
}
