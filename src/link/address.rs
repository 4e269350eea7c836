//! URLs of servers as text: their parts, further parameters, and what of them may be shown.

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is not percent-encoded in a parameter.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/');

/// The parts of a URL, as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'u> {
    /// What stands before `://`.
    pub scheme: &'u str,
    /// User and password, if the URL has any.
    pub login: Option<&'u str>,
    /// Hosts with their ports; one empty text if the URL names none.
    pub hosts: Vec<&'u str>,
    /// The path with its slash, or nothing.
    pub path: &'u str,
    /// Names and values of the parameters.
    pub query: Vec<(&'u str, &'u str)>,
}

impl<'u> Parts<'u> {
    /// Reads a URL; none for any other text.
    pub fn read(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        // Parameters may contain an `@`, and so may a password.
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = match address.rsplit_once('@') {
            None => (None, address),
            Some((login, place)) => (Some(login), place),
        };
        let (hosts, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let query = query.split('&').filter(|part| !part.is_empty());
        let query = query.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        Some(Self { scheme, login, hosts: hosts.split(',').collect(), path, query })
    }

    /// The value of a parameter, decoded.
    pub fn parameter(&self, name: &str) -> Option<Cow<'u, str>> {
        let (_, value) = self.query.iter().rev().find(|(known, _)| *known == name)?;
        percent_decode_str(value).decode_utf8().ok()
    }

    /// The user, without the password.
    pub fn user(&self) -> Option<&'u str> {
        self.login.map(|login| login.split(':').next().unwrap_or_default())
    }

    /// The same URL with these hosts and parameters.
    pub fn with(&self, hosts: &[&str], query: &[(&str, &str)]) -> String {
        let login = self.login.map(|login| format!("{login}@")).unwrap_or_default();
        let query = if query.is_empty() { String::new() } else { format!("?{}", joined(query)) };
        format!("{}://{login}{}{}{query}", self.scheme, hosts.join(","), self.path)
    }
}

fn joined(query: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| match value.is_empty() {
        true => (*name).to_owned(),
        false => format!("{name}={value}"),
    };
    query.iter().map(one).collect::<Vec<_>>().join("&")
}

/// The URLs of a list with commas. A comma between two hosts of one URL begins no other URL.
pub fn each(text: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let mut begin = 0;
    for (at, _) in text.match_indices(',') {
        let next = text[at + 1..].trim_start();
        let scheme = next.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())) {
            urls.push(text[begin..at].trim());
            begin = at + 1;
        }
    }
    urls.push(text[begin..].trim());
    urls
}

/// The URLs with these parameters, where they do not have them already. An empty value is none.
pub fn with_parameters(text: &str, defaults: &[(&str, &str)]) -> String {
    let one = |url: &str| {
        let Some(parts) = Parts::read(url) else { return url.to_owned() };
        let mut url = url.to_owned();
        let mut separator = if parts.query.is_empty() && !url.ends_with('?') { '?' } else { '&' };
        for (name, value) in defaults.iter().filter(|(_, value)| !value.is_empty()) {
            if parts.parameter(name).is_none() {
                url.push_str(&format!("{separator}{name}={}", encoded(value)));
                separator = '&';
            }
        }
        url
    };
    each(text).into_iter().map(one).collect::<Vec<_>>().join(",")
}

/// A text as the value of a parameter.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// The URLs without their passwords, for logs and messages.
pub fn without_password(text: &str) -> String {
    let secret = |name: &str| name.to_ascii_lowercase().contains("password") && name != "password_file";
    let one = |url: &str| {
        let Some(mut parts) = Parts::read(url) else { return "an invalid URL".into() };
        parts.login = parts.user();
        let query: Vec<_> = parts.query.iter().copied().filter(|(name, _)| !secret(name)).collect();
        parts.with(&parts.hosts, &query)
    };
    each(text).into_iter().map(one).collect::<Vec<_>>().join(",")
}

/// Hosts and ports of the URLs, without anything else.
pub fn hosts(text: &str) -> Vec<&str> {
    each(text).into_iter().filter_map(Parts::read).flat_map(|parts| parts.hosts).collect()
}

/// A host without its port and the brackets of IPv6.
pub fn bare(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether what is sent to a host stays on this machine. A path is a socket of this machine.
pub fn is_local(host: &str) -> bool {
    let host = bare(host);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || host.is_empty() || host.starts_with('/') || host.starts_with("%2F") || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_hosts_a_login_and_parameters() {
        let parts = Parts::read("amqp://me:a@b@h1:1,[::1]:2,h3/v?x=a@b&y").unwrap();
        assert_eq!((parts.scheme, parts.login, parts.user()), ("amqp", Some("me:a@b"), Some("me")));
        assert_eq!(parts.hosts, ["h1:1", "[::1]:2", "h3"]);
        assert_eq!((parts.path, &parts.query[..]), ("/v", &[("x", "a@b"), ("y", "")][..]));
        assert_eq!(parts.with(&["h9"], &[("z", "1")]), "amqp://me:a@b@h9/v?z=1");
        assert_eq!(Parts::read("host=localhost"), None);
    }

    #[test]
    fn a_list_holds_whole_urls_and_urls_hold_several_hosts() {
        let list = "amqp://a:1,b:2/%2f, amqps://c";
        assert_eq!(each(list), ["amqp://a:1,b:2/%2f", "amqps://c"]);
        assert_eq!(hosts(list), ["a:1", "b:2", "c"]);
        assert_eq!(each("postgres://a,b/x?options=-c%20x,y"), ["postgres://a,b/x?options=-c%20x,y"]);
    }

    #[test]
    fn parameters_of_the_url_win() {
        let with = |url: &str| with_parameters(url, &[("sslmode", "require"), ("sslcert", ""), ("f", "/a b")]);
        assert_eq!(with("postgres://db/x"), "postgres://db/x?sslmode=require&f=/a%20b");
        assert_eq!(with("postgres://db/x?sslmode=disable"), "postgres://db/x?sslmode=disable&f=/a%20b");
        assert_eq!(with("amqp://a,amqp://b?f=1"), "amqp://a?sslmode=require&f=/a%20b,amqp://b?f=1&sslmode=require");
    }

    #[test]
    fn no_part_of_a_url_shows_its_password() {
        let shown = without_password("postgres://me:hunter2@db:5432/shop?sslmode=require&password=hunter3&PASSWORD=x");
        assert_eq!(shown, "postgres://me@db:5432/shop?sslmode=require");
        assert_eq!(without_password("postgres://db/shop?password=a@b"), "postgres://db/shop");
        assert_eq!(without_password("amqp://db:5672/%2f"), "amqp://db:5672/%2f");
        assert_eq!(without_password("amqp://a:hunter2@x,y/v,amqp://b:hunter2@z"), "amqp://a@x,y/v,amqp://b@z");
        assert_eq!(without_password("amqp://a@b?password_file=/run/p"), "amqp://a@b?password_file=/run/p");
        assert_eq!(without_password("hunter2"), "an invalid URL");
    }

    #[test]
    fn local_hosts_are_known() {
        for host in ["localhost:1", "127.0.0.1", "127.9.9.9:5432", "[::1]:5", "/run/postgresql", ""] {
            assert!(is_local(host), "{host}");
        }
        for host in ["db", "localhost.example.com", "10.0.0.1:5432", "[fe80::1]"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
