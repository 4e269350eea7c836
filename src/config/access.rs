//! Settings of access to the API: who is asked for a key, and whose tokens count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Config, Error};
use crate::contract::scope::Role;
use crate::time::duration::serde_text;

/// The largest difference of clocks that may be allowed: it lengthens the life of every token.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

section! {
    /// Access to the HTTP API.
    Access {
        /// `off`: every program that reaches the API may do everything, so that it listens on loopback only. `required`: each request needs a key, a
        /// token of the issuer, or a session.
        authentication: Authentication = Authentication::Off,
        /// Whether the API may listen on the network although no key is asked for: something else keeps others away.
        open_on_network: bool = false,
        /// The life of a browser's session; its key may end it earlier.
        #[serde(with = "serde_text")] session_for: Duration = Duration::from_secs(12 * 3_600),
    }
}

section! {
    /// Tokens of an issuer of OpenID Connect.
    Oidc {
        /// The issuer, exactly as in the claim `iss`; empty: tokens are refused.
        issuer: String = String::new(),
        /// The audience that tokens must name in `aud`.
        audience: String = String::new(),
        /// The issuer's keys, a JWKS: a file, or an `https://` URL.
        jwks: String = String::new(),
        /// The claim with the name of the user.
        user_claim: String = "sub".into(),
        /// The claim with the groups of the user, for candidates of tasks.
        groups_claim: String = "groups".into(),
        /// The claim whose values `oidc.roles` names; a path such as `realm_access.roles` leads into objects.
        roles_claim: String = "groups".into(),
        /// The role of each value of that claim: `viewer`, `clerk`, `operator` or `admin`.
        roles: BTreeMap<String, Role> = BTreeMap::new(),
        /// How far the clocks of issuer and machine may differ.
        #[serde(with = "serde_text")] clock_skew: Duration = Duration::from_secs(30),
    }
}

/// Whether a request has to prove who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// It does not.
    Off,
    /// It does.
    Required,
}

/// Who can use the API, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Openness {
    /// Those with a key or a token.
    Authenticated,
    /// Every program on this machine.
    ThisMachine,
    /// Every program that reaches it.
    Network,
}

impl Config {
    /// Who can use the API.
    pub fn openness(&self) -> Openness {
        let listens = self.http.listen.parse::<SocketAddr>();
        match self.access.authentication {
            Authentication::Required => Openness::Authenticated,
            Authentication::Off if listens.is_ok_and(|address| address.ip().is_loopback()) => Openness::ThisMachine,
            Authentication::Off => Openness::Network,
        }
    }

    /// Refuses to serve everybody on the network, unless that is wanted.
    ///
    /// # Errors
    /// A sentence that names the settings.
    pub fn refuse_open_network(&self) -> Result<(), Error> {
        if self.openness() == Openness::Network && !self.access.open_on_network {
            return Err(Error(
                "`http.listen` is not a loopback address, and no key is asked for: set `access.authentication` to required, \
                 or listen on 127.0.0.1; if something else keeps others away, set `access.open_on_network` to true"
                    .into(),
            ));
        }
        Ok(())
    }

    pub(super) fn check_access(&self) -> Result<(), Error> {
        let invalid = |why: &str| Err(Error(why.to_owned()));
        if self.http.listen.parse::<SocketAddr>().is_err() {
            return invalid("`http.listen` must be an address with a port, such as 127.0.0.1:8420");
        }
        self.refuse_open_network()?;
        if self.access.session_for < Duration::from_secs(60) {
            return invalid("`access.session_for` must be at least 1m");
        }
        if self.http.cert_file.is_empty() != self.http.key_file.is_empty() {
            return invalid("`http.cert_file` and `http.key_file` belong together: set both, or neither");
        }
        self.oidc.validate()
    }
}

impl Oidc {
    /// Whether tokens of an issuer count.
    pub fn is_set(&self) -> bool {
        !self.issuer.is_empty()
    }

    fn validate(&self) -> Result<(), Error> {
        if self.clock_skew > CLOCK_SKEW_MAX {
            return Err(Error("`oidc.clock_skew` must be at most 5m".into()));
        }
        if !self.is_set() {
            return Ok(());
        }
        let needed = [
            ("audience", &self.audience),
            ("jwks", &self.jwks),
            ("user_claim", &self.user_claim),
            ("groups_claim", &self.groups_claim),
            ("roles_claim", &self.roles_claim),
        ];
        if let Some((name, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(Error(format!("`oidc.{name}` is missing, which `oidc.issuer` needs")));
        }
        let is_near = ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            let rest = self.jwks.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
            rest.is_some_and(|rest| rest.starts_with([':', '/']))
        });
        if self.jwks.starts_with("http://") && !is_near {
            return Err(Error(
                "`oidc.jwks` must be a file or an `https://` URL: with other keys, anybody is anybody".into(),
            ));
        }
        if self.roles.is_empty() {
            return Err(Error(
                "`oidc.roles` is empty, so no token would allow anything: write [oidc.roles], and under it such as \
                 leveret-operators = \"operator\""
                    .into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut Config)) -> Result<(), String> {
        let mut config = Config::default();
        change(&mut config);
        config.check_access().map_err(|error| error.to_string())
    }

    #[test]
    fn without_authentication_only_loopback_is_listened_on_unless_it_is_said() {
        for listen in ["127.0.0.1:80", "127.9.9.9:1", "[::1]:8420", "127.0.0.1:0"] {
            assert_eq!(checked(|config| config.http.listen = listen.into()), Ok(()), "{listen}");
        }
        for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "192.168.0.7:8420"] {
            let refused = checked(|config| config.http.listen = listen.into()).unwrap_err();
            for named in ["`http.listen`", "`access.authentication`", "`access.open_on_network`"] {
                assert!(refused.contains(named), "{refused}");
            }
            for change in [
                (|config: &mut Config| config.access.authentication = Authentication::Required) as fn(&mut Config),
                |config| config.access.open_on_network = true,
            ] {
                let allowed = checked(|config| {
                    config.http.listen = listen.into();
                    change(config);
                });
                assert_eq!(allowed, Ok(()), "{listen}");
            }
        }
        assert!(
            checked(|config| config.http.listen = "localhost:80".into())
                .unwrap_err()
                .contains("an address with a port")
        );
    }

    #[test]
    fn who_can_use_the_api_is_known() {
        let mut config = Config::default();
        assert_eq!(config.openness(), Openness::ThisMachine);
        config.http.listen = "0.0.0.0:80".into();
        assert_eq!(config.openness(), Openness::Network);
        config.access.authentication = Authentication::Required;
        assert_eq!(config.openness(), Openness::Authenticated);
    }

    #[test]
    fn a_half_configured_issuer_is_refused() {
        let whole = |config: &mut Config| {
            config.oidc.issuer = "https://id.example.org".into();
            config.oidc.audience = "leveret".into();
            config.oidc.jwks = "/etc/leveret/jwks.json".into();
            config.oidc.roles = BTreeMap::from([("staff".into(), Role::Clerk)]);
        };
        assert_eq!(checked(whole), Ok(()));
        let without = |change: fn(&mut Oidc)| {
            checked(|config| {
                whole(config);
                change(&mut config.oidc);
            })
            .unwrap_err()
        };
        assert!(without(|oidc| oidc.audience.clear()).contains("`oidc.audience`"));
        assert!(without(|oidc| oidc.jwks.clear()).contains("`oidc.jwks`"));
        assert!(without(|oidc| oidc.jwks = "http://id.example.org/keys".into()).contains("`https://`"));
        assert!(without(|oidc| oidc.jwks = "http://localhost.example.org/keys".into()).contains("`https://`"));
        assert!(
            checked(|config| {
                whole(config);
                config.oidc.jwks = "http://127.0.0.1:8080/keys".into();
            })
            .is_ok()
        );
        assert!(without(|oidc| oidc.roles.clear()).contains("`oidc.roles`"));
        assert!(without(|oidc| oidc.clock_skew = Duration::from_secs(301)).contains("`oidc.clock_skew`"));
        assert!(checked(|config| config.http.cert_file = "a.pem".into()).unwrap_err().contains("`http.key_file`"));
    }
}
