//! Leveret inside the test's own process: roles with handlers of the test, and its HTTP door.

use std::path::Path;
use std::time::Duration;

use leveret::app::App;
use leveret::cli::Running;
use leveret::config::Config;
use leveret::definition::Definition;
use leveret::handlers::Handlers;
use leveret::roles::Role;
use leveret::store::definitions;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::{Fresh, eventually};

/// One request takes no longer, a `?wait=` included.
const REQUEST_FOR: Duration = Duration::from_secs(70);

/// Roles that run here, against a database and a prefix of their own.
pub(crate) struct InProcess {
    running: Running,
    http: Client,
    pub(crate) fresh: Fresh,
}

/// What came back over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    /// The header `Allow`.
    pub(crate) allow: String,
    pub(crate) body: Value,
}

impl InProcess {
    /// Every role, without handlers.
    pub(crate) async fn start() -> Self {
        Self::with(Handlers::new()).await
    }

    /// Every role, with these handlers.
    pub(crate) async fn with(handlers: Handlers) -> Self {
        let fresh = Fresh::new().await;
        let config = Self::config(&fresh);
        Self::on(fresh, config, handlers, &Role::ALL).await
    }

    /// The settings of a process on a database and a prefix of the test's own.
    pub(crate) fn config(fresh: &Fresh) -> Config {
        let mut config = Config::default();
        config.database.url = fresh.database_url.clone();
        config.broker.url = fresh.amqp_url.clone();
        config.broker.prefix = fresh.prefix.clone();
        config.http.listen = "127.0.0.1:0".into();
        // What other processes commit is found soon.
        config.outbox.sweep_every = Duration::from_millis(100);
        config
    }

    /// These roles, `api` among them, with these settings and handlers.
    pub(crate) async fn on(fresh: Fresh, config: Config, handlers: Handlers, roles: &[Role]) -> Self {
        let running = Running::start(config, handlers, roles).await.unwrap();
        let http = Client::builder().timeout(REQUEST_FOR).build().unwrap();
        let started = Self { running, http, fresh };
        let ready = async || started.get("/readyz").await.status == StatusCode::OK;
        eventually("it is ready", Duration::from_secs(30), ready).await;
        started
    }

    pub(crate) fn app(&self) -> &App {
        &self.running.app
    }

    /// Stores a document.
    pub(crate) async fn apply(&self, document: &str) {
        let parsed = Definition::parse(document).unwrap();
        definitions::apply(&mut self.app().store.background().await.unwrap(), &parsed).await.unwrap();
    }

    /// Stores one of the examples.
    pub(crate) async fn apply_example(&self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
        self.apply(&std::fs::read_to_string(file).unwrap()).await;
    }

    /// Stops in order; the database and the queues are there until what is returned goes.
    pub(crate) async fn stop(self) -> Fresh {
        assert!(self.running.stop().await, "it did not stop in time");
        self.fresh
    }

    /// The address of a path; `/api/v1` stands before what is neither health nor metrics.
    pub(crate) fn url(&self, path: &str) -> String {
        let address = self.running.address.unwrap();
        let machine = ["/livez", "/readyz", "/metrics", "/asyncapi.json"].iter().any(|known| path.starts_with(known));
        let before = if machine { "" } else { "/api/v1" };
        format!("http://{address}{before}{path}")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, String::new()).await
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.http.get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, None, body.to_string()).await
    }

    /// The same with an `Idempotency-Key`.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(key), body.to_string()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, key: Option<&str>, body: String) -> Reply {
        let mut request = self.http.request(method, self.url(path)).body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Reply::of(request.send().await.unwrap()).await
    }
}

impl Reply {
    async fn of(response: Response) -> Self {
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (status, content_type, allow) = (response.status(), header("content-type"), header("allow"));
        let text = response.text().await.unwrap();
        Self { status, content_type, allow, body: serde_json::from_str(&text).unwrap_or(text.into()) }
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// The detail of a problem of this status and kind, whose form is that of RFC 9457.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> String {
        let Self { status: code, content_type, body, .. } = self;
        assert_eq!((code.as_u16(), content_type.as_str()), (status, "application/problem+json"), "{body}");
        assert_eq!((&body["type"], &body["status"]), (&format!("urn:leveret:{kind}").into(), &status.into()), "{body}");
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
        body["detail"].as_str().unwrap_or_else(|| panic!("no detail: {body}")).to_owned()
    }
}
