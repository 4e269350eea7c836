//! The world of a test about exactly-once: what was asked for, what came of it, and whether both agree.

use std::path::Path;
use std::time::{Duration, Instant};

use leveret::client::Client;
use leveret::config;
use leveret::contract::{Message, Start};
use leveret::definition::Definition;
use leveret::engine::InstanceId;
use leveret::store::{Store, definitions, history, stuck};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Fresh, Program, Queues, eventually, rest};

/// Settings under which what was committed and not published is found after a second, not after fifteen. Silent branches
/// are still looked for every 30 s only: what is to be proven is that redelivery suffices.
const QUICK: [(&str, &str); 3] = [
    ("LEVERET_OUTBOX__PUBLISH_QUEUE_FOR", "1s"),
    ("LEVERET_OUTBOX__SWEEP_EVERY", "200ms"),
    ("LEVERET_TIMERS__SWEEP_EVERY", "200ms"),
];
/// The sender of everything a test sends.
const APP_ID: &str = "shop";
/// After everything has ended, hints of timers that are no longer needed are still on the ladder for so long.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// Queues are empty when they have been for so long: a hint that a worker is holding, or has just put back on the ladder, is in
/// none of them for a moment.
const QUIET_FOR: Duration = Duration::from_millis(500);

/// A database, a prefix, and the shop that uses them. `store` and `client` come first: the database is dropped last.
pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) queues: Queues,
    pub(crate) fresh: Fresh,
}

impl Scene {
    /// With all examples applied.
    pub(crate) async fn new() -> Self {
        Self::on(Fresh::new().await).await
    }

    /// The same with a database and a prefix that are there already.
    pub(crate) async fn on(fresh: Fresh) -> Self {
        let database = config::Database { url: fresh.database_url.clone(), ..config::Database::default() };
        let store = Store::connect(&database, "the test").unwrap();
        let client = Client::connect(&fresh.amqp_url, &fresh.prefix, APP_ID).await.unwrap();
        let queues = Queues::connect(&fresh.amqp_url, &fresh.prefix).await;
        let scene = Self { store, client, queues, fresh };
        for name in ["order", "line", "countdown", "retry"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
            scene.apply(&std::fs::read_to_string(file).unwrap()).await;
        }
        scene
    }

    /// Stores a document.
    pub(crate) async fn apply(&self, document: &str) {
        let parsed = Definition::parse(document).unwrap();
        definitions::apply(&mut self.store.background().await.unwrap(), &parsed).await.unwrap();
    }

    /// The program, with settings that find what was left behind soon.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Program {
        self.serve_roles("worker,relay,timers,cleaner,dead_letters,api", settings)
    }

    /// The same with these roles only.
    pub(crate) fn serve_roles(&self, roles: &str, settings: &[(&str, &str)]) -> Program {
        let settings: Vec<_> = QUICK.iter().chain(settings).copied().collect();
        Program::start(&self.fresh, &["serve", "--roles", roles], &settings)
    }
}

/// What is asked for. Message ids follow from the key, so that asking twice is a repetition.
impl Scene {
    pub(crate) async fn start(&self, definition: &str, key: &str, input: Value) {
        let start = Start { definition: definition.into(), key: Some(key.into()), input, ..Start::default() };
        self.client.start(&format!("start {definition} {key}"), &start).await.unwrap();
    }

    /// An order; what is not paid within `patience` expires.
    pub(crate) async fn order(&self, key: &str, patience: &str) {
        let input = json!({ "order_id": key, "article": "lamp", "quantity": 1, "amount": 100, "patience": patience });
        self.start("order", key, input).await;
    }

    pub(crate) async fn pay(&self, key: &str) {
        let paid = Message {
            name: "paid".into(),
            key: key.into(),
            data: json!({ "amount": 100 }),
            ttl: None,
            broadcast: false,
        };
        self.client.message(&format!("paid {key}"), &paid).await.unwrap();
    }
}

/// What came of it.
impl Scene {
    /// One number from the database.
    pub(crate) async fn count(&self, what: &str) -> i64 {
        rest::count(&mut self.store.background().await.unwrap(), what).await
    }

    /// One column of texts from the database.
    pub(crate) async fn lines(&self, query: &str) -> Vec<String> {
        rest::asked(&mut self.store.background().await.unwrap(), query).await
    }

    /// Where the live instance with this key stands; none if there is none.
    pub(crate) async fn standing(&self, key: &str) -> Option<String> {
        let query =
            format!("SELECT branches->'branches'->0->>'activity' AS line FROM leveret.instances WHERE key = '{key}'");
        self.lines(&query).await.pop()
    }

    pub(crate) async fn ended(&self) -> i64 {
        self.count("leveret.instances WHERE ended_at IS NOT NULL").await
    }

    /// Waits until so many instances have ended.
    pub(crate) async fn all_ended(&self, count: i64, within: Duration) {
        let mut seen = 0;
        let ended = async || {
            seen = self.ended().await;
            seen >= count
        };
        eventually("every instance has ended", within, ended).await;
    }
}

/// Whether both agree.
impl Scene {
    /// Waits until nothing is on its way any more; needs a process that runs. Then nothing may be left over, doubled or missing.
    pub(crate) async fn is_at_rest(&self, started: i64) {
        let mut quiet_since = Instant::now();
        let quiet = async || {
            if self.count("leveret.outbox").await > 0 || !self.queues.not_empty().await.is_empty() {
                quiet_since = Instant::now();
            }
            quiet_since.elapsed() >= QUIET_FOR
        };
        eventually("outbox and queues are empty", QUIET_WITHIN, quiet).await;
        self.is_whole(started).await;
        let events = self.queues.take_events().await;
        let shipped = events.iter().filter(|(_, kind, _)| kind == "order.shipped").count();
        let shipments = self.count("shop.shipments").await;
        assert_eq!(i64::try_from(shipped).unwrap(), shipments, "one event for each shipment");
    }

    /// What PostgreSQL alone can tell: also after the broker has lost everything, events included.
    pub(crate) async fn is_whole(&self, started: i64) {
        let sent = async || self.count("leveret.outbox").await == 0;
        eventually("the outbox is empty", QUIET_WITHIN, sent).await;
        self.nothing_is_left_over(started).await;
        self.nothing_is_doubled().await;
        self.histories_are_whole(started).await;
    }

    /// After every process has stopped: what was delivered and not acknowledged would be back in its queue. The ladder may
    /// still carry hints of timers that nobody waits for any more.
    pub(crate) async fn queues_are_empty(&self) {
        let mut left = self.queues.not_empty().await;
        left.retain(|(name, _)| !name.contains(".delay."));
        assert_eq!(left, []);
    }

    async fn nothing_is_left_over(&self, started: i64) {
        let alive =
            self.lines("SELECT id || ' ' || status AS line FROM leveret.instances WHERE ended_at IS NULL").await;
        assert_eq!(alive, [""; 0], "still alive");
        assert_eq!(self.count("leveret.instances").await, started, "one instance for each start");
        let stuck = stuck::list(&mut self.store.background().await.unwrap(), 100).await.unwrap();
        assert_eq!(stuck, []);
        let open = "leveret.bookmarks b JOIN leveret.instances i ON i.id = b.instance_id \
                    WHERE b.consumed_at IS NULL AND i.ended_at IS NOT NULL";
        assert_eq!(self.count(open).await, 0, "open bookmarks of what has ended");
        // A message that was handled twice would be kept for somebody else.
        assert_eq!(self.count("leveret.messages").await, 0, "kept messages");
        let letters = self.lines("SELECT reason AS line FROM leveret.dead_letters").await;
        assert_eq!(letters, [""; 0], "dead letters");
    }

    /// The shop's books against the instances: two accounts of the same things, kept by different hands.
    async fn nothing_is_doubled(&self) {
        let orders = "SELECT i.key || ': ' || coalesce(i.output->>'outcome', i.status) || ', ' || r.n || ' reserved, ' \
            || r.released || ' released, ' || s.n || ' shipped' AS line \
            FROM leveret.instances i, \
            LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE released) AS released \
                       FROM shop.reservations WHERE order_key = i.key) r, \
            LATERAL (SELECT count(*) AS n FROM shop.shipments WHERE order_key = i.key) s \
            WHERE i.definition = 'order' AND NOT (r.n = 1 AND CASE i.output->>'outcome' \
                WHEN 'shipped' THEN s.n = 1 AND r.released = 0 WHEN 'expired' THEN s.n = 0 AND r.released = 1 ELSE false END)";
        assert_eq!(self.lines(orders).await, [""; 0], "orders with other rows than their end says");
        let books = ["reservations", "shipments"].map(|table| {
            format!(
                "shop.{table} WHERE order_key NOT IN (SELECT key FROM leveret.instances WHERE definition = 'order')"
            )
        });
        for strangers in books {
            assert_eq!(self.count(&strangers).await, 0, "{strangers}");
        }
        let tickets = "SELECT i.key || ': ' || (SELECT count(*) FROM shop.bookings b WHERE b.instance = i.id::text) AS line \
            FROM leveret.instances i WHERE i.definition = 'retry' \
            AND (SELECT count(*) FROM shop.bookings b WHERE b.instance = i.id::text AND b.attempt = 3) <> 1";
        assert_eq!(self.lines(tickets).await, [""; 0], "retries without their one booking");
    }

    /// Every history is numbered without a gap, chained, and tells every activity once: so often as the definition says.
    async fn histories_are_whole(&self, started: i64) {
        let ids = self.lines("SELECT id::text AS line FROM leveret.instances").await;
        assert_eq!(i64::try_from(ids.len()).unwrap(), started);
        for id in ids {
            let id = InstanceId(id.parse::<Uuid>().unwrap());
            history::verify(&mut self.store.background().await.unwrap(), id)
                .await
                .unwrap_or_else(|error| panic!("{id}: {error}"));
        }
        let numbers = "leveret.history h FULL JOIN (SELECT id, generate_series(1, history_count) AS number \
            FROM leveret.instances) i ON i.id = h.instance_id AND i.number = h.number \
            WHERE h.number IS NULL OR i.number IS NULL";
        assert_eq!(self.count(numbers).await, 0, "history rows missing or too many");
        let repeated = "SELECT i.definition || ' ' || h.activity || ': ' || count(*) AS line \
            FROM leveret.history h JOIN leveret.instances i ON i.id = h.instance_id \
            WHERE h.kind = 'ActivityCompleted' GROUP BY i.id, i.definition, i.input, h.activity \
            HAVING count(*) <> CASE WHEN i.definition = 'countdown' AND h.activity IN ('rest', 'count') \
                                    THEN (i.input->>'from')::bigint ELSE 1 END";
        assert_eq!(self.lines(repeated).await, [""; 0], "activities completed too often");
        let wrong = "leveret.instances WHERE definition = 'line' AND output->>'sum' IS DISTINCT FROM '210'";
        assert_eq!(self.count(wrong).await, 0, "lines with another sum");
    }
}
