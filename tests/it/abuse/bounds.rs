//! Each bound at its edge, against a real process: just below it works, just above it is refused; meanwhile the process answers
//! others, and takes no more time and memory than is stated here.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::{Processes, Program, SOON, eventually};

mod calls;
mod database;
mod documents;
mod lists;
mod requests;
mod rows;
mod secrets;
mod steps;
mod validations;

/// A health check never takes longer, whatever else the process does: a debug build on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// One request at a bound: a debug build takes some twenty times as long as a release.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// What a request at a bound adds to the memory of the process at most.
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

const ROLES: &str = "worker,relay,timers,cleaner,dead_letters,caller,api";

/// A process that serves, and what is said to it.
struct Served {
    program: Program,
    address: String,
    http: Client,
    processes: Processes,
}

/// The answer to a request.
#[derive(Debug)]
struct Taken {
    status: StatusCode,
    body: Value,
}

async fn answer(request: reqwest::RequestBuilder) -> Taken {
    let response = request.send().await.unwrap();
    let status = response.status();
    Taken { status, body: response.json().await.unwrap() }
}

impl Served {
    async fn new() -> Self {
        Self::with(&[], &[]).await
    }

    /// With these arguments before `serve`, and these settings.
    async fn with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let processes = Processes::new().await;
        let arguments = [arguments, &["serve", "--roles", ROLES]].concat();
        let program = Program::start(&processes.fresh, &arguments, settings);
        let address = format!("http://{}", program.serves().await.expect("it has the role api"));
        // Once, so that what is allocated for every process is not counted.
        let served = Self { program, address, http: Client::new(), processes };
        assert_eq!(served.check(&json!({"name": "first", "activities": [{"id": "a", "end": {}}]})).await.status, 200);
        served
    }

    async fn check(&self, document: &Value) -> Taken {
        self.measured(Method::POST, "/api/v1/definitions/check", document).await
    }

    async fn apply(&self, document: &Value) {
        let name = document["name"].as_str().unwrap();
        let applied = self.measured(Method::PUT, &format!("/api/v1/definitions/{name}"), document).await;
        assert_eq!(applied.status, StatusCode::CREATED, "{}", applied.body);
    }

    async fn start(&self, definition: &str, input: Value) -> Taken {
        self.measured(Method::POST, "/api/v1/instances", &json!({ "definition": definition, "input": input })).await
    }

    /// Starts many at once.
    async fn start_many(&self, definition: &str, input: &Value, count: usize) {
        let start = json!({ "definition": definition, "input": input });
        let url = format!("{}/api/v1/instances", self.address);
        let requests = (0..count).map(|_| answer(self.http.post(&url).json(&start)));
        for answer in futures_util::future::join_all(requests).await {
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        }
    }

    /// The output of an instance that has ended soon.
    async fn output(&self, definition: &str, input: Value) -> Value {
        let start = json!({ "definition": definition, "input": input });
        let ended = self.measured(Method::POST, "/api/v1/instances?wait=15s", &start).await;
        let view = ended.accepted(201);
        assert_eq!(view["status"], "completed", "{view}");
        view["output"].clone()
    }

    async fn get(&self, path: &str) -> Taken {
        let request = self.http.get(format!("{}/api/v1{path}", self.address));
        self.within_budget(path, answer(request)).await
    }

    /// Sends a request within the budget of one.
    async fn measured(&self, method: Method, path: &str, body: &Value) -> Taken {
        let request = self.http.request(method, format!("{}{path}", self.address)).json(body);
        self.within_budget(path, answer(request)).await
    }

    /// Lets something happen, asks for the health of the process until it is over, and holds it to the budget of time and memory.
    #[expect(clippy::print_stdout, reason = "the figures of the bounds, to be compared when one changes")]
    async fn within_budget<T>(&self, what: &str, happens: impl Future<Output = T>) -> T {
        let before = self.program.memory_now();
        self.program.forget_memory_peak();
        let began = Instant::now();
        tokio::pin!(happens);
        let happened = loop {
            tokio::select! {
                happened = &mut happens => break happened,
                () = self.lives() => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.lives().await;
        let memory = self.program.memory_peak().saturating_sub(before);
        println!("{what}: {:?}, {} MiB", began.elapsed(), memory / (1024 * 1024));
        assert!(began.elapsed() < ENDS_WITHIN, "{what}: {:?}", began.elapsed());
        assert!(memory < MEMORY_MAX, "{what}: {memory} bytes");
        happened
    }

    async fn lives(&self) {
        let asked = Instant::now();
        let answer = self.http.get(format!("{}/livez", self.address)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(asked.elapsed() < ANSWERED_WITHIN, "/livez took {:?}", asked.elapsed());
    }

    /// The entry of this kind in the history of an instance, once it is there; the process answers others meanwhile.
    async fn entry(&self, id: &Value, kind: &str) -> Value {
        let of_kind = format!(
            "SELECT jsonb_build_object('at', at, 'details', details)::text AS line FROM leveret.history \
             WHERE instance_id = '{}' AND kind = '{kind}' ORDER BY number",
            id.as_str().unwrap()
        );
        let mut found = None;
        eventually("the history has the entry", ENDS_WITHIN.max(SOON), async || {
            self.lives().await;
            found = self.processes.lines(&of_kind).await.into_iter().next();
            found.is_some()
        })
        .await;
        serde_json::from_str(&found.unwrap()).unwrap()
    }
}

impl Taken {
    /// The problems of a refused document or input, one a line.
    #[track_caller]
    fn refused(&self, kind: &str) -> String {
        assert_eq!(self.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", self.body);
        assert_eq!(self.body["type"], format!("urn:leveret:{kind}"));
        let errors = self.body["errors"].as_array().unwrap();
        let place = |error: &Value| error["path"].as_str().or(error["pointer"].as_str()).unwrap_or_default().to_owned();
        errors.iter().map(|error| format!("{} {}\n", place(error), error["detail"])).collect()
    }

    #[track_caller]
    fn accepted(&self, status: u16) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        &self.body
    }
}

/// A document with an input of this schema.
fn with_input(name: &str, schema: &Value) -> Value {
    json!({ "name": name, "input": schema, "activities": [{ "id": "only", "end": {} }] })
}

/// Members `p0`, `p1`, … of a map.
fn members(count: usize, value: impl Fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|number| (format!("p{number}"), value(number))).collect()
}

/// A value inside of objects with one member.
fn nested(levels: usize, name: &str, inside: Value) -> Value {
    (0..levels).fold(inside, |value, _| json!({ name: value }))
}
