//! Requests at their bounds: heads, names and bodies.

use leveret::contract::{BODY_MAX, NAME_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::support::Sender;

const HEAD_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;

/// What a connection is answered that sends these bytes.
async fn told(served: &Served, sent: &str) -> String {
    let mut stream = begun(served, sent).await;
    let mut read = vec![0; 4096];
    let length = timeout(SOON, stream.read(&mut read)).await.expect("it answers").unwrap_or(0);
    String::from_utf8_lossy(&read[..length]).into_owned()
}

async fn begun(served: &Served, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address.trim_start_matches("http://")).await.unwrap();
    // A server that has read enough may end the connection before all is sent.
    drop(stream.write_all(sent.as_bytes()).await);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_be_as_large_as_is_said() {
    let served = Served::new().await;
    let line = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
    let padded = |bytes: usize| format!("{line}x: {}\r\n\r\n", "y".repeat(bytes - line.len() - 7));
    let many = |headers: usize| {
        let each: String = (1..headers).map(|number| format!("x{number}: y\r\n")).collect();
        format!("{line}{each}\r\n")
    };
    for (what, sent, status) in [
        // What is in the buffer already is read: the bound is at most a buffer too generous.
        ("a large head", padded(HEAD_MAX - 1024), 200),
        ("a head that is too large", padded(3 * HEAD_MAX), 431),
        ("many headers", many(HEADERS_MAX), 200),
        ("too many headers", many(HEADERS_MAX + 1), 431),
    ] {
        let told = served.within_budget(what, told(&served, &sent)).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_bodies_of_commands_may_be_as_large_as_is_said() {
    let served = Served::new().await;
    served.apply(&json!({ "name": "takes", "activities": [{ "id": "only", "end": {} }] })).await;
    let keyed = |bytes: usize| json!({ "definition": "takes", "key": "k".repeat(bytes) });
    let sent = async |body: &Value| served.measured(Method::POST, "/api/v1/instances", body).await.status.as_u16();
    assert_eq!([sent(&keyed(NAME_MAX)).await, sent(&keyed(NAME_MAX + 1)).await], [201, 400]);
    let padded = |bytes: usize| {
        let around = json!({ "definition": "takes", "input": { "pad": "" } }).to_string().len();
        json!({ "definition": "takes", "input": { "pad": "p".repeat(bytes - around) } })
    };
    assert_eq!(padded(BODY_MAX).to_string().len(), BODY_MAX);
    assert_eq!([sent(&padded(BODY_MAX)).await, sent(&padded(BODY_MAX + 1)).await], [201, 413]);
    // The same over AMQP.
    let sender = Sender::connect(&served.processes.fresh.amqp_url, &served.processes.fresh.prefix).await;
    let all = async {
        for bytes in [BODY_MAX, BODY_MAX + 1] {
            let properties = Sender::properties("start", &format!("{bytes} bytes"));
            sender.send("commands", "start.takes", properties, padded(bytes).to_string().as_bytes()).await;
        }
        served.processes.all_ended(3, SOON).await;
        let refused = async || served.processes.count("leveret.dead_letters").await == 1;
        eventually("the larger one is a dead letter", SOON, refused).await;
    };
    served.within_budget("commands over AMQP", all).await;
    assert_eq!(served.processes.count("leveret.instances").await, 3);
    let reason = served.processes.lines("SELECT reason AS line FROM leveret.dead_letters").await;
    assert!(reason[0].contains(&BODY_MAX.to_string()), "{reason:?}");
}
