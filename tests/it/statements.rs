//! Registered SQL as the work of a step: its result, its failures, and that it runs exactly once.

use diesel_async::SimpleAsyncConnection;
use leveret::config::Config;
use leveret::config::statement::StatementSource;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use serde_json::{Value, json};

use crate::support::{self, CommandLine, Fresh, InProcess, SOON, eventually};

mod crash;

fn written(sql: &str, params: &[(&str, &str)]) -> StatementSource {
    let params = params.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    StatementSource { sql: sql.into(), params, rows_max: None }
}

fn register(config: &mut Config) {
    let all = [
        ("book", written("INSERT INTO book (name, n) VALUES (:name, :n)", &[("name", "text"), ("n", "integer?")])),
        (
            "add",
            written("INSERT INTO book (name) SELECT 'x' FROM generate_series(1, :n) RETURNING id", &[("n", "integer")]),
        ),
        ("long", written("SELECT repeat('x', :n::int) AS long", &[("n", "integer")])),
        ("sleep", written("SELECT pg_sleep(60)", &[])),
        ("twice", written("INSERT INTO late VALUES (1), (1)", &[])),
        (
            "types",
            written(
                "SELECT :t AS t, :i AS i, :f AS f, :b AS b, :u AS u, :m AS m, :d AS d, :j AS j, :l AS l, :z AS z",
                &[
                    ("t", "text"),
                    ("i", "integer"),
                    ("f", "number"),
                    ("b", "boolean"),
                    ("u", "uuid"),
                    ("m", "timestamp"),
                    ("d", "date"),
                    ("j", "json"),
                    ("l", "integer[]"),
                    ("z", "text?"),
                ],
            ),
        ),
        (
            "moved",
            written(
                "WITH gone AS (DELETE FROM book WHERE name = :name RETURNING name, n) \
                 INSERT INTO late SELECT n FROM gone RETURNING n",
                &[("name", "text")],
            ),
        ),
        ("near", written("DELETE FROM instances", &[])),
        ("relay", written("SELECT leveret.start('told', jsonb_build_object('from', :key))", &[("key", "text")])),
    ];
    config.statements.extend(all.map(|(name, written)| (name.to_owned(), written)));
    config.limits.rows_max = 3;
    config.limits.rows_bytes_max = 1_000;
}

const TABLES: &str = "CREATE TABLE public.book (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL UNIQUE, n bigint CHECK (n > 0)); \
    CREATE TABLE public.late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);";

async fn start() -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    register(&mut config);
    let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    execute(&leveret, TABLES).await;
    leveret
}

async fn execute(leveret: &InProcess, sql: &str) {
    leveret.app().store.background().await.unwrap().batch_execute(sql).await.unwrap();
}

async fn count(leveret: &InProcess, what: &str) -> i64 {
    support::count(&mut leveret.app().store.background().await.unwrap(), what).await
}

/// Runs one statement in its own instance, and gives its result, or the code and message of its failure.
async fn run(leveret: &InProcess, name: &str, params: &Value) -> Value {
    let given: serde_json::Map<String, Value> =
        params.as_object().unwrap().keys().map(|key| (key.clone(), format!("${{ params.{key} }}").into())).collect();
    let document = json!({
        "name": format!("run-{name}"),
        "input": { "type": "object", "properties": { "params": { "type": "object" } } },
        "variables": { "got": null },
        "output": { "got": "${ got }" },
        "activities": [{
            "id": "work", "run": { "sql": name, "params": given }, "retry": "none", "timeout": "300ms",
            "output": { "got": "result" },
            "on_error": [{ "output": { "got": ["${ error.code }", "${ error.message }"] } }],
        }],
    });
    leveret.apply(&document.to_string()).await;
    let start = json!({ "definition": format!("run-{name}"), "input": { "params": params } });
    leveret.post("/instances?wait=20s", &start).await.ok(201)["output"]["got"].clone()
}

async fn fails(leveret: &InProcess, name: &str, params: Value, code: &str) -> String {
    let got = run(leveret, name, &params).await;
    assert_eq!(got[0], code, "{got}");
    got[1].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rows_of_a_statement_are_the_result_of_its_activity() {
    let leveret = start().await;
    assert_eq!(run(&leveret, "book", &json!({ "name": "a", "n": 7 })).await, json!({ "count": 1, "rows": [] }));
    assert_eq!(run(&leveret, "book", &json!({ "name": "b", "n": null })).await["count"], 1);
    assert_eq!(run(&leveret, "moved", &json!({ "name": "a" })).await, json!({ "count": 1, "rows": [{ "n": 7 }] }));
    assert_eq!(count(&leveret, "public.book").await, 1);
    let given = json!({
        "t": "'; DROP TABLE book; --", "i": -9_007_199_254_740_993_i64, "f": 0.1, "b": true,
        "u": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "m": "2026-01-01T01:00:00+01:00", "d": "2026-02-28",
        "j": { "a": [null, "\u{e9}"] }, "l": [3, 1], "z": null,
    });
    let got = run(&leveret, "types", &given).await;
    let mut row = given.clone();
    row["m"] = got["rows"][0]["m"].clone();
    assert_eq!(got, json!({ "count": 1, "rows": [row] }));
    assert!(
        got["rows"][0]["m"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
            .to_string()
            .starts_with("2026-01-01T00:00:00")
    );
    leveret.stop().await;
}

#[tokio::test]
async fn unsuitable_parameters_are_named_and_nothing_is_run() {
    let leveret = start().await;
    let said = fails(&leveret, "book", json!({ "name": 5, "m": 1 }), "statement.params").await;
    assert_eq!(
        said,
        "the statement `book`: `n` is missing; `name` is a number, but its type is `text`; `m` is not a parameter of the statement"
    );
    let said = fails(&leveret, "book", json!({ "name": null, "n": null }), "statement.params").await;
    assert!(said.contains("`name` is null") && said.contains("`text?`"), "{said}");
    assert_eq!(count(&leveret, "public.book").await, 0);
    leveret.stop().await;
}

#[tokio::test]
async fn a_failed_statement_is_rolled_back_and_reported() {
    let leveret = start().await;
    run(&leveret, "book", &json!({ "name": "a", "n": 1 })).await;
    fails(&leveret, "book", json!({ "name": "a", "n": 1 }), "database.unique").await;
    fails(&leveret, "book", json!({ "name": "b", "n": 0 }), "database.check").await;
    assert_eq!(count(&leveret, "public.book").await, 1);
    // A constraint that is checked only when the step commits.
    fails(&leveret, "twice", json!({}), "database.unique").await;
    assert_eq!(count(&leveret, "public.late").await, 0);
    let said = fails(&leveret, "near", json!({}), "database.error").await;
    assert!(said.contains("relation \"instances\" does not exist"), "{said}");
    let said = fails(&leveret, "sleep", json!({}), "timeout").await;
    assert_eq!(said, "the statement did not return within 300ms");
    let asleep = "pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    eventually("it is stopped", SOON, async || count(&leveret, asleep).await == 0).await;
    leveret.stop().await;
}

#[tokio::test]
async fn a_statement_with_too_many_rows_is_rolled_back() {
    let leveret = start().await;
    execute(&leveret, "ALTER TABLE public.book DROP CONSTRAINT book_name_key").await;
    assert_eq!(run(&leveret, "add", &json!({ "n": 3 })).await["count"], 3);
    let said = fails(&leveret, "add", json!({ "n": 4 }), "limit.rows").await;
    assert_eq!(said, "the statement `add` returned more than 3 rows");
    assert_eq!(count(&leveret, "public.book").await, 3);
    assert_eq!(run(&leveret, "long", &json!({ "n": 900 })).await["count"], 1);
    fails(&leveret, "long", json!({ "n": 1_000 }), "limit.rows_bytes").await;
    leveret.stop().await;
}

#[tokio::test]
async fn a_statement_may_start_another_workflow_in_the_same_transaction() {
    let leveret = start().await;
    leveret.apply("name: told\ninput: { type: object, properties: { from: { type: string } } }\nactivities: [{ id: a, end: {} }]").await;
    assert_eq!(run(&leveret, "relay", &json!({ "key": "a" })).await["count"], 1);
    let told = "leveret.instances WHERE definition = 'told' AND status = 'completed'";
    eventually("the other workflow ran", SOON, async || count(&leveret, told).await == 1).await;
    leveret.stop().await;
}

const BOOKING: &str = "
name: booking
activities: [{ id: work, run: { sql: book, params: { name: x, amount: 1 } }, retry: none }]
";

#[tokio::test]
async fn a_branch_waits_for_a_worker_that_has_its_statement() {
    let fresh = Fresh::new().await;
    let config = InProcess::config(&fresh);
    let without = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
    execute(&without, TABLES).await;
    let document = BOOKING.replace("amount", "n");
    let hints = async |document: &str| {
        let reply = without.send(reqwest::Method::PUT, "/definitions/booking", None, document.into()).await;
        reply.body["hints"].clone()
    };
    assert_eq!(hints(&document).await, json!(["activity `work`: the statement `book` is not registered here"]));
    without.post("/instances", &json!({ "definition": "booking" })).await.ok(201);
    let passed_on = "leveret.instances WHERE status = 'running' AND ready";
    eventually("it is passed on", SOON, async || count(&without, passed_on).await == 1).await;

    let mut config = InProcess::config(&without.fresh);
    register(&mut config);
    let with = leveret::server::Server::start(config, Handlers::new(), &[Role::Worker]).await.unwrap();
    eventually("it is done", SOON, async || count(&without, "public.book").await == 1).await;
    assert!(with.stop().await);
    without.stop().await;
}

#[tokio::test]
async fn the_command_line_lists_registered_statements() {
    let fresh = Fresh::new().await;
    let command_line = CommandLine::on(&fresh);
    let (toml, document) =
        (command_line.directory().join("leveret.toml"), command_line.directory().join("booking.yaml"));
    let write = |text: &str| std::fs::write(&toml, text).unwrap();
    std::fs::write(document, BOOKING).unwrap();
    let book = "[statements.book]\nsql = \"INSERT INTO missing (name) VALUES (:name)\"\nparams = { name = \"text\" }\nrows_max = 7\n";
    write(book);
    let said = command_line.say("definition apply booking.yaml").await.good();
    assert!(said.contains("hint: activity `work`: statement `book`: `amount` is not a parameter of it"), "{said}");
    let shown = command_line.json("config show").await;
    assert_eq!(shown["statements"]["book"]["rows_max"], 7);
    let said = command_line.say("doctor").await.failed();
    assert!(said.contains("book: ") && said.contains("relation \"missing\" does not exist"), "{said}");

    write(&book.replace("INSERT INTO missing (name) VALUES (:name)", "SELECT :name"));
    let said = command_line.say("doctor").await;
    assert!(said.out.contains("1 checked, PostgreSQL can prepare each"), "{said:?}");
    // The role of the tests is named `leveret`, so that its path leads into our schema.
    write(&book.replace("INSERT INTO missing (name) VALUES (:name)", "UPDATE tasks SET title = :name"));
    let said = command_line.say("doctor").await.failed();
    assert!(said.contains("relation \"tasks\" does not exist"), "{said}");

    let command_line = CommandLine::on(&fresh);
    std::fs::write(
        command_line.directory().join("leveret.toml"),
        book.replace("INSERT INTO missing", "INSERT INTO leveret.tasks"),
    )
    .unwrap();
    let said = command_line.say("config show").await.failed();
    assert!(said.contains("`statements.book` is invalid: the schema `leveret` is not accessible"), "{said}");
}

#[tokio::test]
async fn the_example_takes_parts_and_reorders_low_stock() {
    let fresh = Fresh::new().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/statements");
    let config = folder.join("leveret.toml");
    let mut settings = Config::load(Some(&config)).unwrap();
    let place = InProcess::config(&fresh);
    (settings.database, settings.broker, settings.http) = (place.database, place.broker, place.http);
    let command_line = CommandLine::on(&fresh);
    let run = async |words: &str| {
        let mut arguments = vec!["--config", config.to_str().unwrap()];
        arguments.extend(words.split_whitespace());
        command_line.run(arguments).await
    };
    let tables = std::fs::read_to_string(folder.join("tables.sql")).unwrap();
    let process = InProcess::on(fresh, settings, Handlers::new(), Role::ALL).await;
    execute(&process, &tables).await;
    let applied = run(&format!("definition apply {}", folder.join("repair.yaml").display())).await.good();
    assert!(!applied.contains("hint"), "{applied}");
    run("doctor").await.good();
    let ends = async |input: Value| {
        process.post("/instances?wait=20s", &json!({ "definition": "repair", "input": input })).await.ok(201)
    };
    assert_eq!(
        ends(json!({ "parts": ["bolt", "nut"], "quantity": 20 })).await["output"],
        json!({ "taken": 2, "bought": ["nut"] })
    );
    assert_eq!(ends(json!({ "parts": ["spring"], "quantity": 6 })).await["error"]["code"], "sold_out");
    assert_eq!(ends(json!({ "parts": ["glue"] })).await["error"]["code"], "unknown_part");
    assert_eq!(count(&process, "workshop.purchases WHERE part = 'nut' AND quantity = 100").await, 1);
    assert_eq!(count(&process, "workshop.parts WHERE part = 'spring' AND stock = 5").await, 1);
    process.stop().await;
}

/// With the configured policy, which retries what may pass by itself.
#[tokio::test]
async fn what_cannot_pass_by_itself_is_not_tried_again() {
    let leveret = start().await;
    let write = "run: { sql: book, params: { name: a, n: 1 } }";
    leveret.apply(&format!("name: twice\nactivities:\n  - {{ id: a, {write} }}\n  - {{ id: b, {write} }}\n")).await;
    leveret.start("twice", "A").await;
    leveret.reaches("A", "suspended at b").await;
    let failed =
        leveret.lines("kind || ' ' || (details->>'code')", "leveret.history WHERE kind = 'ActivityFailed'").await;
    assert_eq!(failed, ["ActivityFailed database.unique"]);
    assert_eq!(leveret.count("leveret.history WHERE kind = 'ActivityRetryScheduled'").await, 0);
    leveret.stop().await;
}
