//! Whom the API answers: programs that name its own host, and no page of another site. A browser sends what any page asks it to send, from
//! the network of its user, so that an address that only listens on loopback is no defence.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// The names and addresses under which this process may be asked.
#[derive(Debug)]
pub(super) struct Hosts {
    listens: IpAddr,
    /// `http.hosts`, in lower case.
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(listens: SocketAddr, names: &[String]) -> Self {
        Self { listens: listens.ip(), names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a host, without its port, is this process. The port is not compared, because it may be forwarded.
    fn are(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.names.contains(&host) {
            return true;
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        match bare.parse::<IpAddr>() {
            // No name was looked up, so no server of names can have led a page here.
            Ok(address) if self.listens.is_unspecified() => address.is_ipv4() || address.is_ipv6(),
            Ok(address) => address == self.listens || address.is_loopback() && self.listens.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// Its `Host` is another server.
    Host(String),
    /// A page of another site sent it.
    Origin(String),
}

/// Looks at the headers of a request.
fn refusal(hosts: &Hosts, method: &Method, host: Option<&str>, headers: &HeaderMap) -> Option<Refusal> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("not a text"));
    let asked = host.and_then(|host| host.parse::<Authority>().ok());
    match &asked {
        Some(asked) if hosts.are(asked.host()) => {}
        _ => return Some(Refusal::Host(host.unwrap_or("none").to_owned())),
    }
    if let Some(origin) = text(header::ORIGIN) {
        let place = origin.split_once("://").and_then(|(_, place)| place.parse::<Authority>().ok());
        let own = |place: &Authority| asked.as_ref() == Some(place) || hosts.names.iter().any(|name| name == place.host());
        if !place.as_ref().is_some_and(own) {
            return Some(Refusal::Origin(origin.to_owned()));
        }
    }
    // A link on another page may lead here; it changes nothing.
    let is_link = *method == Method::GET && text(header::HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    let is_foreign = text(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site");
    (is_foreign && !is_link).then(|| Refusal::Origin("another site".to_owned()))
}

/// Refuses requests for other servers and requests of other sites, and forbids to store or to guess at an answer.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let mut response = match refusal(&hosts, request.method(), host, headers) {
        None => next.run(request).await,
        Some(Refusal::Host(host)) => {
            let detail = format!("`Host: {}` is not this server; if it is, add the name to `http.hosts`", short(&host));
            Problem::new(StatusCode::MISDIRECTED_REQUEST, "urn:leveret:host", "Wrong host", detail).into_response()
        }
        Some(Refusal::Origin(origin)) => {
            let detail = format!("a page of {} may not use this API; its own names are in `http.hosts`", short(&origin));
            Problem::new(StatusCode::FORBIDDEN, "urn:leveret:origin", "Foreign origin", detail).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn short(text: &str) -> String {
    super::request::shorten(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listens: &str) -> Hosts {
        Hosts::new(listens.parse().unwrap(), &["Flows.example.org".to_owned()])
    }

    fn refused(listens: &str, method: Method, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        let all: HeaderMap = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        let host = all.get(header::HOST).map(|host| host.to_str().unwrap());
        refusal(&hosts(listens), &method, host, &all)
    }

    #[test]
    fn its_own_names_and_addresses_are_answered() {
        for host in ["localhost:8420", "127.0.0.1:8420", "[::1]:9000", "LOCALHOST.", "a.localhost", "flows.example.org"] {
            assert_eq!(refused("127.0.0.1:8420", Method::POST, &[("host", host)]), None, "{host}");
        }
        assert_eq!(refused("0.0.0.0:8420", Method::GET, &[("host", "10.1.2.3:8420")]), None);
        assert_eq!(refused("10.1.2.3:8420", Method::GET, &[("host", "10.1.2.3")]), None);
    }

    #[test]
    fn other_names_and_addresses_are_refused() {
        for host in ["shop.example.org", "localhost.example.org", "10.1.2.3", "example.org:8420", "a b", ""] {
            let expected = Some(Refusal::Host(host.to_owned()));
            assert_eq!(refused("127.0.0.1:8420", Method::GET, &[("host", host)]), expected);
        }
        assert_eq!(refused("127.0.0.1:8420", Method::GET, &[]), Some(Refusal::Host("none".into())));
        assert_eq!(refused("0.0.0.0:1", Method::GET, &[("host", "x.org")]), Some(Refusal::Host("x.org".into())));
    }

    #[test]
    fn pages_of_its_own_may_use_it_and_pages_of_others_may_not() {
        let of = |origin| refused("127.0.0.1:8420", Method::POST, &[("host", "localhost:8420"), ("origin", origin)]);
        assert_eq!(of("http://localhost:8420"), None);
        assert_eq!(of("https://flows.example.org"), None);
        for origin in ["http://localhost:3000", "https://example.org", "null", "http://localhost:8420.example.org"] {
            assert_eq!(of(origin), Some(Refusal::Origin(origin.to_owned())), "{origin}");
        }
    }

    #[test]
    fn a_request_that_a_browser_calls_cross_site_is_refused_unless_it_follows_a_link() {
        let of = |method, mode| {
            let headers = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
            refused("127.0.0.1:8420", method, &headers)
        };
        let foreign = Some(Refusal::Origin("another site".into()));
        assert_eq!(of(Method::POST, "navigate"), foreign);
        assert_eq!(of(Method::GET, "no-cors"), foreign);
        assert_eq!(of(Method::GET, "navigate"), None);
    }
}
