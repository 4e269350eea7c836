//! Incidents: grouped by cause, assigned, commented, muted, and resolved, over HTTP and the command line; and the event for a pager.

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection as Amqp, ConnectionProperties};
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::store::{Connection, incidents};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{CommandLine, InProcess, SOON, eventually};

/// Fails until the stock is above zero.
const ORDER: &str = "
name: order
input: { type: object, properties: { article: { type: string } } }
variables: { stock: 0 }
on_failure: { suspend: true, notify: page.orders }
output: ${ stock }
activities:
  - { id: pack, run: { handler: pack, input: { article: '${ article }', stock: '${ stock }' } }, retry: none }
";

async fn pack(_: &mut Connection, input: HandlerInput) -> HandlerResult {
    match input.input["stock"].as_i64() {
        Some(1..) => Ok(Value::Null),
        _ => Err(Error::new("empty", format!("no `{}` for order {}", input.input["article"], input.instance))),
    }
}

async fn leveret() -> InProcess {
    let leveret = InProcess::with_handlers(Handlers::new().register("pack", pack)).await;
    leveret.apply(ORDER).await;
    leveret
}

async fn suspended(leveret: &InProcess, key: &str, article: &str) {
    leveret.start_with("order", key, json!({ "article": article })).await;
    leveret.reaches(key, "suspended at pack").await;
}

/// The only group.
async fn group(leveret: &InProcess) -> Value {
    let page = leveret.get("/incidents/groups?definition=order").await.ok(200);
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{page}");
    items[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_of_one_cause_are_one_group_with_its_versions_and_a_sample() {
    let leveret = leveret().await;
    suspended(&leveret, "A", "lamp").await;
    suspended(&leveret, "B", "rug").await;
    leveret.apply(&ORDER.replace("stock: 0 }", "stock: 0, more: 0 }")).await;
    suspended(&leveret, "C", "lamp").await;
    leveret.apply("name: other\nactivities: [{ id: a, raise: { code: broken, message: 'at 17' } }]").await;
    leveret.start("other", "D").await;
    leveret.reaches("D", "suspended at a").await;
    let found = group(&leveret).await;
    assert_eq!(
        (&found["count"], &found["versions"], &found["code"], &found["activity"]),
        (&json!(3), &json!([1, 2]), &json!("handler.empty"), &json!("pack"))
    );
    let newest = leveret.id("C").await.unwrap();
    assert_eq!(found["sample"], json!({ "instance": newest, "bookmark": 1, "key": "C" }));
    assert!(found["first_at"].as_str() < found["last_at"].as_str(), "{found}");
    assert_eq!((&found["assignee"], &found["muted"]), (&Value::Null, &json!(false)));

    // Pages, and each incident by its group.
    let first = leveret.get("/incidents/groups?limit=1").await.ok(200);
    assert_eq!(first["items"][0]["definition"], "other", "the newest first");
    let rest = format!("/incidents/groups?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = leveret.get(&rest).await.ok(200);
    assert_eq!(second["items"][0], found);
    let rest = format!("/incidents/groups?limit=1&cursor={}", second["next"].as_str().unwrap());
    assert_eq!(leveret.get(&rest).await.ok(200), json!({ "items": [] }));
    leveret.get("/incidents/groups?cursor=x").await.problem(400, "invalid");
    let fingerprint = found["fingerprint"].as_str().unwrap();
    let listed = leveret.get(&format!("/incidents?fingerprint={fingerprint}")).await.ok(200);
    let keys: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["C", "B", "A"]);
    let failure = &listed["items"][0]["failure"];
    assert_eq!((&failure["attempt"], &failure["input"]), (&json!(1), &json!({ "article": "lamp", "stock": 0 })));

    // A resolved incident is in no group.
    let id = leveret.id("A").await.unwrap();
    leveret.post(&format!("/instances/{id}/cancel"), &json!({})).await.ok(200);
    assert_eq!(group(&leveret).await["count"], 2);
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_assigned_commented_and_muted_and_says_by_whom() {
    let leveret = leveret().await;
    suspended(&leveret, "A", "lamp").await;
    let fingerprint = group(&leveret).await["fingerprint"].as_str().unwrap().to_owned();
    let path = format!("/incidents/groups/{fingerprint}");
    let ada = json!({ "assignee": "ada", "user": "bob", "reason": "she knows it" });
    leveret.post_as("assign 1", &format!("{path}/assign"), &ada).await.ok(200);
    // Sent again, it changes nothing, although another assignment came in between.
    leveret.post(&format!("{path}/assign"), &json!({ "assignee": "eve" })).await.ok(200);
    leveret.post_as("assign 1", &format!("{path}/assign"), &ada).await.ok(200);
    leveret.post(&format!("{path}/comment"), &json!({ "text": "ordered", "user": "ada" })).await.ok(200);
    leveret.post(&format!("{path}/mute"), &json!({ "after": "12h", "user": "ada", "reason": "night" })).await.ok(200);
    let shown = leveret.get(&path).await.ok(200);
    assert_eq!((&shown["assignee"], &shown["muted"], &shown["count"]), (&json!("eve"), &json!(true), &json!(1)));
    assert_eq!(shown["incidents"].as_array().unwrap().len(), 1);
    let notes: Vec<Value> = shown["notes"].as_array().unwrap().clone();
    let told: Vec<(&str, &str)> =
        notes.iter().map(|note| (note["kind"].as_str().unwrap(), note["by"].as_str().unwrap())).collect();
    assert_eq!(told, [("muted", "ada"), ("commented", "ada"), ("assigned", "leveret.http"), ("assigned", "bob")]);
    assert_eq!((&notes[1]["value"], &notes[3]["reason"]), (&json!("ordered"), &json!("she knows it")));
    leveret.post(&format!("{path}/mute"), &json!({})).await.ok(200);
    assert_eq!(group(&leveret).await["muted"], false);

    for (act, body, status, kind) in [
        ("mute", json!({ "until": "2020-01-01T00:00:00Z" }), 409, "refused"),
        ("mute", json!({ "after": "1000d" }), 409, "refused"),
        ("mute", json!({ "after": "1h", "until": "2030-01-01T00:00:00Z" }), 400, "invalid"),
        ("comment", json!({ "text": " " }), 409, "refused"),
        ("comment", json!({ "text": "x".repeat(5_000) }), 409, "refused"),
        ("assign", json!({ "assignee": "x".repeat(300) }), 409, "refused"),
    ] {
        leveret.post(&format!("{path}/{act}"), &body).await.problem(status, kind);
    }
    for nothing in ["0123456789abcdef", "nothing"] {
        let other = format!("/incidents/groups/{nothing}");
        leveret.post(&format!("{other}/comment"), &json!({ "text": "x" })).await.problem(404, "not-found");
        leveret.get(&other).await.problem(404, "not-found");
    }

    // What was noted stays as long as there are incidents, and is forgotten later.
    let later = leveret.app().clock.now() + std::time::Duration::from_secs(3_600);
    let forget = async || incidents::delete_unused_before(&mut *leveret.conn().await, later, 10).await.unwrap();
    assert_eq!(forget().await, 0);
    let id = leveret.id("A").await.unwrap();
    leveret.post(&format!("/instances/{id}/cancel"), &json!({})).await.ok(200);
    assert_eq!((forget().await, leveret.count("leveret.incident_notes").await), (1, 0));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_about_a_group_is_bounded() {
    let leveret = leveret().await;
    suspended(&leveret, "A", "lamp").await;
    let path = format!("/incidents/groups/{}", group(&leveret).await["fingerprint"].as_str().unwrap());
    let comment = async |text: String| leveret.post(&format!("{path}/comment"), &json!({ "text": text })).await;
    comment("x".repeat(4_096)).await.ok(200);
    comment("x".repeat(4_097)).await.problem(409, "refused");
    let reason = json!({ "assignee": "ada", "reason": "x".repeat(4_097) });
    leveret.post(&format!("{path}/assign"), &reason).await.problem(409, "refused");
    for number in 1..=200 {
        comment(number.to_string()).await.ok(200);
    }
    assert_eq!(leveret.count("leveret.incident_notes").await, 200);
    let newest = &leveret.get(&path).await.ok(200)["notes"][0];
    assert_eq!(newest["value"], "200");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_looks_at_as_many_groups_as_is_said() {
    let leveret = leveret().await;
    suspended(&leveret, "A", "lamp").await;
    let more = "INSERT INTO leveret.bookmarks (instance_id, number, activity, kind, opened_at, details, fingerprint) \
                SELECT instance_id, 1000 + n, activity, kind, opened_at, details, lpad(to_hex(n), 16, '0') \
                  FROM leveret.bookmarks, generate_series(1, 10000) AS n";
    leveret.execute(more).await;
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = leveret.get(&format!("/incidents/groups?limit=500{cursor}")).await.ok(200);
        listed += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, 10_000, "of 10,001");
    leveret.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_resolved_after_a_look_at_what_would_change() {
    let leveret = leveret().await;
    for key in ["retried", "failed", "cancelled"] {
        suspended(&leveret, key, "lamp").await;
    }
    let path = async |key: &str| format!("/incidents/{}/resolve", leveret.id(key).await.unwrap());
    let retry = json!({ "action": "retry", "variables": { "stock": 3 }, "reason": "filled", "dry_run": true });
    let rows = "leveret.history";
    let before = leveret.count(rows).await;
    let dry = leveret.post(&path("retried").await, &retry).await.ok(200);
    assert_eq!(
        (&dry["dry_run"], &dry["status"], &dry["at"], &dry["history"]),
        (&json!(true), &json!("running"), &json!(["pack"]), &json!(["IncidentRetried"]))
    );
    assert_eq!((leveret.count(rows).await, leveret.position("retried").await), (before, "suspended at pack".into()));
    let inbox = leveret.count("leveret.inbox WHERE command LIKE 'incident.%'").await;
    assert_eq!(inbox, 0, "a look leaves nothing behind");

    let retry = json!({ "action": "retry", "variables": { "stock": 3 }, "reason": "filled" });
    leveret.post_as("once", &path("retried").await, &retry).await.ok(200);
    leveret.reaches("retried", "completed").await;
    assert_eq!(leveret.post_as("once", &path("retried").await, &retry).await.ok(200)["outcome"], "retried");
    assert_eq!(leveret.lines("output", "leveret.instances WHERE key = 'retried'").await, ["3"]);
    let entry = leveret.lines("details", "leveret.history WHERE kind = 'IncidentRetried'").await.remove(0);
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(entry, json!({ "by": "leveret.http", "reason": "filled", "assigned": { "stock": 3 } }));

    let failed = leveret.post(&path("failed").await, &json!({ "action": "fail", "reason": "sold out" })).await.ok(200);
    assert_eq!(
        (&failed["status"], &failed["history"]),
        (&json!("failed"), &json!(["IncidentFailed", "InstanceFailed"]))
    );
    assert_eq!(leveret.lines("error->>'code'", "leveret.instances WHERE key = 'failed'").await, ["handler.empty"]);
    leveret.post(&path("cancelled").await, &json!({ "action": "cancel" })).await.ok(200);
    assert_eq!(leveret.position("cancelled").await, "cancelled");

    let again = path("failed").await;
    for (body, status, kind) in [
        (json!({ "action": "fail" }), 409, "refused"),
        (json!({ "action": "retry", "dry_run": true }), 409, "refused"),
        (json!({ "action": "explode" }), 400, "invalid"),
        (json!({ "action": "fail", "variables": { "stock": 1 } }), 400, "invalid"),
    ] {
        leveret.post(&again, &body).await.problem(status, kind);
    }
    let nobody = format!("/incidents/{}/resolve", uuid::Uuid::now_v7());
    leveret.post(&nobody, &json!({ "action": "fail" })).await.problem(404, "not-found");
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pager_hears_of_an_incident_by_the_event_that_on_failure_names() {
    let leveret = leveret().await;
    let amqp = Amqp::connect(&leveret.fresh.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = amqp.create_channel().await.unwrap();
    let queue = format!("{}.pager", leveret.fresh.prefix);
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
    let exchange = format!("{}.events", leveret.fresh.prefix);
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(queue.as_str().into(), exchange.as_str().into(), "order.page.*".into(), bind, none)
        .await
        .unwrap();
    let taken = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let coming = channel.basic_consume(queue.as_str().into(), "".into(), taken, FieldTable::default());
    let mut coming = coming.await.unwrap();
    suspended(&leveret, "A", "lamp").await;
    let heard = timeout(SOON, coming.next()).await.expect("the pager hears of it").unwrap().unwrap();
    let event: Value = serde_json::from_slice(&heard.data).unwrap();
    let data = &event["data"];
    assert_eq!(event["type"], "order.page.orders");
    assert_eq!(
        (&data["activity"], &data["error"]["code"], &data["key"]),
        (&json!("pack"), &json!("handler.empty"), &json!("A"))
    );
    assert_eq!(data["fingerprint"], group(&leveret).await["fingerprint"]);
    // While the group is muted nobody is called; the incident is there, and afterwards they are called again.
    let fingerprint = data["fingerprint"].as_str().unwrap();
    let mute = format!("/incidents/groups/{fingerprint}/mute");
    leveret.post(&mute, &json!({ "after": "12h", "user": "ada" })).await.ok(200);
    suspended(&leveret, "B", "lamp").await;
    assert_eq!(group(&leveret).await["count"], 2);
    leveret.post(&mute, &json!({ "user": "ada" })).await.ok(200);
    suspended(&leveret, "C", "lamp").await;
    let heard = timeout(SOON, coming.next()).await.expect("the pager hears of it").unwrap().unwrap();
    let event: Value = serde_json::from_slice(&heard.data).unwrap();
    assert_eq!(event["data"]["key"], "C");
    let audited = leveret.lines("action || ' ' || actor || ' ' || object", "leveret.audit ORDER BY id").await;
    assert_eq!(audited, vec![format!("incident.mute ada {fingerprint}"); 2]);
    amqp.close(200, "bye".into()).await.unwrap();
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_groups_notes_and_resolves() {
    let leveret = leveret().await;
    let command_line = CommandLine::on(&leveret.fresh);
    assert_eq!(command_line.say("incident groups").await.good(), "no open incidents\n");
    suspended(&leveret, "A", "lamp").await;
    suspended(&leveret, "B", "rug").await;
    let fingerprint = group(&leveret).await["fingerprint"].as_str().unwrap().to_owned();
    assert!(command_line.say("incident groups").await.good().contains(&fingerprint));
    assert_eq!(command_line.json("incident groups --definition order").await["items"][0]["count"], 2);
    assert_eq!(command_line.json("incident groups --definition other").await["items"], json!([]));
    command_line.say(&format!("incident assign {fingerprint} ada --as bob --reason it-is-hers")).await.good();
    command_line.say(&format!("incident comment {fingerprint} ordered --as ada")).await.good();
    command_line.say(&format!("incident mute {fingerprint} --after 2h --as ada")).await.good();
    let shown = command_line.say(&format!("incident show {fingerprint}")).await.good();
    for word in ["ada", "bob", "it-is-hers", "ordered", "handler.empty"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(command_line.json(&format!("incident show {fingerprint}")).await["muted"], true);
    command_line.say(&format!("incident unmute {fingerprint}")).await.good();
    assert_eq!(command_line.json(&format!("incident show {fingerprint}")).await["muted"], false);
    assert_eq!(
        command_line.json(&format!("incident list --fingerprint {fingerprint}")).await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let (one, other) = (leveret.id("A").await.unwrap(), leveret.id("B").await.unwrap());
    let look = command_line.say(&format!("incident resolve {one} --as fail --dry-run")).await.good();
    assert!(look.contains("would be failed"), "{look}");
    assert_eq!(leveret.position("A").await, "suspended at pack");
    command_line.say(&format!("incident resolve {one} --as fail --reason sold-out")).await.good();
    let set = ["incident", "resolve", &other.to_string(), "--as", "retry", "--set", r#"{"stock": 1}"#];
    command_line.run(set).await.good();
    leveret.reaches("B", "completed").await;
    eventually("no group is left", SOON, async || {
        command_line.say("incident groups").await.good() == "no open incidents\n"
    })
    .await;
    assert!(command_line.say(&format!("incident show {fingerprint}")).await.failed().contains("no open incident"));
    leveret.close().await;
}

/// Over the broker and in bulk, as over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_resolved_over_the_broker_and_in_bulk() {
    let leveret = leveret().await;
    for key in ["A", "B", "C", "D"] {
        suspended(&leveret, key, "lamp").await;
    }
    let fingerprint = group(&leveret).await["fingerprint"].as_str().unwrap().to_owned();
    let ask = async |key: &str, more: Value| {
        let mut body = json!({ "definition": "order", "key": key, "actor": "ada", "reason": "it is there" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        leveret.sender.ask("incident.resolve", &format!("{key} {more}"), &body).await;
        leveret.sender.answers(1).await.pop().unwrap().1
    };
    let unfit = ask("A", json!({ "action": "retry", "variables": { "nothing": 1 } })).await;
    assert_eq!(unfit["outcome"], "refused", "{unfit}");
    let both = ask("A", json!({ "action": "fail", "variables": { "stock": 1 } })).await;
    assert!(both["reason"].as_str().unwrap().contains("only with `retry`"), "{both}");
    assert_eq!(ask("A", json!({ "action": "retry", "variables": { "stock": 1 } })).await["outcome"], "retried");
    leveret.reaches("A", "completed").await;
    assert_eq!(ask("B", json!({ "action": "fail" })).await["outcome"], "failed");
    leveret.reaches("B", "failed").await;
    let job = json!({
        "operation": "incident.resolve", "arguments": { "action": "retry", "variables": { "stock": 2 } },
        "filter": format!("incident:{fingerprint}"), "actor": "ada",
    });
    leveret.post("/bulk", &job).await.ok(201);
    leveret.reaches("C", "completed").await;
    leveret.reaches("D", "completed").await;
    let actions =
        leveret.lines("action || ' ' || outcome", "leveret.audit WHERE subject = 'instance' ORDER BY id").await;
    assert_eq!(
        actions,
        ["incident.retry retried", "incident.fail failed", "incident.retry retried", "incident.retry retried"]
    );
    leveret.execute("DELETE FROM leveret.dead_letters").await;
    leveret.close().await;
}
