//! Servers that are killed and wiped under load, and come back: everything finishes, nothing twice, and Leveret is not restarted.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Fresh, Private, Program, Queues, Scene, eventually};

/// From the moment a server is back until every instance has ended; their own timers take part of it.
const RECOVERS_WITHIN: Duration = Duration::from_secs(45);
/// Bound of whatever is not about speed.
const SOON: Duration = Duration::from_secs(60);
/// Instances of each test.
const COUNT: i64 = 200;
/// Silent branches are looked for sooner than by default.
const WATCHFUL: (&str, &str) = ("LEVERET_RECOVERY__AFTER", "3s");

async fn scene(servers: &Private) -> Scene {
    Scene::on(Fresh::on(servers).await).await
}

/// Publishes paid orders, unpaid orders, countdowns and lines, so many of each.
async fn ask(scene: &Scene, each: i64) {
    for number in 0..each {
        let [paid, unpaid, count, line] = ["paid", "unpaid", "count", "line"].map(|kind| format!("{kind}-{number}"));
        tokio::join!(
            scene.order(&paid, "25s"),
            scene.order(&unpaid, "6s"),
            scene.start("countdown", &count, json!({ "from": 4, "pause": "1500ms" })),
            scene.start("line", &line, json!({})),
        );
        scene.pay(&paid).await;
    }
}

/// Until every command has been taken: what no worker had committed is as safe as the broker, and no safer.
async fn all_taken(scene: &Scene, each: i64) {
    let taken = async || {
        let inbox = scene.count("leveret.inbox").await;
        inbox == 5 * each && scene.count("leveret.messages").await == 0
    };
    eventually("every command is taken", SOON, taken).await;
}

async fn finishes(scene: &Scene, program: &mut Program, back: Instant) {
    while scene.ended().await < COUNT {
        if back.elapsed() > RECOVERS_WITHIN {
            let state = "SELECT definition || ' ' || status || ' ready ' || ready || ' at ' || \
                coalesce(branches->'branches'->0->>'activity', '-') || ': ' || count(*) AS line \
                FROM leveret.instances GROUP BY definition, status, ready, branches->'branches'->0->>'activity'";
            let counts = (scene.count("leveret.inbox").await, scene.count("leveret.outbox").await);
            let state = scene.lines(state).await;
            panic!("inbox, outbox: {counts:?}; {state:#?}; it said:\n{}", program.output());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("every instance had ended {:?} after the server was back", back.elapsed());
    assert!(program.is_running(), "it died:\n{}", program.output());
    assert!(!program.output().contains("panicked"), "{}", program.output());
}

#[tokio::test]
async fn the_broker_is_wiped_while_instances_are_under_way_and_timers_pending() {
    let servers = Private::start();
    let mut scene = scene(&servers).await;
    let mut program = scene.serve(&[WATCHFUL]);
    ask(&scene, COUNT / 4).await;
    all_taken(&scene, COUNT / 4).await;
    let pending = scene.count("leveret.bookmarks WHERE kind = 'timer' AND consumed_at IS NULL").await;
    assert!(pending > 20, "only {pending} timers were pending: the fault came too late");

    let broker = servers.rabbitmq().unwrap();
    broker.stop_immediate().unwrap();
    broker.wipe().unwrap();
    broker.start().unwrap();
    finishes(&scene, &mut program, Instant::now()).await;

    scene.queues = Queues::connect(&scene.fresh.amqp_url, &scene.fresh.prefix).await;
    scene.is_whole(COUNT).await;
    program.stops_in_order().await;
}

#[tokio::test]
async fn the_broker_is_restarted_under_load() {
    let servers = Private::start();
    let mut scene = scene(&servers).await;
    let mut program = scene.serve(&[WATCHFUL]);
    let broker = servers.rabbitmq().unwrap();
    // What the broker has confirmed survives, so nothing has to be taken before. Stopped in order: after SIGKILL a quorum queue
    // of RabbitMQ 3.10 sometimes does not answer again, and then only wiping helps, as in the test above.
    ask(&scene, COUNT / 4).await;
    eventually("it works", SOON, async || scene.count("leveret.instances").await >= 20).await;
    broker.stop().unwrap();
    broker.start().unwrap();
    finishes(&scene, &mut program, Instant::now()).await;

    scene.queues = Queues::connect(&scene.fresh.amqp_url, &scene.fresh.prefix).await;
    scene.is_whole(COUNT).await;
    program.stops_in_order().await;
}

#[tokio::test]
async fn postgresql_is_killed_under_load_and_started_again() {
    let servers = Private::start();
    let scene = scene(&servers).await;
    let mut program = scene.serve(&[WATCHFUL]);
    let database = servers.postgres().unwrap();
    ask(&scene, COUNT / 4).await;
    eventually("it works", SOON, async || scene.count("leveret.instances").await >= 20).await;
    database.stop_immediate().unwrap();
    database.start().unwrap();
    // The test's own connections died too; each is found out by one query.
    for _ in 0..10 {
        drop(scene.store.probe().await);
    }
    finishes(&scene, &mut program, Instant::now()).await;

    scene.is_at_rest(COUNT).await;
    program.stops_in_order().await;
    scene.queues_are_empty().await;
}
