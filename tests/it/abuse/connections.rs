//! Connections that send nothing, half of something, or something else.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{InProcess, eventually};

/// What is half sent adds less than this to a stop; the grace period for work is 25 s.
const ADDS: Duration = Duration::from_secs(1);
/// A connection ends within this time after the process.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

async fn connect(leveret: &InProcess, sent: &str) -> TcpStream {
    let url = leveret.url("/livez");
    let address = url.trim_start_matches("http://").trim_end_matches("/livez");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// How long a stop takes.
async fn stop(leveret: InProcess) -> Duration {
    let began = Instant::now();
    leveret.stop().await;
    began.elapsed()
}

/// Everything that comes until the end of the connection.
async fn answer(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    // A reset is an end as well.
    let _ = timeout(ENDS_WITHIN, stream.read_to_end(&mut read)).await.expect("the connection ends");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn requests_that_were_sent_by_half_do_not_hold_up_a_stop() {
    let idle = stop(InProcess::new().await).await;
    let leveret = InProcess::new().await;
    let silent = connect(&leveret, "").await;
    let half_a_head = connect(&leveret, "GET /livez HTTP/1.1\r\nHost: loc").await;
    let half_a_body = "POST /api/v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let half_a_body = connect(&leveret, half_a_body).await;
    let mut kept = connect(&leveret, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let took = stop(leveret).await;
    assert!(took < idle + ADDS, "{took:?}, and {idle:?} without them");
    assert_eq!(answer(silent).await, "");
    assert_eq!(answer(half_a_head).await, "");
    let told = answer(half_a_body).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("this process stops"), "{told}");
    answer(kept).await;
}

/// The head of a document, and the first byte of its body.
fn half_a_document(route: &str, bytes: usize) -> String {
    format!(
        "POST /api/v1/{route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {bytes}\r\n\r\n{{"
    )
}

/// The first line of what comes next.
async fn status(stream: &mut TcpStream) -> String {
    let mut first = [0; 12];
    timeout(ENDS_WITHIN, stream.read_exact(&mut first)).await.expect("it answers").unwrap();
    String::from_utf8_lossy(&first).into_owned()
}

#[tokio::test]
async fn bodies_that_are_sent_by_half_take_no_more_than_all_may_and_hold_up_no_other_request() {
    const ALL: usize = 64;
    let leveret = InProcess::new().await;
    let whole = format!("{}{}", half_a_document("definitions/check", 2), "}");
    let mut halves = Vec::new();
    for _ in 0..ALL {
        halves.push(connect(&leveret, &half_a_document("definitions/check", 1024 * 1024)).await);
    }
    let refused = async || status(&mut connect(&leveret, &whole).await).await == "HTTP/1.1 503";
    eventually("there is no room for another body", ENDS_WITHIN, refused).await;
    let read = "GET /api/v1/definitions HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(&mut connect(&leveret, read).await).await, "HTTP/1.1 200", "what has no body needs no room");

    halves.pop();
    let taken = async || status(&mut connect(&leveret, &whole).await).await == "HTTP/1.1 422";
    eventually("the room of a client that went away is free", ENDS_WITHIN, taken).await;
    drop(halves);
    leveret.stop().await;
}

#[tokio::test]
async fn only_http_1_is_spoken() {
    let leveret = InProcess::new().await;
    // The beginning of a connection in HTTP/2, as a client sends it that knows the server.
    let told = answer(connect(&leveret, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told:?}");
    leveret.stop().await;
}
