//! Numbers at every door and back: an integer stays an integer and a double a double, and what cannot be kept is refused.

use diesel_async::SimpleAsyncConnection;
use leveret::client::{Client, Error, sql};
use leveret::config::statement::StatementSource;
use leveret::contract::{Start, json as wire};
use leveret::definition::Definition;
use leveret::engine::InstanceId;
use leveret::handlers::{HandlerInput, HandlerResult, Handlers};
use leveret::roles::Role;
use leveret::store::{Connection, definitions, history};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CommandLine, Fresh, InProcess, Queues, SOON, Sender, eventually};

/// Numbers at the edges, each as a program may write it, and as Leveret writes it.
const EDGES: [(&str, &str); 18] = [
    ("0", "0"),
    ("-0", "0"),
    ("0.0", "0.0"),
    ("-0.0", "0.0"),
    ("7", "7"),
    ("7.0", "7.0"),
    ("1e2", "100.0"),
    ("-2.5", "-2.5"),
    ("0.1", "0.1"),
    ("1e-7", "1e-7"),
    ("5e-324", "5e-324"),
    ("9007199254740993", "9007199254740993"),
    ("1e16", "10000000000000000.0"),
    ("10000000000000000", "10000000000000000"),
    ("-1.5e19", "-15000000000000000000.0"),
    ("1.7976931348623157e308", ""),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"),
];

/// Numbers that would become others.
const UNFIT: [&str; 4] = ["9223372036854775808", "-9223372036854775809", "18446744073709551615", "1e400"];

const ROUND: &str = "
name: round
input: { type: object, properties: { n: {}, url: {} } }
variables: { stored: null, told: null, filled: null, selected: null, ran: null }
output: { input: '${ n }', stored: '${ stored }', told: '${ told }', filled: '${ filled }', selected: '${ selected }', ran: '${ ran }' }
activities:
  - { id: keep, set: { stored: n } }
  - { id: listen, receive: { name: told }, output: { told: result.data.n } }
  - { id: fill, task: { assignee: ann, data: { n: '${ n }' }, form: { type: object, properties: { n: {} } } }, output: { filled: result.form.n } }
  - { id: select, run: { sql: same, params: { n: '${ stored }' } }, output: { selected: 'result.rows[0].n' } }
  - { id: handle, run: { handler: same, input: { n: '${ stored }' } }, output: { ran: result.n } }
  - { id: tell, emit: { event: told, body: { n: '${ stored }' } } }
";

async fn start() -> InProcess {
    let fresh = Fresh::new().await;
    let mut config = InProcess::config(&fresh);
    let same =
        StatementSource { sql: "SELECT :n AS n".into(), params: [("n".into(), "json".into())].into(), rows_max: None };
    let typed = "SELECT * FROM (VALUES (7::float8, 7::numeric, 7::bigint, 7::float4, ARRAY[7, 0.5]::float8[], 7::public.price), \
                                    (0.5, 0.5, 8, 0.5, NULL, NULL)) AS row (f, n, i, f4, l, d)";
    let typed = StatementSource { sql: typed.into(), params: [].into(), rows_max: None };
    let large = "SELECT 9007199254740993::numeric AS total";
    let large = StatementSource { sql: large.into(), params: [].into(), rows_max: None };
    let written = "INSERT INTO public.priced SELECT generate_series(1, 2) RETURNING at, at AS again";
    let written = StatementSource { sql: written.into(), params: [].into(), rows_max: None };
    let all = [("same", same), ("typed", typed), ("large", large), ("written", written)];
    config.statements.extend(all.map(|(name, source)| (name.to_owned(), source)));
    let handlers = Handlers::new().register("same", echo).register("large", large_number);
    let leveret = InProcess::on(fresh, config, handlers, Role::ALL).await;
    leveret.execute("CREATE DOMAIN public.price AS numeric CHECK (VALUE > 0)").await;
    leveret.execute("CREATE TABLE public.priced (at public.price)").await;
    leveret
}

async fn echo(_: &mut Connection, input: HandlerInput) -> HandlerResult {
    Ok(input.input)
}

async fn large_number(_: &mut Connection, _: HandlerInput) -> HandlerResult {
    Ok(json!([1, u64::MAX]))
}

/// A body whose numbers are spelt as they are.
fn with(number: &str, body: &str) -> String {
    body.replace("NUMBER", number)
}

/// The event `told` of an instance as it was published, once it is.
async fn told(queues: &Queues, of: InstanceId) -> String {
    let mut found = None;
    eventually("the event is published", SOON, async || {
        let mut events = queues.take_whole_events().await.into_iter();
        let event = events.find(|(event, _)| event.kind.ends_with("told") && event.subject == of.to_string());
        found = found.take().or(event.map(|(_, whole)| whole));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_the_same_after_every_door_and_the_store() {
    let leveret = start().await;
    let queues = leveret.queues().await;
    leveret.apply(ROUND).await;
    for (at, (spelt, written)) in EDGES.iter().enumerate() {
        let key = format!("n-{at}");
        let number = wire::read(spelt.as_bytes()).unwrap();
        if !written.is_empty() {
            assert_eq!(wire::text(&number), *written);
        }
        let body = with(spelt, &format!(r#"{{"definition": "round", "key": "{key}", "input": {{"n": NUMBER}}}}"#));
        leveret.send(Method::POST, "/instances", None, body).await.ok(201);
        leveret.reaches(&key, "running at listen").await;
        let body = with(spelt, &format!(r#"{{"name": "told", "key": "{key}", "data": {{"n": NUMBER}}}}"#));
        let properties = Sender::properties("message", &key);
        leveret.sender.send("commands", "message.told", properties, body.as_bytes()).await;
        leveret.reaches(&key, "running at fill").await;
        let task = leveret.get("/tasks?user=ann").await.ok(200)["items"][0]["id"].as_str().unwrap().to_owned();
        let shown = leveret.get(&format!("/tasks/{task}")).await.ok(200);
        assert_eq!(wire::text(&shown["data"]["n"]), wire::text(&number), "{spelt} in a task");
        let form = with(spelt, r#"{"user": "ann", "form": {"n": NUMBER}}"#);
        leveret.send(Method::POST, &format!("/tasks/{task}/complete"), None, form).await.ok(200);
        leveret.reaches(&key, "completed").await;
        let id = leveret.id(&key).await.unwrap();
        let instance = leveret.get(&format!("/instances/{id}")).await.ok(200);
        for (place, value) in instance["output"].as_object().unwrap() {
            assert_eq!(wire::text(value), wire::text(&number), "{spelt} as {place}");
        }
        assert_eq!(wire::text(&instance["input"]["n"]), wire::text(&number), "{spelt} as the input");
        let event = told(&queues, id).await;
        assert!(event.contains(&format!("{{\"n\":{}}}", wire::text(&number))), "{spelt} in an event: {event}");
        let mut conn = leveret.conn().await;
        history::verify(&mut conn, id).await.unwrap();
        let rows = history::list(&mut conn, id, 0, 100).await.unwrap();
        let assigned = rows.iter().find_map(|row| row.details.as_ref()?["assigned"].get("stored").cloned());
        assert_eq!(wire::text(&assigned.unwrap()), wire::text(&number), "{spelt} in the history");
    }
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_a_schedule_keep_their_numbers() {
    let leveret = start().await;
    leveret.apply(ROUND).await;
    for (at, (spelt, _)) in EDGES.iter().enumerate() {
        // A document is YAML, where -0 is an integer as well.
        let text = with(spelt, "name: constant\nvariables: { v: NUMBER }\nactivities: [{ id: a, set: { v: v } }]");
        let parsed = Definition::parse(&text).unwrap();
        let mut conn = leveret.conn().await;
        let applied = definitions::apply(&mut conn, &parsed).await.unwrap();
        let stored = definitions::find(&mut conn, "constant", Some(applied.version)).await.unwrap().unwrap();
        let number = wire::read(spelt.as_bytes()).unwrap();
        assert_eq!(wire::text(&stored.content["variables"]["v"]), wire::text(&number), "{spelt}");
        let again = Definition::parse(&stored.content.to_string()).unwrap();
        assert_eq!(again.hash, parsed.hash, "{spelt}");
        assert!(!definitions::apply(&mut conn, &again).await.unwrap().changed, "{spelt}");
        let name = format!("/schedules/at-{at}");
        let body = with(spelt, r#"{"definition": "round", "cron": "0 0 1 1 *", "input": {"n": NUMBER}}"#);
        leveret.send(Method::PUT, &name, None, body.clone()).await.ok(201);
        let shown = leveret.get(&name).await.ok(200);
        assert_eq!(wire::text(&shown["input"]["n"]), wire::text(&number), "{spelt}");
        leveret.send(Method::PUT, &name, None, body).await.ok(200);
        assert_eq!(leveret.get(&name).await.ok(200)["revision"], shown["revision"], "{spelt}: nothing changed");
    }
    let versions = leveret.count("leveret.definitions WHERE name = 'constant'").await;
    // -0 is 0, and -0.0 is 0.0, which are documents of their own each time they follow another one.
    assert_eq!(versions, 16);
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_from_sql_is_what_jsonb_keeps_of_it() {
    let leveret = start().await;
    leveret.apply("name: told\ninput: { type: object, properties: { n: {} } }\noutput: '${ n }'\nactivities: [{ id: a, set: {} }]").await;
    let kept = [
        ("7", "7"),
        ("7.0", "7.0"),
        ("9223372036854775807", "9223372036854775807"),
        // `jsonb` has no exponents.
        ("1e16", "10000000000000000"),
        ("10000000000000000000.0", "10000000000000000000.0"),
    ];
    for (at, (spelt, expected)) in kept.into_iter().enumerate() {
        let key = format!("n-{at}");
        leveret.execute(&format!("SELECT leveret.start('told', '{{\"n\": {spelt}}}', key => '{key}')")).await;
        leveret.reaches(&key, "completed").await;
        let id = leveret.id(&key).await.unwrap();
        let output = leveret.get(&format!("/instances/{id}")).await.ok(200)["output"].clone();
        assert_eq!(wire::text(&output), expected, "{spelt}");
    }
    let mut conn = leveret.conn().await;
    for number in UNFIT.into_iter().chain(["1e19", "-1e400", "1797693134862315807e290"]) {
        for call in ["start('told', BODY)", "message('paid', 'k', BODY)", "broadcast('paid', 'k', BODY)"] {
            let body = format!("'{{\"a\": [\"1e400\", {{\"n\": {number}}}]}}'");
            let error =
                conn.batch_execute(&format!("SELECT leveret.{}", call.replace("BODY", &body))).await.unwrap_err();
            assert!(error.to_string().contains("send it as text"), "{call} of {number}: {error}");
        }
    }
    conn.batch_execute("SELECT leveret.message('paid', 'k', '{\"a\": \"12345678901234567890123\", \"b\": 1.5, \"c\": 12345678901234567.25}')")
        .await
        .unwrap();
    drop(conn);
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_cannot_be_kept_is_refused_at_every_door() {
    let leveret = start().await;
    leveret.apply(ROUND).await;
    leveret.start("round", "open").await;
    leveret.reaches("open", "running at listen").await;
    let told = json!({"name": "told", "key": "open", "data": {"n": 1}});
    leveret.post("/messages", &told).await.ok(200);
    leveret.reaches("open", "running at fill").await;
    let task = leveret.get("/tasks?user=ann").await.ok(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let before = leveret.count("leveret.instances").await;
    let command_line = CommandLine::on(&leveret.fresh);
    for (at, number) in UNFIT.into_iter().enumerate() {
        for (method, path, body) in [
            (Method::POST, "/instances".to_owned(), r#"{"definition": "round", "input": {"n": NUMBER}}"#),
            (Method::POST, "/messages".to_owned(), r#"{"name": "told", "key": "x", "data": [NUMBER]}"#),
            (Method::POST, format!("/tasks/{task}/complete"), r#"{"user": "ann", "form": {"n": NUMBER}}"#),
            (
                Method::PUT,
                "/schedules/s".to_owned(),
                r#"{"definition": "round", "cron": "0 0 1 1 *", "input": {"n": NUMBER}}"#,
            ),
        ] {
            let said = leveret.send(method, &path, None, with(number, body)).await.problem(400, "invalid");
            assert!(said.contains(number) && said.contains("send it as text"), "{path}: {said}");
        }
        let document = with(number, "name: constant\nvariables: { v: NUMBER }\nactivities: [{ id: a, set: { v: 1 } }]");
        let problems = Definition::parse(&document).unwrap_err();
        assert!(
            problems[0].message.contains(number) && problems[0].hint.as_deref().unwrap().contains("quote"),
            "{problems:?}"
        );
        let message_id = format!("unfit-{at}");
        let body = with(number, r#"{"definition": "round", "input": {"n": NUMBER}}"#);
        leveret.sender.send("commands", "start.round", Sender::properties("start", &message_id), body.as_bytes()).await;
        leveret.count_becomes(1, &format!("leveret.dead_letters WHERE message_id = '{message_id}'")).await;
        let reason =
            &leveret.lines("reason", &format!("leveret.dead_letters WHERE message_id = '{message_id}'")).await[0];
        assert!(reason.contains(number) && reason.contains("send it as text"), "{reason}");
        let input = with(number, r#"{"n": NUMBER}"#);
        for words in [
            vec!["instance", "start", "round", "--input", &input],
            vec!["message", "send", "told", "x", "--data", &input],
            vec!["schedule", "create", "s", "round", "--cron", "0 0 1 1 *", "--input", &input],
        ] {
            let said = command_line.run(&words).await.failed();
            assert!(said.contains(number) && said.contains("send it as text"), "{words:?}: {said}");
        }
    }
    let client = Client::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix, "shop").await.unwrap();
    let start = Start { definition: "round".into(), input: json!({ "n": u64::MAX }), ..Start::default() };
    let refused = client.start("unfit", &start).await.unwrap_err();
    assert!(matches!(refused, Error::Number(_)) && refused.to_string().contains("send it as text"), "{refused}");
    client.close().await;
    let mut conn = leveret.conn().await;
    let command = sql::start("round").input(json!({ "n": u64::MAX }));
    let refused = diesel_async::RunQueryDsl::execute(command, &mut *conn).await.unwrap_err();
    assert!(refused.to_string().contains("send it as text"), "{refused}");
    drop(conn);
    assert_eq!(leveret.count("leveret.instances").await, before);
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_that_a_rust_service_sends_in_its_transaction_stays_one() {
    let leveret = start().await;
    leveret.apply("name: told\ninput: { type: object, properties: { n: {} } }\noutput: '${ n }'\nactivities: [{ id: a, set: {} }]").await;
    let mut conn = leveret.conn().await;
    diesel_async::RunQueryDsl::execute(
        sql::start("told").key("A").input(json!({ "n": [1e16, 7.0, 7, -0.0] })),
        &mut *conn,
    )
    .await
    .unwrap();
    drop(conn);
    leveret.reaches("A", "completed").await;
    let id = leveret.id("A").await.unwrap();
    let output = leveret.get(&format!("/instances/{id}")).await.ok(200)["output"].clone();
    assert_eq!(wire::text(&output), "[10000000000000000.0,7.0,7,0.0]");
    leveret.close().await;
}

/// Runs one activity, and gives its result or its error.
async fn result(leveret: &InProcess, run: Value) -> Value {
    let document = json!({
        "name": "one", "variables": { "got": null }, "output": "${ got }",
        "activities": [{
            "id": "a", "run": run, "retry": "none", "output": { "got": "result" },
            "on_error": [{ "output": { "got": "error.code + ': ' + error.message" } }],
        }],
    });
    leveret.apply(&document.to_string()).await;
    leveret.post("/instances?wait=20s", &json!({ "definition": "one" })).await.ok(201)["output"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_doubles_has_doubles_in_every_row() {
    let leveret = start().await;
    let rows = result(&leveret, json!({ "sql": "typed" })).await["rows"].clone();
    assert_eq!(
        wire::text(&rows),
        r#"[{"d":7.0,"f":7.0,"f4":7.0,"i":7,"l":[7.0,0.5],"n":7.0},{"d":null,"f":0.5,"f4":0.5,"i":8,"l":null,"n":0.5}]"#
    );
    let rows = result(&leveret, json!({ "sql": "written" })).await["rows"].clone();
    assert_eq!(wire::text(&rows), r#"[{"again":1.0,"at":1.0},{"again":2.0,"at":2.0}]"#);
    assert_eq!(leveret.count("public.priced").await, 2);
    let said = result(&leveret, json!({ "sql": "large" })).await;
    let said = said.as_str().unwrap();
    assert!(
        said.starts_with("statement.result: ") && said.contains("9007199254740993") && said.contains("total::text"),
        "{said}"
    );
    let said = result(&leveret, json!({ "handler": "large" })).await;
    let said = said.as_str().unwrap();
    assert!(said.starts_with("handler.result: ") && said.contains("`/1`") && said.contains("as text"), "{said}");
    leveret.close().await;
}
