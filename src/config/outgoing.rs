//! Settings of requests to other servers: addresses, bounds, secrets, breakers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, Network};
use crate::limits::breaker::{OF_MAX, Policy};
use crate::time::duration::serde_text;

/// The engine waits no longer, whatever a server asks for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

section! {
    /// Requests to other servers.
    Outgoing {
        /// Hosts that may be asked: `api.example.com`, `*.example.com`, each also with `:port`. Empty: every public host.
        allow_hosts: Vec<String> = Vec::new(),
        /// Non-public addresses that may be asked: `127.0.0.1`, `10.0.0.0/8`.
        allow_addresses: Vec<Network> = Vec::new(),
        /// The most redirects that are followed. Each is checked like the first request, and carries no secrets to another server.
        redirects_max: u32 = 0,
        /// The time limit for name resolution, TCP and TLS together. If it is exceeded, nothing was sent.
        #[serde(with = "serde_text")] connect_timeout: Duration = Duration::from_secs(5),
        /// The longest request, whatever its activity says.
        #[serde(with = "serde_text")] timeout_max: Duration = Duration::from_secs(3_600),
        /// The longest request body in bytes.
        request_max: usize = 1024 * 1024,
        /// The longest decompressed response body in bytes. A response with a longer one is kept without its body.
        response_max: usize = 1024 * 1024,
        /// The longest `Retry-After` that is honoured.
        #[serde(with = "serde_text")] retry_after_max: Duration = Duration::from_secs(15 * 60),
        /// An unused connection is closed after this. Shorter than the limit of most servers (5 s), because a request on a
        /// connection that the server is closing has an unknown outcome.
        #[serde(with = "serde_text")] idle_for: Duration = Duration::from_secs(4),
        /// The most unused connections per server.
        idle_max: usize = 32,
        /// The proxy for all requests: `http://host:port`, also with `user:password@`. `HTTP_PROXY` and its relatives are ignored.
        proxy: String = String::new(),
        /// A PEM file with certificates that are trusted in addition to those of the system.
        ca_file: String = String::new(),
    }
}

section! {
    /// Values that requests carry and nothing may show.
    Secrets {
        /// Names that `${ secrets.NAME }` may use. The value is the environment variable `NAME`, or the content of the file that
        /// `NAME_FILE` names, or of the file `NAME` in `secrets.directory`.
        names: Vec<String> = Vec::new(),
        /// A folder with one file per secret, such as `/run/secrets`.
        directory: String = String::new(),
    }
}

section! {
    /// Circuit breakers of targets.
    Breaker {
        /// The number of failures that opens the breaker of a target.
        failures: u32 = 5,
        /// The number of last attempts among which failures are counted.
        of: u32 = 10,
        /// How long an open breaker lets no attempt through; then it lets one probe through.
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
            Some(name) => {
                Err(Error(format!("`secrets.names`: `{name}` is not a valid secret name: use letters, digits and `_`")))
            }
            None => Ok(()),
        }
    }
}

impl Breaker {
    /// The settings as a [`Policy`].
    pub fn policy(&self) -> Policy {
        Policy { failures: self.failures, of: self.of, open_for: self.open_for }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.failures == 0 || self.failures > self.of || self.of > OF_MAX {
            return Err(Error(format!(
                "`breaker.failures` must be from 1 to `breaker.of`, and `breaker.of` at most {OF_MAX}"
            )));
        }
        if self.open_for.is_zero() {
            return Err(Error("`breaker.open_for` must be longer than 0s".into()));
        }
        Ok(())
    }
}

impl Outgoing {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let invalid = |why: &str| Err(Error(why.to_owned()));
        if self.connect_timeout.is_zero() || self.timeout_max.is_zero() {
            return invalid("`outgoing.connect_timeout` and `outgoing.timeout_max` must be longer than 0s");
        }
        if self.retry_after_max > RETRY_AFTER_MAX {
            return invalid("`outgoing.retry_after_max` must be at most 1h: no server may delay a call for longer");
        }
        if self.redirects_max > 20 {
            return invalid("`outgoing.redirects_max` must be at most 20");
        }
        let bad_host = self
            .allow_hosts
            .iter()
            .find(|host| host.is_empty() || host.contains(['/', '@']) || host.trim_start_matches("*.").contains('*'));
        if let Some(host) = bad_host {
            return Err(Error(format!(
                "`outgoing.allow_hosts`: `{host}` is not a valid host: write api.example.com, *.example.com or api.example.com:8443"
            )));
        }
        Ok(())
    }
}
