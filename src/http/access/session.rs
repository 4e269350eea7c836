//! Sessions of browsers: `POST /login` with a key, `POST /logout`. The key stays out of the browser; the cookie is out of reach of scripts.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::refusal::{LOGIN, Refusal};
use super::{Gate, Proof, forms};
use crate::command::api_key;
use crate::command::audit::{Actor, Door};
use crate::config::Authentication;
use crate::http::ApiState;
use crate::http::listener::Peer;
use crate::http::problem::{Kind, Problem};
use crate::http::request;
use crate::link::token;

pub(super) use crate::command::api_key::SESSION_PREFIX as PREFIX;

/// The name of the cookie.
const COOKIE: &str = "leveret-session";
/// What the token of a form is derived for.
const CSRF: &str = "csrf";
/// Bytes of the body of a login.
const LOGIN_MAX: usize = 16 * 1024;
/// Where a login leads without `next`.
const HOME: &str = "/";

/// The routes with which sessions begin and end.
pub(in crate::http) fn routes(gate: Gate) -> Router<ApiState> {
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(DefaultBodyLimit::max(LOGIN_MAX))
        .with_state(gate)
}

/// The session in the cookies of a request.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut named = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = named.find(|(name, value)| *name == COOKIE && token::has_form(value, PREFIX))?;
    Some(value.to_owned())
}

/// The token that forms of a session carry. A page of another site knows neither it nor the cookie it is derived from.
pub(super) fn csrf(cookie: &str) -> String {
    token::derived(cookie, CSRF)
}

/// What a login says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    key: String,
    #[serde(default)]
    next: Option<String>,
}

impl Login {
    fn read(bytes: &Bytes, is_form: bool) -> Result<Self, Problem> {
        if !is_form {
            return request::body(bytes);
        }
        let fields: Vec<_> = form_urlencoded::parse(bytes).into_owned().collect();
        let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let key = field("key").ok_or_else(|| Problem::invalid("the form has no field `key`"))?;
        Ok(Self { key: key.trim().to_owned(), next: field("next") })
    }
}

/// A place on this server, as a path: another server would be one that somebody else has chosen.
fn place(next: Option<&str>) -> &str {
    match next {
        Some(path) if path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']) => path,
        Some(_) | None => HOME,
    }
}

/// Answers a form with the page that was wanted, and a program with 204; both with the cookie.
async fn login(State(gate): State<Gate>, peer: Option<Extension<Peer>>, request: Request) -> Response {
    let is_form = forms::is_form(request.headers());
    let is_secure = is_secure(&gate, request.headers());
    let from = peer.map_or(IpAddr::from([127, 0, 0, 1]), |Extension(Peer(address))| address);
    let read = match request::arrived(request, &()).await {
        Ok(bytes) => Login::read(&bytes, is_form),
        Err(problem) => Err(problem),
    };
    let asked = match read {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let next = place(asked.next.as_deref());
    match open(&gate, &asked.key, from).await {
        Ok(cookie) => {
            let age = gate.0.app.config.access.session_for.as_secs();
            answer(is_form, next, &set(&cookie, age, is_secure))
        }
        Err(problem) if is_form => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("next", next).append_pair("refused", problem.detail());
            Redirect::to(&format!("{LOGIN}?{}", query.finish())).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Opens a session; returns its cookie.
async fn open(gate: &Gate, key: &str, from: IpAddr) -> Result<String, Problem> {
    let app = &gate.0.app;
    if app.config.access.authentication == Authentication::Off {
        return Err(Problem::invalid("no key is asked for here: `access.authentication` is off"));
    }
    let now = Instant::now();
    if let Some(wait) = gate.0.logins.wait(from, now) {
        return Err(Problem::too_many(wait));
    }
    let known = match token::has_form(key, api_key::PREFIX) {
        true => gate.known(Proof::Key, key).await,
        false => Err(Refusal::UnknownKey),
    };
    let known = match known {
        Ok(known) => known,
        Err(Refusal::Unanswered(problem)) => return Err(problem),
        Err(refusal) => {
            gate.0.logins.failed(from, now);
            tracing::info!(%from, reason = refusal.word(), "a login failed");
            let detail = "the key does not exist, has expired or was revoked";
            return Err(Problem::new(Kind::Unauthenticated, detail));
        }
    };
    let actor = Actor { who: known.name.clone(), door: Door::Http, via: None };
    Ok(api_key::open_session(app, &known, &actor).await?)
}

/// Ends the session of the request, and removes its cookie.
async fn logout(State(gate): State<Gate>, mut request: Request) -> Response {
    let is_form = forms::is_form(request.headers());
    let is_secure = is_secure(&gate, request.headers());
    let gone = set("", 0, is_secure);
    let Some(cookie) = cookie(request.headers()) else { return answer(is_form, LOGIN, &gone) };
    if !forms::carries(&mut request, &csrf(&cookie)).await {
        return Refusal::Forged.response(request.method(), request.uri(), request.headers());
    }
    match api_key::close_session(&gate.0.app, &cookie).await {
        Ok(()) => answer(is_form, LOGIN, &gone),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn answer(is_form: bool, next: &str, cookie: &str) -> Response {
    let mut response = match is_form {
        true => Redirect::to(next).into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    };
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn set(value: &str, age: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether the browser speaks TLS: with this process, or with a proxy in front of it, as the origin of its page says.
fn is_secure(gate: &Gate, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    !gate.0.app.config.http.cert_file.is_empty() || origin.is_some_and(|origin| origin.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_place_on_this_server() {
        for (next, place) in [
            (Some("/tasks?group=a"), "/tasks?group=a"),
            (None, "/"),
            (Some("//evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("/a\r\nSet-Cookie: x=y"), "/"),
            (Some(""), "/"),
        ] {
            assert_eq!(super::place(next), place, "{next:?}");
        }
    }

    #[test]
    fn the_cookie_is_for_this_site_and_not_for_scripts() {
        assert_eq!(
            set("ls_x", 60, true),
            "leveret-session=ls_x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(!set("", 0, false).contains("Secure"));
    }

    #[test]
    fn a_login_is_read_from_a_form_and_from_json() {
        let form = Login::read(&Bytes::from("key=lv_a%20&next=%2Ftasks"), true).ok().unwrap();
        assert_eq!((form.key.as_str(), form.next.as_deref()), ("lv_a", Some("/tasks")));
        let json = Login::read(&Bytes::from(r#"{"key":"lv_a"}"#), false).ok().unwrap();
        assert_eq!((json.key.as_str(), json.next), ("lv_a", None));
        assert!(Login::read(&Bytes::from("next=/"), true).is_err() && Login::read(&Bytes::from("{}"), false).is_err());
    }
}
