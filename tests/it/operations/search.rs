//! Filters: what they find, in which order, in bounded pages; and search attributes, written with the step that changes them.

use serde_json::{Value, json};

use crate::support::{CommandLine, InProcess};

const PURCHASE: &str = "
name: purchase
input: { type: object, properties: { customer: { type: string }, amount: { type: number }, due: { type: string } } }
variables: { amount: 0.0, note: null }
search:
  customer: customer
  large: amount > 1000
  amount: { number: amount }
  due: { time: due }
  note: note
activities:
  - { id: paid, receive: { name: paid }, output: { amount: result.data.amount, note: result.data.note } }
  - { id: rest, receive: { name: rested } }
";

async fn start(leveret: &InProcess, key: &str, customer: &str, amount: f64) {
    let input = json!({ "customer": customer, "amount": amount, "due": "2026-03-01T00:00:00Z" });
    leveret.start_with("purchase", key, input).await;
    leveret.reaches(key, "running at paid").await;
}

async fn page(leveret: &InProcess, filter: &str, more: &str) -> Value {
    let filter: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
    leveret.get(&format!("/instances?filter={filter}{more}")).await.ok(200)
}

/// The keys of what a filter finds, newest first.
async fn keys(leveret: &InProcess, filter: &str) -> Vec<String> {
    let page = page(leveret, filter, "").await;
    page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_by_key_status_age_activity_code_and_attributes() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PURCHASE).await;
    leveret.apply("name: broken\nactivities: [{ id: a, run: { handler: break }, retry: none }]").await;
    for (key, customer, amount) in [("PO-1", "ACME", 10.0), ("PO-2", "ACME", 2_000.0), ("X%1", "Brown \"B\" Ltd", 50.0)]
    {
        start(&leveret, key, customer, amount).await;
    }
    leveret.start("broken", "B-1").await;
    leveret.reaches("B-1", "suspended at a").await;
    for (filter, expected) in [
        ("key:PO-*", vec!["PO-2", "PO-1"]),
        ("key:PO-1", vec!["PO-1"]),
        ("key:\"X%\"*", vec!["X%1"]),
        ("key:\"%\"*", vec![]),
        ("status:running definition:purchase started<1h", vec!["X%1", "PO-2", "PO-1"]),
        ("status:suspended", vec!["B-1"]),
        ("status:completed,failed", vec![]),
        ("started>1h definition:purchase", vec![]),
        ("code:handler.broken", vec!["B-1"]),
        ("code:handler.other", vec![]),
        ("activity:paid status:running", vec!["X%1", "PO-2", "PO-1"]),
        ("queue:slow status:running", vec![]),
        ("var.customer:ACME", vec!["PO-2", "PO-1"]),
        ("var.customer:AC* var.amount>1000", vec!["PO-2"]),
        ("var.customer:\"Brown \\\"B\\\" Ltd\"", vec!["X%1"]),
        ("var.amount>=10 var.amount<100", vec!["X%1", "PO-1"]),
        ("var.amount:50", vec!["X%1"]),
        ("var.large:true", vec!["PO-2"]),
        ("var.due<2026-04-01 key:PO-*", vec!["PO-2", "PO-1"]),
        ("var.due>2026-04-01", vec![]),
        ("var.nothing:1", vec![]),
    ] {
        assert_eq!(keys(&leveret, filter).await, expected, "{filter}");
    }
    let problem = leveret.get("/instances?filter=status:runing").await.problem(400, "invalid");
    assert!(problem.starts_with("at character 8 of the filter: `runing` is not a status"), "{problem}");
    leveret.get("/instances?filter=key:A&status=running").await.problem(400, "invalid");
    let command_line = CommandLine::on(&leveret.fresh);
    let found = command_line.run(["instance", "list", "--filter", "var.amount>1000"]).await.good();
    assert!(found.contains("PO-2") && !found.contains("PO-1"), "{found}");
    let why = command_line.run(["instance", "list", "--filter", "stat:x"]).await.failed();
    assert!(why.contains("at character 1 of the filter"), "{why}");
    leveret.execute("UPDATE leveret.bookmarks SET fingerprint = '4f1c' WHERE kind = 'intervention'").await;
    assert_eq!(keys(&leveret, "incident:4f1c").await, ["B-1"]);
    let id = leveret.id("B-1").await.unwrap();
    leveret.post(&format!("/instances/{id}/terminate"), &json!({})).await.ok(200);
    assert_eq!(keys(&leveret, "incident:4f1c").await, [""; 0], "it is closed");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_change_with_the_variables_and_are_deleted_with_the_instance() {
    let leveret = InProcess::with_ledger().await;
    leveret.apply(PURCHASE).await;
    start(&leveret, "A", "ACME", 10.0).await;
    assert_eq!(leveret.count("leveret.search_attributes").await, 5);
    let versions = leveret.lines("name || ' ' || xmin", "leveret.search_attributes WHERE name = 'customer'").await;
    let paid = json!({ "name": "paid", "key": "A", "data": { "amount": 3000.0, "note": ["a", "list"] } });
    leveret.post("/messages", &paid).await.ok(200);
    leveret.reaches("A", "running at rest").await;
    assert_eq!(keys(&leveret, "var.amount:3000 var.large:true").await, ["A"]);
    let set = json!({ "variables": { "note": "urgent" } }).to_string();
    let id = leveret.id("A").await.unwrap();
    leveret.send(reqwest::Method::PATCH, &format!("/instances/{id}/variables"), None, set).await.ok(200);
    assert_eq!(keys(&leveret, "var.note:urgent").await, ["A"]);
    assert_eq!(
        leveret.lines("name || ' ' || xmin", "leveret.search_attributes WHERE name = 'customer'").await,
        versions,
        "what stays the same is not written"
    );
    // A definition without attributes writes none.
    leveret.start("paid", "B").await;
    leveret.reaches("B", "running at payment").await;
    assert_eq!(leveret.count("leveret.search_attributes").await, 5);
    leveret.post(&format!("/instances/{id}/terminate"), &json!({})).await.ok(200);
    assert_eq!(keys(&leveret, "var.note:urgent").await, ["A"], "what has ended is found");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_filter_follow_each_other_without_gaps() {
    let leveret = InProcess::with_ledger().await;
    for number in 0..7 {
        leveret.start("paid", &format!("P-{number}")).await;
    }
    leveret.count_becomes(7, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    // By collecting, and by walking.
    for filter in ["key:P-*", "started<1h"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = page(&leveret, filter, &format!("&limit=3{cursor}")).await;
            let items = page["items"].as_array().unwrap().clone();
            assert!(items.len() <= 3);
            seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let all = leveret.lines("id", "leveret.instances ORDER BY id DESC").await;
        assert_eq!(seen, all, "{filter}");
    }
    leveret.close().await;
}
