//! Sends requests: guard, connection pool, redirects, time limit.

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

use super::body::{self, Encoding};
use super::connect::{ConnectError, Connector};
use super::guard::Guard;
use super::proxy::Proxy;
use super::redirect::{self, Redirect};
use super::wording::{self, CheckedRequest};
use super::{Request, Response, SendError, server, trust};
use crate::config;
use crate::limits::retry_after;
use crate::time::clock::Clock;

/// The longest response head in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// An HTTP/2 connection that was silent for this long is pinged.
const PING_AFTER: Duration = Duration::from_secs(10);
/// A ping without an answer closes the connection after this.
const PING_FOR: Duration = Duration::from_secs(5);

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

/// How far a request has come; read when its time is up.
#[derive(Default)]
struct Progress {
    redirects: u32,
    capture: Option<CaptureConnection>,
}

impl Progress {
    /// Whether a server may have received anything.
    fn may_be_sent(&self) -> bool {
        let connected = self.capture.as_ref().is_some_and(|capture| capture.connection_metadata().is_some());
        self.redirects > 0 || connected
    }
}

impl Client {
    /// Reads the settings and the certificates. Connects to nothing yet.
    ///
    /// # Errors
    /// A sentence that names the invalid setting.
    pub fn new(settings: &config::Outgoing, clock: Clock) -> Result<Self, String> {
        let guard = Guard::new(&settings.allow_hosts, &settings.allow_addresses);
        let proxy = Proxy::read(&settings.proxy)?;
        let proxy_auth = proxy.as_ref().and_then(|proxy| proxy.auth.clone());
        let tls = trust::client_config(&settings.ca_file)?;
        let connector = Connector::new(guard.clone(), tls, proxy, settings.connect_timeout);
        Ok(Self::with_connector(settings, clock, guard, proxy_auth, connector))
    }

    pub(super) fn with_connector(
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
    /// [`SendError`], which says whether the request may have been processed.
    pub async fn send(&self, request: Request) -> Result<Response, SendError> {
        let longest = self.0.settings.timeout_max;
        let limit = request.timeout.unwrap_or(longest).min(longest);
        let mut progress = Progress::default();
        let followed = tokio::time::timeout(limit, Box::pin(self.follow(request, &mut progress))).await;
        let limit = crate::time::duration::format(limit);
        match followed {
            Ok(sent) => sent,
            Err(_) if progress.may_be_sent() => {
                Err(SendError::unknown("timeout", format!("the response was not complete within {limit}")))
            }
            Err(_) => Err(SendError::not_sent("http.connect", format!("could not connect within {limit}"))),
        }
    }

    /// Sends a request, and follows redirects as far as the settings allow.
    async fn follow(&self, request: Request, progress: &mut Progress) -> Result<Response, SendError> {
        let settings = &self.0.settings;
        let max = request.response_max;
        let mut request =
            wording::check(request, settings.request_max).map_err(|why| SendError::not_sent("http.request", why))?;
        self.0.guard.check_url(&request.url).map_err(|why| SendError::not_sent("http.refused", why))?;
        let mut response = self.exchange(&request, max, progress).await?;
        while progress.redirects < settings.redirects_max {
            let next = match redirect::read(&request, response.status, response.headers.get("location")) {
                Redirect::None => break,
                Redirect::Refused(why) => Err(why),
                Redirect::Follow(next) => self.0.guard.check_url(&next.url).map(|()| next),
            };
            let next = match next {
                Ok(next) => next,
                Err(why) => return Ok(Response { redirect_refused: Some(why), ..response }),
            };
            progress.redirects += 1;
            response = match self.exchange(&next, max, progress).await {
                Ok(response) => response,
                // The previous server has answered, so the fate of the request is known: the redirect is the response.
                Err(SendError::NotSent { message, code }) if code == "http.refused" => {
                    return Ok(Response { redirect_refused: Some(message), ..response });
                }
                Err(SendError::NotSent { code, message } | SendError::Unknown { code, message }) => {
                    return Err(SendError::Unknown { code, message });
                }
            };
            request = *next;
        }
        Ok(response)
    }

    /// One request and one response.
    async fn exchange(
        &self,
        request: &CheckedRequest,
        max: usize,
        progress: &mut Progress,
    ) -> Result<Response, SendError> {
        let server = server(&request.url);
        // Through a tunnel the proxy reads only the CONNECT, which carries the credentials already.
        let proxy_auth = self.0.proxy_auth.as_ref().filter(|_| request.url.scheme() == "http");
        let mut request =
            wording::build(request, proxy_auth).map_err(|why| SendError::not_sent("http.request", why))?;
        progress.capture = Some(capture_connection(&mut request));
        let response = self.0.pool.request(request).await.map_err(|error| send_error(&error, &server))?;
        let (head, incoming) = response.into_parts();
        let mut headers = head.headers;
        let retry_after = self.retry_after(&headers);
        let encoding = body::encoding(&headers);
        let body = body::read(incoming, encoding, max).await.map_err(|why| {
            let status = head.status.as_u16();
            SendError::unknown("http.broken", format!("the response of {server} (status {status}) {why}"))
        })?;
        if encoding == Encoding::Gzip {
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Response {
            status: head.status.as_u16(),
            headers: wording::joined(&headers),
            cookies: wording::cookies(&headers),
            body: body.kept,
            retry_after,
            cut: body.cut,
            redirect_refused: None,
        })
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let now = text(header::DATE).and_then(retry_after::http_date).unwrap_or_else(|| self.0.clock.now());
        retry_after::parse(text(header::RETRY_AFTER)?, now, self.0.settings.retry_after_max)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

fn send_error(error: &legacy::Error, server: &str) -> SendError {
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    if let Some(error) = causes().find_map(|cause| cause.downcast_ref::<ConnectError>()) {
        return SendError::not_sent(error.code(), format!("{server}: {error}"));
    }
    let cause = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    match error.is_connect() {
        true => SendError::not_sent("http.connect", format!("{server}: {cause}")),
        false => {
            SendError::unknown("http.broken", format!("{server} closed the connection before it answered: {cause}"))
        }
    }
}
