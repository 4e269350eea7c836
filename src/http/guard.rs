//! Whom the API answers: programs that name its own host, and no page of another site. A browser sends what any page asks it to send, from
//! the network of its user, so that listening on loopback only does not keep it away.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Kind, Problem};
use super::request;

/// Where the sender of a request is, in the words of a browser.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names and addresses under which this process may be asked.
#[derive(Debug)]
pub(super) struct Hosts {
    listens: IpAddr,
    /// `http.hosts`.
    names: Vec<Authority>,
}

impl Hosts {
    /// The names were checked with the settings.
    pub(super) fn new(listens: SocketAddr, names: &[String]) -> Self {
        Self { listens: listens.ip(), names: names.iter().filter_map(|name| name.parse().ok()).collect() }
    }

    /// Whether what a request names is this process. The port of the listener is not compared, because it may be forwarded.
    fn are(&self, asked: &Authority) -> bool {
        let host = asked.host().trim_end_matches('.').to_ascii_lowercase();
        if self.names.iter().any(|name| name.host().eq_ignore_ascii_case(&host) && has_port_of(asked, name)) {
            return true;
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        match bare.parse::<IpAddr>() {
            // No name was looked up, so no server of names can have led a page here.
            Ok(address) => address == self.listens || address.is_loopback() && self.listens.is_loopback(),
            // Nobody can own a name below `localhost`.
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// Whether a page of this origin is one of the own: of what was asked for, or of a proxy in front of it, which may ask under another
    /// name. A page on another port is another site.
    fn own(&self, asked: &Authority, origin: &str) -> bool {
        let place = origin.split_once("://").and_then(|(_, place)| place.parse::<Authority>().ok());
        place.is_some_and(|place| *asked == place || self.names.contains(&place))
    }
}

/// A name that is listed without a port is meant on every port.
fn has_port_of(asked: &Authority, listed: &Authority) -> bool {
    listed.port().is_none() || asked.port_u16() == listed.port_u16()
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// Its `Host` is another server.
    Host(String),
    /// A page of another site sent it.
    Origin(String),
}

impl Refusal {
    fn problem(self) -> Problem {
        match self {
            Refusal::Host(host) => {
                let host = request::shorten(&host);
                let detail = format!("`Host: {host}` is not this server; if it is, add the name to `http.hosts`");
                Problem::new(Kind::Host, detail)
            }
            Refusal::Origin(origin) => {
                let origin = request::shorten(&origin);
                let detail =
                    format!("a page of {origin} may not use this API; the names of its own pages are in `http.hosts`");
                Problem::new(Kind::Origin, detail)
            }
        }
    }
}

/// Looks at the head of a request.
fn refusal(hosts: &Hosts, version: Version, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    // Two of them may be read differently by a proxy; a whole address in the first line counts as one, too.
    let mut named: Vec<String> = headers.get_all(header::HOST).iter().map(text).collect();
    named.extend(uri.authority().map(|authority| authority.as_str().to_owned()));
    let asked: Option<Vec<Authority>> = named.iter().map(|host| host.parse().ok()).collect();
    let asked = match asked.as_deref() {
        // Health checks of old balancers name no host; no browser does that.
        Some([]) if version == Version::HTTP_10 => None,
        Some([first, rest @ ..]) if hosts.are(first) && rest.iter().all(|other| other == first) => Some(first),
        Some(_) | None => return Some(Refusal::Host(if named.is_empty() { "none".into() } else { named.join(", ") })),
    };
    for origin in headers.get_all(header::ORIGIN).iter().map(text) {
        if !asked.is_some_and(|asked| hosts.own(asked, &origin)) {
            return Some(Refusal::Origin(origin));
        }
    }
    let is_foreign = headers.get_all(FETCH_SITE).iter().any(|site| site.as_bytes() == b"cross-site");
    is_foreign.then(|| Refusal::Origin("another site".to_owned()))
}

/// Refuses requests for other servers and requests of other sites, and forbids to store or to guess at an answer.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&hosts, request.version(), request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(refusal) => {
            tracing::debug!(?refusal, "a request was refused");
            refusal.problem().into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_at(uri: &str, version: Version, listens: &str, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        let hosts = Hosts::new(listens.parse().unwrap(), &["Flows.example.org".into(), "b.example.org:8443".into()]);
        let all: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        refusal(&hosts, version, &uri.parse().unwrap(), &all)
    }

    fn refused(headers: &[(&'static str, &str)]) -> Option<Refusal> {
        refused_at("/livez", Version::HTTP_11, "127.0.0.1:8420", headers)
    }

    #[test]
    fn its_own_names_and_addresses_are_answered() {
        for host in [
            "localhost:8420",
            "127.0.0.1:8420",
            "[::1]:9000",
            "LOCALHOST.",
            "a.localhost",
            "flows.example.org",
            "FLOWS.example.org:81",
            "b.example.org:8443",
        ] {
            assert_eq!(refused(&[("host", host)]), None, "{host}");
        }
        assert_eq!(refused_at("/", Version::HTTP_11, "10.1.2.3:8420", &[("host", "10.1.2.3")]), None);
        assert_eq!(
            refused_at("http://localhost:1/", Version::HTTP_11, "127.0.0.1:1", &[("host", "localhost:1")]),
            None
        );
        assert_eq!(refused_at("/livez", Version::HTTP_10, "127.0.0.1:1", &[]), None);
    }

    #[test]
    fn other_names_and_addresses_are_refused() {
        for host in [
            "shop.example.org",
            "localhost.example.org",
            "10.1.2.3",
            "example.org:8420",
            "a b",
            "",
            "b.example.org",
            "notlocalhost",
            "x.flows.example.org",
            "2130706433",
        ] {
            assert_eq!(refused(&[("host", host)]), Some(Refusal::Host(host.to_owned())));
        }
        assert_eq!(refused(&[]), Some(Refusal::Host("none".into())));
        let other = refused_at("/", Version::HTTP_11, "10.1.2.3:8420", &[("host", "127.0.0.1")]);
        assert_eq!(other, Some(Refusal::Host("127.0.0.1".into())));
    }

    #[test]
    fn a_second_host_is_not_overlooked() {
        let twice = [("host", "localhost"), ("host", "example.org")];
        assert_eq!(refused(&twice), Some(Refusal::Host("localhost, example.org".into())));
        let whole = refused_at("http://example.org/", Version::HTTP_11, "127.0.0.1:1", &[("host", "localhost")]);
        assert_eq!(whole, Some(Refusal::Host("localhost, example.org".into())));
        let old = refused_at("http://example.org/", Version::HTTP_10, "127.0.0.1:1", &[]);
        assert_eq!(old, Some(Refusal::Host("example.org".into())));
    }

    #[test]
    fn pages_of_its_own_may_use_it_and_pages_of_others_may_not() {
        let of = |origin| refused(&[("host", "localhost:8420"), ("origin", origin)]);
        for origin in ["http://localhost:8420", "https://flows.example.org", "https://b.example.org:8443"] {
            assert_eq!(of(origin), None, "{origin}");
        }
        for origin in [
            "http://localhost:3000",
            "http://localhost",
            "https://example.org",
            "null",
            "",
            "http://localhost:8420.example.org",
            "https://flows.example.org:3000",
            "https://b.example.org",
            "http://localhost:8420@example.org",
        ] {
            assert_eq!(of(origin), Some(Refusal::Origin(origin.to_owned())), "{origin}");
        }
        let nameless = refused_at("/", Version::HTTP_10, "127.0.0.1:1", &[("origin", "null")]);
        assert_eq!(nameless, Some(Refusal::Origin("null".into())));
    }

    #[test]
    fn what_a_browser_marks_as_sent_by_another_site_is_refused() {
        let marked = |site| refused(&[("host", "localhost"), ("sec-fetch-site", site)]);
        assert_eq!(marked("cross-site"), Some(Refusal::Origin("another site".into())));
        for site in ["none", "same-origin", "same-site"] {
            assert_eq!(marked(site), None, "{site}");
        }
    }
}
