//! The HTTP client: nothing else connects to servers that a definition names.
//!
//! Responses are untrusted, every address is checked when it is connected to, and requests and responses are bounded. Error
//! messages name the server, never path, query, headers or body, because those may contain secrets.

mod body;
mod client;
mod connect;
mod guard;
mod proxy;
mod redirect;
mod trust;
mod wording;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

pub use client::Client;

/// A complete request, secrets included. Its `Debug` output shows no values.
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Names and values, in the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The body. `None` differs from an empty one: a redirect to another server may be followed without a body only.
    pub body: Option<Vec<u8>>,
    /// The limit for everything from name resolution to the last byte of the response; at most `outgoing.timeout_max`.
    pub timeout: Option<Duration>,
    /// Bytes of the response's body that are kept.
    pub response_max: usize,
}

/// The response to a [`Request`], whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Values by lower-case name, without `set-cookie`; the values of a repeated header are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The values of `set-cookie`, in order.
    pub cookies: Vec<String>,
    /// The decompressed body.
    pub body: Bytes,
    /// `Retry-After`, at most `outgoing.retry_after_max`.
    pub retry_after: Option<Duration>,
    /// The body was longer than `response_max`; `body` is its beginning.
    pub cut: bool,
    /// Why this redirect was not followed, although redirects are followed.
    pub redirect_refused: Option<String>,
}

/// Why there is no response. The variants say what another attempt risks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// No server processed the request: `http.request`, `http.refused`, `http.connect`, `http.connect.dns`, `http.connect.tls`.
    NotSent {
        /// A dotted code.
        code: String,
        /// A sentence without secrets.
        message: String,
    },
    /// A server may have processed the request: `timeout`, `http.broken`.
    Unknown {
        /// A dotted code.
        code: String,
        /// A sentence without secrets.
        message: String,
    },
}

impl SendError {
    fn not_sent(code: &str, message: impl Into<String>) -> Self {
        Self::NotSent { code: code.into(), message: message.into() }
    }

    fn unknown(code: &str, message: impl Into<String>) -> Self {
        Self::Unknown { code: code.into(), message: message.into() }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Url::parse(&self.url).map_or_else(|_| "no URL".into(), |url| server(&url));
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        out.debug_struct("Request")
            .field("method", &self.method)
            .field("server", &server)
            .field("headers", &names)
            .field("body", &self.body.as_ref().map(Vec::len))
            .field("timeout", &self.timeout)
            .field("response_max", &self.response_max)
            .finish()
    }
}

/// The server of a URL as `https://host:port`: the only part of a URL that messages may show.
fn server(url: &Url) -> String {
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
        (Some(_), None) | (None, _) => "no server".into(),
    }
}

/// The server of a URL as `https://host:port`, or `None` if it names no server. Limits and breakers are kept per target.
pub fn target(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.host()?;
    url.port_or_known_default()?;
    Some(server(&url))
}

#[cfg(test)]
mod tests;
