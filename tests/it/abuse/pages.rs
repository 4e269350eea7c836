//! Pages of other sites, in the browser of a person who can reach the API.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::InProcess;

const RESTING: &str = "
name: resting
activities:
  - { id: rest, wait: { for: 1h } }
";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn send(leveret: &InProcess, method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let mut request = Client::new().request(method, leveret.url(path)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(text.into()) }
}

impl Answer {
    #[track_caller]
    fn refused(&self, status: u16, kind: &str) {
        let expected = (status, json!(format!("urn:leveret:{kind}")));
        assert_eq!((self.status.as_u16(), self.body["type"].clone()), expected, "{}", self.body);
    }
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_start_nor_cancel() {
    let leveret = InProcess::new().await;
    leveret.apply(RESTING).await;
    let id = leveret.post("/instances", &json!({ "definition": "resting" })).await.ok(201)["id"].clone();
    let cancel = format!("/instances/{}/cancel", id.as_str().unwrap());
    let start = json!({ "definition": "resting" }).to_string();
    let kind = ("content-type", "application/json");
    for foreign in [("origin", "https://example.org"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        send(&leveret, Method::POST, "/instances", &[kind, foreign], &start).await.refused(403, "origin");
        send(&leveret, Method::POST, &cancel, &[foreign], "").await.refused(403, "origin");
        send(&leveret, Method::GET, "/instances", &[foreign], "").await.refused(403, "origin");
    }
    assert_eq!(leveret.count("leveret.instances WHERE status = 'running'").await, 1);
    let own = leveret.url("").replace("/api/v1", "");
    let answer =
        send(&leveret, Method::POST, &cancel, &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    leveret.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_here_is_not_enough() {
    let leveret = InProcess::new().await;
    for path in ["/instances", "/livez", "/metrics"] {
        let answer = send(&leveret, Method::GET, path, &[("host", "page.example.org:8420")], "").await;
        answer.refused(421, "host");
        assert!(answer.body["detail"].as_str().unwrap().contains("`http.hosts`"), "{}", answer.body);
        assert_ne!(send(&leveret, Method::GET, path, &[("host", "localhost:1")], "").await.status, 421, "{path}");
    }
    leveret.stop().await;
}

#[tokio::test]
async fn a_body_that_any_page_may_send_without_asking_is_not_read() {
    let leveret = InProcess::new().await;
    leveret.apply(RESTING).await;
    let start = json!({ "definition": "resting" }).to_string();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/yaml"]
    {
        let answer = send(&leveret, Method::POST, "/instances", &[("content-type", kind)], &start).await;
        answer.refused(415, "media-type");
        assert!(answer.body["detail"].as_str().unwrap().contains("application/json"), "{}", answer.body);
    }
    send(&leveret, Method::POST, "/instances", &[], &start).await.refused(415, "media-type");
    send(&leveret, Method::PUT, "/definitions/resting", &[("content-type", "text/plain")], RESTING)
        .await
        .refused(415, "media-type");
    assert_eq!(leveret.count("leveret.instances").await, 0);
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = send(&leveret, Method::POST, "/instances", &[("content-type", kind)], &start).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    }
    for kind in ["application/yaml", "text/yaml", "application/x-yaml"] {
        let answer = send(&leveret, Method::PUT, "/definitions/resting", &[("content-type", kind)], RESTING).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }
    leveret.stop().await;
}

#[tokio::test]
async fn no_answer_is_stored_or_guessed_at() {
    let leveret = InProcess::new().await;
    let foreign: &[(&'static str, &str)] = &[("origin", "https://example.org")];
    for (method, path, headers) in [
        (Method::GET, "/instances", &[][..]),
        (Method::GET, "/nowhere", &[][..]),
        (Method::DELETE, "/instances", &[][..]),
        (Method::GET, "/livez", &[][..]),
        (Method::GET, "/instances", foreign),
        (Method::GET, "/instances", &[("host", "example.org")]),
        (Method::GET, "/instances?limit=0", &[]),
        (Method::GET, "/instances/x%00", &[]),
        (Method::GET, "/metrics", &[]),
        (Method::GET, "/readyz", &[]),
        (Method::POST, "/instances", &[("content-type", "text/plain")]),
        (Method::POST, "/definitions/check", &[("content-type", "application/json")]),
    ] {
        let body = if method == Method::POST { "{" } else { "" };
        let answer = send(&leveret, method, path, headers, body).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    leveret.stop().await;
}
