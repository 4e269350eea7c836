//! A connection to a server: name, addresses, TCP, proxy, TLS. Every address is checked right before it is connected to.
//!
//! By hand, because hyper-util and hyper-rustls lose what callers are promised: `HttpConnector` does not ask its resolver about
//! hosts written as addresses, so that a guard inside the resolver would not see them; `HttpsConnector` does not distinguish a failed
//! handshake from a failed connection (`http.connect.tls`, `http.connect`); `Tunnel` does not check the addresses of
//! the server behind the proxy, and does not report the proxy's status.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::guard::Guard;
use super::proxy::{Proxy, bare};

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Refused(String),
    #[error("host name not found: {0}")]
    Resolve(String),
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("TLS failed: {0}")]
    Tls(String),
}

impl ConnectError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "http.refused",
            Self::Resolve(_) => "http.connect.dns",
            Self::Connect(_) => "http.connect",
            Self::Tls(_) => "http.connect.tls",
        }
    }
}

/// The addresses of names in a test.
#[cfg(test)]
pub(super) type Script = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// Resolves host names.
#[derive(Clone)]
pub(super) enum Resolver {
    /// The resolver of this machine.
    System,
    /// A function of the test, called for each lookup.
    #[cfg(test)]
    Script(Script),
}

impl Resolver {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found: Vec<SocketAddr> = match self {
            Self::System => {
                let found = tokio::net::lookup_host((host, port)).await;
                found.map_err(|error| ConnectError::Resolve(error.to_string()))?.collect()
            }
            #[cfg(test)]
            Self::Script(script) => script(host).into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        };
        match found.is_empty() {
            true => Err(ConnectError::Resolve("it has no address".into())),
            false => Ok(found),
        }
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    guard: Guard,
    tls: TlsConnector,
    proxy: Option<Proxy>,
    timeout: Duration,
    resolver: Resolver,
}

impl Connector {
    pub(super) fn new(guard: Guard, tls: ClientConfig, proxy: Option<Proxy>, timeout: Duration) -> Self {
        Self::with_resolver(guard, tls, proxy, timeout, Resolver::System)
    }

    pub(super) fn with_resolver(
        guard: Guard,
        tls: ClientConfig,
        proxy: Option<Proxy>,
        timeout: Duration,
        resolver: Resolver,
    ) -> Self {
        Self(Arc::new(Inner { guard, tls: TlsConnector::from(Arc::new(tls)), proxy, timeout, resolver }))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let connected = tokio::time::timeout(inner.timeout, inner.connect(&server)).await;
            connected.unwrap_or_else(|_| {
                let limit = crate::time::duration::format(inner.timeout);
                Err(ConnectError::Connect(format!("no connection within {limit}")))
            })
        })
    }
}

impl Inner {
    async fn connect(&self, server: &Uri) -> Result<Stream, ConnectError> {
        let secure = server.scheme_str() == Some("https");
        let host = bare(server.host().unwrap_or_default());
        let port = server.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut tcp = match &self.proxy {
            None => self.connect_to(host, port).await?,
            Some(proxy) => self.connect_to_proxy(proxy, host, port).await?,
        };
        // Small requests are not held back; without the option they are only slower.
        drop(tcp.set_nodelay(true));
        if !secure {
            return Ok(Stream { io: TokioIo::new(Box::new(tcp)), http2: false, proxied: self.proxy.is_some() });
        }
        if let Some(proxy) = &self.proxy {
            proxy.open_tunnel(&mut tcp, host, port).await.map_err(ConnectError::Connect)?;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Tls(error.to_string()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(|error| ConnectError::Tls(error.to_string()))?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: TokioIo::new(Box::new(tls)), http2, proxied: false })
    }

    /// Connects to the first address that answers; refused addresses are skipped.
    async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in self.resolver.resolve(host, port).await? {
            match self.guard.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if allowed.is_empty() => Err(ConnectError::Refused(why)),
            Some(_) | None => try_each(&allowed, self.timeout).await,
        }
    }

    /// Connects to the proxy. The proxy resolves the server's name itself, so the most that can be checked here is that the
    /// name has no private address here; a name that is unknown here must be listed.
    async fn connect_to_proxy(&self, proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        match self.resolver.resolve(host, port).await {
            Ok(found) => found
                .iter()
                .try_for_each(|address| self.guard.check_address(address.ip()))
                .map_err(ConnectError::Refused)?,
            Err(_) if self.guard.lists(host, port) => {}
            Err(error) => return Err(error),
        }
        let found = self.resolver.resolve(&proxy.host, proxy.port).await?;
        try_each(&found, self.timeout).await
    }
}

async fn try_each(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, ConnectError> {
    let tried = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    // A silent address leaves time for the others.
    let share = timeout / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut last = "no address to connect to".to_owned();
    for address in tried {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer".to_owned(),
        }
    }
    Err(ConnectError::Connect(last))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, with or without TLS.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    /// The TLS handshake agreed on HTTP/2.
    http2: bool,
    /// A proxy reads the requests, so they name the whole URL.
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.http2 { connected.negotiated_h2() } else { connected }
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
