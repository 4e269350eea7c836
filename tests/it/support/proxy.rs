//! A proxy between our program and a server, to be cut at an exact moment: when the client has sent certain bytes, before the
//! server reads them or before the client reads the answer; or whenever the server sends certain bytes, before the client reads them.
//! It also makes weather: a black hole, latency, a narrow line, segments of one byte; it resets connections, and damages a byte.

#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What is lost once the client has sent the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The words themselves, and everything after them on this connection.
    Request,
    /// The server's answer, and everything after it on this connection.
    Answer,
}

/// How bytes are carried, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Weather {
    /// At once.
    #[default]
    Fair,
    /// Not at all: connections stay open on both sides, new ones too, and nobody hears anything.
    BlackHole,
    /// Each piece this much later, and no faster than this number of bytes in a second.
    Slow { latency: Duration, rate: u32 },
    /// Byte by byte.
    OneByte,
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
    weather: watch::Sender<Weather>,
    /// Pieces that were carried in bad weather, or held back.
    suffered: AtomicUsize,
    /// Raised when every connection is to be reset.
    resets: watch::Sender<usize>,
    reset: AtomicUsize,
    /// The next answer with these words is damaged.
    damaged: Mutex<Option<Vec<u8>>>,
    damage: AtomicUsize,
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

    /// From now on bytes are carried like this, also those that are held back.
    pub(crate) fn weather(&self, weather: Weather) {
        self.wire.weather.send_replace(weather);
    }

    /// How many pieces have met bad weather.
    pub(crate) fn suffered(&self) -> usize {
        self.wire.suffered.load(Ordering::Relaxed)
    }

    /// Resets every connection, as a router does that has forgotten them.
    pub(crate) fn reset(&self) {
        self.wire.resets.send_modify(|resets| *resets += 1);
    }

    /// How many connections were reset.
    pub(crate) fn were_reset(&self) -> usize {
        self.wire.reset.load(Ordering::Relaxed)
    }

    /// The last byte of the next piece in which the server sends these words becomes another one.
    pub(crate) fn damage(&self, words: &[u8]) {
        *self.wire.damaged.lock().unwrap() = Some(words.to_vec());
    }

    /// How many pieces were damaged.
    pub(crate) fn were_damaged(&self) -> usize {
        self.wire.damage.load(Ordering::Relaxed)
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

impl Wire {
    /// Damages a piece if it is meant.
    fn damages(&self, piece: &mut [u8]) {
        let mut damaged = self.damaged.lock().unwrap();
        let meant = |words: &Vec<u8>| piece.windows(words.len()).any(|part| part == words);
        if damaged.as_ref().is_some_and(meant) {
            *damaged = None;
            if let Some(last) = piece.last_mut() {
                *last ^= 0x55;
            }
            self.damage.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn pass(&self, piece: &[u8], to: &mut WriteHalf<'_>) -> std::io::Result<()> {
        let mut weather = *self.weather.borrow();
        if weather != Weather::Fair {
            self.suffered.fetch_add(1, Ordering::Relaxed);
        }
        if weather == Weather::BlackHole {
            let mut clears = self.weather.subscribe();
            // What was held back is carried then, as TCP would send it again.
            weather = *clears.wait_for(|now| *now != Weather::BlackHole).await.map_err(std::io::Error::other)?;
        }
        match weather {
            Weather::Fair | Weather::BlackHole => {}
            Weather::Slow { latency, rate } => {
                sleep(latency + Duration::from_secs_f64(piece.len() as f64 / f64::from(rate))).await;
            }
            Weather::OneByte => {
                for byte in piece {
                    to.write_all(std::slice::from_ref(byte)).await?;
                }
                return Ok(());
            }
        }
        to.write_all(piece).await
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, wire: Arc<Wire>) {
    // Or the kernel would hold small packets back for 40 ms each.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut resets = wire.resets.subscribe();
    let is_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let deaf = CancellationToken::new();
        tokio::select! {
            () = requests(from_client, to_server, &wire, &deaf) => false,
            () = answers(from_server, to_client, &wire, &deaf) => false,
            changed = resets.changed() => changed.is_ok(),
        }
    };
    if is_reset {
        wire.reset.fetch_add(1, Ordering::Relaxed);
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn requests(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, wire: &Wire, deaf: &CancellationToken) {
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
        if wire.pass(&buffer[..length], &mut to).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, wire: &Wire, deaf: &CancellationToken) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if deaf.is_cancelled() {
            wire.fired.cancel();
            return wire.cut.cancelled().await;
        }
        wire.damages(&mut buffer[..length]);
        if wire.ends(&buffer[..length]) || wire.pass(&buffer[..length], &mut to).await.is_err() {
            return;
        }
    }
}
