//! Whom the API answers: programs that name its own host, and no page of another site. A browser sends what any page asks it to send, from
//! the network of its user, so that listening on loopback only does not keep it away.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Kind, Problem};
use super::request;
use crate::config::Http;

/// Where the sender of a request is, in the words of a browser.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a browser sends it for, and where it shows the answer.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names and addresses under which this process may be asked.
#[derive(Debug)]
pub(super) struct Hosts {
    listens: IpAddr,
    /// `http.hosts`.
    names: Vec<Authority>,
    /// Whether this process speaks TLS.
    is_secure: bool,
}

impl Hosts {
    /// The names were checked with the settings.
    pub(super) fn new(listens: SocketAddr, settings: &Http) -> Self {
        let names = settings.hosts.iter().filter_map(|name| name.parse().ok()).collect();
        Self { listens: listens.ip(), names, is_secure: !settings.cert_file.is_empty() }
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
            Ok(address) => {
                // A process that listens on every address is asked under each of them.
                let listens_on_all = self.listens.is_unspecified();
                listens_on_all || address == self.listens || address.is_loopback() && self.listens.is_loopback()
            }
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

/// Whether a person has followed a link to one of the pages, as from a mail. A page changes nothing when it is shown, and it is shown in
/// no frame.
fn follows_link(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let says =
        |name: HeaderName, value: &str| headers.get(name).is_some_and(|said| said.as_bytes() == value.as_bytes());
    let is_shown = says(FETCH_MODE, "navigate") && says(FETCH_DEST, "document");
    *method == Method::GET && is_shown && !uri.path().starts_with("/api/")
}

/// Looks at the head of a request.
fn refusal(hosts: &Hosts, version: Version, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
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
    (is_foreign && !follows_link(method, uri, headers)).then(|| Refusal::Origin("another site".to_owned()))
}

/// What a page may do: its own scripts, styles and pictures, and forms to this server; nothing inline, nothing of others, in no frame.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What anything else may do if a browser shows it by itself, such as a picture that is SVG: nothing but be looked at.
const NOT_A_PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
/// For a year, browsers ask this server over TLS only.
const TLS_ONLY: &str = "max-age=31536000";

/// Headers that keep a browser from doing more with an answer than it is for.
fn shield(headers: &mut HeaderMap) {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.to_ascii_lowercase().starts_with("text/html");
    let policy = HeaderValue::from_static(if is_page { PAGE } else { NOT_A_PAGE });
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Refuses requests for other servers and requests of other sites, and forbids to store or to guess at an answer.
pub(super) async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&hosts, request.version(), request.method(), request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(refusal) => {
            tracing::debug!(?refusal, "a request was refused");
            refusal.problem().into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    shield(headers);
    if hosts.is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_at(uri: &str, version: Version, listens: &str, headers: &[(&'static str, &str)]) -> Option<Refusal> {
        let names = vec!["Flows.example.org".into(), "b.example.org:8443".into()];
        let hosts = Hosts::new(listens.parse().unwrap(), &Http { hosts: names, ..Http::default() });
        let all: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        refusal(&hosts, version, &Method::GET, &uri.parse().unwrap(), &all)
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
        for all in ["0.0.0.0:80", "[::]:80"] {
            assert_eq!(refused_at("/readyz", Version::HTTP_11, all, &[("host", "10.1.2.3:80")]), None, "{all}");
            assert!(refused_at("/", Version::HTTP_11, all, &[("host", "shop.example.org")]).is_some(), "{all}");
        }
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
        let asks = |mode, dest| {
            let how = [
                ("host", "localhost"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            refused(&how)
        };
        assert_eq!(asks("navigate", "document"), None, "a link that is followed");
        assert!(asks("navigate", "iframe").is_some() && asks("no-cors", "document").is_some());
    }

    #[test]
    fn a_link_of_another_site_leads_to_a_page_but_not_into_the_api() {
        let followed = |path, mode, dest| {
            let head = [
                ("host", "localhost"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            refused_at(path, Version::HTTP_11, "127.0.0.1:8420", &head)
        };
        assert_eq!(followed("/tasks", "navigate", "document"), None);
        for (path, mode, dest) in [
            ("/api/v1/instances", "navigate", "document"),
            ("/tasks", "navigate", "iframe"),
            ("/tasks", "no-cors", "image"),
            ("/tasks", "cors", "empty"),
        ] {
            assert!(followed(path, mode, dest).is_some(), "{path} {mode} {dest}");
        }
    }

    #[test]
    fn a_page_may_run_its_own_scripts_only_and_anything_else_none() {
        let policy = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            shield(&mut headers);
            assert!(headers["x-frame-options"] == "DENY" && headers["referrer-policy"] == "same-origin");
            headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        };
        let page = policy("text/html; charset=utf-8");
        assert!(page.contains("script-src 'self';") && page.contains("frame-ancestors 'none'"), "{page}");
        assert!(!page.contains("unsafe") && !page.contains('\n') && !page.contains("  "), "{page}");
        for kind in ["application/json", "image/svg+xml", "text/plain"] {
            let other = policy(kind);
            assert!(other.starts_with("default-src 'none';") && !other.contains("script-src"), "{other}");
        }
    }
}
