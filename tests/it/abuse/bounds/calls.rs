//! Calls at their bounds: what is sent, what comes back, how long it takes, and how many there are at once.

use std::io::Write;

use tokio::sync::watch;

use super::*;
use crate::support::target::{Asked, Play, Target};

const MEBIBYTE: usize = 1024 * 1024;
const URL_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 32 * 1024;
/// What is around the text of a request when it is stored.
const ENVELOPE: usize = 4 * 1024;
/// Requests to this machine are allowed.
const ALLOWED: (&str, &str) = ("LEVERET_OUTGOING__ALLOW_ADDRESSES", "127.0.0.0/8");
/// The longest pause that a target can ask for.
const RETRY_AFTER_MAX: i64 = 15 * 60;

/// A definition that asks once; its output is the size of the text that came back, or the code of the failure.
fn asking(name: &str, http: &Value) -> Value {
    json!({
        "name": name,
        "input": { "properties": { "url": { "type": "string" }, "pad": { "type": "string", "default": "" } } },
        "variables": { "got": null }, "output": "${ got }",
        "activities": [{
            "id": "ask", "http": http, "timeout": "60s", "retry": "none",
            "output": { "got": "result.body.size()" },
            "on_error": [{ "output": { "got": "error.code" } }],
        }],
    })
}

/// The number at the end of the path.
fn wanted(asked: &Asked) -> usize {
    let path = asked.line.split(' ').nth(1).unwrap_or_default();
    path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn text(body: Vec<u8>) -> Play {
    Play::Answer(200, vec![("content-type", "text/plain".into())], body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_may_be_as_large_as_is_said() {
    let served = Served::with(&[], &[ALLOWED]).await;
    served.apply(&asking("sized", &json!({ "url": "${ url }" }))).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b'x'; 64 * MEBIBYTE]).unwrap();
    let packed = packed.finish().unwrap();
    let target = Target::playing(move |asked| match asked.line.as_str() {
        line if line.contains("/endless") => Play::endless(),
        line if line.contains("/packed") => Play::Answer(
            200,
            vec![("content-encoding", "gzip".into()), ("content-type", "text/plain".into())],
            packed.clone(),
        ),
        line if line.contains("/head/") => {
            let head = format!(
                "HTTP/1.1 200 X\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nx: {}\r\n\r\nok",
                "y".repeat(wanted(asked))
            );
            Play::Raw(head.into_bytes())
        }
        _ => text(vec![b'x'; wanted(asked)]),
    })
    .await;
    for (path, expected) in [
        (format!("/{MEBIBYTE}"), json!(MEBIBYTE)),
        (format!("/{}", MEBIBYTE + 1), json!("limit.response")),
        ("/endless".into(), json!("limit.response")),
        ("/packed".into(), json!("limit.response")),
        // The parts of a head are read as they come: the bound is at most a buffer too generous.
        (format!("/head/{}", 60 * 1024), json!(2)),
        (format!("/head/{}", 192 * 1024), json!("http.broken")),
    ] {
        assert_eq!(served.output("sized", json!({ "url": target.url(&path) })).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_as_large_as_is_said() {
    let served = Served::with(&[], &[ALLOWED]).await;
    served.apply(&asking("plain", &json!({ "url": "${ url }" }))).await;
    served.apply(&asking("headed", &json!({ "url": "${ url }", "headers": { "x": "${ pad }" } }))).await;
    // Four times the text of the input, and a part of it.
    let whole = format!("[pad, pad, pad, pad, pad.substring(0, {ENVELOPE})].join('')");
    served
        .apply(&asking("loaded", &json!({ "method": "POST", "url": "${ url }", "body": format!("${{ {whole} }}") })))
        .await;
    let target = Target::playing(|_| text(b"ok".to_vec())).await;
    let url = |bytes: usize| {
        let url = target.url("/");
        let rest = bytes - url.len();
        url + &"a".repeat(rest)
    };
    assert_eq!(served.output("plain", json!({ "url": url(URL_MAX) })).await, 2);
    assert_eq!(served.output("plain", json!({ "url": url(URL_MAX + 1) })).await, "http.request");
    let padded = |bytes: usize| json!({ "url": target.url("/"), "pad": "p".repeat(bytes) });
    assert_eq!(served.output("headed", padded(HEADERS_MAX - 1024)).await, 2);
    assert_eq!(served.output("headed", padded(HEADERS_MAX)).await, "http.request");
    let quarter = MEBIBYTE / 4 - ENVELOPE / 4;
    assert_eq!(served.output("loaded", padded(quarter - ENVELOPE / 4)).await, 2);
    assert_eq!(target.asked().last().unwrap().body.len(), 4 * (quarter - ENVELOPE / 4) + ENVELOPE + 2);
    assert_eq!(served.output("loaded", padded(quarter)).await, "limit.request");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_as_often_as_is_said() {
    let leads = |asked: &Asked| match wanted(asked) {
        0 => text(b"ok".to_vec()),
        further => Play::redirect(302, format!("/{}", further - 1)),
    };
    let target = Target::playing(leads).await;
    for (settings, max) in [(vec![ALLOWED], 0), (vec![ALLOWED, ("LEVERET_OUTGOING__REDIRECTS_MAX", "3")], 3)] {
        let served = Served::with(&[], &settings).await;
        served.apply(&asking("led", &json!({ "url": "${ url }" }))).await;
        assert_eq!(served.output("led", json!({ "url": target.url(&format!("/{max}")) })).await, 2);
        assert_eq!(served.output("led", json!({ "url": target.url(&format!("/{}", max + 1)) })).await, "http.302");
        // One without an end costs as many requests.
        let before = target.times();
        assert_eq!(served.output("led", json!({ "url": target.url("/1000000") })).await, "http.302");
        assert_eq!(target.times() - before, max + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_cannot_ask_for_a_longer_pause_than_is_said() {
    let served = Served::with(&[], &[ALLOWED]).await;
    let mut document = asking("patient", &json!({ "url": "${ url }" }));
    document["activities"][0]["retry"] = json!({ "attempts": 2 });
    served.apply(&document).await;
    let busy = |asked: &Asked| Play::Answer(503, vec![("retry-after", wanted(asked).to_string())], vec![]);
    let target = Target::playing(busy).await;
    for (asks, waits) in [
        (60, 60),
        (RETRY_AFTER_MAX, RETRY_AFTER_MAX),
        (RETRY_AFTER_MAX + 1, RETRY_AFTER_MAX),
        (i64::MAX, RETRY_AFTER_MAX),
    ] {
        let url = target.url(&format!("/{asks}"));
        let id = served.start("patient", json!({ "url": url })).await.accepted(201)["id"].clone();
        let again = served.entry(&id, "ActivityRetryScheduled").await;
        let moment = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let pause = moment(&again["details"]["due_at"]).duration_since(moment(&again["at"])).as_secs();
        assert!((waits - 2..=waits + 2).contains(&pause), "{pause} s, not {waits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_takes_no_longer_than_the_settings_say() {
    let served = Served::with(&[], &[ALLOWED, ("LEVERET_OUTGOING__TIMEOUT_MAX", "1s")]).await;
    let mut document = asking("slow", &json!({ "url": "${ url }" }));
    document["activities"][0]["timeout"] = json!("1h");
    served.apply(&document).await;
    let plays = |asked: &Asked| match asked.line.as_str() {
        line if line.contains("/silent") => Play::Silent,
        line if line.contains("/drips") => Play::drip(),
        _ => Play::Late(Duration::from_millis(500), "\"ok\""),
    };
    let target = Target::playing(plays).await;
    for (path, expected) in [("/late", json!(2)), ("/silent", json!("timeout")), ("/drips", json!("timeout"))] {
        let began = Instant::now();
        assert_eq!(served.output("slow", json!({ "url": target.url(path) })).await, expected, "{path}");
        assert!(began.elapsed() < Duration::from_secs(6), "{path}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_as_many_as_is_said() {
    for (settings, instances, at_once) in
        [(vec![ALLOWED], 40, 16), (vec![ALLOWED, ("LEVERET_CALLS__PER_TARGET", "1000")], 90, 64)]
    {
        let served = Served::with(&[], &settings).await;
        served.apply(&asking("waits", &json!({ "url": "${ url }" }))).await;
        let (go, gate) = watch::channel(false);
        let target = Target::playing(move |_| Play::When(gate.clone(), Box::new(text(b"ok".to_vec())))).await;
        let all = async {
            served.start_many("waits", &json!({ "url": target.url("/") }), instances).await;
            target.is_asked(at_once, SOON).await;
            // No more come, although they are due.
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(target.times(), at_once);
            go.send(true).unwrap();
            served.processes.all_ended(i64::try_from(instances).unwrap(), SOON).await;
            assert_eq!(target.times(), instances);
        };
        served.within_budget("requests at once", all).await;
    }
}
