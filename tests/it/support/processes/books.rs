//! Whether what the shop has done agrees with what it was asked for: two accounts of the same things, compared at the end of a test.

use std::time::{Duration, Instant};

use leveret::engine::InstanceId;
use leveret::store::{history, stuck};
use uuid::Uuid;

use super::Processes;
use crate::support::eventually;

/// After everything has ended, wake-ups of timers that are no longer needed are in the delay queues for up to this.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// Queues are empty when they have been for this long: a wake-up that a worker is holding, or has just put back into a delay queue,
/// is in none of them for a moment.
const QUIET_FOR: Duration = Duration::from_millis(500);

impl Processes {
    /// Waits until nothing is queued or unpublished, which needs a process that runs. Then nothing may be left over, doubled or missing.
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

    /// The same without the queues and the events, for a broker that has lost everything.
    pub(crate) async fn is_whole(&self, started: i64) {
        let sent = async || self.count("leveret.outbox").await == 0;
        eventually("the outbox is empty", QUIET_WITHIN, sent).await;
        self.nothing_is_left_over(started).await;
        self.nothing_is_doubled().await;
        self.histories_are_whole(started).await;
    }

    /// After every process has stopped: what was delivered and not acknowledged would be back in its queue. The delay queues may
    /// still hold wake-ups of timers that are no longer open.
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
        // The second handling of a message would keep it for a later wait.
        assert_eq!(self.count("leveret.messages").await, 0, "kept messages");
        let dead_letters = self.lines("SELECT reason AS line FROM leveret.dead_letters").await;
        assert_eq!(dead_letters, [""; 0], "dead letters");
    }

    /// The shop's own tables against the instances.
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
        for others in books {
            assert_eq!(self.count(&others).await, 0, "{others}");
        }
        let tickets = "SELECT i.key || ': ' || (SELECT count(*) FROM shop.bookings b WHERE b.instance = i.id::text) AS line \
            FROM leveret.instances i WHERE i.definition = 'retry' \
            AND (SELECT count(*) FROM shop.bookings b WHERE b.instance = i.id::text AND b.attempt = 3) <> 1";
        assert_eq!(self.lines(tickets).await, [""; 0], "retries without their one booking");
    }

    /// Every history is numbered without a gap, chained, and has each activity as often as its definition says.
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
