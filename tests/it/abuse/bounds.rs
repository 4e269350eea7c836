//! Each bound at its edge, against a real process: just below it works, just above it is refused; meanwhile the process answers
//! others, and takes no more time and memory than is stated here.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::support::{Processes, Program, SOON, eventually};

mod documents;
mod steps;
mod validations;

/// A health check never takes longer, whatever else the process does: a debug build on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// One request at a bound: a debug build takes some twenty times as long as a release.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// What a request at a bound adds to the memory of the process at most.
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// A process that serves, and what is said to it.
struct Served {
    program: Program,
    address: String,
    http: Client,
    _processes: Processes,
}

/// The answer to a request, and what it took.
#[derive(Debug)]
struct Taken {
    status: StatusCode,
    body: Value,
    memory: u64,
}

impl Served {
    async fn new() -> Self {
        let processes = Processes::new().await;
        let program = processes.serve(&[]);
        let address = format!("http://{}", program.serves().await.expect("it has the role api"));
        // Once, so that what is allocated for every process is not counted.
        let served = Self { program, address, http: Client::new(), _processes: processes };
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

    /// Sends a request, and asks for the health of the process until it is answered.
    #[expect(clippy::print_stdout, reason = "the figures of the bounds, to be compared when one changes")]
    async fn measured(&self, method: Method, path: &str, body: &Value) -> Taken {
        let before = self.program.memory_now();
        self.program.forget_memory_peak();
        let began = Instant::now();
        let request = self.http.request(method, format!("{}{path}", self.address)).json(body).send();
        tokio::pin!(request);
        let response = loop {
            tokio::select! {
                response = &mut request => break response.unwrap(),
                () = self.lives() => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let status = response.status();
        let body = response.json().await.unwrap();
        self.lives().await;
        let taken = Taken { status, body, memory: self.program.memory_peak().saturating_sub(before) };
        println!("{path}: {status}, {:?}, {} MiB", began.elapsed(), taken.memory / (1024 * 1024));
        assert!(began.elapsed() < ENDS_WITHIN, "{:?}", began.elapsed());
        assert!(taken.memory < MEMORY_MAX, "{} bytes", taken.memory);
        taken
    }

    async fn lives(&self) {
        let asked = Instant::now();
        let answer = self.http.get(format!("{}/livez", self.address)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(asked.elapsed() < ANSWERED_WITHIN, "/livez took {:?}", asked.elapsed());
    }

    /// The history of an instance once it has an entry of this kind; the process answers others meanwhile.
    async fn entry(&self, id: &Value, kind: &str) -> Value {
        let path = format!("{}/api/v1/instances/{}/history", self.address, id.as_str().unwrap());
        let mut found = Value::Null;
        eventually("the history has the entry", ENDS_WITHIN.max(SOON), async || {
            self.lives().await;
            let history: Value = self.http.get(&path).send().await.unwrap().json().await.unwrap();
            let entries = history["items"].as_array().cloned().unwrap_or_default();
            found = entries.into_iter().find(|entry| entry["kind"] == kind).unwrap_or_default();
            !found.is_null()
        })
        .await;
        found
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
