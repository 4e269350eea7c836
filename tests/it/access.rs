//! Who may do what over HTTP: keys, scopes of each route, the user who acts, sessions, tokens of an issuer, and TLS.

mod acting;
mod keys;
mod pages;
mod routes;
mod sessions;
mod tls;
mod tokens;

use leveret::command::Actor;
use leveret::command::api_key::{self, KeyRequest, Others};
use leveret::command::audit::Door;
use leveret::config::{Authentication, Config};
use leveret::contract::scope::{Scope, Scopes};
use leveret::handlers::Handlers;
use leveret::roles::Role;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Fresh, InProcess};

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The detail of a problem of this kind.
    #[track_caller]
    fn problem(&self, status: u16, kind: &str) -> String {
        let said = (self.status, self.body["type"].as_str().unwrap_or_default());
        assert_eq!(said, (status, format!("urn:leveret:{kind}").as_str()), "{}", self.body);
        self.body["detail"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A process that asks for keys.
struct Guarded {
    leveret: InProcess,
    client: Client,
}

/// One key, and the requests it sends.
struct Holder<'a> {
    guarded: &'a Guarded,
    id: Uuid,
    key: String,
}

impl Guarded {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Fresh::new().await, change).await
    }

    async fn on(fresh: Fresh, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = InProcess::config(&fresh);
        config.access.authentication = Authentication::Required;
        change(&mut config);
        let leveret = InProcess::on(fresh, config, Handlers::new(), Role::ALL).await;
        Self { leveret, client: Client::builder().redirect(Policy::none()).build().unwrap() }
    }

    /// The address of a path from the root.
    fn url(&self, path: &str) -> String {
        self.leveret.url("/livez").replace("/livez", path)
    }

    /// A key with these scopes.
    async fn key(&self, name: &str, scopes: &[Scope]) -> Holder<'_> {
        self.key_with(name, scopes, |_| {}).await
    }

    async fn key_with(&self, name: &str, scopes: &[Scope], change: impl FnOnce(&mut KeyRequest)) -> Holder<'_> {
        let mut request = KeyRequest {
            name: name.into(),
            scopes: Scopes::from_iter(scopes.iter().copied()),
            groups: Vec::new(),
            others: Others::Never,
            expires_at: None,
        };
        change(&mut request);
        let (key, view) = api_key::create(self.leveret.app(), request, &root()).await.unwrap();
        Holder { guarded: self, id: view.id, key }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // A stream has no end.
        let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let text = if is_stream { String::new() } else { response.text().await.unwrap() };
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(text.into()) }
    }
}

impl Holder<'_> {
    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], Some(&body.to_string())).await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let headers = [headers, &[(AUTHORIZATION.as_str(), bearer.as_str())]].concat();
        self.guarded.send(method, path, &headers, body).await
    }

    async fn revoke(&self) {
        api_key::revoke(self.guarded.leveret.app(), self.id, None, &root()).await.unwrap();
    }
}

/// Who makes keys.
fn root() -> Actor {
    Actor { who: "root".into(), door: Door::Cli, via: None }
}
