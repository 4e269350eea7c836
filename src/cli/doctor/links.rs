//! How the connections to both servers are protected.

use super::{Finding, queues};
use crate::app::App;
use crate::broker;
use crate::link::Protection;
use crate::link::trust::Check;

/// What a server's settings are called.
struct Names {
    what: &'static str,
    /// How to encrypt and verify.
    remedy: &'static str,
    /// How to verify what is encrypted.
    verify: &'static str,
}

const DATABASE: Names = Names {
    what: "database link",
    remedy: "set `database.sslmode` to verify-full and `database.ca_file` to the file of its CA",
    verify: "set `database.sslmode` to verify-full and `database.ca_file` to the file of its CA",
};
const BROKER: Names = Names {
    what: "broker link",
    remedy: "use amqps:// in AMQP_URL, and set `broker.ca_file` to the file of its CA",
    verify: "set `broker.ca_file` to the file of its CA",
};

/// The link to the database; nothing if there is no connection, which is another finding.
pub(super) fn database(app: &App) -> Option<Finding> {
    Some(judge(&DATABASE, &app.store.protection()?))
}

/// The broker, its queues and the link to it.
pub(super) async fn broker(app: &App) -> Vec<Finding> {
    // To wait for a broker whose URL is invalid would tell nothing.
    if let Err(error) = broker::check(&app.config.broker.address()) {
        return vec![Finding { what: BROKER.what, good: false, says: error.to_string() }];
    }
    let mut findings = queues::check(app).await;
    findings.extend(link(app));
    findings
}

/// The link to the broker; what is wrong with its nodes, if there is no connection.
fn link(app: &App) -> Vec<Finding> {
    let what = BROKER.what;
    let problems = app.broker.problems();
    match (app.broker.protection(), problems.is_empty()) {
        (Some(protection), true) => vec![judge(&BROKER, &protection)],
        (Some(protection), false) => {
            let link = judge(&BROKER, &protection);
            let says = format!("{}; not used: {}", link.says, problems.join("; "));
            vec![Finding { says, ..link }]
        }
        (None, true) => Vec::new(),
        (None, false) => vec![Finding { what, good: false, says: problems.join("; ") }],
    }
}

/// A network may be trusted, so that a missing protection is a warning.
fn judge(names: &Names, protection: &Protection) -> Finding {
    let Protection { place, is_local, check } = protection;
    let says = match (check, is_local) {
        (None, true) => format!("{place}, not encrypted; it does not leave this machine"),
        (None, false) => format!(
            "warning: {place}, not encrypted: the network can read and change what is sent, passwords included; {}",
            names.remedy
        ),
        (Some(Check::AuthorityAndName), _) => format!("{place}, encrypted, certificate and host name verified"),
        (Some(Check::Authority), true) => format!("{place}, encrypted, certificate verified, host name not"),
        (Some(Check::Nothing), true) => format!("{place}, encrypted, certificate not verified"),
        (Some(Check::Authority), false) => format!(
            "{place}, encrypted; warning: the certificate is verified, but not that it is for this host: set \
             `database.sslmode` to verify-full"
        ),
        (Some(Check::Nothing), false) => format!(
            "{place}, encrypted; warning: the certificate is not verified, so that another server can pose as this one: {}",
            names.verify
        ),
    };
    Finding { what: names.what, good: true, says }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(place: &str, check: Option<Check>) -> String {
        let is_local = crate::link::address::is_local(place);
        judge(&DATABASE, &Protection { place: place.into(), is_local, check }).says
    }

    #[test]
    fn a_link_over_the_network_without_tls_is_a_warning() {
        assert!(says("db:5432", None).starts_with("warning: db:5432, not encrypted"));
        assert!(says("db:5432", None).contains("`database.sslmode` to verify-full"));
        assert!(!says("127.0.0.1:5432", None).contains("warning"));
    }

    #[test]
    fn what_is_not_verified_is_told() {
        assert_eq!(says("db:1", Some(Check::AuthorityAndName)), "db:1, encrypted, certificate and host name verified");
        assert!(says("db:1", Some(Check::Nothing)).contains("warning: the certificate is not verified"));
        assert!(says("db:1", Some(Check::Authority)).contains("warning: the certificate is verified, but not"));
    }
}
