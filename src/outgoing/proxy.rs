//! The proxy of `outgoing.proxy`, and tunnels through it.

use std::fmt;

use base64::Engine;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// The longest response head of a proxy in bytes.
const PROXY_HEAD_MAX: usize = 8 * 1024;

/// The proxy that all requests go through.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(super) auth: Option<HeaderValue>,
}

impl Proxy {
    /// Reads the setting; `None` if it is empty.
    pub(super) fn read(setting: &str) -> Result<Option<Self>, String> {
        if setting.is_empty() {
            return Ok(None);
        }
        // Without the setting's text: it may contain a password.
        let invalid =
            || "`outgoing.proxy` is not valid: write http://host:port or http://user:password@host:port".to_owned();
        let url = Url::parse(setting).map_err(|_| invalid())?;
        let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
            return Err(invalid());
        };
        let auth = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let plain = |text| percent_decode_str(text).decode_utf8_lossy();
                let both = format!("{}:{}", plain(user), plain(password.unwrap_or_default()));
                let encoded = base64::engine::general_purpose::STANDARD.encode(both);
                let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| invalid())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Some(Self { host: bare(host).to_owned(), port, auth }))
    }

    /// Asks the proxy for a tunnel to a server. After that the connection belongs to the server.
    pub(super) async fn open_tunnel(&self, tcp: &mut TcpStream, host: &str, port: u16) -> Result<(), String> {
        let refused = |why: &dyn fmt::Display| format!("the proxy refused the tunnel: {why}");
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
        if let Some(auth) = &self.auth {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(auth.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        tcp.write_all(&request).await.map_err(|error| refused(&error))?;
        let mut head = Vec::new();
        // Byte by byte, because what follows the head belongs to the server behind the proxy.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == PROXY_HEAD_MAX {
                return Err(refused(&"the head of its response is too long"));
            }
            head.push(tcp.read_u8().await.map_err(|error| refused(&error))?);
        }
        let line = String::from_utf8_lossy(&head);
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_default();
        match status.starts_with('2') {
            true => Ok(()),
            false => Err(refused(&format!("status {}", status.escape_debug()))),
        }
    }
}

/// An IPv6 address without its brackets.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
