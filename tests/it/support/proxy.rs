//! A proxy between our program and a server, to be cut at an exact moment: when the client has sent certain bytes, before the
//! server reads them or before the client reads the answer; or whenever the server sends certain bytes, before the client reads them.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// What is lost once the client has sent the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The words themselves, and everything after them on this connection.
    Request,
    /// The server's answer, and everything after it on this connection.
    Answer,
}

/// Listens on a port of its own until it is dropped; connections through it end then, too.
pub(crate) struct Proxy {
    port: u16,
    wire: Arc<Wire>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Wire {
    /// The next fault: fires once.
    fault: Mutex<Option<(Vec<u8>, Lost)>>,
    fired: CancellationToken,
    cut: CancellationToken,
    /// What the client never gets to read, and how often a connection has ended over it.
    unreadable: Mutex<Option<Vec<u8>>>,
    ended: AtomicUsize,
}

impl Proxy {
    /// Begins to carry everything to `host:port`.
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire::default());
        let (server, shared) = (server.to_owned(), wire.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Self { port, wire, accepting: accepting.abort_handle() }
    }

    /// In front of the server of a URL, and the URL that leads through it.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let (_, rest) = url.split_once("://").unwrap();
        let authority = rest.split(['/', '?']).next().unwrap();
        let server = authority.rsplit('@').next().unwrap();
        let proxy = Self::start(server).await;
        let through = url.replacen(server, &format!("127.0.0.1:{}", proxy.port), 1);
        (proxy, through)
    }

    /// The next time a client sends these words, this is lost.
    pub(crate) fn arm(&self, words: &[u8], lost: Lost) {
        *self.wire.fault.lock().unwrap() = Some((words.to_vec(), lost));
    }

    /// From now on every connection on which the server sends these words ends before the client reads them.
    pub(crate) fn ends_over(&self, words: &[u8]) {
        *self.wire.unreadable.lock().unwrap() = Some(words.to_vec());
    }

    /// How many connections have ended over them.
    pub(crate) fn ended(&self) -> usize {
        self.wire.ended.load(Ordering::Relaxed)
    }

    /// Resolves when the words, or the answer to them, were lost.
    pub(crate) async fn fired(&self) {
        self.wire.fired.cancelled().await;
    }

    /// Ends the connection on which the fault fired.
    pub(crate) fn cut(&self) {
        self.wire.cut.cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    fn ends(&self, said: &[u8]) -> bool {
        let unreadable = self.unreadable.lock().unwrap();
        let ends = unreadable.as_ref().is_some_and(|words| said.windows(words.len()).any(|part| part == words));
        if ends {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        ends
    }

    fn strikes(&self, said: &[u8]) -> Option<Lost> {
        let mut fault = self.fault.lock().unwrap();
        let (words, lost) = fault.as_ref()?;
        if !said.windows(words.len()).any(|part| part == words) {
            return None;
        }
        let lost = *lost;
        *fault = None;
        Some(lost)
    }
}

async fn carry(client: TcpStream, server: TcpStream, wire: Arc<Wire>) {
    // Or the kernel would hold small packets back for 40 ms each.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let deaf = CancellationToken::new();
    tokio::select! {
        () = requests(from_client, to_server, &wire, &deaf) => {}
        () = answers(from_server, to_client, &wire, &deaf) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: &Wire, deaf: &CancellationToken) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        match wire.strikes(&buffer[..length]) {
            Some(Lost::Request) => {
                wire.fired.cancel();
                return wire.cut.cancelled().await;
            }
            Some(Lost::Answer) => deaf.cancel(),
            None => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: &Wire, deaf: &CancellationToken) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if deaf.is_cancelled() {
            wire.fired.cancel();
            return wire.cut.cancelled().await;
        }
        if wire.ends(&buffer[..length]) || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
