//! Why a request is not admitted, as an answer: 401 with `WWW-Authenticate`, 403 with the scope that is missing, 429 with `Retry-After`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use url::form_urlencoded;

use crate::contract::scope::Scope;
use crate::http::problem::{Kind, Problem};

/// Where a person logs in.
pub(super) const LOGIN: &str = "/login";

/// Why a request is not admitted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It proves nothing.
    Nothing,
    /// Its proof has no form that is known.
    Malformed(&'static str),
    /// There is no such key.
    UnknownKey,
    /// The key has expired.
    ExpiredKey,
    /// The key was revoked.
    RevokedKey,
    /// The session has ended, or there was none.
    Session,
    /// The token does not count, for this reason.
    Token(String),
    /// The caller lacks this scope.
    Scope(Scope),
    /// A form of a session without its token.
    Forged,
    /// The caller sends too many requests; the next one counts after this time.
    TooMany(Duration),
    /// It cannot be said who it is, because something does not answer.
    Unanswered(Problem),
    /// Something else is wrong with it.
    Answer(Box<Problem>),
}

impl Refusal {
    /// The reason in a word, for the log and the metric: nothing of what was sent.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Refusal::Nothing => "no_proof",
            Refusal::Malformed(_) => "malformed",
            Refusal::UnknownKey => "unknown_key",
            Refusal::ExpiredKey => "expired_key",
            Refusal::RevokedKey => "revoked_key",
            Refusal::Session => "no_session",
            Refusal::Token(_) => "token",
            Refusal::Scope(_) => "missing_scope",
            Refusal::Forged => "no_csrf_token",
            Refusal::TooMany(_) => "too_many_requests",
            Refusal::Unanswered(_) => "unanswered",
            Refusal::Answer(_) => "invalid",
        }
    }

    /// The answer. A person in a browser who has no session, or no longer, is led to where one begins.
    pub(super) fn response(self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let is_unproven = matches!(self, Refusal::Nothing | Refusal::Session);
        let is_page = *method == Method::GET && uri.path() != LOGIN && !uri.path().starts_with("/api/");
        if is_unproven && is_page && wants_page(headers) {
            let next = uri.path_and_query().map_or("/", |place| place.as_str());
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
            return Redirect::to(&format!("{LOGIN}?{query}")).into_response();
        }
        let why = match self {
            Refusal::Nothing => "send a key: `Authorization: Bearer lv_…`; `leveret key create` makes one".to_owned(),
            Refusal::Malformed(why) => why.to_owned(),
            Refusal::UnknownKey => "there is no such key; `leveret key list` shows those that exist".to_owned(),
            Refusal::ExpiredKey => "the key has expired; make a new one with `leveret key create`".to_owned(),
            Refusal::RevokedKey => "the key was revoked; make a new one with `leveret key create`".to_owned(),
            Refusal::Session => "the session has ended; log in again".to_owned(),
            Refusal::Token(why) => why,
            Refusal::Scope(scope) => return missing(scope),
            Refusal::Forged => return forged().into_response(),
            Refusal::TooMany(wait) => return Problem::too_many(wait).into_response(),
            Refusal::Unanswered(problem) => return problem.into_response(),
            Refusal::Answer(problem) => return problem.into_response(),
        };
        unauthenticated(is_unproven, why)
    }
}

/// Whether the answer is for the eyes of a person.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// 401. A challenge without an error says that nothing was sent (RFC 6750).
fn unauthenticated(is_unproven: bool, why: String) -> Response {
    let challenge = match is_unproven {
        true => r#"Bearer realm="leveret""#,
        false => r#"Bearer realm="leveret", error="invalid_token""#,
    };
    let mut response = Problem::new(Kind::Unauthenticated, why).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn missing(scope: Scope) -> Response {
    let name = scope.name();
    let detail = format!("this needs the scope `{name}`, which the key or the role of the token does not have");
    let mut response = Problem::new(Kind::Scope, detail).into_response();
    let challenge = format!(r#"Bearer realm="leveret", error="insufficient_scope", scope="{name}""#);
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn forged() -> Problem {
    let detail = "a request of a session that changes something carries its token: the field `csrf` of the form, or the \
                  header `X-CSRF-Token`; load the page again";
    Problem::new(Kind::Csrf, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(refusal: Refusal, path: &str, accept: &str) -> (u16, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let response = refusal.response(&Method::GET, &path.parse().unwrap(), &headers);
        let named = |name| response.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), named(header::LOCATION).or(named(header::WWW_AUTHENTICATE)).unwrap_or_default())
    }

    #[test]
    fn a_program_is_told_and_a_person_is_led_to_the_login() {
        let program = answer(Refusal::Nothing, "/api/v1/instances", "application/json");
        assert_eq!(program, (401, r#"Bearer realm="leveret""#.into()));
        assert_eq!(
            answer(Refusal::UnknownKey, "/metrics", "*/*"),
            (401, r#"Bearer realm="leveret", error="invalid_token""#.into())
        );
        let person = answer(Refusal::Session, "/tasks?group=a%20b", "text/html,*/*");
        assert_eq!(person, (303, "/login?next=%2Ftasks%3Fgroup%3Da%2520b".into()));
        assert_eq!(answer(Refusal::Nothing, "/api/v1/instances", "text/html").0, 401, "the API is not a page");
        assert_eq!(answer(Refusal::UnknownKey, "/tasks", "text/html").0, 401);
        assert_eq!(answer(Refusal::Nothing, "/login?next=%2F", "text/html").0, 401, "it does not lead to itself");
    }

    #[test]
    fn a_missing_scope_is_named() {
        let (status, challenge) = answer(Refusal::Scope(Scope::Operate), "/x", "*/*");
        assert_eq!(
            (status, challenge.as_str()),
            (403, r#"Bearer realm="leveret", error="insufficient_scope", scope="operate""#)
        );
    }
}
