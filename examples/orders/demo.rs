//! `make demo`: shows one order step by step, then a thousand orders published by a Python script, and the outcome of each kind.
#![expect(clippy::print_stdout, reason = "a demonstration prints for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leveret::app::App;
use leveret::cli;
use leveret::client::Client;
use leveret::config::Config;
use leveret::contract::{Message, Start};
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::server::Server;
use leveret::store::instances::Filter;
use leveret::store::views;
use serde_json::{Value, json};

/// Debian's own interpreter, which has pika.
const PYTHON: &str = "/usr/bin/python3";
/// The demonstration fails if the orders have not ended within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
/// Seconds after the last order at which late payments are sent: longer than the orders wait.
const LATE_AFTER: &str = "6";
/// Rows of a page.
const PAGE: i64 = 500;

/// Runs the demonstration; exit code 0 if every order ended as expected.
pub(crate) fn run(handlers: Handlers) -> ExitCode {
    match cli::block_on(demonstrate(handlers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("the demonstration failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(handlers: Handlers) -> Result<()> {
    let mut config = Config::load(None)?;
    // A free port, so that it can run beside `make dev`.
    config.http.listen = "127.0.0.1:0".into();
    cli::dev::prepare(&mut config).await?;
    let running = Server::start(config, handlers, Role::ALL).await?;
    cli::dev::apply_folder(&running.app, Path::new("examples")).await?;
    let shown = show(&running.app).await;
    running.stop().await;
    shown
}

async fn show(app: &App) -> Result<()> {
    println!("\n── One order, as it happens ──────────────────────────────────────────────\n");
    one(app).await?;
    println!("\n── 1,000 orders from a Python script that only uses AMQP ─────────────────\n");
    thousand(app).await
}

/// Starts an order, pays it a moment later, and prints its history as it is committed.
async fn one(app: &App) -> Result<()> {
    let broker = &app.config.broker;
    let client = Client::connect(&broker.address(), &broker.prefix, "demo").await?;
    let key = format!("demo-{}", app.new_id());
    let input = json!({ "order_id": key, "article": "lamp", "quantity": 2, "amount": 9800 });
    let start = Start { definition: "order".into(), key: Some(key.clone()), input, ..Start::default() };
    client.start(&format!("start-{key}"), &start).await?;
    let id = found(app, &key).await?;
    let payment = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let paid = Message {
            name: "paid".into(),
            key: key.clone(),
            data: json!({ "amount": 9800 }),
            ttl: None,
            broadcast: false,
        };
        client.message(&format!("paid-{key}"), &paid).await
    };
    let (followed, paid) = tokio::join!(cli::follow(app, id), payment);
    paid?;
    ensure!(followed?, "the order did not complete");
    client.close().await;
    Ok(())
}

async fn found(app: &App, key: &str) -> Result<leveret::engine::InstanceId> {
    let filter = Filter { definition: Some("order".into()), key: Some(key.into()), limit: 1, ..Filter::default() };
    for _ in 0..200 {
        let mut conn = app.store.background().await?;
        if let Some(one) = views::instances(&mut conn, &filter).await?.items.first() {
            return Ok(leveret::engine::InstanceId(one.id));
        }
        drop(conn);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the order was published, but no worker started it within 10 s")
}

/// The expected end of an order of each kind.
const EXPECTED: [(&str, &str); 6] = [
    ("paid", "completed, shipped"),
    ("early", "completed, shipped"),
    ("twice", "completed, shipped"),
    ("late", "completed, expired"),
    ("unpaid", "completed, expired"),
    ("malformed", "dead letter"),
];

async fn thousand(app: &App) -> Result<()> {
    let file = std::env::temp_dir().join(format!("leveret-orders-{}.jsonl", std::process::id()));
    python("examples/data/orders.py", &[&file.display().to_string()])?;
    let orders = read(&file)?;
    let broker = &app.config.broker;
    println!("$ examples/data/publish.py --file orders.jsonl");
    let published = python(
        "examples/data/publish.py",
        &[
            "--url",
            &broker.url,
            "--prefix",
            &broker.prefix,
            "--file",
            &file.display().to_string(),
            "--late-after",
            LATE_AFTER,
        ],
    )?;
    println!("{}", published.trim());
    std::fs::remove_file(&file)?;
    let ended = wait(app, orders.values().filter(|kind| *kind != "malformed").count()).await?;
    table(&orders, &ended, letters(app).await?)
}

/// Runs one of the scripts.
fn python(script: &str, arguments: &[&str]) -> Result<String> {
    let ran = Command::new(PYTHON).arg(script).args(arguments).output();
    let ran = ran.with_context(|| format!("{PYTHON} cannot be run; `make demo` installs it with python3-pika"))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{script} failed: {said}");
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// The kind of each order, by order number.
fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file)?;
    let line = |line: &str| -> Result<(String, String)> {
        let order: Value = serde_json::from_str(line)?;
        let text = |name: &str| order[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        Ok((text("order")?, text("kind")?))
    };
    text.lines().map(line).collect()
}

/// Waits until this many orders have ended; returns their ends by order number.
async fn wait(app: &App, wanted: usize) -> Result<BTreeMap<String, String>> {
    let until = tokio::time::Instant::now() + ENDED_WITHIN;
    loop {
        let ended = ended(app).await?;
        println!("{:>5} of {wanted} orders have ended", ended.len());
        if ended.len() >= wanted {
            return Ok(ended);
        }
        ensure!(tokio::time::Instant::now() < until, "not all orders ended within 2 minutes");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn ended(app: &App) -> Result<BTreeMap<String, String>> {
    let mut filter = Filter { definition: Some("order".into()), limit: PAGE, ..Filter::default() };
    let mut all = BTreeMap::new();
    loop {
        let mut conn = app.store.background().await?;
        let page = views::instances(&mut conn, &filter).await?;
        for one in page.items.iter().filter(|one| one.ended_at.is_some()) {
            let Some(key) = one.key.clone().filter(|key| key.starts_with("order-")) else { continue };
            let view = views::instance(&mut conn, leveret::engine::InstanceId(one.id)).await?;
            let output = view.and_then(|view| view.output).unwrap_or_default();
            all.insert(key, format!("{}, {}", one.status, output["outcome"].as_str().unwrap_or("–")));
        }
        match page.next {
            Some(next) => filter.before = Some(next.parse()?),
            None => return Ok(all),
        }
    }
}

async fn letters(app: &App) -> Result<Vec<String>> {
    let mut conn = app.store.background().await?;
    let letters = views::dead_letters(&mut conn, None, 1_000).await?;
    Ok(letters
        .items
        .into_iter()
        .filter(|letter| letter.app_id.as_deref() == Some("shop"))
        .map(|letter| letter.reason)
        .collect())
}

/// Prints the ends of each kind, and fails if one is unexpected.
fn table(orders: &BTreeMap<String, String>, ended: &BTreeMap<String, String>, letters: Vec<String>) -> Result<()> {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (key, kind) in orders {
        let how = match ended.get(key) {
            Some(how) => how.clone(),
            None => "dead letter".into(),
        };
        *counts.entry((kind.as_str(), how)).or_default() += 1;
    }
    println!("\n{:<12} {:<22} {:>6}", "kind", "ended", "orders");
    let mut wrong = 0;
    for ((kind, how), count) in &counts {
        let right = EXPECTED.iter().any(|(expected, end)| expected == kind && end == how);
        wrong += usize::from(!right) * count;
        println!("{kind:<12} {how:<22} {count:>6}{}", if right { "" } else { "   ← unexpected" });
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reason in letters {
        *reasons.entry(reason.chars().take(90).collect()).or_default() += 1;
    }
    println!("\ndead letters by reason (`leveret dead-letter list` shows each)");
    for (reason, count) in reasons {
        println!("{count:>6}  {reason}");
    }
    ensure!(wrong == 0, "{wrong} orders ended unexpectedly");
    println!("\nEvery order ended as expected. Run it again: every message is a duplicate, and nothing happens twice.");
    Ok(())
}
