//! Injected line ends are refused, and errors contain no secrets.

use std::time::Duration;

use super::{client, get, not_sent, send, settings};
use crate::support::target::{Play, Target};
use leveret::outgoing::Request;

const CANARY: &str = "CANARY-7f3a";

#[tokio::test]
async fn a_line_end_or_nul_is_refused_before_anything_is_sent() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let client = client(&settings());
    for bad in ["\r\nx-evil: 1", "\n", "\r", "\0", "\r\n\r\nGET /second HTTP/1.1\r\n\r\n"] {
        let name = Request { headers: vec![(format!("x{bad}"), "1".into())], ..get(target.url("/")) };
        let value = Request { headers: vec![("x".into(), format!("1{bad}"))], ..get(target.url("/")) };
        let method = Request { method: format!("GET{bad}"), ..get(target.url("/")) };
        for request in [get(target.url(&format!("/{bad}"))), name, value, method] {
            assert_eq!(not_sent(client.send(request).await), "http.request", "{bad:?}");
        }
    }
    for name in ["Host", "Transfer-Encoding", "Content-Length", "Connection"] {
        let request = Request { headers: vec![(name.into(), "1".into())], ..get(target.url("/")) };
        assert_eq!(not_sent(client.send(request).await), "http.request", "{name}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn no_error_contains_what_was_sent() {
    let plays = [
        Play::Silent,
        Play::Reset,
        Play::drip(),
        Play::Raw(b"no HTTP".to_vec()),
        Play::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_vec()),
    ];
    let mut said = Vec::new();
    let mut request = |url: String| {
        let request = Request {
            method: "POST".into(),
            headers: vec![("authorization".into(), CANARY.into())],
            body: Some(CANARY.into()),
            timeout: Some(Duration::from_millis(300)),
            ..get(format!("{url}?{CANARY}"))
        };
        said.push(format!("{request:?}"));
        request
    };
    let mut failures = Vec::new();
    for play in plays {
        let target = Target::playing(move |_| play.clone()).await;
        failures.push(format!("{:?}", send(request(target.url(&format!("/{CANARY}")))).await.unwrap_err()));
    }
    for url in [
        "http://127.0.0.1:9",
        "http://nobody.invalid",
        "http://10.0.0.1",
        "ftp://x",
        "http://[",
        "http://u:CANARY-7f3a@x",
    ] {
        failures.push(format!("{:?}", send(request(format!("{url}/{CANARY}"))).await.unwrap_err()));
    }
    assert_eq!(failures.len(), 11);
    for text in failures.into_iter().chain(said) {
        assert!(!text.contains(CANARY), "{text}");
    }
}
