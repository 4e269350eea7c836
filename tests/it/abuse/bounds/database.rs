//! What work in the database may take: time of a statement and of a lock, deliveries and connections at once.

use diesel_async::SimpleAsyncConnection;

use super::rows::Settings;
use super::*;

const SLEEPS: &str = "
[statements.sleeps]
sql = \"SELECT pg_sleep(:seconds)\"
params = { seconds = 'number' }

[statements.locks]
sql = \"UPDATE public.held SET n = n + 1 WHERE id = :id\"
params = { id = 'integer' }
";
/// Of the waits for time limits below: the limit, and what a debug build on a busy machine adds.
const SLACK: Duration = Duration::from_secs(4);
/// Connections for steps and for the rest, one that listens, and one that `/readyz` uses.
const CONNECTIONS_MAX: i64 = 16 + 6 + 1 + 1;
/// Deliveries at once, and so statements of steps at once.
const DELIVERIES_MAX: i64 = 16;

/// A definition that runs one statement once; its output is the code of the failure, if it fails.
fn running(name: &str, statement: &str, params: &Value) -> Value {
    json!({
        "name": name, "input": { "properties": { "seconds": { "type": "number", "default": 0.0 } } },
        "variables": { "got": "done" }, "output": "${ got }",
        "activities": [{
            "id": "run", "run": { "sql": statement, "params": params }, "retry": "none",
            "on_error": [{ "output": { "got": "error.code" } }],
        }],
    })
}

async fn served(settings: &Settings, environment: &[(&str, &str)]) -> Served {
    let served = Served::with(&["--config", settings.path()], environment).await;
    served.apply(&running("sleeps", "sleeps", &json!({ "seconds": "${ seconds }" }))).await;
    served
}

/// The output of an instance, and how long it took.
async fn took(served: &Served, definition: &str, seconds: f64) -> (Value, Duration) {
    let began = Instant::now();
    (served.output(definition, json!({ "seconds": seconds })).await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_takes_no_longer_than_the_settings_say() {
    let settings = Settings::new(SLEEPS);
    for (limit, code) in [
        (("LEVERET_TIMEOUTS__DATABASE", "1s"), "timeout"),
        (("LEVERET_DATABASE__STATEMENT_TIMEOUT", "1s"), "database.timeout"),
    ] {
        let served = served(&settings, &[limit]).await;
        assert_eq!(took(&served, "sleeps", 0.2).await.0, "done");
        let (output, took) = took(&served, "sleeps", 10.0).await;
        assert_eq!(output, code, "{limit:?}");
        assert!(took < Duration::from_secs(1) + SLACK, "{limit:?}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_awaited_no_longer_than_is_said() {
    let settings = Settings::new(SLEEPS);
    let served = served(&settings, &[]).await;
    served.apply(&running("locks", "locks", &json!({ "id": 1 }))).await;
    let mut holds = served.processes.store.background().await.unwrap();
    holds
        .batch_execute("CREATE TABLE public.held (id int PRIMARY KEY, n int); INSERT INTO public.held VALUES (1, 0)")
        .await
        .unwrap();
    assert_eq!(took(&served, "locks", 0.0).await.0, "done");
    holds.batch_execute("BEGIN; UPDATE public.held SET n = 9 WHERE id = 1").await.unwrap();
    let (output, took) = took(&served, "locks", 0.0).await;
    holds.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(output, "database.lock");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(2) + SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_and_connections_at_once_are_as_many_as_is_said() {
    let settings = Settings::new(SLEEPS);
    let served = served(&settings, &[]).await;
    let count = async |what: &str| {
        let of_it = "pg_stat_activity WHERE datname = current_database() AND application_name NOT LIKE '%the test%'";
        served.processes.count(&format!("{of_it} {what}")).await
    };
    let all = async {
        served.start_many("sleeps", &json!({ "seconds": 1.5 }), 2 * DELIVERIES_MAX as usize).await;
        let (mut sleeping, mut connected) = (0, 0);
        let ended = async || {
            sleeping = sleeping.max(count("AND state = 'active' AND query LIKE '%pg_sleep%'").await);
            connected = connected.max(count("").await);
            served.processes.ended().await == 2 * DELIVERIES_MAX
        };
        eventually("all of them end", SOON, ended).await;
        assert_eq!(sleeping, DELIVERIES_MAX);
        assert!(connected <= CONNECTIONS_MAX, "{connected} connections");
    };
    served.within_budget("statements at once", all).await;
}
