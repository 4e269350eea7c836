//! What is no longer kept is deleted with everything that belongs to it, and nothing else.

use std::time::Duration;

use leveret::config::Config;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::roles::cleaner::retention::{self, Cleaned};
use leveret::store::retention::{After, Of, ROLE, delete_instances, drop_empty_partitions, is_allowed};
use leveret::store::{Error, Store};
use leveret::time::retention::Retention;
use serde_json::{Value, json};
use tokio::join;

use crate::support::{CommandLine, Fault, Fresh, InProcess};

/// Ends after a wait, a task and a call.
const BUSY: &str = "
name: busy
search: { kind: \"'busy'\" }
activities:
  - { id: wait, receive: { name: go } }
  - { id: ask, task: { title: Go on?, candidates: { users: [ann] } } }
";
/// The same, and its instances are kept.
const KEPT: &str = "
name: kept
retention: forever
activities:
  - { id: wait, receive: { name: go } }
";
/// Every table with rows of an instance, and the column that names it.
const TABLES: [(&str, &str); 6] = [
    ("leveret.instances", "id"),
    ("leveret.history", "instance_id"),
    ("leveret.bookmarks", "instance_id"),
    ("leveret.tasks", "instance_id"),
    ("leveret.calls", "instance_id"),
    ("leveret.search_attributes", "instance_id"),
];
/// Without the role cleaner: the test decides when it runs.
const ROLES: [Role; 6] = [Role::Worker, Role::Relay, Role::Timers, Role::Caller, Role::DeadLetters, Role::Api];

async fn leveret(change: impl FnOnce(&mut Config)) -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    change(&mut config);
    let leveret = InProcess::on(fresh, config, Handlers::new(), &ROLES).await;
    leveret.apply(BUSY).await;
    leveret.apply(KEPT).await;
    leveret
}

async fn go(leveret: &InProcess, key: &str) {
    leveret.post("/messages", &json!({ "name": "go", "key": key, "data": {} })).await.ok(200);
}

/// Ended instances of `busy`, as if they had run this long ago, each with a row of history.
async fn ended(leveret: &InProcess, count: usize, ago: &str) {
    let id = |number: &str| {
        format!(
            "(substr(leveret.uuid_at(now() - interval '{ago}')::text, 1, 24) || lpad(to_hex({number}), 12, '0'))::uuid"
        )
    };
    let id = id("n");
    leveret
        .execute(&format!(
            "INSERT INTO leveret.instances (id, definition, version, status, revision, ready, key, queue, priority, state_format,
                    branches, variables, input, started_at, ended_at, moved_at, history_count, history_hash)
             SELECT {id}, 'busy', 1, 'completed', 1, false, 'old-' || n, 'default', 0, 1, '[]', '{{}}', '{{}}',
                    now() - interval '{ago}', now() - interval '{ago}', now(), 1, '\\x00'
               FROM generate_series(1, {count}) AS n"
        ))
        .await;
    leveret
        .execute(
            "INSERT INTO leveret.history (instance_id, number, at, kind, digest, previous_hash)
             SELECT id, 1, started_at, 'InstanceStarted', '\\x00', '\\x00' FROM leveret.instances WHERE key LIKE 'old-%'",
        )
        .await;
}

#[tokio::test]
async fn an_ended_instance_goes_with_everything_that_belongs_to_it() {
    let leveret = leveret(|config| config.retention.instances = Retention::For(Duration::from_millis(1))).await;
    for (definition, key) in [("busy", "gone"), ("busy", "lives"), ("kept", "stays")] {
        leveret.start(definition, key).await;
        leveret.reaches(key, "running at wait").await;
    }
    go(&leveret, "gone").await;
    leveret.reaches("gone", "running at ask").await;
    let task = leveret.lines("id", "leveret.tasks").await.remove(0);
    let by = json!({ "user": "ann" });
    leveret.post(&format!("/tasks/{task}/claim"), &by).await.ok(200);
    leveret.post(&format!("/tasks/{task}/complete"), &by).await.ok(200);
    leveret.reaches("gone", "completed").await;
    go(&leveret, "stays").await;
    leveret.reaches("stays", "completed").await;
    let gone = leveret.id("gone").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Beside another one, as on two nodes.
    let (one, other) = join!(retention::pass(leveret.app()), retention::pass(leveret.app()));
    assert_eq!(one.unwrap().instances + other.unwrap().instances, 1);
    for (table, column) in TABLES {
        assert_eq!(leveret.count(&format!("{table} WHERE {column} = '{gone}'")).await, 0, "{table}");
    }
    assert_eq!(leveret.lines("key", "leveret.instances ORDER BY key").await, ["lives", "stays"]);
    go(&leveret, "lives").await;
    leveret.reaches("lives", "running at ask").await;
}

#[tokio::test]
async fn an_instance_whose_parent_lives_is_kept() {
    let leveret = leveret(|_| {}).await;
    leveret.start("busy", "parent").await;
    leveret.reaches("parent", "running at wait").await;
    ended(&leveret, 3, "100 days").await;
    leveret
        .execute(
            "UPDATE leveret.instances SET parent = (SELECT id FROM leveret.instances WHERE key = 'parent') WHERE key = 'old-2'",
        )
        .await;
    assert_eq!(retention::pass(leveret.app()).await.unwrap(), Cleaned { instances: 2, ..Cleaned::default() });
    assert_eq!(leveret.lines("key", "leveret.instances ORDER BY key").await, ["old-2", "parent"]);
}

#[tokio::test]
async fn passes_side_by_side_delete_each_instance_once_and_pass_over_those_that_live() {
    let mut fault = Fault::new("two cleaners at once, among instances that live", "F41", "I19");
    let leveret = leveret(|_| {}).await;
    ended(&leveret, 1_700, "91 days").await;
    // Whole pages of instances that began as long ago, and live.
    leveret
        .execute("UPDATE leveret.instances SET status = 'suspended', ended_at = NULL WHERE substr(key, 5)::int <= 1100")
        .await;
    let (one, other) = join!(retention::pass(leveret.app()), retention::pass(leveret.app()));
    fault.fired_times(1, 1_100);
    assert_eq!(one.unwrap().instances + other.unwrap().instances, 600);
    assert_eq!(leveret.count("leveret.instances WHERE ended_at IS NULL").await, 1_100);
    assert_eq!(leveret.count("leveret.history").await, 1_100);
    fault.held();
}

#[tokio::test]
async fn inbox_rows_and_dead_letters_go_by_their_age() {
    let leveret = leveret(|_| {}).await;
    leveret.start("kept", "new").await;
    leveret.reaches("new", "running at wait").await;
    leveret
        .execute(
            "INSERT INTO leveret.inbox (app_id, message_id, received_at, command, body_hash, outcome)
             SELECT 'shop', n::text, now() - interval '31 days', 'start', '\\x00', 'accepted' FROM generate_series(1, 700) AS n",
        )
        .await;
    leveret
        .execute(
            "INSERT INTO leveret.dead_letters (received_at, reason, source, exchange, routing_key, body, body_bytes)
             SELECT now() - make_interval(days => days), 'a test', 'q', 'e', 'k', '', 0 FROM unnest(ARRAY[91, 92, 89]) AS days",
        )
        .await;
    let inbox = leveret.count("leveret.inbox").await - 700;
    let cleaned = retention::pass(leveret.app()).await.unwrap();
    assert_eq!(cleaned, Cleaned { inbox: 700, dead_letters: 2, ..Cleaned::default() });
    assert_eq!(leveret.count("leveret.inbox").await, inbox);
    assert_eq!(leveret.count("leveret.dead_letters").await, 1);
}

#[tokio::test]
async fn the_command_line_previews_and_deletes_and_the_doctor_finds_what_is_behind() {
    let leveret = leveret(|_| {}).await;
    ended(&leveret, 2, "92 days").await;
    let command_line = CommandLine::on(&leveret.fresh);
    leveret
        .execute(
            "INSERT INTO leveret.dead_letters (received_at, reason, source, exchange, routing_key, body, body_bytes)
             SELECT now() - interval '91 days', 'a test', 'q', 'e', 'k', '', 0 FROM generate_series(1, 3);
             INSERT INTO leveret.messages (name, key, data, expires_at)
             SELECT 'm', 'k', '1', now() - interval '1 hour' FROM generate_series(1, 2)",
        )
        .await;
    let previewed: Value = serde_json::from_str(&command_line.say("cleaner --dry-run -o json").await.good()).unwrap();
    let rule = |definition: Value, retention, instances| json!({ "definition": definition, "retention": retention, "instances": instances, "more": false });
    assert_eq!(previewed["items"], json!([rule(json!("kept"), "forever", 0), rule(Value::Null, "90d", 2)]));
    let others: Vec<(&str, i64)> = previewed["others"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), one["count"].as_i64().unwrap()))
        .collect();
    let expected = [
        ("closed rows of instances that live", 0),
        ("inbox rows", 0),
        ("dead letters", 3),
        ("audit rows", 0),
        ("expired messages", 2),
    ];
    assert_eq!(others, expected);
    let table = command_line.say("cleaner --dry-run").await.good();
    assert!(table.contains("BESIDES") && table.contains("expired messages"), "{table}");
    let found = |said: &str| -> Value {
        let said: Value = serde_json::from_str(said).unwrap();
        said.as_array().unwrap().iter().find(|one| one["what"] == "retention").unwrap().clone()
    };
    let behind = found(&command_line.say("doctor -o json").await.failed());
    assert!(behind["says"].as_str().unwrap().contains("cleaner --dry-run"), "{behind}");
    let done = command_line.say("cleaner").await.good();
    let told = "deleted 2 instances, 0 closed rows of instances that live, 0 inbox rows, 3 dead letters and 0 audit rows; exported 0 \
                instances";
    assert_eq!(done.trim(), told);
    assert_eq!(leveret.count("leveret.instances").await, 0);
    assert_eq!(found(&command_line.say("doctor -o json").await.good())["good"], true);
}

#[tokio::test]
async fn only_empty_partitions_of_past_months_are_dropped() {
    let leveret = leveret(|_| {}).await;
    leveret.execute("SELECT leveret.ensure_history_partitions('2020-01-15')").await;
    let partitions = "pg_inherits WHERE inhparent = 'leveret.history'::regclass";
    let before = leveret.count(partitions).await;
    // February 2020 keeps a row.
    leveret
        .execute(
            "INSERT INTO leveret.history (instance_id, number, at, kind, digest, previous_hash)
             VALUES (leveret.uuid_at('2020-02-02'), 1, now(), 'InstanceStarted', '\\x00', '\\x00')",
        )
        .await;
    let mut conn = leveret.conn().await;
    assert_eq!(drop_empty_partitions(&mut conn, leveret.app().clock.now()).await.unwrap(), 2);
    assert_eq!(drop_empty_partitions(&mut conn, leveret.app().clock.now()).await.unwrap(), 0);
    assert_eq!(leveret.count(partitions).await, before - 2);
}

#[tokio::test]
async fn who_may_not_become_the_role_deletes_nothing() {
    let leveret = leveret(|_| {}).await;
    ended(&leveret, 1, "91 days").await;
    let user = format!("cleaner_{:016x}", fastrand::u64(..));
    leveret.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'cleaner'")).await;
    leveret.execute(&format!("GRANT USAGE ON SCHEMA leveret TO {user}")).await;
    leveret.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA leveret TO {user}")).await;
    let (_, server) = leveret.fresh.direct_url.split_once('@').unwrap();
    let mut config = InProcess::config(&leveret.fresh);
    config.database.url = format!("postgres://{user}:cleaner@{server}");
    let store = Store::connect(&config.database, "test").unwrap();
    assert!(!is_allowed(&mut store.background().await.unwrap()).await.unwrap());
    let all = Of::AllBut(Vec::new());
    let refused =
        delete_instances(store.background().await.unwrap(), &all, leveret.app().clock.now(), After::Time, None, 10)
            .await;
    assert!(matches!(&refused, Err(Error::Bug(why)) if why.contains("permission denied to set role")), "{refused:?}");
    assert_eq!(leveret.count("leveret.instances").await, 1, "the whole batch is rolled back");
    // The grant that the migration makes for its own user.
    leveret.execute(&format!("GRANT {ROLE} TO {user}")).await;
    let page =
        delete_instances(store.background().await.unwrap(), &all, leveret.app().clock.now(), After::Time, None, 10)
            .await;
    assert_eq!(page.unwrap().deleted, 1);
    drop(store);
    leveret.execute(&format!("DROP OWNED BY {user}")).await;
    leveret.execute(&format!("DROP ROLE {user}")).await;
}
