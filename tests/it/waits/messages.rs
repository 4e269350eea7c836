//! Messages: alternatives, filters beyond the first hundred, broadcasts, and what is kept and listed.

use serde_json::{Value, json};

use crate::support::House;

const CHOICE: &str = "
name: choice
variables: { taken: null }
output: ${ taken }
activities:
  - id: ask
    receive: [{ name: approved }, { name: rejected }, { name: withdrawn }]
    timeout: 1d
    output: { taken: result.name }
    next: { approved: exit, rejected: exit, withdrawn: exit }
";
/// Waits with everybody else, for what is meant for it or for all.
const MINE: &str = "
name: mine
variables: { got: null }
output: ${ got }
activities:
  - id: wait
    receive: { name: news, key: shared, when: 'data.to == instance.key || data.to == \"all\"' }
    output: { got: result.data.text }
";
/// More than one page.
const MANY: i64 = 130;

async fn send(house: &House, id: &str, name: &str, key: &str, data: Value) -> Value {
    house.sender.ask("message", id, &json!({ "name": name, "key": key, "data": data })).await;
    answer(house).await
}

async fn answer(house: &House) -> Value {
    house.sender.answers(1).await.pop().map(|(_, answer)| answer).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_alternative_that_comes_closes_the_others() {
    let house = House::open().await;
    house.apply(CHOICE).await;
    house.start("choice", "A").await;
    house.stands("A", "running at ask").await;
    assert_eq!(send(&house, "1", "rejected", "A", json!(null)).await["outcome"], "delivered");
    house.stands("A", "completed").await;
    assert_eq!(house.lines("output", "leveret.instances WHERE key = 'A'").await, ["\"rejected\""]);
    assert_eq!(house.count("leveret.bookmarks WHERE consumed_at IS NULL").await, 0);
    assert_eq!(send(&house, "2", "approved", "A", json!(null)).await["outcome"], "kept");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_asked_of_every_wait_and_not_of_the_first_hundred_only() {
    let house = House::open().await;
    house.apply(MINE).await;
    for number in 0..MANY {
        house.start("mine", &format!("{number:03}")).await;
    }
    house.becomes(MANY, "leveret.bookmarks WHERE kind = 'message' AND consumed_at IS NULL").await;
    let newest = house.lines("i.key", &format!("{WAITING} ORDER BY b.opened_at DESC, i.id DESC LIMIT 1")).await;
    let answer = send(&house, "1", "news", "shared", json!({ "to": newest[0], "text": "for the last" })).await;
    assert_eq!(answer["outcome"], "delivered");
    house.stands(&newest[0], "completed").await;
    assert_eq!(house.count("leveret.messages").await, 0);
    house.close().await;
}

const WAITING: &str = "leveret.bookmarks AS b JOIN leveret.instances AS i ON i.id = b.instance_id \
    WHERE b.kind = 'message' AND b.consumed_at IS NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_looks_beyond_the_first_hundred_kept_messages() {
    let house = House::open().await;
    house.apply(MINE).await;
    for number in 0..MANY {
        let body = json!({ "name": "news", "key": "shared", "data": { "to": format!("other {number}") } });
        house.sender.command("message", &format!("other {number}"), &body).await;
    }
    house.becomes(MANY, "leveret.messages").await;
    let answer = send(&house, "mine", "news", "shared", json!({ "to": "late", "text": "at last" })).await;
    assert_eq!(answer["outcome"], "kept");
    house.start("mine", "late").await;
    house.stands("late", "completed").await;
    assert_eq!(house.lines("output", "leveret.instances").await, ["\"at last\""]);
    assert_eq!(house.count("leveret.messages").await, MANY);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_everybody_who_waits_and_nobody_who_comes_later() {
    let house = House::open().await;
    house.apply(MINE).await;
    for key in ["a", "b", "c", "deaf"] {
        house.start("mine", key).await;
        house.stands(key, "running at wait").await;
    }
    let suspended = json!({ "definition": "mine", "key": "deaf", "note": "the test" });
    house.sender.ask("suspend", "suspend", &suspended).await;
    assert_eq!(answer(&house).await["outcome"], "suspended");
    let body = json!({ "name": "news", "key": "shared", "broadcast": true, "data": { "to": "all", "text": "hear" } });
    for _ in 0..2 {
        house.sender.ask("message", "hear", &body).await;
        assert_eq!(answer(&house).await, json!({ "outcome": "broadcast", "receivers": 4 }));
    }
    house.becomes(3, "leveret.instances WHERE status = 'completed' AND output = '\"hear\"'").await;
    // The one that may not move has its copy kept, for itself alone.
    house.becomes(1, "leveret.messages WHERE instance_id IS NOT NULL").await;
    house.start("mine", "later").await;
    house.stands("later", "running at wait").await;
    house.sender.ask("resume", "resume", &suspended).await;
    assert_eq!(answer(&house).await["outcome"], "resumed");
    house.stands("deaf", "completed").await;
    assert_eq!((house.count("leveret.messages").await, house.standing("later").await), (0, "running at wait".into()));
    let nobody = json!({ "name": "other", "key": "x", "broadcast": true });
    house.sender.ask("message", "nobody", &nobody).await;
    assert_eq!(answer(&house).await, json!({ "outcome": "broadcast", "receivers": 0 }));
    assert_eq!(house.count("leveret.messages").await, 0, "never kept");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_from_sql_http_and_the_command_line_is_the_same() {
    let house = House::open().await;
    house.apply(MINE).await;
    let leveret = crate::support::Leveret::on(&house.process.fresh);
    for (turn, key) in ["sql", "http", "cli"].into_iter().enumerate() {
        house.start("mine", key).await;
        house.stands(key, "running at wait").await;
        match turn {
            0 => house.execute(r#"SELECT leveret.broadcast('news', 'shared', '{"to": "all", "text": 1}')"#).await,
            1 => {
                let body =
                    json!({ "name": "news", "key": "shared", "data": { "to": "all", "text": 2 }, "broadcast": true });
                let said = house.process.post("/messages", &body).await.ok(202);
                assert_eq!(said, json!({ "outcome": "broadcast", "receivers": 1 }));
            }
            _ => {
                let data = r#"{"to":"all","text":3}"#;
                let words = ["message", "send", "news", "shared", "--broadcast", "--data", data];
                assert_eq!(leveret.run(words).await.good(), "sent to 1 waits\n");
            }
        }
        house.stands(key, "completed").await;
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waited_for_in_time_is_gone() {
    let house = House::open().await;
    let body = json!({ "name": "paid", "key": "late", "data": { "amount": 1 }, "ttl": 3600 });
    house.sender.ask("message", "paid", &body).await;
    assert_eq!(answer(&house).await["outcome"], "kept");
    assert_eq!(house.count("leveret.messages WHERE expires_at = received_at + interval '1 hour'").await, 1);
    house.pay("paid by default", "late", 1).await;
    house.becomes(1, "leveret.messages WHERE expires_at = received_at + interval '1 day'").await;
    house.execute("UPDATE leveret.messages SET expires_at = now() - interval '1 second'").await;
    house.start("paid", "late").await;
    house.stands("late", "running at payment").await;
    leveret::roles::cleaner::run_once(house.app()).await.unwrap();
    assert_eq!(house.count("leveret.messages").await, 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_to_live_does_not_run_out_while_who_waits_is_suspended() {
    let house = House::open().await;
    house.start("paid", "A").await;
    house.stands("A", "running at payment").await;
    let target = json!({ "definition": "paid", "key": "A" });
    house.sender.ask("suspend", "suspend", &target).await;
    assert_eq!(answer(&house).await["outcome"], "suspended");
    assert_eq!(send(&house, "paid", "paid", "A", json!({ "amount": 7 })).await["outcome"], "kept");
    // Expired now, but not when it was suspended.
    house
        .execute("UPDATE leveret.messages SET expires_at = now() - interval '1 millisecond', received_at = now()")
        .await;
    house
        .execute("UPDATE leveret.bookmarks SET opened_at = now() - interval '1 hour' WHERE kind = 'intervention'")
        .await;
    leveret::roles::cleaner::run_once(house.app()).await.unwrap();
    assert_eq!(house.count("leveret.messages").await, 1);
    house.sender.ask("resume", "resume", &target).await;
    house.stands("A", "completed").await;
    assert_eq!(house.lines("output", "leveret.instances").await, ["7"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_listed_page_by_page() {
    let house = House::open().await;
    house.start("paid", "ended").await;
    house.stands("ended", "running at payment").await;
    for (id, name, key) in [("1", "paid", "ended"), ("2", "paid", "ended"), ("3", "paid", "x"), ("4", "other", "x")] {
        send(&house, id, name, key, json!({ "amount": 1 })).await;
    }
    house.stands("ended", "completed").await;
    let all = house.process.get("/messages").await.ok(200);
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["message_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&all), ["4", "3", "2"]);
    let first = house.process.get("/messages?limit=2").await.ok(200);
    let next =
        house.process.get(&format!("/messages?limit=2&cursor={}", first["next"].as_str().unwrap())).await.ok(200);
    assert_eq!((ids(&first), ids(&next)), (vec!["4".to_owned(), "3".to_owned()], vec!["2".to_owned()]));
    assert_eq!(ids(&house.process.get("/messages?name=paid&key=x").await.ok(200)), ["3"]);
    house.process.get("/messages?limit=0").await.problem(400, "invalid");
    let leveret = crate::support::Leveret::on(&house.process.fresh);
    assert_eq!(ids(&leveret.json("message list --name paid").await), ["3", "2"]);
    assert!(leveret.say("message list").await.good().contains("ended"));
    assert_eq!(leveret.say("message list --key none").await.good(), "no kept messages\n");
    house.close().await;
}
