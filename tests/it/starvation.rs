//! A blocked row must neither delay others nor keep a loop busy.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use leveret::app::App;
use leveret::config::Config;
use leveret::handlers::Handlers;
use leveret::roles::relay;
use serde_json::json;

use crate::support::{self, Fault, Fresh, InProcess, Processes, SOON, eventually};

/// A row that was not confirmed is published again by a sweep after 15 s.
const SWEPT_WITHIN: Duration = Duration::from_secs(60);

/// Fails for good with its first step, and has a deadline.
const LIMITED: &str = "
name: limited
timeout: 1h
activities:
  - { id: fall, raise: { code: shown.broken } }
";
const RESTING: &str = "
name: resting
activities:
  - { id: rest, wait: { for: 1h } }
";

async fn execute(app: &App, statement: &str) {
    sql_query(statement).execute(&mut app.store.background().await.unwrap()).await.unwrap();
}

async fn count(app: &App, what: &str) -> i64 {
    support::count(&mut app.store.background().await.unwrap(), what).await
}

#[tokio::test]
async fn due_timers_of_suspended_instances_do_not_keep_others_from_firing() {
    let leveret = InProcess::new().await;
    leveret.apply(LIMITED).await;
    leveret.apply(RESTING).await;
    leveret.post("/instances", &json!({ "definition": "limited" })).await.ok(201);
    leveret.post("/instances", &json!({ "definition": "resting" })).await.ok(201);
    let app = leveret.app();
    let suspended = async || count(app, "leveret.instances WHERE status = 'suspended'").await == 1;
    eventually("the incident is there", SOON, suspended).await;
    let resting = async || count(app, "leveret.bookmarks WHERE activity = 'rest'").await == 1;
    eventually("the other one rests", SOON, resting).await;

    // More than one batch of them, all longer due than the one that can fire.
    execute(
        app,
        "INSERT INTO leveret.bookmarks (instance_id, number, kind, due_at, next_check_at, opened_at) \
         SELECT i.id, n, 'timer', now() - interval '1 hour', now() - interval '1 hour', now() \
         FROM leveret.instances i, generate_series(1000, 1600) n WHERE i.status = 'suspended'",
    )
    .await;
    // The state of the instance holds the same time, and decides whether it may fire.
    execute(app, "UPDATE leveret.bookmarks SET next_check_at = now() WHERE activity = 'rest'").await;
    let put_off = async || count(app, "leveret.bookmarks WHERE next_check_at <= now()").await == 0;
    eventually("every due timer was read and put off", SOON, put_off).await;
    leveret.stop().await;
}

/// A queue for events that takes one message and refuses all others, and one that takes all.
async fn listen(channel: &Channel, prefix: &str) -> [String; 2] {
    let full = FieldTable::from(
        [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", AMQPValue::LongString("reject-publish".into()))]
            .map(|(name, value)| (name.into(), value))
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    );
    let names = ["full", "open"].map(|name| format!("{prefix}.test-{name}"));
    let exchange = format!("{prefix}.events");
    for (name, arguments) in names.iter().zip([full, FieldTable::default()]) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.as_str().into(), durable, arguments).await.unwrap();
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(name.as_str().into(), exchange.as_str().into(), "#".into(), bind, none).await.unwrap();
    }
    names
}

#[tokio::test]
async fn a_full_event_queue_delays_only_the_refused_events_and_is_not_flooded() {
    let mut fault = Fault::new("a full queue refuses events (reject-publish)", "F20", "I3 I11 I13");
    let leveret = InProcess::new().await;
    leveret.apply_example("line").await;
    let connection = Connection::connect(&leveret.fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let [full, open] = listen(&channel, &leveret.fresh.prefix).await;
    for number in 0..10 {
        let request = json!({ "definition": "line", "key": format!("{number}") });
        let ended = leveret.post("/instances?wait=20s", &request).await.ok(201);
        assert_eq!(ended["status"], "completed", "step commands are held up by events");
    }
    let app = leveret.app();
    // All but the first event, and nothing else.
    let refused =
        async || count(app, "leveret.outbox").await == count(app, "leveret.outbox WHERE exchange = 'events'").await;
    eventually("only events are left", SOON, refused).await;
    let left = count(app, "leveret.outbox").await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let taken = channel.queue_declare(open.as_str().into(), passive, FieldTable::default()).await.unwrap();
    // The open queue received each at least once, and again only by a sweep.
    assert!(taken.message_count() <= 60, "{} events for 20 were published, {left} are left", taken.message_count());

    fault.fired(10);
    channel.queue_delete(full.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    eventually("what was refused is published later", SWEPT_WITHIN, async || count(app, "leveret.outbox").await == 0)
        .await;
    fault.recovered();
    leveret.stop().await;
    fault.held();
}

#[tokio::test]
async fn timers_fire_although_maintenance_fails() {
    let processes = Processes::new().await;
    let mut conn = processes.store.background().await.unwrap();
    // As for a role without the right to create tables.
    let refusal = "CREATE OR REPLACE FUNCTION leveret.ensure_history_partitions(moment timestamptz) RETURNS integer \
                   LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'permission denied for schema leveret'; END $$";
    sql_query(refusal).execute(&mut conn).await.unwrap();
    drop(conn);
    // No wake-ups on the broker: only the sweep fires timers.
    let mut program = processes.serve(&[("LEVERET_TIMERS__BROKER_HORIZON", "0s")]);
    processes.start("countdown", "A", json!({ "from": 2, "pause": "100ms" })).await;
    processes.all_ended(1, SOON).await;
    program.stops_in_order().await;
}

#[tokio::test]
async fn a_sweep_that_could_publish_nothing_pauses() {
    let fresh = Fresh::new().await;
    let mut config = Config::default();
    config.database.url = fresh.database_url.clone();
    config.broker.url = "amqp://127.0.0.1:1".into();
    let (app, _publish_queue) = App::new(config, Handlers::new(), "test").unwrap();
    execute(&app, "SELECT leveret.start('line')").await;
    assert_eq!(
        relay::run_once(&app).await.unwrap().count,
        0,
        "a full batch would have been followed by the next at once"
    );
    assert_eq!(count(&app, "leveret.outbox WHERE claimable_at > now()").await, 1, "it was claimed");
}
