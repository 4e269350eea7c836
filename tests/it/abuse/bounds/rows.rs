//! What one branch and one statement may take: steps without a wait, rows, and bytes of rows.

use std::path::PathBuf;

use super::*;

/// The default is 10,000: a debug build takes half a minute for those.
const STEPS_MAX: i64 = 1_000;
const ROWS_MAX: i64 = 1_000;
const ROWS_BYTES_MAX: i64 = 1024 * 1024;

const STATEMENTS: &str = "
[statements.made]
sql = \"SELECT n, repeat('x', CAST(:width AS int)) AS text FROM generate_series(1, :count) AS n\"
params = { width = 'integer', count = 'integer' }
";

/// A file of settings, deleted with the test.
pub(super) struct Settings(PathBuf);

impl Settings {
    pub(super) fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leveret-bounds-{:016x}.toml", fastrand::u64(..)));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_return_as_much_as_is_said() {
    let settings = Settings::new(STATEMENTS);
    let served = Served::with(&["--config", settings.path()], &[]).await;
    served
        .apply(&json!({
            "name": "made", "input": { "properties": { "width": { "type": "integer" }, "count": { "type": "integer" } } },
            "variables": { "got": null }, "output": "${ got }",
            "activities": [{
                "id": "make", "run": { "sql": "made", "params": { "width": "${ width }", "count": "${ count }" } },
                "retry": "none", "output": { "got": "result.count" },
                "on_error": [{ "output": { "got": "error.code" } }],
            }],
        }))
        .await;
    let returned =
        async |count: i64, width: i64| served.output("made", json!({ "width": width, "count": count })).await;
    assert_eq!(returned(ROWS_MAX, 10).await, ROWS_MAX);
    assert_eq!(returned(ROWS_MAX + 1, 10).await, "limit.rows");
    // The text, and what is around it in the row.
    let around = 64;
    assert_eq!(returned(1, ROWS_BYTES_MAX - around).await, 1);
    assert_eq!(returned(1, ROWS_BYTES_MAX).await, "limit.rows_bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_may_take_as_many_steps_without_a_wait_as_is_said() {
    let served = Served::with(&[], &[("LEVERET_LIMITS__STEPS_MAX", &STEPS_MAX.to_string())]).await;
    served
        .apply(&json!({
            "name": "circles", "input": { "properties": { "rounds": { "type": "integer" } } }, "variables": { "n": 0 },
            "output": "${ n }",
            "activities": [{
                "id": "round", "set": { "n": "n + 1" }, "next": [{ "when": "n < rounds", "to": "round" }, { "to": "exit" }],
            }],
        }))
        .await;
    let run = async |rounds: i64, kind: &str| {
        let id = served.start("circles", json!({ "rounds": rounds })).await.accepted(201)["id"].clone();
        served.within_budget(kind, served.entry(&id, kind)).await
    };
    run(STEPS_MAX, "InstanceCompleted").await;
    let incident = run(STEPS_MAX + 1, "IncidentOpened").await;
    assert_eq!(incident["details"]["code"], "limit.steps", "{incident}");
    assert!(incident["details"]["message"].as_str().unwrap().contains(&STEPS_MAX.to_string()), "{incident}");
}
