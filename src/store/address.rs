//! The URL of the database, as libpq reads it: several hosts, TLS, and a password from a file.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::link::address::Parts;
use crate::link::secret;
use crate::link::trust::{Authorities, Check, Identity, Trust};

/// The most hosts of one URL.
const HOSTS_MAX: usize = 16;
/// The parameters that are read here; the client library reads the others.
const OURS: [&str; 6] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "password_file", "options"];

/// The parameter `sslmode`, as libpq defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Mode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it; its certificate is not checked.
    Prefer,
    /// Encrypted. Its certificate is checked only if an authority is named.
    Require,
    /// Encrypted, and the certificate is of a trusted authority.
    VerifyCa,
    /// The same, and for this host.
    VerifyFull,
}

/// A URL that can be used.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Everything but the hosts and the password from a file; as the client library reads it.
    whole: Config,
    /// The start-up options, decoded.
    options: Option<String>,
    password_file: Option<String>,
    pub(super) mode: Mode,
    pub(super) trust: Trust,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that names the parameter. It contains no value, and so no password.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let parts = Parts::read(url).filter(|parts| ["postgres", "postgresql"].contains(&parts.scheme));
        let Some(parts) = parts else {
            return Err("database.url must begin with postgres:// or postgresql://".into());
        };
        let (mode, trust) = tls(&parts)?;
        let rest: Vec<_> = parts.query.iter().copied().filter(|(name, _)| !OURS.contains(name)).collect();
        let rest = parts.with(&parts.hosts, &rest);
        // A name of libpq that the library does not know.
        let rest = rest.replace("target_session_attrs=primary", "target_session_attrs=read-write");
        let mut whole: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("database.url: {why}; write postgres://user:password@host:5432/database")
        })?;
        let count = whole.get_hosts().len().max(whole.get_hostaddrs().len());
        if count == 0 || count > HOSTS_MAX {
            return Err(format!("database.url must name from 1 to {HOSTS_MAX} hosts; it names {count}"));
        }
        // Only one of several servers takes writes, and after a failover it is another one.
        if count > 1 && parts.parameter("target_session_attrs").is_none() {
            whole.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let text = |name: &str| parts.parameter(name).filter(|text| !text.is_empty()).map(String::from);
        Ok(Self { whole, options: text("options"), password_file: text("password_file"), mode, trust })
    }

    /// The same without start-up options, which a pooler may refuse.
    pub(super) fn without_options(self) -> Self {
        Self { options: None, ..self }
    }

    /// The number of hosts.
    pub(super) fn count(&self) -> usize {
        self.whole.get_hosts().len().max(self.whole.get_hostaddrs().len())
    }

    /// The limit that the URL sets for connecting to one host.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.whole.get_connect_timeout().copied()
    }

    /// The host of this number.
    pub(super) fn host(&self, number: usize) -> Option<&Host> {
        self.whole.get_hosts().get(number)
    }

    pub(super) fn port(&self, number: usize) -> u16 {
        let ports = self.whole.get_ports();
        ports.get(number).or(ports.first()).copied().unwrap_or(5432)
    }

    /// Host and port, for messages.
    pub(super) fn place(&self, number: usize) -> String {
        let port = self.port(number);
        match (self.host(number), self.whole.get_hostaddrs().get(number)) {
            (Some(Host::Tcp(name)), _) if name.contains(':') => format!("[{name}]:{port}"),
            (Some(Host::Tcp(name)), _) => format!("{name}:{port}"),
            (Some(Host::Unix(path)), _) => format!("{} port {port}", path.display()),
            (None, Some(address)) => format!("{address}:{port}"),
            (None, None) => format!("port {port}"),
        }
    }

    /// The address of a host that the URL itself gives, as `hostaddr`.
    pub(super) fn given_address(&self, number: usize) -> Option<std::net::IpAddr> {
        self.whole.get_hostaddrs().get(number).copied()
    }

    /// The settings of a connection to one host. A password file is read each time, so that a new password is used.
    ///
    /// # Errors
    /// A sentence, if the file cannot be used.
    pub(super) fn of_host(&self, number: usize) -> Result<Config, String> {
        let whole = &self.whole;
        let mut one = Config::new();
        if let Some(host) = whole.get_hosts().get(number) {
            match host {
                Host::Tcp(name) => one.host(name),
                Host::Unix(path) => one.host_path(path),
            };
        }
        one.port(self.port(number));
        whole.get_user().map(|user| one.user(user));
        match &self.password_file {
            Some(file) => {
                one.password(secret::read(Path::new(file)).map_err(|why| format!("the password file {why}"))?);
            }
            None => drop(whole.get_password().map(|password| one.password(password))),
        }
        whole.get_dbname().map(|name| one.dbname(name));
        self.options.as_ref().map(|options| one.options(options));
        whole.get_application_name().map(|name| one.application_name(name));
        whole.get_tcp_user_timeout().map(|limit| one.tcp_user_timeout(*limit));
        one.keepalives(whole.get_keepalives()).keepalives_idle(whole.get_keepalives_idle());
        whole.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
        whole.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
        one.target_session_attrs(whole.get_target_session_attrs())
            .channel_binding(whole.get_channel_binding())
            .ssl_negotiation(whole.get_ssl_negotiation())
            .ssl_mode(match self.mode {
                Mode::Disable => SslMode::Disable,
                Mode::Prefer => SslMode::Prefer,
                Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
            });
        // libpq does not encrypt what stays in a socket of this machine.
        if let Some(Host::Unix(_)) = whole.get_hosts().get(number) {
            one.ssl_mode(SslMode::Disable);
        }
        Ok(one)
    }
}

/// What the URL says about TLS.
fn tls(parts: &Parts<'_>) -> Result<(Mode, Trust), String> {
    let text = |name: &str| parts.parameter(name).filter(|text| !text.is_empty()).map(String::from);
    let authorities = match text("sslrootcert") {
        Some(word) if word == "system" => Some(Authorities::System),
        file => file.map(Authorities::File),
    };
    let is_system = authorities == Some(Authorities::System);
    let mode = match text("sslmode").as_deref() {
        None if is_system => Mode::VerifyFull,
        None => Mode::Prefer,
        Some(word) => word.parse().map_err(|_| {
            "database.url: `sslmode` must be disable, prefer, require, verify-ca or verify-full".to_owned()
        })?,
    };
    if is_system && mode != Mode::VerifyFull {
        // Anybody gets a certificate for a name of his own from one of them.
        return Err("database.url: with `sslrootcert=system`, `sslmode` must be verify-full".into());
    }
    let check = match (mode, &authorities) {
        (Mode::VerifyFull, Some(_)) => Check::AuthorityAndName,
        (Mode::VerifyCa, Some(_)) | (Mode::Require | Mode::Prefer, Some(_)) => Check::Authority,
        (Mode::VerifyFull | Mode::VerifyCa, None) => {
            return Err(
                "the database's certificate cannot be verified without a CA: set `sslrootcert` or `database.ca_file` \
                        to its file, or to `system` for the CAs of this machine"
                    .into(),
            );
        }
        (Mode::Disable, _) | (Mode::Require | Mode::Prefer, None) => Check::Nothing,
    };
    let identity = match (text("sslcert"), text("sslkey")) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(
                "a client certificate for the database needs both `sslcert` and `sslkey` (`database.cert_file`, \
                        `database.key_file`)"
                    .into(),
            );
        }
    };
    Ok((mode, Trust { check, authorities: authorities.unwrap_or(Authorities::System), identity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Address {
        Address::read(url).unwrap()
    }

    #[test]
    fn hosts_and_ports_belong_together() {
        let address = read("postgres://me@h1:1,[::1]:2,h3/db?connect_timeout=2");
        assert_eq!((0..address.count()).map(|n| address.place(n)).collect::<Vec<_>>(), ["h1:1", "[::1]:2", "h3:5432"]);
        assert_eq!(address.connect_timeout(), Some(Duration::from_secs(2)));
        assert_eq!(read("postgres:///db?host=%2Frun&port=7").place(0), "/run port 7");
        assert!(Address::read("postgres:///db").unwrap_err().contains("from 1 to 16 hosts"));
        assert!(Address::read("host=localhost").unwrap_err().contains("postgres://"));
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_wanted() {
        let wanted = |url: &str| read(url).of_host(0).unwrap().get_target_session_attrs();
        assert_eq!(wanted("postgres://h1,h2/db"), TargetSessionAttrs::ReadWrite);
        assert_eq!(wanted("postgres://h1,h2/db?target_session_attrs=any"), TargetSessionAttrs::Any);
        assert_eq!(wanted("postgres://h1/db"), TargetSessionAttrs::Any);
        assert_eq!(wanted("postgres://h1/db?target_session_attrs=primary"), TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn the_settings_of_one_host_are_those_of_the_url() {
        let address =
            read("postgres://me:a%40b@h1,h2:9/shop?options=-c%20jit%3Doff&application_name=x&keepalives_idle=7");
        let one = address.of_host(1).unwrap();
        assert_eq!(
            (one.get_user(), one.get_password(), one.get_dbname()),
            (Some("me"), Some(&b"a@b"[..]), Some("shop"))
        );
        assert_eq!((one.get_options(), one.get_application_name()), (Some("-c jit=off"), Some("x")));
        assert_eq!((one.get_ports(), one.get_keepalives_idle()), (&[9][..], Duration::from_secs(7)));
        assert_eq!(address.without_options().of_host(1).unwrap().get_options(), None);
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq() {
        let of = |query: &str| Address::read(&format!("postgres://h/db?{query}")).map(|a| (a.mode, a.trust.check));
        assert_eq!(of(""), Ok((Mode::Prefer, Check::Nothing)));
        assert_eq!(of("sslmode=disable&sslrootcert=f"), Ok((Mode::Disable, Check::Nothing)));
        assert_eq!(of("sslmode=require"), Ok((Mode::Require, Check::Nothing)));
        assert_eq!(of("sslmode=require&sslrootcert=f"), Ok((Mode::Require, Check::Authority)));
        assert_eq!(of("sslmode=verify-ca&sslrootcert=f"), Ok((Mode::VerifyCa, Check::Authority)));
        assert_eq!(of("sslmode=verify-full&sslrootcert=f"), Ok((Mode::VerifyFull, Check::AuthorityAndName)));
        assert_eq!(of("sslrootcert=system"), Ok((Mode::VerifyFull, Check::AuthorityAndName)));
        for (wrong, says) in [
            ("sslmode=allow", "must be disable, prefer"),
            ("sslmode=verify-full", "without a CA"),
            ("sslmode=require&sslrootcert=system", "must be verify-full"),
            ("sslcert=f", "needs both"),
            ("nonsense=1", "unknown option `nonsense`"),
        ] {
            assert!(of(wrong).unwrap_err().contains(says), "{wrong}: {:?}", of(wrong));
        }
    }

    #[test]
    fn no_problem_of_a_url_shows_its_password() {
        for url in ["postgres://me:hunter2@h:x/db", "postgres://me:hunter2@h/db?port=hunter2", "hunter2"] {
            let error = Address::read(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_file_is_read_for_each_connection() {
        let file = std::env::temp_dir().join(format!("leveret-password-{}-{}", std::process::id(), fastrand::u64(..)));
        let address = read(&format!("postgres://me:old@h/db?password_file={}", file.display()));
        assert!(address.of_host(0).unwrap_err().contains("cannot be read"));
        for password in ["first", "second"] {
            std::fs::write(&file, format!("{password}\n")).unwrap();
            assert_eq!(address.of_host(0).unwrap().get_password(), Some(password.as_bytes()));
        }
        std::fs::remove_file(file).unwrap();
    }
}
