//! The permissions and grants of docs/security.md, as they are written there, given to real users: what each must do works, and what it
//! must not do is refused by the servers.

use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection as Link, ConnectionProperties};
use leveret::client::Worker;
use leveret::config::Config;
use leveret::definition::Definition;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::server::Server;
use leveret::store::{Connection, definitions, migrate};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::broker::connect_with;
use crate::support::{CommandLine, Fresh, SOON, count, eventually, lines};

const ORDER: &str = "
name: order
variables: { paid: 0, box: null }
output: ${ box }
activities:
  - { id: payment, receive: { name: paid }, output: { paid: result.data.amount } }
  - { id: pack, call: { name: pack, input: 7 }, timeout: 60s, output: { box: result } }
";
const PASSWORD: &str = "secret";
/// The broker answers, or closes the channel, within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// The code blocks of a language in docs/security.md that begin with this.
fn blocks(language: &str, begins: &str) -> Vec<String> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = std::fs::read_to_string(page).unwrap();
    let parts = page.split("\n```").collect::<Vec<_>>();
    let blocks = parts.iter().filter_map(|part| part.strip_prefix(&format!("{language}\n")));
    let found: Vec<String> = blocks.filter(|block| block.starts_with(begins)).map(ToString::to_string).collect();
    assert!(!found.is_empty(), "docs/security.md has no {language} block that begins with `{begins}`");
    found
}

/// The words of a line of shell; those in single quotes are one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

/// A vhost with the documented users, who have a suffix here; deleted at the end of the test.
struct Vhost {
    name: String,
    users: Vec<String>,
    host: String,
}

impl Vhost {
    async fn create(fresh: &Fresh) -> Self {
        let name = fresh.prefix.clone();
        let (_, rest) = fresh.amqp_url.split_once('@').unwrap();
        let mut vhost = Self { name, users: Vec::new(), host: rest.split('/').next().unwrap().to_owned() };
        let blocks = blocks("sh", "rabbitmqctl ");
        vhost.apply(&blocks[0]).await;
        // Leveret, as its own user, before the topic permissions of the others.
        connect_with(&vhost.url("leveret"), "leveret".into()).await.broker.close().await;
        for block in &blocks[1..] {
            vhost.apply(block).await;
        }
        vhost
    }

    async fn apply(&mut self, block: &str) {
        for line in block.lines() {
            let mut said = words(line);
            assert_eq!(said.remove(0), "rabbitmqctl", "{line}");
            // The vhost is called `leveret` in the document.
            let (vhost_at, user_at) = match said[0].as_str() {
                "add_vhost" => (Some(1), None),
                "add_user" => (None, Some(1)),
                "set_user_tags" => (None, Some(1)),
                "set_permissions" | "set_topic_permissions" => (Some(2), Some(3)),
                other => panic!("an unknown command: {other}"),
            };
            if let Some(at) = vhost_at {
                said[at] = self.name.clone();
            }
            if let Some(at) = user_at {
                said[at] = self.user(&said[at]);
            }
            if said[0] == "add_user" {
                self.users.push(said[1].clone());
                said[2] = PASSWORD.into();
            }
            control(said).await;
        }
    }

    fn user(&self, name: &str) -> String {
        format!("{name}-{}", self.name)
    }

    fn url(&self, user: &str) -> String {
        format!("amqp://{}:{PASSWORD}@{}/{}", self.user(user), self.host, self.name)
    }

    async fn guest(&self, user: &str) -> Guest {
        let connection = Link::connect(&self.url(user), ConnectionProperties::default()).await.unwrap();
        Guest { connection, user: self.user(user) }
    }

    async fn delete(self) {
        control(vec!["delete_vhost".into(), self.name]).await;
        for user in self.users {
            control(vec!["delete_user".into(), user]).await;
        }
    }
}

/// Runs `rabbitmqctl` on the servers of the tests.
async fn control(arguments: Vec<String>) {
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        crate::support::shared().rabbitmq().unwrap().control(&arguments).unwrap();
    });
    running.await.unwrap();
}

/// A connection of one user. What is refused closes its channel, so each attempt has its own.
struct Guest {
    connection: Link,
    user: String,
}

/// What came of an attempt.
type Attempt = Result<(), lapin::Error>;

impl Guest {
    async fn channel(&self) -> Channel {
        let channel = self.connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channel
    }

    fn properties(&self, kind: &str, message_id: &str) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_type(kind.into())
            .with_app_id("web-shop".into())
            .with_user_id(self.user.as_str().into())
            .with_message_id(message_id.into())
    }

    async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &Value) -> Attempt {
        let channel = self.channel().await;
        let (options, body) = (BasicPublishOptions { mandatory: true, ..Default::default() }, body.to_string());
        let sent = channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await?;
        timeout(ANSWERS_WITHIN, sent).await.expect("an answer").map(|confirmed| assert!(confirmed.is_ack()))
    }

    async fn command(&self, kind: &str, name: &str, body: &Value) -> Attempt {
        let properties = self.properties(kind, &format!("{kind} {name} {}", self.user));
        self.publish("leveret.commands", &format!("{kind}.{name}"), properties, body).await
    }

    async fn declare(&self, queue: &str) -> Attempt {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel().await.queue_declare(queue.into(), durable, FieldTable::default()).await.map(drop)
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Attempt {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        self.channel().await.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await
    }

    async fn consume(&self, queue: &str) -> Attempt {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        self.channel().await.basic_consume(queue.into(), "".into(), options, none).await.map(drop)
    }

    async fn delete(&self, queue: &str) -> Attempt {
        self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(drop)
    }

    /// The next message of a queue of its own.
    async fn take(&self, queue: &str) -> Value {
        let channel = self.channel().await;
        let mut taken = None;
        eventually("a message comes", SOON, async || {
            let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap();
            taken = got.map(|got| serde_json::from_slice(&got.delivery.data).unwrap());
            taken.is_some()
        })
        .await;
        taken.unwrap()
    }
}

#[track_caller]
fn assert_refused(what: &str, attempt: Attempt) {
    let Err(error) = attempt else { panic!("{what} is not refused") };
    let said = format!("{error} {error:?}").to_uppercase();
    assert!(said.contains("ACCESS"), "{what}: {said}");
}

/// A database whose schema belongs to the documented role.
struct Owned {
    fresh: Fresh,
    roles: Vec<String>,
}

impl Owned {
    async fn create() -> Self {
        let fresh = Fresh::database().await;
        let mut owned = Self { roles: Vec::new(), fresh };
        let admin = &mut Connection::establish(&owned.fresh.direct_url).await.unwrap();
        admin.batch_execute("DROP SCHEMA leveret CASCADE").await.unwrap();
        for block in blocks("sql", "-- As an administrator") {
            for role in ["leveret_app", "web_shop", "duty_officer"] {
                owned.roles.push(owned.role(role));
            }
            admin.batch_execute(&owned.named(&block)).await.unwrap();
        }
        migrate::run(&owned.url("leveret_app")).await.unwrap();
        for block in blocks("sql", "-- As leveret_app") {
            owned.run("leveret_app", &owned.named(&block)).await.unwrap();
        }
        owned
    }

    fn role(&self, name: &str) -> String {
        format!("{name}_{}", self.fresh.prefix)
    }

    /// What the document says, with the names of this test.
    fn named(&self, block: &str) -> String {
        let mut named = block.replace("DATABASE app", &format!("DATABASE {}", self.fresh.prefix));
        named = named.replace('…', PASSWORD);
        for role in ["leveret_app", "web_shop", "duty_officer"] {
            named = named.replace(role, &self.role(role));
        }
        named
    }

    fn url(&self, role: &str) -> String {
        let (_, rest) = self.fresh.direct_url.split_once('@').unwrap();
        format!("postgres://{}:{PASSWORD}@{rest}", self.role(role))
    }

    async fn run(&self, role: &str, statements: &str) -> Result<(), diesel::result::Error> {
        Connection::establish(&self.url(role)).await.unwrap().batch_execute(statements).await
    }

    async fn assert_refused(&self, role: &str, statement: &str) {
        let Err(error) = self.run(role, statement).await else { panic!("{role} may do {statement}") };
        let said = error.to_string();
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{role}: {statement}: {said}");
    }

    async fn admin(&self) -> Connection {
        Connection::establish(&self.fresh.direct_url).await.unwrap()
    }

    async fn drop(self) {
        let mut admin = self.admin().await;
        for role in &self.roles {
            admin.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await.unwrap();
        }
    }
}

async fn start(owned: &Owned, vhost: &Vhost) -> Server {
    let mut config = Config::default();
    config.database.url = owned.url("leveret_app");
    config.broker.url = vhost.url("leveret");
    config.http.listen = "127.0.0.1:0".into();
    leveret::telemetry::start_logs(&config.log);
    let running = Server::start(config, Handlers::new(), Role::ALL).await.unwrap();
    let declared = async || running.app.broker.verify().await.is_ok_and(|compared| compared.is_equal());
    eventually("everything is declared", SOON, declared).await;
    let mut conn = running.app.store.background().await.unwrap();
    definitions::apply(&mut conn, &Definition::parse(ORDER).unwrap()).await.unwrap();
    drop(conn);
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_users_of_rabbitmq_can_do_their_work_and_nothing_else() {
    let owned = Owned::create().await;
    let vhost = Vhost::create(&owned.fresh).await;
    let running = start(&owned, &vhost).await;
    assert_eq!(running.app.broker.troubled(), [""; 0]);
    let mut admin = owned.admin().await;

    let (shop, audit) = (vhost.guest("web-shop").await, vhost.guest("audit").await);
    shop.declare("web-shop.answers").await.unwrap();
    audit.declare("audit.orders").await.unwrap();
    audit.bind("audit.orders", "leveret.events", "order.#").await.unwrap();
    let asking = shop.properties("start", "order A").with_reply_to("web-shop.answers".into());
    shop.publish("leveret.commands", "start.order", asking, &json!({ "definition": "order", "key": "A" }))
        .await
        .unwrap();
    assert_eq!(shop.take("web-shop.answers").await["outcome"], "started");
    assert_eq!(audit.take("audit.orders").await["type"], "order.started");
    shop.command("message", "paid", &json!({ "name": "paid", "key": "A", "data": { "amount": 1 } })).await.unwrap();

    // The queue of its work is there with the first request; the worker declares nothing.
    let declared = async || count(&mut admin, "leveret.calls WHERE state = 'running'").await == 1;
    eventually("the call was sent", SOON, declared).await;
    let worker = Worker::new(&vhost.url("pack-station"), "leveret", "pack-station", "pack");
    let (done, stop) = tokio::sync::oneshot::channel::<()>();
    let working = worker.run(async { drop(stop.await) }, async |_| Ok(json!({ "box": 7 })));
    let completed = async {
        let ended = async || count(&mut admin, "leveret.instances WHERE status = 'completed'").await == 1;
        eventually("the order is completed", SOON, ended).await;
        drop(done);
    };
    tokio::join!(working, completed);
    let user = lines(&mut admin, "user_id", "leveret.instances").await;
    assert_eq!(user, [vhost.user("web-shop")], "the verified user");

    let packer = vhost.guest("pack-station").await;
    senders_are_limited(&shop, &packer).await;
    listeners_are_limited(&audit).await;
    workers_are_limited(&packer).await;
    let duty = vhost.guest("duty").await;
    assert_refused("an operator publishes", duty.command("cancel", "order", &json!({})).await);
    assert_refused("an operator reads commands", duty.consume("leveret.commands").await);
    assert_eq!(lines(&mut admin, "reason", "leveret.dead_letters").await, [""; 0]);
    assert!(running.stop().await);
    vhost.delete().await;
    owned.drop().await;
}

async fn senders_are_limited(shop: &Guest, other: &Guest) {
    let nothing = json!({});
    for (kind, name) in [("cancel", "order"), ("start", "payroll"), ("message", "shipped"), ("task.complete", "x")] {
        assert_refused(&format!("`{kind}.{name}`"), shop.command(kind, name, &nothing).await);
    }
    // With a key that it may use, another type is refused by Leveret: `a_routing_key_has_to_begin_with_the_type_…`.
    for (exchange, key) in [
        ("leveret.forwarded", "start.order"),
        ("leveret.steps", "default"),
        ("leveret.delayed", "leveret.steps.default"),
        ("leveret.events", "order.completed"),
        ("leveret.dead", ""),
        ("leveret.work", "pack"),
        ("leveret.calls", "call"),
        ("", "leveret.commands"),
        ("", "leveret.steps.default"),
    ] {
        let sent = shop.publish(exchange, key, shop.properties("start", "x"), &nothing).await;
        assert_refused(&format!("a message to `{exchange}` {key}"), sent);
    }
    let pretending = other.properties("start", "pretending");
    let sent = shop.publish("leveret.commands", "start.order", pretending, &nothing).await;
    let said = format!("{:?}", sent.expect_err("the user of another")).to_uppercase();
    assert!(said.contains("PRECONDITION"), "{said}");
    assert_refused("the queue of commands", shop.consume("leveret.commands").await);
    assert_refused("the queue of commands, deleted", shop.delete("leveret.commands").await);
    assert_refused("the events", shop.bind("web-shop.answers", "leveret.events", "#").await);
    assert_refused("a queue of another", shop.declare("leveret.work.other").await);
}

async fn listeners_are_limited(audit: &Guest) {
    assert_refused("all events", audit.bind("audit.orders", "leveret.events", "#").await);
    assert_refused("those of another", audit.bind("audit.orders", "leveret.events", "payroll.#").await);
    for exchange in ["leveret.commands", "leveret.urgent", "leveret.forwarded", "leveret.steps", "leveret.work"] {
        assert_refused(exchange, audit.bind("audit.orders", exchange, "#").await);
    }
    let forged = audit.properties("order.completed", "forged");
    assert_refused("an event", audit.publish("leveret.events", "order.completed", forged, &json!({})).await);
    assert_refused("a command", audit.command("start", "order", &json!({ "definition": "order" })).await);
}

async fn workers_are_limited(packer: &Guest) {
    assert_refused("a start", packer.command("start", "order", &json!({ "definition": "order" })).await);
    assert_refused("the outcome of another work", packer.command("call.complete", "ship", &json!({})).await);
    assert_refused("the queue of another work", packer.consume("leveret.work.ship").await);
    assert_refused("the steps", packer.consume("leveret.steps.default").await);
    assert_refused("other requests", packer.bind("leveret.work.pack", "leveret.work", "ship").await);
    assert_refused("its queue, deleted", packer.delete("leveret.work.pack").await);
    let forged = packer.properties("fire", "forged");
    assert_refused("a wake-up", packer.publish("leveret.steps", "default", forged, &json!({})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_roles_of_postgresql_can_do_their_work_and_nothing_else() {
    let owned = Owned::create().await;
    owned.run("web_shop", "SELECT leveret.start('order', '{}', key => 'A', message_id => 'm-1')").await.unwrap();
    owned.run("web_shop", "SELECT leveret.message('paid', 'A'), leveret.broadcast('news', 'A')").await.unwrap();
    let mut admin = owned.admin().await;
    let senders = lines(&mut admin, "app_id", "(SELECT DISTINCT app_id FROM leveret.outbox) AS sent").await;
    assert_eq!(senders, [format!("leveret.sql/{}", owned.role("web_shop"))]);
    for statement in [
        "SELECT * FROM leveret.instances",
        "SELECT * FROM leveret.outbox",
        "INSERT INTO leveret.outbox (id, exchange, routing_key, kind, body) VALUES (gen_random_uuid(), 'steps', 'a', 'b', '')",
        "UPDATE leveret.definitions SET status = 'retired'",
        "DELETE FROM leveret.inbox",
        "TRUNCATE leveret.history",
        "SELECT leveret.push_command('cancel', 'x', '{}', NULL)",
        "SELECT leveret.claimable_now()",
        "SELECT leveret.relay_looks(1)",
        "SELECT nextval('leveret.relay_looks_until')",
        "CREATE TABLE leveret.mine ()",
        "ALTER TABLE leveret.instances DISABLE TRIGGER ALL",
    ] {
        owned.assert_refused("web_shop", statement).await;
    }
    owned
        .run("duty_officer", "SELECT count(*) FROM leveret.history; SELECT count(*) FROM leveret.calls")
        .await
        .unwrap();
    for statement in [
        "UPDATE leveret.instances SET status = 'cancelled'",
        "INSERT INTO leveret.inbox DEFAULT VALUES",
        "DELETE FROM leveret.dead_letters",
        "TRUNCATE leveret.outbox",
        "SELECT leveret.start('order')",
        "SELECT leveret.relay_looks(1)",
        "CREATE TABLE leveret.mine ()",
    ] {
        owned.assert_refused("duty_officer", statement).await;
    }
    owned.assert_refused("leveret_app", "CREATE ROLE another").await;
    let change = "INSERT INTO leveret.history (instance_id, number, at, kind, digest, previous_hash) \
                  VALUES (leveret.uuidv7(), 1, now(), 'x', '', ''); UPDATE leveret.history SET kind = 'y'";
    let said = owned.run("leveret_app", change).await.unwrap_err().to_string();
    assert!(said.contains("history is append-only"), "{said}");

    let officer = CommandLine::on(&owned.fresh).with("DATABASE_URL", &owned.url("duty_officer"));
    let told = officer.say("instance list").await.good();
    assert!(told.contains("definition") || told.contains("no instances"), "{told}");
    officer.say("dead-letter list").await.good();
    officer.say("instance start order").await.failed();
    owned.drop().await;
}
