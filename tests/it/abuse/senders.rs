//! Who sent what: names of senders that nobody may take from another, and what the history and the views say of them.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use lapin::BasicProperties;
use leveret::client::{Client, Error};
use leveret::store::Connection;
use serde_json::{Value, json};

use crate::support::{CommandLine, Fresh, InProcess, Sender};

/// Two roles of a database that may send commands, dropped at the end of the test.
struct Roles {
    names: [String; 2],
    url: String,
}

impl Roles {
    async fn create(fresh: &Fresh) -> Self {
        let names = ["a", "b"].map(|name| format!("{name}_{}", fresh.prefix));
        let admin = &mut Connection::establish(&fresh.direct_url).await.unwrap();
        for name in &names {
            let granted = format!(
                "CREATE ROLE {name} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA leveret TO {name}; \
                 GRANT EXECUTE ON FUNCTION leveret.start, leveret.message, leveret.broadcast TO {name}"
            );
            admin.batch_execute(&granted).await.unwrap();
        }
        admin.batch_execute(&format!("GRANT {} TO {}", names[0], names[1])).await.unwrap();
        Self { names, url: fresh.direct_url.clone() }
    }

    /// Runs statements after a login as one of them.
    async fn run(&self, number: usize, statements: &str) -> Result<(), diesel::result::Error> {
        let (_, rest) = self.url.split_once('@').unwrap();
        let url = format!("postgres://{}:secret@{rest}", self.names[number]);
        Connection::establish(&url).await.unwrap().batch_execute(statements).await
    }

    async fn drop(self) {
        let admin = &mut Connection::establish(&self.url).await.unwrap();
        for name in self.names {
            admin.batch_execute(&format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}")).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_of_leveret_are_refused_from_outside() {
    let leveret = InProcess::with_ledger().await;
    let reserved = ["leveret.schedule/nightly", "leveret.sql/shop", "leveret.http", "leveret.cli", "leveret"];
    for (number, app_id) in (1..).zip(reserved) {
        let body = json!({ "definition": "step", "key": app_id });
        // The id of a coming tick.
        let properties = Sender::properties("start", "2026-12-01T05:00:00Z").with_app_id(app_id.into());
        let asking = leveret.sender.asking(properties, app_id);
        leveret.sender.send("commands", "start.step", asking, body.to_string().as_bytes()).await;
        leveret.count_becomes(number, "leveret.dead_letters").await;
        let why = leveret.dead_letters().await.pop().unwrap();
        assert!(why.contains(&format!("the `app_id` `{app_id}` is that of a part of Leveret")), "{why}");
    }
    assert_eq!(leveret.sender.answers(reserved.len()).await.len(), reserved.len());
    assert_eq!(leveret.count("leveret.inbox").await, 0, "no id is booked");
    assert_eq!(leveret.count("leveret.instances").await, 0);
    let free = Sender::properties("start", "free").with_app_id("leverets".into());
    leveret.sender.send("commands", "start.step", free, br#"{"definition": "step", "key": "free"}"#).await;
    leveret.reaches("free", "completed").await;
    let refused = Client::connect(&leveret.fresh.amqp_url, &leveret.fresh.prefix, "leveret.sql/shop").await;
    assert!(matches!(refused, Err(Error::Sender(_))));
    leveret.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_of_the_database_has_message_ids_of_its_own() {
    let leveret = InProcess::with_ledger().await;
    let roles = Roles::create(&leveret.fresh).await;
    let start = |key: &str| format!("SELECT leveret.start('step', key => '{key}', message_id => 'm-1')");
    roles.run(0, &start("A")).await.unwrap();
    leveret.reaches("A", "completed").await;
    roles.run(1, &start("B")).await.unwrap();
    leveret.reaches("B", "completed").await;
    // A member of the other role is still who has logged in, and so is a caller of its function.
    let as_other = format!("SET ROLE {}; {}", roles.names[0], start("C").replace("m-1", "m-2"));
    roles.run(1, &as_other).await.unwrap();
    leveret.reaches("C", "completed").await;
    let definer = format!(
        "CREATE FUNCTION public.start_it() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ {} $$; \
         ALTER FUNCTION public.start_it() OWNER TO {}",
        start("D").replace("m-1", "m-3"),
        roles.names[0]
    );
    leveret.execute(&definer).await;
    roles.run(1, "SELECT public.start_it()").await.unwrap();
    leveret.reaches("D", "completed").await;
    let found = leveret.lines("key || ' ' || started_by", "leveret.instances ORDER BY key").await;
    let [a, b] = &roles.names;
    let expected = [("A", a), ("B", b), ("C", b), ("D", b)].map(|(key, role)| format!("{key} leveret.sql/{role}"));
    assert_eq!(found, expected);
    assert_eq!(leveret.dead_letters().await, [""; 0]);
    roles.drop().await;
    leveret.close().await;
}

/// Details of history rows of this kind, oldest first.
async fn details(leveret: &InProcess, kind: &str) -> Vec<Value> {
    let rows = leveret.lines("details", &format!("leveret.history WHERE kind = '{kind}' ORDER BY at, number")).await;
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The user that the connections of tests log in with, verified by the broker.
fn verified(fresh: &Fresh, kind: &str, message_id: &str) -> (String, BasicProperties) {
    let (_, rest) = fresh.amqp_url.split_once("://").unwrap();
    let user = rest.split([':', '@']).next().unwrap().to_owned();
    let properties = Sender::properties(kind, message_id).with_user_id(user.as_str().into());
    (user, properties)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_says_who_sent_a_command_and_as_which_user_of_the_broker() {
    let leveret = InProcess::with_ledger().await;
    let send = async |kind: &str, id: &str, body: Value| {
        let (user, properties) = verified(&leveret.fresh, kind, id);
        leveret.sender.send("commands", &format!("{kind}.x"), properties, body.to_string().as_bytes()).await;
        user
    };
    // Kept before its wait opens, delivered to an open wait, and with a broadcast.
    send("message", "early", json!({ "name": "paid", "key": "A", "data": { "amount": 1 } })).await;
    leveret.count_becomes(1, "leveret.messages").await;
    let user = send("start", "1", json!({ "definition": "paid", "key": "A", "user": "mia" })).await;
    leveret.reaches("A", "completed").await;
    leveret.start("paid", "B").await;
    leveret.reaches("B", "running at payment").await;
    send("message", "direct", json!({ "name": "paid", "key": "B", "data": { "amount": 2 } })).await;
    leveret.reaches("B", "completed").await;
    leveret.start("paid", "C").await;
    leveret.reaches("C", "running at payment").await;
    send("message", "all", json!({ "name": "paid", "key": "C", "broadcast": true, "data": { "amount": 3 } })).await;
    leveret.reaches("C", "completed").await;
    leveret.start("paid", "D").await;
    leveret.reaches("D", "running at payment").await;
    send("cancel", "off", json!({ "definition": "paid", "key": "D", "reason": "enough" })).await;
    leveret.reaches("D", "cancelled").await;
    send("cancel", "nobody", json!({ "definition": "paid", "key": "?" })).await;
    leveret.count_becomes(1, "leveret.dead_letters").await;

    let started = details(&leveret, "InstanceStarted").await;
    assert_eq!(started[0], json!({ "by": "mia", "sender": "upstream", "user_id": user }));
    assert_eq!(started[1], json!({ "by": "upstream" }));
    let received = details(&leveret, "MessageReceived").await;
    let from = |key: &str| json!({ "name": "paid", "key": key, "by": "upstream", "user_id": user });
    assert_eq!(received, ["A", "B", "C"].map(from));
    let cancelled = details(&leveret, "InstanceCancelled").await;
    assert_eq!(cancelled, [json!({ "by": "upstream", "reason": "enough", "user_id": user })]);

    let id = leveret.id("A").await.unwrap();
    let shown = leveret.get(&format!("/instances/{id}")).await.ok(200);
    assert_eq!((&shown["started_by"], &shown["user_id"]), (&json!("mia"), &json!(user)));
    let told = CommandLine::on(&leveret.fresh).say(&format!("instance show {id}")).await.good();
    assert!(told.contains("user id") && told.contains(&user), "{told}");
    let letter = &leveret.get("/dead-letters").await.ok(200)["items"][0];
    assert_eq!(letter["user_id"], json!(user));
    leveret.close().await;
}

/// Leveret is the user of what it sends again; who sent it first goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_waited_in_the_outbox_keeps_its_user_and_nobody_can_pretend_one() {
    let soon = |config: &mut leveret::config::Config| config.database.lock_timeout = Duration::from_millis(100);
    let leveret = InProcess::with_ledger_on(Fresh::new().await, soon).await;
    for key in ["A", "B"] {
        leveret.start("paid", key).await;
        leveret.reaches(key, "running at payment").await;
    }
    let mut holder = Connection::establish(&leveret.fresh.database_url).await.unwrap();
    holder.batch_execute("BEGIN; SELECT FROM leveret.instances FOR UPDATE").await.unwrap();
    let (user, properties) = verified(&leveret.fresh, "cancel", "cancel A");
    let mut forged = lapin::types::FieldTable::default();
    for (name, value) in [("leveret-first-user", "root"), ("leveret-first-exchange", "x")] {
        forged.insert(name.into(), lapin::types::AMQPValue::LongString(value.into()));
    }
    let pretending = Sender::properties("cancel", "cancel B").with_headers(forged);
    for (key, properties) in [("A", properties), ("B", pretending)] {
        let body = json!({ "definition": "paid", "key": key }).to_string();
        leveret.sender.send("commands", "cancel.paid", properties, body.as_bytes()).await;
    }
    leveret.count_becomes(2, "leveret.outbox WHERE exchange = 'forwarded' AND kind = 'cancel'").await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    leveret.reaches("A", "cancelled").await;
    leveret.reaches("B", "cancelled").await;
    let mut cancelled = details(&leveret, "InstanceCancelled").await;
    cancelled.sort_by_key(|details| details["user_id"].is_null());
    assert_eq!(cancelled, [json!({ "by": "upstream", "user_id": user }), json!({ "by": "upstream" })]);
    leveret.close().await;
}
