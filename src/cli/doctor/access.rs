//! Who can use the API, as the settings here say.

use std::net::SocketAddr;

use super::Finding;
use crate::app::App;
use crate::config::Openness;
use crate::store::{self, api_keys};

pub(super) async fn check(app: &App) -> Result<Finding, store::Error> {
    let says = |good, says: String| Finding { what: "access", good, says };
    let config = &app.config;
    match config.openness() {
        Openness::ThisMachine => {
            return Ok(says(true, "the API asks for no key: every program on this machine can use it".into()));
        }
        Openness::Network => {
            let warning = "warning: the API asks for no key and listens on the network, as `access.open_on_network` says: every \
                           program that reaches it can do everything";
            return Ok(says(true, warning.into()));
        }
        Openness::Authenticated => {}
    }
    let keys = api_keys::count_usable(&mut *app.store.background().await?).await?;
    if keys == 0 && !config.oidc.is_set() {
        let next = "the API asks for a key, and there is none: `leveret key create NAME --role admin` makes the first";
        return Ok(says(false, next.into()));
    }
    let counted = if keys == 1 { "1 key can".to_owned() } else { format!("{keys} keys can") };
    let issuer = if config.oidc.is_set() { format!(", and tokens of {}", config.oidc.issuer) } else { String::new() };
    let listens = config.http.listen.parse::<SocketAddr>();
    let is_exposed = config.http.cert_file.is_empty() && listens.is_ok_and(|address| !address.ip().is_loopback());
    let warning = match is_exposed {
        true => {
            "; warning: it listens on the network without TLS, so keys can be read on their way: set `http.cert_file` and \
                 `http.key_file`, or listen on loopback behind a proxy that speaks TLS"
        }
        false => "",
    };
    Ok(says(true, format!("the API asks for a key: {counted} be used{issuer}{warning}")))
}
