//! Settings of requests that leave for other servers, and of the secrets they carry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, Network};
use crate::limits::breaker::{OF_MAX, Policy};
use crate::time::duration::serde_text;

/// The engine waits no longer, whatever a server says.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

section! {
    /// Requests to other servers.
    Outgoing {
        /// Hosts that may be asked: `api.example.com`, `*.example.com`, each also with `:port`. Empty: every public one.
        allow_hosts: Vec<String> = Vec::new(),
        /// Addresses that may be asked though they are not public: `127.0.0.1`, `10.0.0.0/8`.
        allow_addresses: Vec<Network> = Vec::new(),
        /// Redirects that are followed. Each is checked like the first request, and carries no secrets to another server.
        redirects_max: u32 = 0,
        /// From the name to a secured connection. Who is not reached in this time was certainly not asked.
        #[serde(with = "serde_text")] connect_timeout: Duration = Duration::from_secs(5),
        /// No request takes longer, whatever its activity says.
        #[serde(with = "serde_text")] timeout_max: Duration = Duration::from_secs(3_600),
        /// Bytes of a request's body.
        request_max: usize = 1024 * 1024,
        /// Bytes of a response's body, unpacked; an answer with a longer one is kept without its body, and says so.
        response_max: usize = 1024 * 1024,
        /// A server that asks to be left alone for longer is asked again after this.
        #[serde(with = "serde_text")] retry_after_max: Duration = Duration::from_secs(15 * 60),
        /// An unused connection is closed after this: before servers close theirs (many after 5 s), for a request that
        /// meets a closing connection has an unknown outcome.
        #[serde(with = "serde_text")] idle_for: Duration = Duration::from_secs(4),
        /// Unused connections kept per server.
        idle_max: usize = 32,
        /// `http://host:port` through which everything goes; also with `user:password@`. The environment's proxies are ignored.
        proxy: String = String::new(),
        /// A file of certificates (PEM) that are trusted beside those of the system.
        ca_file: String = String::new(),
    }
}

section! {
    /// What requests may carry and nobody may see.
    Secrets {
        /// Names that `${ secrets.NAME }` may ask for. A value is the environment variable of that name, or the content of the
        /// file that `NAME_FILE` names, or of the file of that name in `secrets.directory`.
        names: Vec<String> = Vec::new(),
        /// A folder with one file per secret, as `/run/secrets`.
        directory: String = String::new(),
    }
}

section! {
    /// Leaving alone who fails.
    Breaker {
        /// So many failures open the breaker of a target.
        failures: u32 = 5,
        /// Among so many last attempts.
        of: u32 = 10,
        /// For this long nothing is sent there; then one attempt is.
        #[serde(with = "serde_text")] open_for: Duration = Duration::from_secs(30),
    }
}

impl Secrets {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let is_name = |name: &&String| {
            let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match self.names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(Error(format!("`secrets.names`: `{name}` is no name; letters, digits and `_` are"))),
            None => Ok(()),
        }
    }
}

impl Breaker {
    /// The same as a value.
    pub fn policy(&self) -> Policy {
        Policy { failures: self.failures, of: self.of, open_for: self.open_for }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.failures == 0 || self.failures > self.of || self.of > OF_MAX {
            return Err(Error(format!("`breaker.failures` must be from 1 to `breaker.of`, and that at most {OF_MAX}")));
        }
        if self.open_for.is_zero() {
            return Err(Error("`breaker.open_for` must be longer than nothing".into()));
        }
        Ok(())
    }
}

impl Outgoing {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error(what.to_owned()));
        if self.connect_timeout.is_zero() || self.timeout_max.is_zero() {
            return wrong("`outgoing.connect_timeout` and `outgoing.timeout_max` must be longer than nothing");
        }
        if self.retry_after_max > RETRY_AFTER_MAX {
            return wrong(
                "`outgoing.retry_after_max` must be at most 1h: no call is put off for longer by who answers it",
            );
        }
        if self.redirects_max > 20 {
            return wrong("`outgoing.redirects_max` must be at most 20");
        }
        let bad_host = self
            .allow_hosts
            .iter()
            .find(|host| host.is_empty() || host.contains(['/', '@']) || host.trim_start_matches("*.").contains('*'));
        if let Some(host) = bad_host {
            return Err(Error(format!(
                "`outgoing.allow_hosts`: `{host}` is no host; write api.example.com, *.example.com or api.example.com:8443"
            )));
        }
        Ok(())
    }
}
