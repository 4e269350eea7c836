#!/bin/sh
# hyper 1.12.0 with hyper-util 0.1.21 (Rust): a POST with an empty body is sent without `content-length`.
#
# RFC 9110 (8.6) says that a client SHOULD send `Content-Length: 0` for a method that usually has a body; Python and `curl -d ""` do, and some
# servers answer 411 without it. hyper knows that a `Full` of no bytes is at its end and leaves both headers of the length out. The
# same request with one byte has the header.
#
# Seen: see the end. So the header has to be set by hand.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cargo init --quiet --vcs none --name finding .
cargo add --quiet --features client,http1 hyper@=1.12.0
cargo add --quiet --features client-legacy,http1,tokio hyper-util@=0.1.21
cargo add --quiet http-body-util@=0.1.5
cargo add --quiet --features rt,macros,net,io-util tokio@1
cat > src/main.rs <<'END'
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for body in ["", "x"] {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{address}/")).body(Full::new(Bytes::from(body))).unwrap();
        let answer = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4096];
            let count = socket.read(&mut read).await.unwrap();
            socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&read[..count]).to_lowercase()
        };
        let (response, head) = tokio::join!(client.request(request), answer);
        response.unwrap();
        let length = head.lines().find(|line| line.starts_with("content-length")).unwrap_or("no content-length");
        println!("{} bytes: {length}", body.len());
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run --quiet > seen
cat seen
diff - seen <<'END'
0 bytes: no content-length
1 bytes: content-length: 1
END
