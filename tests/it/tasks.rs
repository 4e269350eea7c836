//! Tasks of people: who may act, who was first, and what the others are told.

mod acts;
mod command_line;
mod crash;
mod four_eyes;
mod groups;
mod inbox;
mod messages;
mod races;
mod strategies;
mod timers;

use reqwest::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{InProcess, Reply, SOON, eventually};

/// A clerk or a manager decides, but never the person who asks.
const APPROVAL: &str = "
name: approval
input:
  type: object
  properties:
    by: { type: string, default: ann }
    patience: { type: string, default: 1h }
variables: { approver: null, limit: null }
output: { approver: '${ approver }', limit: '${ limit }' }
activities:
  - id: approve
    task:
      title: Approve what ${ by } wants
      data: { by: '${ by }' }
      candidates: { users: [bob, carl, '${ by }'], groups: [managers] }
      exclude: ['${ by }']
      decisions: { approve: Let it pass, reject: Turn it down, again: Send it back }
      form: { type: object, properties: { limit: { type: number, minimum: 0 } } }
    timeout: ${ patience }
    on_timeout: late
    output: { approver: result.actor, limit: result.form.limit }
    next: { approve: exit, reject: refused, again: rework }
  - id: rework
    task: { title: 'Do it again', assignee: '${ by }' }
    next: approve
  - { id: refused, end: { output: refused } }
  - { id: late, end: { output: late } }
";

/// A process with the definition `approval`.
async fn with_approval() -> InProcess {
    let leveret = InProcess::new().await;
    leveret.apply(APPROVAL).await;
    leveret
}

/// Requests about tasks over HTTP.
impl InProcess {
    async fn post_instance(&self, definition: &str, key: &str, input: Value) -> Uuid {
        let request = json!({ "definition": definition, "key": key, "input": input });
        self.post("/instances", &request).await.ok(201)["id"].as_str().unwrap().parse().unwrap()
    }

    /// The open task of an instance, once there is one.
    async fn open_task(&self, instance: Uuid) -> Value {
        let mut found = Value::Null;
        let open = async || {
            let page = self.get(&format!("/tasks?instance={instance}")).await.ok(200);
            found = page["items"][0].clone();
            !found.is_null()
        };
        eventually("a task is open", SOON, open).await;
        self.show_task(&found).await
    }

    async fn show_task(&self, task: &Value) -> Value {
        self.get(&format!("/tasks/{}", id(task))).await.ok(200)
    }

    async fn act(&self, task: &Value, verb: &str, body: Value) -> Reply {
        self.post(&format!("/tasks/{}/{verb}", id(task)), &body).await
    }

    /// The same with the revision of the task that the person has seen.
    async fn act_if(&self, task: &Value, verb: &str, revision: i64, body: Value) -> (u16, Value) {
        let url = self.url(&format!("/tasks/{}/{verb}", id(task)));
        let request = Client::new().post(url).header("if-match", format!("\"{revision}\"")).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn instance(&self, id: Uuid) -> Value {
        self.get(&format!("/instances/{id}")).await.ok(200)
    }

    async fn ended(&self, id: Uuid) -> Value {
        let mut view = Value::Null;
        let ended = async || {
            view = self.instance(id).await;
            !view["ended_at"].is_null()
        };
        eventually("the instance has ended", SOON, ended).await;
        view
    }

    /// The history of the tasks of an instance, with who did it.
    async fn task_history(&self, id: Uuid) -> Vec<String> {
        let history = self.get(&format!("/instances/{id}/history")).await.ok(200);
        let entry = |entry: &Value| {
            let kind = entry["kind"].as_str().unwrap().strip_prefix("Task")?.to_owned();
            Some(match entry["details"]["by"].as_str() {
                Some(by) => format!("{kind} by {by}"),
                None => kind,
            })
        };
        history["items"].as_array().unwrap().iter().filter_map(entry).collect()
    }

    /// Stops in order, after proving that every task is open exactly while its bookmark is.
    async fn close_tasks(self) {
        let torn = "leveret.tasks AS t FULL JOIN (SELECT * FROM leveret.bookmarks WHERE kind = 'task') AS b \
            ON b.instance_id = t.instance_id AND b.number = t.bookmark \
            WHERE t.id IS NULL OR b.number IS NULL OR t.open <> (b.consumed_at IS NULL)";
        assert_eq!(self.count(torn).await, 0, "tasks and bookmarks do not agree");
        let offered = "leveret.task_candidates AS c LEFT JOIN leveret.tasks AS t ON t.id = c.task_id \
            WHERE t.id IS NULL OR NOT t.open";
        assert_eq!(self.count(offered).await, 0, "a closed task is offered");
        self.close().await;
    }
}

fn id(task: &Value) -> &str {
    task["id"].as_str().unwrap()
}
