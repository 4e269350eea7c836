//! Tokens of an issuer of OpenID Connect: signature, issuer, audience and times; then who it is, in which groups, with which role.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::caller::{Caller, Proven};
use super::jwks::{Jwks, Missing};
use super::refusal::Refusal;
use super::signature;
use crate::command::api_key::{CALLER_MAX, Others};
use crate::config::{Config, Oidc};
use crate::contract::check_name;
use crate::contract::scope::{Scope, Scopes};
use crate::engine::PEOPLE_MAX;
use crate::http::problem::Problem;
use crate::time::clock::Clock;

/// The issuer whose tokens count.
pub(super) struct Issuer {
    settings: Oidc,
    keys: Jwks,
}

impl Issuer {
    pub(super) fn new(config: &Config, clock: Clock) -> Self {
        signature::install();
        Self { settings: config.oidc.clone(), keys: Jwks::new(config, clock) }
    }

    /// Who a token is of.
    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Refusal> {
        let header = decode_header(token).map_err(|error| wrong(error.kind()))?;
        if !signature::ALLOWED.contains(&header.alg) {
            let why = format!(
                "the token is signed with {:?}, which is not accepted: use RS256, PS256, ES256 or EdDSA",
                header.alg
            );
            return Err(Refusal::Token(why));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await.map_err(|missing| match missing {
            Missing::Unknown => {
                Refusal::Token("the token names a key that the issuer does not publish for this algorithm".into())
            }
            Missing::Unread => Refusal::Unanswered(Problem::unavailable(
                "the keys of the issuer (`oidc.jwks`) cannot be read; the log of the server says why",
            )),
        })?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.settings.clock_skew.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let decoded = decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| wrong(error.kind()))?;
        named(&self.settings, &decoded.claims).map_err(Refusal::Token)
    }
}

/// Why a token does not count, without anything of the token.
fn wrong(kind: &ErrorKind) -> Refusal {
    Refusal::Token(match kind {
        ErrorKind::ExpiredSignature => "the token has expired: ask the issuer for a new one".into(),
        ErrorKind::ImmatureSignature => {
            "the token is not valid yet: compare the clocks of the issuer and of this machine".into()
        }
        ErrorKind::InvalidIssuer => "the token is of another issuer than `oidc.issuer`".into(),
        ErrorKind::InvalidAudience => "the token is for another audience than `oidc.audience`".into(),
        ErrorKind::MissingRequiredClaim(claim) => {
            format!("the claim `{claim}` of the token is missing, or has another type than it should")
        }
        ErrorKind::InvalidClaimFormat(claim) => {
            format!("the claim `{claim}` of the token has another type than it should")
        }
        ErrorKind::InvalidSignature => "the signature of the token is wrong".into(),
        _ => "the token is not a JWT that can be read".into(),
    })
}

/// The caller that claims describe.
fn named(settings: &Oidc, claims: &Map<String, Value>) -> Result<Caller, String> {
    let missing = || format!("the token has no text in the claim `{}`, which names the user", settings.user_claim);
    let name = claim(claims, &settings.user_claim).and_then(Value::as_str).ok_or_else(missing)?;
    check_name(name).map_err(|error| format!("the claim `{}` {error}", settings.user_claim))?;
    if name.len() > CALLER_MAX {
        return Err(format!("the claim `{}` has more than {CALLER_MAX} bytes", settings.user_claim));
    }
    // Groups that no task can name are of no use here.
    let groups = texts(claim(claims, &settings.groups_claim)).filter(|group| check_name(group).is_ok());
    let groups: Vec<String> = groups.take(PEOPLE_MAX).map(str::to_owned).collect();
    let roles = texts(claim(claims, &settings.roles_claim)).filter_map(|role| settings.roles.get(role));
    let scopes = roles.fold(Scopes::NONE, |scopes, role| scopes.and(role.scopes()));
    let others = if scopes.allow(Scope::Admin) { Others::Allowed } else { Others::Never };
    Ok(Caller { name: name.to_owned(), acts_as: None, scopes, groups, others, proven: Proven::Token })
}

/// A claim by its name, or by a path into objects.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, part| value.get(part))
}

/// The texts of a list; a single text is a list of one, and one with blanks, as of `scope`, stays one.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(list)
}

#[cfg(test)]
#[path = "oidc/tests.rs"]
mod tests;
