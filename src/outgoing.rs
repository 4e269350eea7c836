//! The door through which requests leave: nothing else opens a connection to somebody else's server.
//!
//! What comes back is untrusted, where it goes is checked at the moment of connecting, and both ways have bounds. Messages of
//! failures name the server, never path, query, header or body: those may hold secrets.

mod body;
mod connect;
mod guard;
mod redirect;
mod trust;
mod wording;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use crate::config;
use crate::limits::retry_after;
use crate::time::clock::Clock;
use connect::{Connector, Unreached};
use guard::Guard;
use redirect::Next;

/// Bytes of a response's head: more is no HTTP server.
const HEAD_MAX: usize = 64 * 1024;
/// A connection that carries several requests and says nothing for this long is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(10);
/// And given up after this.
const PING_FOR: Duration = Duration::from_secs(5);

/// A request with everything in it, secrets included. Its `Debug` shows no values.
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// With scheme and host.
    pub url: String,
    /// Names and values, in this order.
    pub headers: Vec<(String, String)>,
    /// The body; none is not the same as an empty one.
    pub body: Option<Vec<u8>>,
    /// From the name to the last byte of the response; never longer than `outgoing.timeout_max`.
    pub timeout: Option<Duration>,
    /// Bytes of the response's body that are kept.
    pub response_max: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// By lower-case name; several of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, unpacked.
    pub body: Bytes,
    /// How long the server asks to be left alone; never longer than `outgoing.retry_after_max`.
    pub retry_after: Option<Duration>,
    /// The body was longer than what is kept.
    pub cut: bool,
    /// This is a redirect that was not followed though it should have been, and why.
    pub halted: Option<String>,
}

/// What went wrong, by what it means for a second attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Certainly nothing was processed: `http.request`, `http.refused`, `http.connect`, `http.connect.dns`, `http.connect.tls`.
    NotSent {
        /// A dotted code.
        code: String,
        /// A sentence without secrets.
        message: String,
    },
    /// It may have been: `timeout`, `http.broken`.
    Unknown {
        /// A dotted code.
        code: String,
        /// A sentence without secrets.
        message: String,
    },
}

impl Failure {
    fn not_sent(code: &str, message: impl Into<String>) -> Self {
        Self::NotSent { code: code.into(), message: message.into() }
    }

    fn unknown(code: &str, message: impl Into<String>) -> Self {
        Self::Unknown { code: code.into(), message: message.into() }
    }
}

/// Sends requests. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: Pool<Connector, Full<Bytes>>,
    guard: Guard,
    settings: config::Outgoing,
    proxy_auth: Option<http::HeaderValue>,
    clock: Clock,
}

/// How far a request has come, to be asked when its time is over.
#[derive(Default)]
struct Progress {
    hops: u32,
    capture: Option<CaptureConnection>,
}

impl Progress {
    /// Whether a server may have seen anything.
    fn may_be_sent(&self) -> bool {
        let connected = self.capture.as_ref().is_some_and(|capture| capture.connection_metadata().is_some());
        self.hops > 0 || connected
    }
}

impl Client {
    /// Reads certificates and makes ready; connects to nothing yet.
    ///
    /// # Errors
    /// A sentence that names the setting that cannot be used.
    pub fn new(settings: &config::Outgoing, clock: Clock) -> Result<Self, String> {
        let guard = Guard::new(&settings.allow_hosts, &settings.allow_addresses);
        let proxy = connect::Proxy::read(&settings.proxy)?;
        let proxy_auth = proxy.as_ref().and_then(|proxy| proxy.auth.clone());
        let tls = trust::client_config(&settings.ca_file)?;
        let connector = Connector::new(guard.clone(), tls, proxy, settings.connect_timeout);
        Ok(Self::with_connector(settings, clock, guard, proxy_auth, connector))
    }

    fn with_connector(
        settings: &config::Outgoing,
        clock: Clock,
        guard: Guard,
        proxy_auth: Option<http::HeaderValue>,
        connector: Connector,
    ) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_for)
            .pool_max_idle_per_host(settings.idle_max)
            .http1_max_buf_size(HEAD_MAX)
            .http2_max_header_list_size(HEAD_MAX as u32)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_FOR)
            .build(connector);
        Self(Arc::new(Inner { pool, guard, settings: settings.clone(), proxy_auth, clock }))
    }

    /// Sends a request and reads its response, whatever its status.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have been processed.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let longest = self.0.settings.timeout_max;
        let limit = request.timeout.unwrap_or(longest).min(longest);
        let mut progress = Progress::default();
        let followed = tokio::time::timeout(limit, Box::pin(self.follow(request, &mut progress))).await;
        let in_time = crate::time::duration::format(limit);
        match followed {
            Ok(done) => done,
            Err(_) if progress.may_be_sent() => {
                Err(Failure::unknown("timeout", format!("there was no whole response within {in_time}")))
            }
            Err(_) => Err(Failure::not_sent("http.connect", format!("there was no connection within {in_time}"))),
        }
    }

    async fn follow(&self, request: Request, progress: &mut Progress) -> Result<Response, Failure> {
        let settings = &self.0.settings;
        let max = request.response_max;
        let mut asked =
            wording::read(request, settings.request_max).map_err(|wrong| Failure::not_sent("http.request", wrong))?;
        self.0.guard.check_url(&asked.url).map_err(|why| Failure::not_sent("http.refused", why))?;
        let mut response = self.exchange(&asked, max, progress).await?;
        while progress.hops < settings.redirects_max {
            let halted = match redirect::next(&asked, response.status, response.headers.get("location")) {
                Next::Stay => break,
                Next::Halt(why) => Err(why),
                Next::Follow(next) => self.0.guard.check_url(&next.url).map(|()| next),
            };
            let next = match halted {
                Ok(next) => next,
                Err(why) => return Ok(Response { halted: Some(why), ..response }),
            };
            progress.hops += 1;
            response = match self.exchange(&next, max, progress).await {
                Ok(further) => further,
                // The server before has answered, so that it is known what became of the request: this is its answer.
                Err(Failure::NotSent { message, code }) if code == "http.refused" => {
                    return Ok(Response { halted: Some(message), ..response });
                }
                Err(Failure::NotSent { code, message } | Failure::Unknown { code, message }) => {
                    return Err(Failure::Unknown { code, message });
                }
            };
            asked = *next;
        }
        Ok(response)
    }

    /// One request and one response.
    async fn exchange(&self, asked: &wording::Asked, max: usize, progress: &mut Progress) -> Result<Response, Failure> {
        let place = place(&asked.url);
        let proxy_auth = self.0.proxy_auth.as_ref().filter(|_| asked.url.scheme() == "http");
        let mut request =
            wording::write(asked, proxy_auth).map_err(|wrong| Failure::not_sent("http.request", wrong))?;
        progress.capture = Some(capture_connection(&mut request));
        let response = self.0.pool.request(request).await.map_err(|error| failure(&error, &place))?;
        let (head, incoming) = response.into_parts();
        let mut headers = head.headers;
        let retry_after = self.retry_after(&headers);
        let packing = body::packing(&headers);
        let read = body::read(incoming, packing, max).await.map_err(|why| {
            Failure::unknown("http.broken", format!("the response of {place} (status {}) {why}", head.status.as_u16()))
        })?;
        if packing == body::Packing::Gzip {
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Response {
            status: head.status.as_u16(),
            headers: wording::shown(&headers),
            body: read.kept,
            retry_after,
            cut: read.cut,
            halted: None,
        })
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let now = text(header::DATE).and_then(retry_after::moment).unwrap_or_else(|| self.0.clock.now());
        retry_after::parse(text(header::RETRY_AFTER)?, now, self.0.settings.retry_after_max)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Url::parse(&self.url).map_or_else(|_| "no URL".into(), |url| place(&url));
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

/// The server a URL names, as `https://host:port`: all of it that may be shown.
fn place(url: &Url) -> String {
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
        (Some(_), None) | (None, _) => "no server".into(),
    }
}

/// The server a URL names, as `https://host:port`; `None` if it names none. Limits and breakers are per target.
pub fn target(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.host()?;
    url.port_or_known_default()?;
    Some(place(&url))
}

fn failure(error: &legacy::Error, place: &str) -> Failure {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    if let Some(unreached) = causes.find_map(|cause| cause.downcast_ref::<Unreached>()) {
        return Failure::not_sent(unreached.code(), format!("{place}: {unreached}"));
    }
    let last = std::iter::successors(error.source(), |cause| (*cause).source()).last();
    let why = last.map_or_else(|| error.to_string(), ToString::to_string);
    match error.is_connect() {
        true => Failure::not_sent("http.connect", format!("{place}: {why}")),
        false => Failure::unknown("http.broken", format!("{place} ended the connection before it had answered: {why}")),
    }
}

#[cfg(test)]
mod tests;
