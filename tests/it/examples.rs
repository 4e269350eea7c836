//! Every example runs to the end its comment promises; and a Python client sends a thousand orders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};
use leveret::store::Connection;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{CommandLine, CommandOutput, Fresh, Program, SOON, eventually, finish};

/// A thousand orders have ended after this, on a slow machine too.
const ALL_WITHIN: Duration = Duration::from_secs(150);
const STOPS_WITHIN: Duration = Duration::from_secs(35);
/// Debian's own interpreter: the one that has pika.
const PYTHON: &str = "/usr/bin/python3";
/// Orders that are not malformed.
const GOOD: i64 = 960;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The shop, serving, with every example applied by its own command line.
async fn shop(fresh: &Fresh) -> (Program, CommandLine) {
    let leveret = CommandLine::orders_on(fresh);
    let files = std::fs::read_dir(example("")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect();
    assert!(files.len() >= 4, "the examples were not found");
    let verb = |verb: &str| -> Vec<PathBuf> { [&["definition".into(), verb.into()], files.as_slice()].concat() };
    let said = leveret.run(verb("check")).await.good();
    assert_eq!(said, format!("{0} of {0} documents are valid\n", files.len()), "and without a warning");
    leveret.run(verb("apply")).await.good();
    let program = Program::start(fresh, &["serve"], &[("LEVERET_OUTBOX__SWEEP_EVERY", "200ms")]);
    program.serves().await;
    (program, leveret)
}

async fn stop(mut program: Program) {
    program.terminate();
    let status = program.wait_within(STOPS_WITHIN).await;
    assert_eq!(status.code(), Some(0), "{}", program.output());
}

/// Starts one and gives it as it ended.
async fn run(leveret: &CommandLine, definition: &str, key: &str, input: Value) -> Value {
    let input = input.to_string();
    let words = ["instance", "start", definition, "--key", key, "--input", &input, "--watch"];
    leveret.run(words).await.good();
    ended(leveret, key).await
}

/// Payments that come before their wait, later, not at all, and one that is declined.
async fn pays_early(leveret: &CommandLine) {
    let input = |payment: &str, packing: &str| json!({ "payment": payment, "amount": 50, "packing": packing, "patience": "1s" });
    let settled = async |payment: &str, data: &str| {
        leveret.run(["message", "send", "payment-settled", payment, "--data", data]).await.good()
    };
    assert!(settled("P-1", r#"{"amount": 49}"#).await.starts_with("kept"));
    assert!(settled("P-1", r#"{"amount": 50}"#).await.starts_with("kept"));
    let early = run(leveret, "early-payment", "early-paid", input("P-1", "100ms")).await;
    assert_eq!(early["output"], json!({ "outcome": "shipped", "paid": 50 }));
    let kept = leveret.json("message list --name payment-settled").await;
    assert_eq!(kept["items"][0]["data"], json!({ "amount": 49 }), "the one that does not fit");

    let unpaid = run(leveret, "early-payment", "unpaid-parcel", input("P-2", "100ms")).await;
    assert_eq!(unpaid["output"], json!({ "outcome": "unpacked", "paid": 0 }));
    leveret.run(["message", "send", "payment-declined", "P-3"]).await.good();
    let declined = run(leveret, "early-payment", "declined", input("P-3", "100ms")).await;
    assert_eq!(declined["output"], json!({ "outcome": "declined", "paid": 0 }));

    let patient = json!({ "payment": "P-4", "amount": 50, "packing": "0s", "patience": "1m" }).to_string();
    let words = ["instance", "start", "early-payment", "--key", "late-payment", "--input", &patient, "--watch"];
    let pays = async {
        let waits = async || {
            let timers = leveret.json("timer list").await;
            timers["items"].as_array().unwrap().iter().any(|timer| timer["key"] == "late-payment")
        };
        eventually("it waits", SOON, waits).await;
        settled("P-4", r#"{"amount": 60}"#).await
    };
    let (watched, paid) = tokio::join!(leveret.run(words), pays);
    watched.good();
    assert!(paid.starts_with("delivered to"), "{paid}");
    assert_eq!(ended(leveret, "late-payment").await["output"], json!({ "outcome": "shipped", "paid": 60 }));
}

async fn ended(leveret: &CommandLine, key: &str) -> Value {
    let found = leveret.json(&format!("instance list --key {key}")).await;
    leveret.json(&format!("instance show {}", found["items"][0]["id"].as_str().unwrap())).await
}

async fn kinds(leveret: &CommandLine, view: &Value) -> Vec<String> {
    let history = leveret.json(&format!("instance history {}", view["id"].as_str().unwrap())).await;
    history.as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Names with their counts.
async fn rows(fresh: &Fresh, query: &str) -> BTreeMap<String, i64> {
    let mut conn = Connection::establish(&fresh.database_url).await.unwrap();
    let rows: Vec<Row> = sql_query(query).get_results(&mut conn).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.count)).collect()
}

async fn count(fresh: &Fresh, of: &str) -> i64 {
    rows(fresh, &format!("SELECT 'all' AS name, count(*) AS count FROM {of}")).await["all"]
}

#[tokio::test]
async fn every_example_is_valid_applied_and_runs_to_the_end_it_promises() {
    let fresh = Fresh::new().await;
    let (program, leveret) = shop(&fresh).await;

    let line = run(&leveret, "line", "line", json!({})).await;
    assert_eq!((&line["status"], &line["output"]), (&json!("completed"), &json!({ "sum": 210 })));

    let countdown = run(&leveret, "countdown", "countdown", json!({ "from": 4, "pause": "100ms" })).await;
    assert_eq!(countdown["output"], json!({ "said": "liftoff after 4 turns" }));
    let turns = kinds(&leveret, &countdown).await.iter().filter(|kind| *kind == "TimerFired").count();
    assert_eq!(turns, 4, "one timer for each turn");

    let retry = run(&leveret, "retry", "retry", json!({})).await;
    let told = leveret.json(&format!("instance history {}", retry["id"].as_str().unwrap())).await;
    let attempts: Vec<&Value> = told
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["kind"] == "ActivityRetryScheduled")
        .map(|entry| &entry["details"]["attempt"])
        .collect();
    assert_eq!(attempts, [&json!(1), &json!(2)], "the third one succeeded");
    // Each attempt wrote a row; the failed ones went with their transactions. The number is the attempt's.
    let booked = rows(&fresh, "SELECT instance AS name, attempt::bigint AS count FROM shop.bookings").await;
    assert_eq!(booked, BTreeMap::from([(retry["id"].as_str().unwrap().to_owned(), 3)]));

    pays_early(&leveret).await;

    let order = |key: &str, article: &str, patience: &str| json!({ "order_id": key, "article": article, "quantity": 2, "amount": 9800, "patience": patience });
    leveret.run(["message", "send", "paid", "early", "--data", r#"{"amount": 9800}"#]).await.good();
    let early = run(&leveret, "order", "early", order("early", "lamp", "1m")).await;
    assert_eq!(early["output"], json!({ "outcome": "shipped", "paid": 9800 }));
    let unpaid = run(&leveret, "order", "unpaid", order("unpaid", "lamp", "300ms")).await;
    assert_eq!(unpaid["output"], json!({ "outcome": "expired", "paid": 0 }));
    leveret.run(["message", "send", "paid", "little", "--data", r#"{"amount": 1}"#]).await.good();
    let little = run(&leveret, "order", "little", order("little", "lamp", "1m")).await;
    assert_eq!(little["output"], json!({ "outcome": "expired", "paid": 1 }));
    let input = order("strange", "sofa", "1m").to_string();
    let words = ["instance", "start", "order", "--key", "strange", "--input", &input, "--watch"];
    assert_eq!(leveret.run(words).await.code, 1);
    let strange = ended(&leveret, "strange").await;
    assert_eq!((&strange["status"], &strange["error"]["code"]), (&json!("failed"), &json!("unknown_article")));

    let kept = "shop.reservations WHERE NOT released";
    assert_eq!((count(&fresh, "shop.reservations").await, count(&fresh, kept).await), (3, 1));
    assert_eq!(count(&fresh, "shop.shipments").await, 1);
    let checked = leveret.json("doctor").await;
    assert!(checked.as_array().unwrap().iter().all(|finding| finding["good"] == true), "{checked}");
    stop(program).await;
}

/// Starts one that waits for people.
async fn begin(leveret: &CommandLine, definition: &str, key: &str, input: Value) {
    let input = input.to_string();
    leveret.run(["instance", "start", definition, "--key", key, "--input", &input]).await.good();
}

/// The open task of this key, once it is there.
async fn task(leveret: &CommandLine, key: &str, activity: &str) -> Value {
    let mut found = Value::Null;
    let open = async || {
        let page = leveret.json("task list").await;
        let ours = |task: &&Value| task["key"] == key && task["activity"] == activity;
        found = page["items"].as_array().unwrap().iter().find(ours).cloned().unwrap_or_default();
        !found.is_null()
    };
    eventually(&format!("{key} waits at {activity}"), SOON, open).await;
    found
}

/// What a person says to a task on the command line.
async fn decide(leveret: &CommandLine, task: &Value, words: &[&str]) -> CommandOutput {
    let id = task["id"].as_str().unwrap();
    leveret.run(["task", "complete", id].into_iter().chain(words.iter().copied())).await
}

async fn output(leveret: &CommandLine, key: &str) -> Value {
    let mut view = Value::Null;
    let over = async || {
        view = ended(leveret, key).await;
        !view["ended_at"].is_null()
    };
    eventually(&format!("{key} has ended"), SOON, over).await;
    view["output"].clone()
}

#[tokio::test]
async fn an_expense_is_sent_back_until_two_people_approve() {
    let fresh = Fresh::new().await;
    let (program, leveret) = shop(&fresh).await;
    let expense = |amount: i64| json!({ "by": "ann", "amount": amount, "purpose": "a lamp", "remind": "200ms", "patience": "500ms" });
    begin(&leveret, "expense", "large", expense(2_000)).await;
    let first = task(&leveret, "large", "approve").await;
    let mia = ["--as", "mia", "--groups", "approvers"];
    let with = |who: &[&'static str], more: &[&'static str]| -> Vec<&str> { [who, more].concat() };
    let own = ["--as", "ann", "--groups", "approvers", "--decision", "approve"];
    assert!(decide(&leveret, &first, &own).await.failed().contains("excluded"));
    decide(&leveret, &first, &with(&mia, &["--decision", "revise", "--comment", "too much"])).await.good();
    let revise = task(&leveret, "large", "revise").await;
    assert_eq!(revise["title"], "Revise your expense report: too much");
    let form = ["--as", "ann", "--form", r#"{"amount": -5, "purpose": "a lamp"}"#];
    assert!(decide(&leveret, &revise, &form).await.failed().contains("/amount"));
    decide(&leveret, &revise, &["--as", "ann", "--form", r#"{"amount": 1500, "purpose": "a lamp"}"#]).await.good();
    // The program opens it, a moment after the command line has answered; and while it sends a reminder, the task is busy.
    task(&leveret, "large", "approve").await;
    let mut next = Value::Null;
    let given = async || {
        let ran = leveret.say("task next --as mia --groups approvers -o json").await;
        match ran.code {
            0 => next = serde_json::from_str(&ran.good()).unwrap(),
            _ => assert!(ran.failed().contains("busy")),
        }
        !next.is_null()
    };
    eventually("mia is given the next task", SOON, given).await;
    assert_eq!((&next["activity"], &next["data"]["turn"]), (&json!("approve"), &json!(2)));
    decide(&leveret, &next, &with(&mia, &["--decision", "approve"])).await.good();
    let second = task(&leveret, "large", "second-look").await;
    let again = ["--as", "mia", "--groups", "board", "--decision", "approve"];
    assert!(decide(&leveret, &second, &again).await.failed().contains("excluded"), "four eyes");
    decide(&leveret, &second, &["--as", "bea", "--groups", "board", "--decision", "approve"]).await.good();
    let end = output(&leveret, "large").await;
    assert_eq!((&end["outcome"], &end["amount"], &end["approved_by"]), (&json!("paid"), &json!(1500.0), &json!("mia")));

    // Without an answer there are reminders, and then the board may approve.
    begin(&leveret, "expense", "slow", expense(10)).await;
    let slow = task(&leveret, "slow", "approve").await;
    let told = async || {
        let history = kinds(&leveret, &ended(&leveret, "slow").await).await;
        history.iter().any(|kind| kind == "TaskReminded") && history.iter().any(|kind| kind == "TaskEscalated")
    };
    eventually("there is a reminder, and then the board is asked", SOON, told).await;
    decide(&leveret, &slow, &["--as", "bea", "--groups", "board", "--decision", "refuse"]).await.good();
    assert_eq!(output(&leveret, "slow").await["outcome"], "refused");
    stop(program).await;
}

#[tokio::test]
async fn a_board_votes_until_it_is_decided_or_its_time_is_over() {
    let fresh = Fresh::new().await;
    let (program, leveret) = shop(&fresh).await;
    let motion = |deadline: &str| json!({ "motion": "A new roof", "members": ["ann", "bob", "carl", "dora"], "chair": "ann", "deadline": deadline });
    begin(&leveret, "board-vote", "carried", motion("7d")).await;
    let vote = task(&leveret, "carried", "vote").await;
    for member in ["ann", "bob"] {
        decide(&leveret, &vote, &["--as", member, "--decision", "for"]).await.good();
    }
    assert!(decide(&leveret, &vote, &["--as", "bob", "--decision", "for"]).await.failed().contains("voted already"));
    let id = vote["id"].as_str().unwrap();
    let open = leveret.json(&format!("task show {id}")).await;
    assert_eq!((&open["state"], &open["votes"]["for"]), (&json!("open"), &json!(2)), "half is not a majority");
    decide(&leveret, &vote, &["--as", "dora", "--decision", "for"]).await.good();
    let end = output(&leveret, "carried").await;
    assert_eq!((&end["outcome"], &end["votes"]["for"], &end["closed_by"]), (&json!("for"), &json!(3), &json!("dora")));

    begin(&leveret, "board-vote", "torn", motion("7d")).await;
    let vote = task(&leveret, "torn", "vote").await;
    for (member, decision) in [("ann", "for"), ("bob", "for"), ("carl", "against"), ("dora", "abstain")] {
        decide(&leveret, &vote, &["--as", member, "--decision", decision]).await.good();
    }
    assert_eq!(output(&leveret, "torn").await["outcome"], "adjourned");

    begin(&leveret, "board-vote", "late", motion("300ms")).await;
    let chair = task(&leveret, "late", "adjourn").await;
    decide(&leveret, &chair, &["--as", "ann", "--decision", "lost"]).await.good();
    assert_eq!(output(&leveret, "late").await["outcome"], "lost");
    stop(program).await;
}

#[tokio::test]
async fn a_thousand_orders_from_a_python_client_end_as_expected() {
    let fresh = Fresh::new().await;
    let (program, leveret) = shop(&fresh).await;
    let file = leveret.directory().join("orders.jsonl");
    let file = file.to_str().unwrap();
    finish(Command::new(PYTHON).arg(example("data/orders.py")).arg(file)).await.good();
    let text = std::fs::read_to_string(file).unwrap();
    let orders: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(orders.len(), 1_000);

    let script = example("data/publish.py");
    let arguments = ["--url", &fresh.amqp_url, "--prefix", &fresh.prefix, "--file", file, "--late-after", "6"];
    let published = finish(Command::new(PYTHON).arg(script).args(arguments)).await.good();
    let published: Value = serde_json::from_str(&published).unwrap();
    let counts = &published["messages"];
    let sent = ["first", "then", "late"].map(|when| counts[when].as_i64().unwrap()).iter().sum::<i64>();
    assert_eq!((counts["confirmed"].as_i64(), counts.get("unroutable")), (Some(sent), None), "{published}");

    let all = async || count(&fresh, "leveret.instances WHERE ended_at IS NOT NULL").await == GOOD;
    eventually("every order has ended", ALL_WITHIN, all).await;
    let query = "SELECT key || ' ' || status || ' ' || (output->>'outcome') AS name, count(*) AS count \
                 FROM leveret.instances GROUP BY 1";
    let how = rows(&fresh, query).await;
    let mut letters = BTreeMap::new();
    for order in &orders {
        let (key, kind) = (order["order"].as_str().unwrap(), order["kind"].as_str().unwrap());
        let end = match kind {
            "paid" | "early" | "twice" => "completed shipped",
            "late" | "unpaid" => "completed expired",
            _ => {
                *letters.entry(order["flaw"].as_str().unwrap()).or_insert(0) += 1;
                continue;
            }
        };
        assert_eq!(how.get(&format!("{key} {end}")), Some(&1), "{key}, {kind}");
    }
    assert_eq!(count(&fresh, "leveret.instances").await, GOOD, "nothing was started that was malformed, nothing twice");
    assert_eq!((count(&fresh, "shop.shipments").await, count(&fresh, "shop.reservations").await), (800, GOOD));
    assert_eq!(count(&fresh, "shop.reservations WHERE released").await, 160);
    assert_eq!(count(&fresh, "leveret.messages").await, 80, "the late payments are kept");

    let filed = async || count(&fresh, "leveret.dead_letters").await >= 40;
    eventually("the malformed ones are filed", SOON, filed).await;
    let reasons = [
        ("not_json", "%is not JSON%"),
        ("no_message_id", "%message_id%"),
        ("unknown_definition", "%odrer%"),
        ("wrong_types", "%amount%"),
    ];
    for (flaw, pattern) in reasons {
        let found = count(&fresh, &format!("leveret.dead_letters WHERE reason LIKE '{pattern}'")).await;
        assert_eq!(Some(&found), letters.get(flaw), "{flaw}");
    }
    stop(program).await;
}

#[tokio::test]
async fn the_demonstration_ends_and_says_how_each_kind_ended() {
    let fresh = Fresh::new().await;
    let mut program = Program::start(&fresh, &["demo"], &[]);
    let status = program.wait_within(ALL_WITHIN).await;
    let said = program.output();
    assert!(status.success(), "{said}");
    for words in ["paid", "late", "unpaid", "malformed", "dead letter"] {
        assert!(said.contains(words), "nothing of {words}:\n{said}");
    }
    assert_eq!(count(&fresh, "leveret.instances WHERE ended_at IS NULL").await, 0);
    assert!(count(&fresh, "leveret.instances WHERE status = 'completed'").await > GOOD);
}
