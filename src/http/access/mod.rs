//! Who may do what: each request proves who sends it, with a key, a token of the issuer, or a session, before anything else is done.

mod caller;
mod credentials;
mod forms;
mod jwks;
mod oidc;
mod rates;
mod refusal;
mod scopes;
mod session;
mod signature;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

use self::credentials::Credential;
use self::oidc::Issuer;
use self::rates::{Logins, Rates};
use self::refusal::Refusal;
use super::pages;
use super::problem::Problem;
use crate::app::{App, Proof};
use crate::command::api_key::{self, Others};
use crate::config::Authentication;
use crate::contract::check_name;
use crate::contract::scope::Scope;
use crate::link::token;
use crate::store::api_keys::KnownKey;
use crate::telemetry;

pub(crate) use caller::{Caller, Proven, current};
pub use scopes::{Need, RULES, Rule};
pub(super) use session::routes;

/// The header in which a proxy that knows its users names the person who acts.
const ACTOR: &str = "leveret-actor";

/// What decides about requests; cheap to clone.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    app: App,
    issuer: Option<Issuer>,
    rates: Rates,
    logins: Logins,
}

impl Gate {
    pub(super) fn new(app: &App) -> Self {
        let issuer = app.config.oidc.is_set().then(|| Issuer::new(&app.config, app.clock.clone()));
        let rates = Rates::new(app.config.limits.requests_per_caller);
        Self(Arc::new(Inner { app: app.clone(), issuer, rates, logins: Logins::default() }))
    }

    /// Who sends a request, if it proves it.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = match credentials::read(headers)? {
            Credential::Key(key) => {
                let known = self.known(Proof::Key, &key).await?;
                self.of_key(&known, Proven::Key)
            }
            Credential::Session(cookie) => {
                let known = self.known(Proof::Session, &cookie).await?;
                self.of_key(&known, Proven::Session { csrf: session::csrf(&cookie) })
            }
            Credential::Token(text) => match &self.0.issuer {
                Some(issuer) => issuer.caller(&text).await?,
                None => {
                    return Err(Refusal::Token(
                        "no issuer of tokens is configured here: set `oidc.issuer`, or use a key".into(),
                    ));
                }
            },
        };
        self.on_behalf(caller, headers)
    }

    /// The key behind a proof, if it still counts.
    async fn known(&self, proof: Proof, text: &str) -> Result<Arc<KnownKey>, Refusal> {
        let app = &self.0.app;
        let known =
            app.known_key(proof, &token::hash(text)).await.map_err(|error| Refusal::Unanswered(error.into()))?;
        let known = known.ok_or(match proof {
            Proof::Key => Refusal::UnknownKey,
            Proof::Session => Refusal::Session,
        })?;
        if known.is_revoked {
            return Err(Refusal::RevokedKey);
        }
        if known.expires_at.is_some_and(|at| at <= app.clock.now()) {
            return Err(if proof == Proof::Session { Refusal::Session } else { Refusal::ExpiredKey });
        }
        Ok(known)
    }

    fn of_key(&self, known: &KnownKey, proven: Proven) -> Caller {
        let may_name_others = known.acts_for_others || known.scopes.allow(Scope::Admin);
        Caller {
            name: known.name.clone(),
            acts_as: None,
            scopes: known.scopes,
            groups: known.groups.clone(),
            others: if may_name_others { Others::Allowed } else { Others::Never },
            proven,
        }
    }

    /// The same caller with the person for whom it acts, if the request names one and it may.
    fn on_behalf(&self, caller: Caller, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(named) = headers.get(ACTOR) else { return Ok(caller) };
        let invalid = |why: &str| Refusal::Answer(Box::new(Problem::invalid(format!("`Leveret-Actor` {why}"))));
        let named = std::str::from_utf8(named.as_bytes()).map_err(|_| invalid("is not UTF-8"))?;
        check_name(named).map_err(|error| invalid(&error.to_string()))?;
        if named.len() > api_key::CALLER_MAX {
            return Err(invalid(&format!("has more than {} bytes", api_key::CALLER_MAX)));
        }
        let acting = caller.acting_as("Leveret-Actor", Some(named.to_owned()));
        let acting = acting.map_err(|problem| Refusal::Answer(Box::new(problem)))?;
        Ok(Caller { acts_as: acting.filter(|acting| *acting != caller.name), ..caller })
    }

    /// The caller of a request that may be handled.
    async fn admit(&self, request: &mut Request) -> Result<Caller, Refusal> {
        if self.0.app.config.access.authentication == Authentication::Off {
            return Ok(Caller::nobody(Proven::NotAsked));
        }
        // Without a route there is nothing to be had: the answer is that there is none.
        let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(Caller::nobody(Proven::Public)) };
        let need = scopes::need(request.method(), route.as_str());
        if need == Need::Nothing {
            return Ok(Caller::nobody(Proven::Public));
        }
        let caller = self.authenticate(request.headers()).await?;
        if let Some(wait) = self.0.rates.wait(&caller.name, self.0.app.clock.now()) {
            return Err(Refusal::TooMany(wait));
        }
        if let Some(scope) = need.missing(caller.scopes) {
            return Err(Refusal::Scope(scope));
        }
        if let Proven::Session { csrf } = &caller.proven
            && !matches!(*request.method(), Method::GET | Method::HEAD)
            && !forms::carries(request, csrf).await
        {
            return Err(Refusal::Forged);
        }
        Ok(caller)
    }
}

/// Admits a request, or answers why not. What handles it finds its [`Caller`] among the extensions, and with [`current`].
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    match gate.admit(&mut request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            caller::within(caller, next.run(request)).await
        }
        Err(refusal) => {
            let reason = refusal.word();
            metrics::counter!(telemetry::ACCESS_REFUSED, "reason" => reason).increment(1);
            tracing::debug!(reason, "a request was refused");
            let is_page = !request.uri().path().starts_with("/api/") && refusal::wants_page(request.headers());
            let refused = refusal.response(request.method(), request.uri(), request.headers());
            if is_page { pages::as_page(request.headers(), refused).await } else { refused }
        }
    }
}
