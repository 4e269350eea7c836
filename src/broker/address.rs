//! The URL of the broker: one or several nodes, TLS, and a password from a file.

use std::path::Path;

use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};

use super::error::Error;
use crate::link::address::{Parts, bare, each, is_local};
use crate::link::secret;
use crate::link::trust::{Authorities, Check, Identity, Trust};

/// Seconds between heartbeats. A silent peer is detected after two of them, or half of one later: how often the library looks.
const HEARTBEAT: u16 = 10;
/// The most nodes of one setting.
const NODES_MAX: usize = 32;
/// How a URL is written.
const FORM: &str = "write amqp://user:password@host:5672/vhost, and several hosts as host1:5672,host2:5672";

/// A node of the broker.
#[derive(Debug, Clone)]
pub(super) struct Node {
    uri: AMQPUri,
    /// Host and port, for messages.
    pub(super) place: String,
    /// For `amqps`.
    pub(super) trust: Option<Trust>,
    password_file: Option<String>,
}

/// Checks a setting: one URL or several, each with one host or several.
///
/// # Errors
/// [`Error::Bug`] with what is wrong and how to write it; without the text, which has a password.
pub fn check(text: &str) -> Result<(), Error> {
    nodes(text).map(drop)
}

/// The nodes of a setting.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, Error> {
    let mut nodes = Vec::new();
    for url in each(text) {
        let parts = Parts::read(url).filter(|parts| ["amqp", "amqps"].contains(&parts.scheme));
        let Some(parts) = parts else { return wrong("it does not begin with amqp:// or amqps://") };
        for host in &parts.hosts {
            if host.is_empty() && parts.hosts.len() > 1 {
                return wrong("a host between two commas is empty");
            }
            nodes.push(node(&parts, host)?);
        }
    }
    if nodes.len() > NODES_MAX {
        return wrong(&format!("it has {} hosts; at most {NODES_MAX} are allowed", nodes.len()));
    }
    Ok(nodes)
}

fn wrong<T>(why: &str) -> Result<T, Error> {
    Err(Error::Bug(format!("the broker URL is invalid: {why}; {FORM}")))
}

fn node(parts: &Parts<'_>, host: &str) -> Result<Node, Error> {
    // The library's own errors repeat the URL.
    let Ok(mut uri) = parts.with(&[host], &parts.query).parse::<AMQPUri>() else {
        return wrong("a host, a port or a parameter cannot be read");
    };
    if !host.is_empty() {
        // The library takes an IPv6 address for localhost.
        uri.authority.host = bare(host).to_owned();
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    if uri.vhost.is_empty() {
        uri.vhost = "/".into();
    }
    let trust = trust(parts, &uri)?;
    let password_file = parts.parameter("password_file").filter(|file| !file.is_empty()).map(String::from);
    let place = match uri.authority.host.contains(':') {
        true => format!("[{}]:{}", uri.authority.host, uri.authority.port),
        false => format!("{}:{}", uri.authority.host, uri.authority.port),
    };
    Ok(Node { uri, place, trust, password_file })
}

/// What the URL says about TLS. The server's certificate is always verified.
fn trust(parts: &Parts<'_>, uri: &AMQPUri) -> Result<Option<Trust>, Error> {
    let text = |name: &str| parts.parameter(name).filter(|text| !text.is_empty()).map(String::from);
    let is_external = uri.query.auth_mechanism == Some(SASLMechanism::External);
    if text("verify").is_some_and(|verify| verify != "verify_peer") {
        return wrong("`verify` can only be verify_peer: name the CA of the server in `cacertfile`");
    }
    let identity = match (text("certfile"), text("keyfile")) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return wrong(
                "a client certificate needs both `certfile` and `keyfile` (`broker.cert_file`, `broker.key_file`)",
            );
        }
    };
    match uri.scheme {
        AMQPScheme::AMQP if is_external => wrong("`auth_mechanism=external` needs amqps:// and a client certificate"),
        AMQPScheme::AMQP => Ok(None),
        AMQPScheme::AMQPS if is_external && identity.is_none() => {
            wrong("`auth_mechanism=external` needs a client certificate: set `broker.cert_file` and `broker.key_file`")
        }
        AMQPScheme::AMQPS => {
            let authorities = text("cacertfile").map_or(Authorities::System, Authorities::File);
            Ok(Some(Trust { check: Check::AuthorityAndName, authorities, identity }))
        }
    }
}

impl Node {
    pub(super) fn host(&self) -> &str {
        &self.uri.authority.host
    }

    pub(super) fn port(&self) -> u16 {
        self.uri.authority.port
    }

    /// Whether what is sent stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        is_local(&self.place)
    }

    /// What the client library needs. A password file is read each time, so that a new password is used.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be used.
    pub(super) fn uri(&self) -> Result<AMQPUri, Error> {
        let mut uri = self.uri.clone();
        if let Some(file) = &self.password_file {
            let password = secret::read(Path::new(file));
            uri.authority.userinfo.password =
                password.map_err(|why| Error::Unavailable(format!("the password file {why}")))?;
        }
        Ok(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        nodes(text).expect("URLs").into_iter().map(|node| node.place).collect()
    }

    fn only(text: &str) -> Node {
        nodes(text).expect("a URL").pop().expect("a node")
    }

    #[test]
    fn heartbeats_are_on_unless_the_url_sets_them() {
        assert_eq!(only("amqp://localhost").uri.query.heartbeat, Some(HEARTBEAT));
        assert_eq!(only("amqp://localhost/?heartbeat=7").uri.query.heartbeat, Some(7));
    }

    #[test]
    fn an_empty_vhost_is_the_default_one() {
        assert_eq!(only("amqp://localhost/").uri.vhost, "/");
        assert_eq!(only("amqp://localhost/%2f").uri.vhost, "/");
        assert_eq!(only("amqp://localhost/leveret").uri.vhost, "leveret");
    }

    #[test]
    fn one_url_has_several_hosts_and_one_setting_several_urls() {
        assert_eq!(places("amqp://u:p@h1:1,h2:2,h3/v"), ["h1:1", "h2:2", "h3:5672"]);
        assert_eq!(places("amqp://u:p@h1/v, amqps://w:q@[::1],h2:7/x"), ["h1:5672", "[::1]:5671", "h2:7"]);
        assert_eq!(places("amqp://"), ["localhost:5672"]);
        let node = nodes("amqp://u:p@h1,amqp://w:q%2Cr@h2/x?heartbeat=3").unwrap().pop().unwrap();
        assert_eq!((node.uri.authority.userinfo.username.as_str(), node.uri.vhost.as_str()), ("w", "x"));
        assert_eq!((node.uri.authority.userinfo.password.as_str(), node.uri.query.heartbeat), ("q,r", Some(3)));
        assert_eq!(only("amqp://[::1]:7").host(), "::1");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (text, says) in [
            ("amqpx://me:hunter2@h", "does not begin with amqp://"),
            ("hunter2", "does not begin with amqp://"),
            ("amqp://me:hunter2@h1,,h2", "between two commas is empty"),
            ("amqp://me:hunter2@h1,h2:port/x", "cannot be read"),
            ("amqp://me:hunter2@h1?heartbeat=hunter2", "cannot be read"),
            ("amqp://me:hunter2@h?auth_mechanism=external", "needs amqps://"),
            ("amqps://me:hunter2@h?auth_mechanism=external", "needs a client certificate"),
            ("amqps://me:hunter2@h?certfile=f", "needs both"),
            ("amqps://me:hunter2@h?verify=verify_none", "can only be verify_peer"),
        ] {
            let error = check(text).expect_err(text).to_string();
            assert!(error.contains(says) && error.contains("write amqp://") && !error.contains("hunter2"), "{error}");
        }
        let many = format!("amqp://h{}", ",h".repeat(NODES_MAX));
        assert!(check(&many).expect_err("too many").to_string().contains("33 hosts"));
    }

    #[test]
    fn certificates_are_named_in_the_url() {
        assert_eq!(only("amqp://h?cacertfile=f").trust, None);
        let trust = only("amqps://h?cacertfile=/a%20b&certfile=c&keyfile=k&auth_mechanism=external").trust.unwrap();
        assert_eq!((trust.check, trust.authorities), (Check::AuthorityAndName, Authorities::File("/a b".into())));
        assert_eq!(trust.identity, Some(Identity { certificate: "c".into(), key: "k".into() }));
        assert_eq!(only("amqps://h").trust.unwrap().authorities, Authorities::System);
    }
}
