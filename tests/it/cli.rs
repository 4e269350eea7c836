//! The command line as processes: every noun, its exit codes, and what programs may rely on in its output.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use leveret::client::Client;
use leveret::contract::{Start, Target};
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::sandbox::{Profile, Sandbox};
use leveret::store::Connection;
use serde_json::{Value, json};

use crate::support::{CommandLine, Fresh, InProcess, Program, SOON, eventually, finish, shared};

/// The grace period of a clean stop and a little more.
const STOPS_WITHIN: Duration = Duration::from_secs(35);

/// Waits for a message.
const WAITING: &str = "
name: waiting
variables: { got: null }
output: { got: '${ got }' }
activities:
  - { id: payment, receive: { name: paid }, output: { got: result.data } }
";
/// Ends as a failure.
const REFUSING: &str = "
name: refusing
activities:
  - { id: no, end: { outcome: failed, error: { code: shown.no, message: not today } } }
";

/// Writes a file where the command runs.
fn file(leveret: &CommandLine, name: &str, text: &str) -> String {
    std::fs::write(leveret.directory().join(name), text).unwrap();
    name.to_owned()
}

fn id(text: &str) -> String {
    let id = text.trim().to_owned();
    assert!(id.parse::<uuid::Uuid>().is_ok(), "no id: {text}");
    id
}

async fn has_status(leveret: &CommandLine, id: &str, status: &str) {
    let there = async || leveret.json(&format!("instance show {id}")).await["status"] == status;
    eventually(status, SOON, there).await;
}

#[tokio::test]
async fn check_reports_every_problem_with_its_place_and_a_hint() {
    let leveret = CommandLine::nowhere();
    let wrong = "name: broken\nvariables: { total: 0 }\nactivities:\n  - { id: a, set: { totl: 1 }, next: nowhere }\n  - { id: b, fly: x }\n";
    file(&leveret, "wrong.yaml", wrong);
    file(&leveret, "right.yaml", WAITING);
    let said = leveret.say("definition check wrong.yaml right.yaml").await.failed();
    for part in
        ["error: wrong.yaml:4:", "error: wrong.yaml:5:", "`totl`", "did you mean `total`?", "`nowhere`", "`fly`"]
    {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(said.contains("1 of 2 documents are invalid") && !said.contains("right.yaml:"), "{said}");

    let ran = leveret.say("definition check wrong.yaml -o json").await;
    assert_eq!(ran.code, 1);
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    let problems = all[0]["problems"].as_array().unwrap();
    assert!(problems.len() >= 3 && problems.iter().all(|one| one["line"].as_u64() > Some(3)), "{all}");

    let said = leveret.say("definition check right.yaml").await.good();
    assert!(said.contains("1 of 1 documents are valid"), "{said}");
    let said = leveret.say("definition check nothing.yaml").await.failed();
    assert!(said.contains("error: nothing.yaml cannot be read: No such file"), "{said}");
    assert_eq!(leveret.say("definition check").await.code, 2, "wrong usage");
    let schema: Value = serde_json::from_str(&leveret.say("definition schema").await.good()).unwrap();
    assert_eq!(schema, serde_json::from_str::<Value>(include_str!("../../docs/definition.schema.json")).unwrap());
    assert_eq!(leveret.say("definition fly").await.code, 2);
}

#[tokio::test]
async fn definitions_are_applied_listed_and_shown() {
    let fresh = Fresh::new().await;
    let leveret = CommandLine::on(&fresh);
    assert!(leveret.say("definition list").await.good().contains("no definitions yet"));
    file(&leveret, "a.yaml", WAITING);
    assert_eq!(leveret.say("definition apply a.yaml").await.good(), "waiting version 1 applied\n");
    assert_eq!(leveret.say("definition apply a.yaml").await.good(), "waiting version 1 unchanged\n");
    file(&leveret, "a.yaml", &WAITING.replace("got: null", "got: 1"));
    let applied = leveret.json("definition apply a.yaml").await;
    assert_eq!(applied, json!([{ "hints": [], "warnings": [], "name": "waiting", "version": 2, "changed": true }]));
    file(&leveret, "b.yaml", "name: b\nactivities: [{ id: a, fly: x }]\n");
    let said = leveret.say("definition apply b.yaml").await.failed();
    assert!(said.contains("error: b.yaml:2:") && said.contains("was not applied"), "{said}");

    let shown = leveret.json("definition show waiting --version 1").await;
    assert_eq!((&shown["version"], &shown["content"]["variables"]["got"]), (&json!(1), &Value::Null));
    assert_eq!(leveret.json("definition show waiting").await["version"], 2);
    assert!(leveret.say("definition show waiting").await.good().starts_with("waiting version 2 (active), hash "));
    let said = leveret.say("definition show nobody").await.failed();
    assert!(said.contains("error: there is no definition `nobody`"), "{said}");
    assert_eq!(leveret.json("definition list").await["items"][0]["name"], "waiting");
    assert!(leveret.say("definition list").await.good().contains("waiting"));

    file(
        &leveret,
        "c.yaml",
        "name: c\ninput: { properties: { k: { type: string } } }\nactivities: [{ id: a, http: { url: \"${ env.NOPE }/x\", \
         headers: { A: \"${ secrets.NOPE }\", K: k, B: \"${ env.?MAYBE }\" } } }]\n",
    );
    let said = leveret.say("definition apply c.yaml").await.good();
    for told in [
        "warning: c.yaml:3:",
        "`k` is a string here, not an expression",
        "hint: `env.NOPE` is read, but `expressions.env` in the settings here does not list it",
        "hint: `secrets.NOPE` is read, but `secrets.names` in the settings here does not list it",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
    assert!(!said.contains("`env.MAYBE`"), "{said}");
}

#[tokio::test]
async fn an_instance_is_started_shown_watched_paid_and_cancelled() {
    let server = InProcess::new().await;
    for document in [WAITING, REFUSING] {
        server.apply(document).await;
    }
    server.apply_example("line").await;
    let leveret = CommandLine::on(&server.fresh);

    let first = id(&leveret.say("instance start waiting --key A --as ann").await.good());
    let waits = async || leveret.json(&format!("instance show {first}")).await["waits"] != json!([]);
    eventually("it waits", SOON, waits).await;
    let shown = leveret.say(&format!("instance show {first}")).await.good();
    for part in ["waiting version 1", "running", "message `paid` for key `A`"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let said = leveret.say("instance start waiting --key A").await.failed();
    assert!(said.contains("a live instance of `waiting` has the key `A`"), "{said}");

    // Followed from before the payment until the end.
    let (watch, pay) =
        (format!("instance watch {first}"), ["message", "send", "paid", "A", "--data", r#"{"amount": 7}"#]);
    let (watched, paid) = tokio::join!(leveret.say(&watch), leveret.run(pay));
    assert_eq!(paid.good(), format!("delivered to {first}\n"));
    let watched = watched.good();
    assert!(watched.contains("InstanceStarted") && watched.trim_end().ends_with("InstanceCompleted"), "{watched}");
    assert_eq!(leveret.json("message send paid B --data 1").await, json!({ "outcome": "kept", "instance": null }));
    assert_eq!(leveret.json(&format!("instance show {first}")).await["output"], json!({ "got": { "amount": 7 } }));
    let told = leveret.say(&format!("instance history {first}")).await.good();
    assert_eq!(told, watched, "the same, afterwards");
    let told = leveret.json(&format!("instance history {first}")).await;
    assert_eq!((&told[0]["number"], &told[0]["details"]["by"]), (&json!(1), &json!("ann")));

    // Line by line, for programs.
    let lines = leveret.say("instance start line --watch -o json").await.good();
    let kinds: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds.last(), Some(&json!("InstanceCompleted")));
    assert_eq!(leveret.say("instance start refusing --watch").await.code, 1, "it did not complete");

    let other = id(&leveret.say("instance start waiting --key C").await.good());
    let cancelled = leveret.json(&format!("instance cancel {other} --reason obsolete")).await;
    assert_eq!(cancelled, json!({ "id": other, "status": "cancelled" }));
    let said = leveret.say(&format!("instance cancel {other}")).await.failed();
    assert!(said.starts_with("error: "), "{said}");
    let said = leveret.say(&format!("instance retry {other}")).await.failed();
    assert!(said.starts_with("error: "), "{said}");
    assert_eq!(leveret.say(&format!("instance watch {other}")).await.code, 1);

    let listed = leveret.json("instance list --definition waiting --status cancelled").await;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["id"]), (1, &json!(other)));
    assert_eq!(leveret.json("instance list --key A").await["items"][0]["id"], json!(first));
    let said = leveret.say("instance list --limit 1").await.good();
    assert!(said.contains("there are more than 1"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn errors_name_the_next_step() {
    let nowhere = CommandLine::nowhere();
    for words in ["instance list", "definition list", "dead-letter list", "migrate", "message send a b"] {
        let said = nowhere.say(words).await.failed();
        assert!(said.contains("no database is configured: set DATABASE_URL"), "{words}: {said}");
    }
    let said = nowhere.say("serve").await.failed();
    assert!(said.contains("DATABASE_URL and AMQP_URL"), "{said}");
    let ran = nowhere.say("serve --roles worker,cook").await;
    assert!(ran.code == 2 && ran.err.contains("the roles are worker, relay, timers,"), "{ran:?}");

    let fresh = Fresh::new().await;
    let leveret = CommandLine::on(&fresh);
    let nobody = "0197e000-0000-7000-8000-000000000000";
    for verb in ["show", "history", "watch", "cancel", "retry"] {
        let said = leveret.say(&format!("instance {verb} {nobody}")).await.failed();
        assert!(said.contains(&format!("there is no instance {nobody}")), "{verb}: {said}");
    }
    assert_eq!(leveret.say("instance show 17").await.code, 2);
    let said = leveret.say("instance start nobody").await.failed();
    assert!(said.contains("there is no active definition `nobody`"), "{said}");
    let said = leveret.say("instance start nobody --input {a").await.failed();
    assert!(said.contains("--input is not JSON"), "{said}");
    let said = leveret.run(["message", "send", "a", "b", "--data", r#""\u0000""#]).await.failed();
    assert!(said.contains("\\u0000"), "{said}");
    let said = leveret.say("instance list --status happy").await.failed();
    assert!(said.contains("`happy` is not a status: use running, suspended"), "{said}");
    let said = leveret.say("dead-letter show 17").await.failed();
    assert!(said.contains("there is no dead letter 17"), "{said}");

    let away = CommandLine::nowhere().with("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/db");
    let said = away.say("instance list").await.failed();
    assert!(said.starts_with("error: ") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_reason_and_shown_with_their_body() {
    let server = InProcess::new().await;
    let leveret = CommandLine::on(&server.fresh);
    assert_eq!(leveret.say("dead-letter list").await.good(), "no dead letters\n");
    let client = Client::connect(&server.fresh.amqp_url, &server.fresh.prefix, "shop").await.unwrap();
    let start = Start { definition: "odrer".into(), key: Some("\u{1b}[31mred".into()), ..Start::default() };
    client.start("one", &start).await.unwrap();
    client.close().await;
    let filed = async || leveret.json("dead-letter list").await["items"] != json!([]);
    eventually("it is filed", SOON, filed).await;
    let said = leveret.say("dead-letter list").await.good();
    assert!(said.contains("shop one") && said.contains("`odrer`"), "{said}");
    let letters = leveret.json("dead-letter list").await["items"].clone();
    let shown = leveret.json(&format!("dead-letter show {}", letters[0]["id"])).await;
    assert!(shown["body"].as_str().unwrap().contains("odrer") && letters[0].get("body").is_none(), "{shown}");
    server.stop().await;
}

#[tokio::test]
async fn the_schema_is_brought_up_to_date_once_and_a_newer_one_is_refused() {
    let sandbox = shared();
    let name = format!("m{:016x}", fastrand::u64(..));
    let url = sandbox.create_database(&name, None).unwrap();
    let leveret = CommandLine::nowhere().with("DATABASE_URL", &url).with("AMQP_URL", &sandbox.amqp_url);
    let said = leveret.say("migrate --check").await.failed();
    assert!(said.contains("migrations are missing") && said.contains("run `leveret migrate`"), "{said}");
    let said = leveret.say("serve").await.failed();
    assert!(said.contains("migrations are missing"), "{said}");
    let (one, other) = tokio::join!(leveret.say("migrate"), leveret.say("migrate"));
    let mut said = [one.good(), other.good()];
    said.sort();
    assert!(said[0].starts_with("applied ") && said[1] == "the schema is up to date\n", "{said:?}");
    assert_eq!(leveret.say("migrate --check").await.good(), "the schema matches this binary\n");

    let mut conn = Connection::establish(&url).await.unwrap();
    let newer = "INSERT INTO leveret.__diesel_schema_migrations (version) VALUES ('29990101000000')";
    conn.batch_execute(newer).await.unwrap();
    drop(conn);
    for words in ["migrate --check", "migrate", "serve"] {
        let said = leveret.say(words).await.failed();
        assert!(said.contains("29990101000000") && said.contains("use a newer one"), "{words}: {said}");
    }
    sandbox.drop_database(&name).unwrap();
}

#[tokio::test]
async fn every_noun_uses_the_private_servers_of_its_directory() {
    let Ok(Some(_)) = Sandbox::status(shared().directory()) else {
        eprintln!("skipped: the servers are not private ones");
        return;
    };
    let leveret = CommandLine::nowhere();
    let place = Profile::Durable.directory(leveret.directory());
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(shared().directory(), &place).unwrap();
    // Whatever they say of that database: they have found it.
    for words in ["migrate --check", "definition list", "doctor"] {
        let ran = leveret.say(words).await;
        let said = ran.out + &ran.err;
        assert!(!said.contains("configured") && !said.contains("must begin with postgres"), "{words}: {said}");
    }
    std::fs::remove_file(&place).unwrap();
}

#[tokio::test]
async fn the_doctor_reports_each_check_as_passed_or_failed() {
    let server = InProcess::new().await;
    let fresh = &server.fresh;
    let well = CommandLine::on(fresh).json("doctor").await;
    let all = well.as_array().unwrap();
    assert!(all.len() >= 7 && all.iter().all(|one| one["good"] == true), "{well}");
    let names: std::collections::BTreeSet<&str> = all.iter().filter_map(|one| one["what"].as_str()).collect();
    assert_eq!(names.len(), all.len(), "each check once: {well}");

    // Nothing is declared under this prefix, and the doctor declares nothing.
    let elsewhere = format!("{}-not-here", fresh.prefix);
    for _ in 0..2 {
        let said = CommandLine::on(fresh).with("LEVERET_BROKER__PREFIX", &elsewhere).say("doctor").await.good();
        assert!(!said.contains('✗') && said.contains("none is declared yet"), "{said}");
    }
    // A queue from the settings, which no worker has declared yet.
    let said = CommandLine::on(fresh).with("LEVERET_WORKER__QUEUES", "default,slow").say("doctor").await.good();
    assert!(said.contains(&format!("{}.steps.slow", fresh.prefix)) && !said.contains("steps.default"), "{said}");
    server.stop().await;

    let ill = CommandLine::nowhere()
        .with("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/db")
        .with("AMQP_URL", "amqp://me:hunter2@127.0.0.1:1/%2f");
    let ran = ill.say("doctor -o json").await;
    assert_eq!(ran.code, 1);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    for what in ["schema", "database", "broker"] {
        let finding = found.as_array().unwrap().iter().find(|one| one["what"] == what);
        assert_eq!(finding.unwrap_or_else(|| panic!("nothing of the {what}: {found}"))["good"], false);
    }
    assert!(!(ran.out + &ran.err).contains("hunter2"));

    let said = CommandLine::nowhere().say("doctor").await.failed();
    assert!(said.contains("DATABASE_URL") && said.contains("leveret sandbox start"), "{said}");
}

#[tokio::test]
async fn settings_are_shown_without_passwords_and_a_wrong_one_is_named() {
    let nothing = CommandLine::nowhere().json("config show").await;
    assert_eq!((&nothing["database"]["url"], &nothing["broker"]["url"]), (&Value::Null, &Value::Null));
    let leveret = CommandLine::nowhere()
        .with("DATABASE_URL", "postgres://me:hunter2@db/x")
        .with("LEVERET_BROKER__URL", "amqp://me:hunter2@mq:5672/%2f")
        .with("LEVERET_WORKER__QUEUES", "default,slow");
    file(&leveret, "leveret.toml", "[worker]\nconcurrency = 3\n[recovery]\nafter = \"5s\"\n");
    let shown = leveret.json("config show").await;
    assert_eq!((&shown["worker"]["concurrency"], &shown["recovery"]["after"]), (&json!(3), &json!("5s")));
    assert_eq!(shown["worker"]["queues"], json!(["default", "slow"]));
    let text = shown.to_string();
    assert!(text.contains("@db/x") && text.contains("@mq:5672") && !text.contains("hunter2"), "{text}");

    file(&leveret, "other.toml", "[worker]\nconcurency = 3\n");
    for words in ["config show --config other.toml", "--config other.toml instance list"] {
        let said = leveret.say(words).await.failed();
        assert!(said.contains("concurency") && said.contains("did you mean `concurrency`?"), "{said}");
    }
    let wrong = [
        ("LEVERET_WORKER__STEPS_PER_DELIVERY_MX", "4", "did you mean `steps_per_delivery_max`?"),
        ("LEVERET_TIMEOUTS__DATABASE", "51s", "`timeouts.database` must be at most 50s"),
        ("LEVERET_HTTP__LISTEN", "0.0.0.0:80", "loopback"),
        ("LEVERET_RECOVERY__AFTER", "soon", "recovery.after"),
    ];
    for (name, value, why) in wrong {
        let said = CommandLine::nowhere().with(name, value).say("config show").await.failed();
        assert!(said.contains(why), "{name}: {said}");
    }
    let said = leveret.say("config show --config nothing.toml").await.failed();
    assert!(said.contains("nothing.toml"), "{said}");
}

/// Fails for good as long as it is broken.
const FRAGILE: &str = "
name: fragile
activities:
  - { id: work, run: { handler: work }, retry: { attempts: 1 } }
";

#[tokio::test]
async fn incidents_are_listed_and_retried_or_cancelled_through_every_interface() {
    let broken = Arc::new(AtomicBool::new(true));
    let seen = broken.clone();
    let work = move |_: &mut Connection, _: HandlerInput| -> std::future::Ready<HandlerResult> {
        let broken = seen.load(Ordering::SeqCst);
        std::future::ready(if broken { Err(Error::new("broken", "it is broken")) } else { Ok(json!("done")) })
    };
    let server = InProcess::with_handlers(Handlers::new().register("work", work)).await;
    server.apply(FRAGILE).await;
    let leveret = CommandLine::on(&server.fresh);
    let client = Client::connect(&server.fresh.amqp_url, &server.fresh.prefix, "shop").await.unwrap();
    let mut ids = Vec::new();
    for number in 0..6 {
        let started = server.post("/instances", &json!({ "definition": "fragile", "key": format!("K{number}") })).await;
        ids.push(started.ok(201)["id"].as_str().unwrap().to_owned());
    }
    let suspended =
        async || leveret.json("instance list --status suspended").await["items"].as_array().unwrap().len() == 6;
    eventually("all are suspended", SOON, suspended).await;
    let listed = leveret.say("instance list --status suspended").await.good();
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    let shown = leveret.json(&format!("instance show {}", ids[0])).await;
    assert_eq!(
        (&shown["error"]["code"], &shown["waits"][0]["kind"]),
        (&json!("handler.broken"), &json!("intervention"))
    );

    let target = |id: &str| Target { instance: id.parse().ok(), reason: Some("seen".into()), ..Target::default() };
    leveret.say(&format!("instance cancel {} --reason seen", ids[0])).await.good();
    server.post(&format!("/instances/{}/cancel", ids[1]), &json!({ "reason": "seen" })).await.ok(200);
    client.cancel("cancel", &target(&ids[2])).await.unwrap();
    broken.store(false, Ordering::SeqCst);
    leveret.say(&format!("instance retry {} --reason seen", ids[3])).await.good();
    server.post(&format!("/instances/{}/retry", ids[4]), &json!({ "reason": "seen" })).await.ok(200);
    client.retry("retry", &target(&ids[5])).await.unwrap();

    let ends = [("cancelled", "InstanceCancelled"), ("completed", "IncidentRetried")];
    let senders = ["leveret.cli", "leveret.http", "shop"];
    for (at, id) in ids.iter().enumerate() {
        let ((status, kind), sender) = (ends[at / 3], senders[at % 3]);
        has_status(&leveret, id, status).await;
        let history = leveret.json(&format!("instance history {id}")).await;
        let entry = history.as_array().unwrap().iter().find(|entry| entry["kind"] == kind);
        assert_eq!(entry.unwrap()["details"], json!({ "by": sender, "reason": "seen" }), "{id}");
    }
    assert_eq!(leveret.json("instance list --status suspended").await, json!({ "items": [] }));
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn roles_split_over_four_processes_bring_an_order_to_its_end_and_stop_in_order() {
    let fresh = Fresh::new().await;
    let roles = ["worker", "relay", "timers", "api"];
    let mut processes: Vec<Program> =
        roles.iter().map(|role| Program::start(&fresh, &["serve", "--roles", role], &[])).collect();
    let orders = CommandLine::orders_on(&fresh);
    let example = format!("{}/examples/order.yaml", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(orders.run(["definition", "apply", &example]).await.good(), "order version 1 applied\n");

    let addresses = futures_util::future::join_all(processes.iter().map(Program::serves)).await;
    assert!(addresses[..3].iter().all(Option::is_none), "only the api listens");
    let api = format!("http://{}", addresses[3].clone().expect("the api listens"));

    let http = reqwest::Client::new();
    let order = json!({ "order_id": "A-17", "article": "lamp", "quantity": 1, "amount": 4900, "patience": "1m" });
    let start = json!({ "definition": "order", "key": "A-17", "input": order });
    let started = http.post(format!("{api}/api/v1/instances")).json(&start).send().await.unwrap();
    let started: Value = started.json().await.unwrap();
    let id = started["id"].as_str().unwrap();
    // From a process that publishes nothing: the relay finds it.
    orders.run(["message", "send", "paid", "A-17", "--data", r#"{"amount": 4900}"#]).await.good();
    orders.say(&format!("instance watch {id}")).await.good();
    assert_eq!(orders.json(&format!("instance show {id}")).await["output"]["outcome"], "shipped");
    // Only a process with the role `timers` notices a missing payment.
    let order = r#"{"order_id":"A-18","article":"rug","quantity":1,"amount":1,"patience":"300ms"}"#;
    orders.run(["instance", "start", "order", "--key", "A-18", "--watch", "--input", order]).await.good();

    for process in &processes {
        process.terminate();
    }
    for (process, role) in processes.iter_mut().zip(roles) {
        let status = process.wait_within(STOPS_WITHIN).await;
        assert_eq!(status.code(), Some(0), "{role}: {}", process.output());
        assert!(!process.output().contains('\u{1b}'), "colours, but not for a terminal: {}", process.output());
    }
}

/// The command line has the same limits as the other interfaces.
#[tokio::test]
async fn names_and_limits_are_bounded_and_output_may_be_cut_off() {
    let leveret = CommandLine::nowhere();
    let long = "k".repeat(256);
    for words in [
        vec!["instance", "start", "x", "--key", ""],
        vec!["instance", "start", "x", "--key", &long],
        vec!["message", "send", "", "key"],
        vec!["message", "send", "paid", &long],
        vec!["task", "claim", "2d726b8a-e1d9-5e9a-8afe-8ad6ae145452", "--as", ""],
        vec!["instance", "list", "--limit", "0"],
        vec!["task", "list", "--limit", "501"],
    ] {
        assert_eq!(leveret.run(words.clone()).await.code, 2, "{words:?}");
    }
    let program = env!("CARGO_BIN_EXE_leveret");
    let heard = finish(tokio::process::Command::new("sh").arg("-c").arg(format!("{program} asyncapi | head -1"))).await;
    assert_eq!((heard.out.as_str(), heard.err.as_str()), ("{\n", ""), "no error");
}

/// An instance without a worker is reported although the timers role publishes its step again.
#[tokio::test]
async fn the_doctor_lists_queues_without_a_worker() {
    let server = InProcess::new().await;
    server.apply("name: nobodys\nqueue: nobodys\nactivities: [{ id: only, set: { x: 1 } }]\nvariables: { x: 0 }").await;
    server.post("/instances", &json!({ "definition": "nobodys" })).await.ok(201);
    let conn = &mut *server.app().store.background().await.unwrap();
    let old = "UPDATE leveret.instances SET moved_at = now() - interval '3 minutes', rechecked_at = now()";
    conn.batch_execute(old).await.unwrap();
    let said = CommandLine::on(&server.fresh).say("doctor").await.failed();
    assert!(said.contains("1 before `only` in queue") && said.contains("`nobodys`"), "{said}");
}
