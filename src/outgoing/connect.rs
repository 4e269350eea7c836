//! A connection to a server: name, addresses, TCP, proxy, TLS. Every address is checked right before it is connected to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use super::guard::Guard;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes of a proxy's answer.
const ANSWER_MAX: usize = 8 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("{0}")]
    Refused(String),
    #[error("the name leads to no address: {0}")]
    Name(String),
    #[error("there is no connection: {0}")]
    Connection(String),
    #[error("the connection cannot be secured: {0}")]
    Security(String),
}

impl Unreached {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "http.refused",
            Self::Name(_) => "http.connect.dns",
            Self::Connection(_) => "http.connect",
            Self::Security(_) => "http.connect.tls",
        }
    }
}

/// Through whom everything goes.
pub(super) struct Proxy {
    host: String,
    port: u16,
    pub(super) auth: Option<HeaderValue>,
}

impl Proxy {
    /// Reads the setting; `None` if it is empty.
    pub(super) fn read(setting: &str) -> Result<Option<Self>, String> {
        if setting.is_empty() {
            return Ok(None);
        }
        // Without the setting's text: it may contain a password.
        let wrong = || "`outgoing.proxy` must be written as http://host:port".to_owned();
        let url = Url::parse(setting).map_err(|_| wrong())?;
        let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
            return Err(wrong());
        };
        let auth = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let plain = |text| percent_decode_str(text).decode_utf8_lossy();
                let both = format!("{}:{}", plain(user), plain(password.unwrap_or_default()));
                let encoded = base64::engine::general_purpose::STANDARD.encode(both);
                let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| wrong())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Some(Self { host: bare(host).to_owned(), port, auth }))
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What a test says that a name leads to.
#[cfg(test)]
pub(super) type Script = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// How names become addresses.
#[derive(Clone)]
pub(super) enum Names {
    /// As everything on this machine does it.
    System,
    /// As a test says, each time it is asked.
    #[cfg(test)]
    Script(Script),
}

impl Names {
    async fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found: Vec<SocketAddr> = match self {
            Self::System => {
                let found = tokio::net::lookup_host((host, port)).await;
                found.map_err(|error| Unreached::Name(error.to_string()))?.collect()
            }
            #[cfg(test)]
            Self::Script(script) => script(host).into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        };
        match found.is_empty() {
            true => Err(Unreached::Name("it has none".into())),
            false => Ok(found),
        }
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    guard: Guard,
    tls: TlsConnector,
    proxy: Option<Proxy>,
    timeout: Duration,
    names: Names,
}

impl Connector {
    pub(super) fn new(guard: Guard, tls: ClientConfig, proxy: Option<Proxy>, timeout: Duration) -> Self {
        Self::with_names(guard, tls, proxy, timeout, Names::System)
    }

    pub(super) fn with_names(
        guard: Guard,
        tls: ClientConfig,
        proxy: Option<Proxy>,
        timeout: Duration,
        names: Names,
    ) -> Self {
        Self(Arc::new(Inner { guard, tls: TlsConnector::from(Arc::new(tls)), proxy, timeout, names }))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let late =
                || Unreached::Connection(format!("none within {}", crate::time::duration::format(inner.timeout)));
            tokio::time::timeout(inner.timeout, inner.connect(&server)).await.unwrap_or_else(|_| Err(late()))
        })
    }
}

impl Inner {
    async fn connect(&self, server: &Uri) -> Result<Stream, Unreached> {
        let secure = server.scheme_str() == Some("https");
        let host = bare(server.host().unwrap_or_default());
        let port = server.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (tcp, proxied) = match &self.proxy {
            None => (self.reach(host, port).await?, false),
            Some(proxy) => (self.reach_through(proxy, host, port, secure).await?, !secure),
        };
        // Small requests are not held back to be sent with others; where that fails they are only slower.
        drop(tcp.set_nodelay(true));
        if !secure {
            return Ok(Stream { io: TokioIo::new(Box::new(tcp)), two: false, proxied });
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Unreached::Security(error.to_string()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| Unreached::Security(error.to_string()))?;
        let two = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: TokioIo::new(Box::new(tls)), two, proxied })
    }

    /// Connects to the first address that answers; those that are not allowed are passed over.
    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Unreached> {
        let found = self.names.find(host, port).await?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.guard.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match (allowed.is_empty(), refused) {
            (true, Some(why)) => Err(Unreached::Refused(why)),
            (true, None) | (false, _) => try_each(&allowed, self.timeout).await,
        }
    }

    /// Connects to the proxy. It looks up the name itself, so that here it can only be looked whether an address of it is
    /// private; names that are unknown here must be listed.
    async fn reach_through(&self, proxy: &Proxy, host: &str, port: u16, tunnel: bool) -> Result<TcpStream, Unreached> {
        match self.names.find(host, port).await {
            Ok(found) => found
                .iter()
                .try_for_each(|address| self.guard.check_address(address.ip()))
                .map_err(Unreached::Refused)?,
            Err(_) if self.guard.lists(host, port) => {}
            Err(error) => return Err(error),
        }
        let found = self.names.find(&proxy.host, proxy.port).await?;
        let mut tcp = try_each(&found, self.timeout).await?;
        if tunnel {
            open_tunnel(&mut tcp, proxy, host, port).await?;
        }
        Ok(tcp)
    }
}

async fn try_each(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Unreached> {
    let tried = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    // One silent address leaves time for the others.
    let share = timeout / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut last = "there is no address".to_owned();
    for address in tried {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer".to_owned(),
        }
    }
    Err(Unreached::Connection(last))
}

async fn open_tunnel(tcp: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> Result<(), Unreached> {
    let wrong = |why: &dyn fmt::Display| Unreached::Connection(format!("the proxy opens no way: {why}"));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(auth) = &proxy.auth {
        ask.extend_from_slice(b"Proxy-Authorization: ");
        ask.extend_from_slice(auth.as_bytes());
        ask.extend_from_slice(b"\r\n");
    }
    ask.extend_from_slice(b"\r\n");
    tcp.write_all(&ask).await.map_err(|error| wrong(&error))?;
    let mut answer = Vec::new();
    // Byte by byte, for what follows the answer belongs to somebody else.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_MAX {
            return Err(wrong(&"its answer is too long"));
        }
        answer.push(tcp.read_u8().await.map_err(|error| wrong(&error))?);
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_default();
    match status.starts_with('2') {
        true => Ok(()),
        false => Err(wrong(&format!("status {}", status.escape_debug()))),
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, secured or not.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    /// HTTP/2 was agreed on.
    two: bool,
    /// A proxy reads the requests themselves.
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.two { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
