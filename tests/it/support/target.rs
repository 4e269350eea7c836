//! An HTTP server of another team: it answers as a test says, slowly, endlessly, wrongly or not at all, and keeps the requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Answers, and keeps the connection.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Does that once the test has sent `true`.
    When(watch::Receiver<bool>, Box<Play>),
    /// Answers with this body after this time, and keeps the connection.
    Late(Duration, &'static str),
    /// Writes these bytes, and closes.
    Raw(Vec<u8>),
    /// Writes these bytes, then some others again and again with these pauses, until the client has gone.
    Endless(Vec<u8>, Vec<u8>, Duration),
    /// Writes nothing until the client has gone.
    Silent,
    /// Resets the connection.
    Reset,
}

impl Play {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer(200, vec![("content-type", "application/json".into())], body.into())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, vec![], vec![])
    }

    pub(crate) fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::Answer(status, vec![("location", to.into())], vec![])
    }

    /// A body in chunks that never ends.
    pub(crate) fn endless() -> Self {
        let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        Self::Endless(head.to_vec(), piece, Duration::ZERO)
    }

    /// A body that comes byte by byte.
    pub(crate) fn drip() -> Self {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        Self::Endless(head.to_vec(), b"x".to_vec(), Duration::from_millis(20))
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The first line: method, what is asked for, and version.
    pub(crate) line: String,
    /// The headers with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Its number, from 1.
    pub(crate) number: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Script = Arc<dyn Fn(&Asked) -> Play + Send + Sync>;

/// Requests that were read and not answered yet: now, and at most.
#[derive(Default)]
struct Busy(AtomicUsize, AtomicUsize);

impl Busy {
    fn enter(&self) {
        self.1.fetch_max(self.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server that plays a script until it is dropped.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    asked: Arc<watch::Sender<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    busy: Arc<Busy>,
    _accepting: JoinSet<()>,
}

impl Target {
    pub(crate) async fn playing(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", None, script).await
    }

    /// On an address of one's choice, with TLS or without.
    pub(crate) async fn on(
        address: &str,
        tls: Option<tokio_rustls::TlsAcceptor>,
        script: impl Fn(&Asked) -> Play + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(watch::Sender::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script: Script = Arc::new(script);
        let mut accepting = JoinSet::new();
        let busy = Arc::new(Busy::default());
        let (kept, count, at_work) = (asked.clone(), connections.clone(), busy.clone());
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (kept, script, tls, busy) = (kept.clone(), script.clone(), tls.clone(), at_work.clone());
                serving.spawn(async move {
                    match tls {
                        None => serve(socket, (&kept, &busy), &script).await,
                        Some(tls) => {
                            let Ok(socket) = tls.accept(socket).await else { return };
                            serve(socket, (&kept, &busy), &script).await;
                        }
                    }
                });
                // What has ended is forgotten.
                while serving.try_join_next().is_some() {}
            }
        });
        Self { address, asked, connections, busy, _accepting: accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// The number of requests it has read.
    pub(crate) fn times(&self) -> usize {
        self.asked.borrow().len()
    }

    /// Waits until it has read this number of requests.
    pub(crate) async fn is_asked(&self, times: usize, within: Duration) {
        let mut asked = self.asked.subscribe();
        let read = timeout(within, asked.wait_for(|asked| asked.len() >= times)).await;
        assert!(read.is_ok(), "{} requests within {within:?}, not {times}", self.times());
    }

    /// The largest number of requests it had to answer at once.
    pub(crate) fn busiest(&self) -> usize {
        self.busy.1.load(Ordering::SeqCst)
    }

    /// The number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A connection of a server that plays a script.
trait Link: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset(self);
}

impl Link for TcpStream {
    fn reset(self) {
        self.set_zero_linger().unwrap();
    }
}

impl Link for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

async fn serve(mut link: impl Link, (kept, busy): (&watch::Sender<Vec<Asked>>, &Busy), script: &Script) {
    let mut read = Vec::new();
    while let Some((line, headers, body)) = request(&mut link, &mut read).await {
        let mut asked = Asked { line, headers, body, number: 0 };
        kept.send_modify(|kept| {
            asked.number = kept.len() + 1;
            kept.push(asked.clone());
        });
        let mut play = script(&asked);
        while let Play::When(mut gate, then) = play {
            if gate.wait_for(|open| *open).await.is_err() {
                return;
            }
            play = *then;
        }
        match play {
            Play::When(..) => unreachable!("it was waited for"),
            Play::Answer(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\n");
                headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
                text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
                let answer = [text.as_bytes(), &body].concat();
                if link.write_all(&answer).await.is_err() {
                    return;
                }
            }
            Play::Late(pause, body) => {
                busy.enter();
                tokio::time::sleep(pause).await;
                // Before the answer: the client that has it may ask again at once.
                busy.leave();
                let head =
                    format!("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
                if link.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
            Play::Raw(bytes) => {
                drop(link.write_all(&bytes).await);
                drop(link.shutdown().await);
                return;
            }
            Play::Endless(head, piece, pause) => {
                if link.write_all(&head).await.is_err() {
                    return;
                }
                while link.write_all(&piece).await.is_ok() && link.flush().await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return;
            }
            Play::Silent => {
                let mut more = [0; 64];
                while link.read(&mut more).await.is_ok_and(|read| read > 0) {}
                return;
            }
            Play::Reset => return link.reset(),
        }
    }
}

type Parts = (String, Vec<(String, String)>, Vec<u8>);

/// One request; none when the client has gone.
async fn request(link: &mut impl Link, read: &mut Vec<u8>) -> Option<Parts> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if link.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end - 4].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, text)| text.parse().unwrap());
    while read.len() < end + length {
        if link.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let rest = read.split_off(end + length);
    let body = read.split_off(end);
    *read = rest;
    Some((line, headers, body))
}

/// A certificate authority of the test, and a server with its certificate.
pub(crate) struct Authority {
    /// The authority's certificate in a file.
    pub(crate) file: tempfile::File,
    pub(crate) acceptor: tokio_rustls::TlsAcceptor,
}

/// A file that is deleted when it is dropped.
pub(crate) mod tempfile {
    use std::path::PathBuf;

    pub(crate) struct File(pub(crate) PathBuf);

    impl File {
        pub(crate) fn with(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("leveret-test-{}", uuid::Uuid::now_v7().simple()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> String {
            self.0.display().to_string()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }
}

impl Authority {
    /// A server of that name or address, which speaks these protocols.
    pub(crate) fn vouching_for(name: &str, protocols: &[&str]) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        use tokio_rustls::rustls::ServerConfig;
        use tokio_rustls::rustls::crypto::ring;
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;

        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], private)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { file: tempfile::File::with(&own.pem()), acceptor: Arc::new(config).into() }
    }
}
