//! The HTTP API of the process under test.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::InProcess;

/// One request takes no longer, a `?wait=` included.
const REQUEST_FOR: Duration = Duration::from_secs(70);

pub(super) fn client() -> Client {
    Client::builder().timeout(REQUEST_FOR).build().unwrap()
}

/// What came back over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    /// The header `Allow`.
    pub(crate) allow: String,
    /// The header `Retry-After`.
    pub(crate) retry_after: String,
    pub(crate) body: Value,
}

impl InProcess {
    /// The address of a path; all but health, metrics and the contract are below `/api/v1`.
    pub(crate) fn url(&self, path: &str) -> String {
        let address = self.running.address.unwrap();
        let at_the_root = ["/livez", "/readyz", "/metrics", "/asyncapi.json", "/openapi.json", "/problems/"]
            .iter()
            .any(|known| path.starts_with(known));
        let before = if at_the_root { "" } else { "/api/v1" };
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
        let mut request = self.http.request(method, self.url(path));
        if !body.is_empty() {
            let kind = if path.starts_with("/definitions") { "application/yaml" } else { "application/json" };
            request = request.header("content-type", kind).body(body);
        }
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
        let retry_after = header("retry-after");
        let text = response.text().await.unwrap();
        Self { status, content_type, allow, retry_after, body: serde_json::from_str(&text).unwrap_or(text.into()) }
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
