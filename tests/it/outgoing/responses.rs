//! Responses: late, missing, endless, incomplete, compressed and invalid ones.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{PATIENCE, client, get, not_sent, send, settings, unknown};
use crate::support::target::{Play, Target};
use leveret::config::Outgoing;
use leveret::outgoing::{Request, SendError};

/// A time limit that is exceeded.
const SHORT: Duration = Duration::from_millis(400);

fn raw(text: &str) -> Play {
    Play::Raw(text.as_bytes().to_vec())
}

#[tokio::test]
async fn a_request_arrives_and_its_response_is_read() {
    let target =
        Target::playing(|_| Play::Answer(201, vec![("x-one", "a".into()), ("X-One", "b".into())], b"{}".into())).await;
    let request = Request {
        method: "PATCH".into(),
        headers: vec![("Idempotency-Key".into(), "k-1".into()), ("x-name".into(), "Ådne".into())],
        body: Some(b"hello".to_vec()),
        ..get(target.url("/a%20b?c=d#e"))
    };
    let response = send(request).await.unwrap();
    assert_eq!((response.status, &response.body[..], response.cut), (201, b"{}".as_slice(), false));
    assert_eq!(response.headers["x-one"], "a, b");
    let asked = target.asked();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "PATCH /a%20b?c=d HTTP/1.1"));
    assert_eq!((asked[0].header("idempotency-key"), asked[0].header("x-name")), (Some("k-1"), Some("Ådne")));
    assert_eq!(
        (asked[0].header("host"), &asked[0].body[..]),
        (Some(&*target.address.to_string()), b"hello".as_slice())
    );
}

#[tokio::test]
async fn a_connection_is_reused() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let client = client(&settings());
    for _ in 0..5 {
        client.send(get(target.url("/"))).await.unwrap();
    }
    assert_eq!((target.asked().len(), target.connections()), (5, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_not_reused() {
    let target = Target::playing(|_| raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let client = client(&settings());
    for _ in 0..5 {
        assert_eq!(client.send(get(target.url("/"))).await.unwrap().status, 200);
    }
    assert_eq!(target.asked().len(), 5);
}

#[tokio::test]
async fn retry_after_is_read_and_bounded() {
    for (headers, expected) in [
        (vec![("retry-after", "7")], Some(7)),
        (vec![("retry-after", "86400")], Some(900)),
        (vec![("date", "Sun, 06 Nov 1994 08:49:07 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(30)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(0)),
        (vec![("retry-after", "later")], None),
        (vec![], None),
    ] {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let target = Target::playing(move |_| Play::Answer(503, headers.clone(), vec![])).await;
        let response = send(get(target.url("/"))).await.unwrap();
        assert_eq!((response.status, response.retry_after.map(|wait| wait.as_secs())), (503, expected));
    }
}

#[tokio::test]
async fn a_request_ends_when_its_time_is_up() {
    for play in [Play::Silent, Play::drip(), raw("HTTP/1.1 200 OK\r\ncontent-le")] {
        let slow = !matches!(play, Play::Raw(_));
        let target = Target::playing(move |_| play.clone()).await;
        let began = Instant::now();
        let code = unknown(send(Request { timeout: Some(SHORT), ..get(target.url("/")) }).await);
        assert_eq!(code, if slow { "timeout" } else { "http.broken" });
        assert!(began.elapsed() < PATIENCE / 3 && (!slow || began.elapsed() >= SHORT));
    }
}

#[tokio::test]
async fn a_request_without_a_time_limit_is_bounded_by_the_settings() {
    let target = Target::playing(|_| Play::Silent).await;
    let client = client(&Outgoing { timeout_max: SHORT, ..settings() });
    assert_eq!(unknown(client.send(Request { timeout: None, ..get(target.url("/")) }).await), "timeout");
}

#[tokio::test]
async fn an_empty_body_has_its_length_and_cookies_stay_apart() {
    let cookies =
        vec![("set-cookie", "a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT".into()), ("Set-Cookie", "b=2".into())];
    let target = Target::playing(move |_| Play::Answer(200, cookies.clone(), vec![])).await;
    for (method, length) in [("POST", Some("0")), ("PUT", Some("0")), ("GET", None), ("DELETE", None)] {
        let response = send(Request { method: method.into(), ..get(target.url("/")) }).await.unwrap();
        assert_eq!(response.cookies, ["a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT", "b=2"]);
        assert!(!response.headers.contains_key("set-cookie"));
        assert_eq!(target.asked().last().unwrap().header("content-length"), length, "{method}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let target = Target::playing(|_| Play::endless()).await;
    let response = send(get(target.url("/"))).await.unwrap();
    assert_eq!((response.status, response.body.len(), response.cut), (200, 10_000, true));
    let whole = Target::playing(|_| Play::Answer(200, vec![], vec![b'x'; 10_000])).await;
    let response = send(get(whole.url("/"))).await.unwrap();
    assert_eq!((response.body.len(), response.cut), (10_000, false));
}

#[tokio::test]
async fn an_endless_head_is_an_error() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let line = format!("x-{}: y\r\n", "x".repeat(1_000)).into_bytes();
    let target = Target::playing(move |_| Play::Endless(head.clone(), line.clone(), Duration::ZERO)).await;
    assert_eq!(unknown(send(get(target.url("/"))).await), "http.broken");
}

#[tokio::test]
async fn an_invalid_or_incomplete_response_is_unknown() {
    for play in [
        raw(""),
        raw("SSH-2.0-OpenSSH_9.2\r\n"),
        raw("HTTP/1.1 2000 OK\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n123\r\n0\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123\r\n0\r\n\r\n"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n123\r\n"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n123"),
        raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n123"),
        Play::Reset,
    ] {
        let (target, shown) = (
            Target::playing({
                let play = play.clone();
                move |_| play.clone()
            })
            .await,
            format!("{play:?}"),
        );
        let sent = send(get(target.url("/"))).await;
        assert!(matches!(&sent, Err(SendError::Unknown { code, .. }) if code == "http.broken"), "{shown}: {sent:?}");
        assert_eq!(target.asked().len(), 1, "{shown}");
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_gzip_body_is_decompressed_and_a_long_one_is_cut() {
    let packed = |body: Vec<u8>| Play::Answer(200, vec![("content-encoding", "gzip".into())], body);
    let small = Target::playing(move |_| packed(gzip(b"hello"))).await;
    let response = send(get(small.url("/"))).await.unwrap();
    assert_eq!((&response.body[..], response.cut), (b"hello".as_slice(), false));
    assert!(!response.headers.contains_key("content-encoding"));
    assert_eq!(small.asked()[0].header("accept-encoding"), Some("gzip"));
    let long = gzip(&[b'x'; 10_001]);
    let target = Target::playing(move |_| packed(long.clone())).await;
    let response = send(get(target.url("/"))).await.unwrap();
    assert_eq!((response.body.len(), response.cut), (10_000, true));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_sent() {
    let target = Target::playing(|_| Play::ok("{}")).await;
    let client = client(&Outgoing { request_max: 10, ..settings() });
    let sent = client.send(Request { body: Some(vec![0; 11]), ..get(target.url("/")) }).await;
    assert_eq!((not_sent(sent).as_str(), target.connections()), ("http.request", 0));
    client.send(Request { body: Some(vec![0; 10]), ..get(target.url("/")) }).await.unwrap();
}

#[tokio::test]
async fn a_request_without_a_connection_was_not_sent() {
    let gone = Target::playing(|_| Play::ok("{}")).await.url("/");
    assert_eq!(not_sent(send(get(gone)).await), "http.connect");
    assert_eq!(not_sent(send(get("http://nobody.invalid/")).await), "http.connect.dns");
    // It accepts the connection and never begins the TLS handshake.
    let silent = Target::playing(|_| Play::Silent).await;
    let url = format!("https://{}/", silent.address);
    let client = client(&Outgoing { connect_timeout: SHORT, ..settings() });
    assert_eq!(not_sent(client.send(get(url.clone())).await), "http.connect");
    // A request whose time limit is shorter than `connect_timeout` was not sent either.
    assert_eq!(not_sent(send(Request { timeout: Some(SHORT), ..get(url) }).await), "http.connect");
}
