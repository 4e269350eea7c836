//! The network between a process and its servers: half open, slow, in pieces, reset, or damaged.

use std::time::Duration;

use serde_json::json;

use super::{ENDS_WITHIN, ask};
use crate::support::{Fault, Processes, Program, Proxy, SOON, Weather, eventually};

/// Steps under way when the weather changes.
const ASKED: i64 = 20;
/// The broker gives back what was delivered after two heartbeats (10 s); what a sweep of the process in the hole had claimed is free
/// after 30 s.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
/// Longer than it takes until a silent database is given up.
const HOLE_FOR: Duration = Duration::from_secs(10);

/// A process whose connections lead through proxies.
struct Exposed {
    processes: Processes,
    database: Proxy,
    broker: Proxy,
    program: Program,
}

impl Exposed {
    async fn new() -> Self {
        let processes = Processes::new().await;
        let (database, database_url) = Proxy::before(&processes.fresh.database_url).await;
        let (broker, amqp_url) = Proxy::before(&processes.fresh.amqp_url).await;
        let program = processes.serve(&[("DATABASE_URL", &database_url), ("AMQP_URL", &amqp_url)]);
        program.serves().await;
        Self { processes, database, broker, program }
    }

    fn weather(&self, weather: Weather) {
        self.database.weather(weather);
        self.broker.weather(weather);
    }

    async fn is_at_work(&self) {
        let begun = async || self.processes.count("leveret.instances").await > 0;
        eventually("it is at work", SOON, begun).await;
    }

    /// After the last fault: everything ends and was done once.
    async fn ends(mut self, started: i64, mut fault: Fault) {
        self.processes.all_ended(started, ENDS_WITHIN).await;
        fault.recovered();
        self.weather(Weather::Fair);
        self.processes.is_at_rest(started).await;
        self.program.stops_in_order().await;
        self.processes.queues_are_empty().await;
        fault.held();
    }
}

async fn all_in(mut fault: Fault, weather: Weather, count: i64) {
    let exposed = Exposed::new().await;
    exposed.weather(weather);
    fault.fired(count);
    ask(&exposed.processes, count).await;
    exposed.is_at_work().await;
    assert!(exposed.database.suffered() > 0 && exposed.broker.suffered() > 0, "the weather was fair");
    exposed.ends(count, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_of_200_ms_in_each_direction_is_only_slow() {
    let fault = Fault::new("200 ms more in each direction to both servers", "F61", "I1 I2 I3 I4 I7");
    all_in(fault, Weather::Slow { latency: Duration::from_millis(200), rate: u32::MAX }, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kilobytes_in_a_second_are_only_slow() {
    let fault = Fault::new("10 kB/s on each connection to both servers", "F61", "I1 I2 I3 I4 I7");
    all_in(fault, Weather::Slow { latency: Duration::ZERO, rate: 10_000 }, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_one_byte_change_nothing() {
    let fault = Fault::new("segments of one byte to and from both servers", "F61", "I1 I2 I3 I4 I7");
    all_in(fault, Weather::OneByte, ASKED).await;
}

/// Resets while it works, with a moment between them so that it connects again.
#[tokio::test(flavor = "multi_thread")]
async fn resets_of_every_connection_lose_and_double_nothing() {
    let mut fault =
        Fault::new("every connection to both servers is reset (RST), five times", "F43 F52", "I1 I2 I3 I4 I7 I12");
    let exposed = Exposed::new().await;
    let resetting = async {
        for _ in 0..5 {
            exposed.is_at_work().await;
            exposed.database.reset();
            exposed.broker.reset();
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::join!(ask(&exposed.processes, ASKED), resetting);
    let reset = exposed.database.were_reset() + exposed.broker.were_reset();
    assert!(reset >= 5, "only {reset} connections were reset");
    fault.fired_times(reset - 1, 0);
    fault.fired(exposed.processes.under_way().await);
    exposed.ends(ASKED, fault).await;
}

/// The other process does what the first one can neither acknowledge nor give back.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_to_the_broker_is_noticed_by_both_sides() {
    let mut fault = Fault::new("black hole between a worker and the broker", "F60", "I1 I2 I3 I4 I10 I12");
    let exposed = Exposed::new().await;
    let falls = async {
        exposed.is_at_work().await;
        exposed.broker.weather(Weather::BlackHole);
    };
    tokio::join!(ask(&exposed.processes, ASKED), falls);
    // Those whose start waits in the queue, too.
    let under_way = ASKED - exposed.processes.ended().await;
    assert!(under_way > 0, "everything had ended before");
    fault.fired(under_way);
    let mut other = exposed.processes.serve(&[]);
    exposed.processes.start("line", "into the hole", json!({})).await;
    exposed.processes.all_ended(ASKED + 1, TAKEN_OVER_WITHIN).await;
    assert!(exposed.broker.suffered() > 0, "nothing fell into the hole");
    other.stops_in_order().await;
    exposed.broker.weather(Weather::Fair);
    exposed.ends(ASKED + 1, fault).await;
}

/// It keeps its deliveries, and goes on when the database is heard again.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_to_the_database_is_given_up_and_opened_again() {
    let mut fault = Fault::new(
        "black hole of 10 s between a worker and the database (time from its beginning)",
        "F60",
        "I1 I2 I3 I4 I7 I12",
    );
    let exposed = Exposed::new().await;
    let falls = async {
        exposed.is_at_work().await;
        exposed.database.weather(Weather::BlackHole);
    };
    tokio::join!(ask(&exposed.processes, ASKED), falls);
    // Those whose start waits in the queue, too.
    let under_way = ASKED - exposed.processes.ended().await;
    assert!(under_way > 0, "everything had ended before");
    fault.fired(under_way);
    tokio::time::sleep(HOLE_FOR).await;
    assert!(exposed.database.suffered() > 0, "nothing fell into the hole");
    exposed.database.weather(Weather::Fair);
    exposed.ends(ASKED, fault).await;
}

/// The end of the frame is not that of a frame: the connection is closed, and what the frame said is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_frame_ends_its_connection_and_nothing_of_it_is_executed() {
    let mut fault = Fault::new("one byte of a delivery is damaged", "F62", "I1 I2 I3 I4 I12");
    let exposed = Exposed::new().await;
    exposed.broker.damage(b"damaged");
    exposed.processes.start("line", "damaged", json!({})).await;
    eventually("it is damaged", SOON, async || exposed.broker.were_damaged() == 1).await;
    fault.fired(1);
    exposed.ends(1, fault).await;
}
