//! A shop with something of everything, for the pages to show.

use reqwest::Client;
use serde_json::{Value, json};

use super::{serve, start};
use crate::support::{Processes, Program, SOON, Sender, eventually};

/// Fails until the article is one that the shop has.
const BILLING: &str = "
name: billing
variables: { article: lmap }
output: ${ article }
activities:
  - { id: reserve, run: { handler: reserve-stock, input: { article: '${ article }', quantity: 1 } }, retry: none }
  - { id: booked, end: {} }
";
/// Markup where text belongs.
const MARKED: &str = "
name: marked
variables: { text: '<b>x</b>', quote: '\"><i>y</i>' }
activities:
  - { id: decide, task: { title: '<b>x</b> \"><i>y</i>', data: { text: '<b>x</b>' }, candidates: { groups: [approvers] } } }
";
/// A form with a field of each kind.
const FORM: &str = "
name: address
variables: { form: null }
activities:
  - id: fill
    task:
      title: Where does the parcel go?
      candidates: { groups: [approvers] }
      form:
        type: object
        required: [street, country]
        properties:
          street: { type: string, title: Street and number }
          country: { enum: [Germany, Austria, Switzerland], title: Country }
          floor: { type: integer, minimum: 0, title: Floor }
          gift: { type: boolean, title: It is a gift }
          note: { type: string, maxLength: 500, title: Note, description: What the driver should know }
          names: { type: array, items: { type: string }, title: Names at the door }
    output: { form: result.form }
";
/// The examples that are applied.
const EXAMPLES: [&str; 4] = ["expense", "board-vote", "monthly-report", "supplier"];

/// A shop that is open: a program that serves, and the ids of what was made.
pub(super) struct Shop {
    processes: Processes,
    program: Program,
    http: Client,
    pub(super) base: String,
    pub(super) seeded: Value,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let processes = Processes::new().await;
        for document in [BILLING, MARKED, FORM] {
            processes.apply(document).await;
        }
        processes.apply(&BILLING.replace("{ article: lmap }", "{ article: lmap, count: 1 }")).await;
        for name in EXAMPLES {
            let file = format!("{}/examples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            processes.apply(&std::fs::read_to_string(file).unwrap()).await;
        }
        let program = serve(&processes, "127.0.0.1:0");
        let base = format!("http://{}", program.serves().await.expect("it has an address"));
        let mut shop = Self { processes, program, http: Client::new(), base, seeded: Value::Null };
        shop.seeded = shop.seed().await;
        shop
    }

    async fn seed(&self) -> Value {
        let order = |key: &str, patience: &str| json!({ "order_id": key, "article": "lamp", "quantity": 1, "amount": 100, "patience": patience });
        let waiting = self.begin("order", "A-17", &order("A-17", "10m")).await;
        let contested = self.begin("order", "A-18", &order("A-18", "10m")).await;
        let completed = self.begin("order", "A-19", &order("A-19", "100ms")).await;
        for number in 0..6 {
            self.begin("line", &format!("L-{number}"), &json!({})).await;
        }
        let suspended = self.begin("billing", "B-1", &json!({})).await;
        self.begin("billing", "B-2", &json!({})).await;
        self.begin("retry", "R-1", &json!({})).await;
        let marked = self.begin("marked", "<b>x</b>", &json!({})).await;
        self.begin("address", "P-1", &json!({})).await;
        self.begin("expense", "E-1", &json!({ "by": "ann", "amount": 120, "purpose": "a lamp" })).await;
        self.begin("board-vote", "V-1", &json!({ "motion": "More hares", "members": ["mia", "ben"], "chair": "mia" }))
            .await;
        let schedule = json!({ "definition": "monthly-report", "cron": "0 6 1 * *", "zone": "Europe/Berlin",
            "input": { "scheduled_at": "${ scheduled_at }", "zone": "${ zone }" } });
        let put =
            self.http.put(format!("{}/api/v1/schedules/monthly", self.base)).json(&schedule).send().await.unwrap();
        assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
        let sender = Sender::connect(&self.processes.fresh.amqp_url, &self.processes.fresh.prefix).await;
        sender.command("start", "no-such", &json!({ "definition": 7 })).await;
        let letter = self.first("/dead-letters", "id").await;
        let fingerprint = self.first("/incidents/groups", "fingerprint").await;
        self.reaches(&waiting, "running").await;
        self.reaches(&suspended, "suspended").await;
        self.reaches(&completed, "completed").await;
        let task = async |definition: &str| self.first(&format!("/tasks?definition={definition}"), "id").await;
        json!({
            "waiting": waiting, "contested": contested, "completed": completed, "suspended": suspended, "marked": marked,
            "letter": letter, "fingerprint": fingerprint, "task": task("expense").await, "vote": task("board-vote").await,
            "form": task("address").await, "markedTask": task("marked").await,
        })
    }

    async fn begin(&self, definition: &str, key: &str, input: &Value) -> String {
        let answer = self
            .http
            .post(format!("{}/api/v1/instances", self.base))
            .json(&start(definition, key, input))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}/api/v1{path}", self.base)).send().await.unwrap().json().await.unwrap()
    }

    /// A member of the first item of a list, once there is one.
    async fn first(&self, path: &str, member: &str) -> Value {
        let mut found = Value::Null;
        let there = async || {
            found = self.get(path).await["items"][0][member].clone();
            !found.is_null()
        };
        eventually(path, SOON, there).await;
        found
    }

    async fn reaches(&self, id: &str, status: &str) {
        let there = async || self.get(&format!("/instances/{id}")).await["status"] == status;
        eventually(status, SOON, there).await;
    }

    /// Starts a bill that fails.
    pub(super) async fn bill(&self, key: &str) {
        self.begin("billing", key, &json!({})).await;
    }

    /// Stops the program, in order.
    pub(super) async fn stop(&mut self) {
        self.program.stops_in_order().await;
    }

    /// Starts it again at the same address, and an instance with this key.
    pub(super) async fn start_again(&mut self, key: &str) {
        self.program = serve(&self.processes, self.base.trim_start_matches("http://"));
        self.program.serves().await;
        self.begin("line", key, &json!({})).await;
    }

    pub(super) async fn close(mut self) {
        self.program.stops_in_order().await;
    }
}
