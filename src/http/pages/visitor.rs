//! Who looks at a page: the caller of its session, or where nobody is asked for a key, the user that they have typed in, kept in a cookie.
//! This file is the one place that knows.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::fault::Fault;
use super::form::Fields;
use super::shell::{self, Page, Place};
use crate::command::Origin;
use crate::command::audit::Actor;
use crate::contract::listed_groups;
use crate::contract::scope::Scope;
use crate::engine::{PEOPLE_MAX, Person};
use crate::http::access::{self, Caller, Proven};
use crate::http::problem::Problem;
use crate::http::{ApiState, request};

const USER: &str = "leveret-user";
const GROUPS: &str = "leveret-groups";
const THEME: &str = "leveret-theme";
/// How long a browser keeps what was typed in, in seconds: a month.
const KEPT_FOR: u64 = 30 * 24 * 3_600;
/// Bytes of a cookie that is set here.
const COOKIE_MAX: usize = 2_048;
/// The header in which the user is handed on to what the API does with a command.
const ACTOR: HeaderName = HeaderName::from_static("leveret-actor");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who looks, and how they want to see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Their name; empty until they say it.
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    /// `light` or `dark`; what the system prefers if neither.
    pub(super) theme: Option<&'static str>,
    /// The page they look at: path and query.
    pub(super) address: String,
    /// Whether they have proven who they are.
    pub(super) is_authenticated: bool,
    /// Whether they see the tasks of people, and nothing else.
    pub(super) is_clerk: bool,
    /// What the forms of their session carry, so that no other page can send them.
    pub(super) csrf: Option<String>,
    headers: HeaderMap,
}

/// The user who acts, if one is known.
fn actor(headers: &HeaderMap) -> Option<String> {
    cookie(headers, USER).filter(|user| !user.is_empty() && request::bounded("user", user).is_ok())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
}

impl Visitor {
    /// Of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let groups = cookie(headers, GROUPS).map(|listed| listed_groups(&listed)).unwrap_or_default();
        let theme = match cookie(headers, THEME).as_deref() {
            Some("dark") => Some("dark"),
            Some("light") => Some("light"),
            _ => None,
        };
        let typed_in = Self {
            user: actor(headers).unwrap_or_default(),
            groups,
            theme,
            headers: headers.clone(),
            ..Self::default()
        };
        match access::current().filter(Caller::is_authenticated) {
            None => typed_in,
            Some(caller) => {
                let user = caller.acting().unwrap_or_default().to_owned();
                let is_clerk = !caller.scopes.allow(Scope::Read);
                let csrf = match caller.proven {
                    Proven::Session { csrf } => Some(csrf),
                    Proven::NotAsked | Proven::Public | Proven::Key | Proven::Token => None,
                };
                Self { user, groups: caller.groups, csrf, is_clerk, is_authenticated: true, ..typed_in }
            }
        }
    }

    /// As tasks know them.
    pub(super) fn person(&self) -> Person {
        Person { user: self.user.clone(), groups: self.groups.clone() }
    }

    /// The headers of a command that this visitor sends with an idempotency key.
    fn said(&self, key: &str) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in [ACTOR, KEY] {
            headers.remove(name);
        }
        let values = [(ACTOR, self.user.as_str()), (KEY, key)];
        for (name, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// The identity of a command of a form: what is sent twice is done once.
    pub(super) fn origin(&self, api: &ApiState, fields: &Fields, what: &str) -> Result<Origin, Problem> {
        let identity = [what.as_bytes(), b" ", fields.identity().as_bytes()].concat();
        request::origin(api, &self.said(fields.text("key")), &identity)
    }

    /// Who acts, for the audit log.
    pub(super) fn actor(&self) -> Result<Actor, Problem> {
        request::actor(&self.said(""))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
        Ok(Self { address, ..Self::of(&parts.headers) })
    }
}

/// Who a visitor is, as their session says; or the form in which they say it.
pub(super) async fn ask(visitor: Visitor) -> Response {
    if visitor.is_authenticated {
        let groups = visitor.groups.join(", ");
        let body = html! {
            section.card {
                p { "You are logged in as " strong { (visitor.user) } @if !groups.is_empty() { ", a member of " (groups) } "." }
                @if visitor.csrf.is_some() { form method="post" action="/logout" { button type="submit" { "Log out" } } }
            }
        };
        return shell::render(&visitor, Page { title: "Who are you?", place: Place::None, live: None, body });
    }
    let body = html! {
        section.card {
            p { "This process asks nobody for a key: it notes in the history and in the audit log what you write here." }
            form.stack method="post" action="/who" {
                label for="user" { "User" }
                input #user name="user" value=(visitor.user) maxlength="200" autocomplete="username" required;
                label for="groups" { "Groups, with commas between them" }
                input #groups name="groups" value=(visitor.groups.first().cloned().unwrap_or_default()) maxlength="1000";
                p.quiet { "Tasks that are offered to one of these groups are in your inbox." }
                div { button.primary type="submit" { "Continue as this user" } }
            }
        }
    };
    shell::render(&visitor, Page { title: "Who are you?", place: Place::None, live: None, body })
}

/// What a form of the login tells.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LoginQuery {
    #[serde(default)]
    next: String,
    #[serde(default)]
    refused: String,
}

/// Where a session begins: with a key, which is not kept in the browser.
pub(super) async fn login(visitor: Visitor, query: Result<Query<LoginQuery>, QueryRejection>) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let body = html! {
        section.card {
            @if !query.refused.is_empty() { p.note.is-failed role="alert" { (query.refused) } }
            p { "Log in with a key. An administrator makes one with " code { "leveret key create" } "." }
            form.stack method="post" action="/login" {
                input type="hidden" name="next" value=(query.next);
                label for="key" { "Key" }
                input #key name="key" type="password" maxlength="200" autocomplete="current-password" required autofocus;
                div { button.primary type="submit" { "Log in" } }
            }
        }
    };
    shell::render(&visitor, Page { title: "Log in", place: Place::None, live: None, body })
}

pub(super) async fn note(State(_): State<ApiState>, fields: Fields) -> Result<Response, Fault> {
    let (user, groups) = (fields.text("user").trim(), fields.text("groups").trim());
    request::bounded("user", user)?;
    if listed_groups(groups).len() > PEOPLE_MAX {
        return Err(Problem::invalid(format!("there are more than {PEOPLE_MAX} groups")).into());
    }
    let mut response = Redirect::to("/tasks").into_response();
    for (name, value) in [(USER, user), (GROUPS, groups)] {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        if value.len() > COOKIE_MAX {
            return Err(Problem::invalid("this is longer than a cookie can be: name fewer groups").into());
        }
        let cookie = format!("{name}={value}; Path=/; Max-Age={KEPT_FOR}; HttpOnly; SameSite=Lax");
        let cookie = HeaderValue::from_str(&cookie).map_err(|error| Problem::invalid(error.to_string()))?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cookies: &str) -> Visitor {
        Visitor::of(&HeaderMap::from_iter([(header::COOKIE, cookies.parse().unwrap())]))
    }

    #[test]
    fn a_visitor_is_who_the_cookie_says() {
        let seen = of("other=1; leveret-user=M%C3%BCller%20%3B; leveret-groups=a%2Cb; leveret-theme=dark");
        assert_eq!((seen.user.as_str(), seen.theme), ("Müller ;", Some("dark")));
        assert!(seen.groups.contains(&"a".to_owned()) && seen.groups.contains(&"b".to_owned()), "{:?}", seen.groups);
        assert_eq!(
            of("leveret-user=; leveret-theme=pink"),
            Visitor { headers: of("leveret-user=; leveret-theme=pink").headers, ..Visitor::default() }
        );
        assert_eq!(of(&format!("leveret-user={}", "x".repeat(10_000))).user, "", "longer than a name");
    }

    #[test]
    fn nobody_acts_as_another_by_a_header_of_the_request() {
        let mut headers = HeaderMap::from_iter([(header::COOKIE, "leveret-user=mia".parse().unwrap())]);
        headers.insert(ACTOR, "root".parse().unwrap());
        let said = Visitor::of(&headers).said("k");
        assert_eq!(said.get(ACTOR).unwrap(), "mia");
        assert_eq!(said.get(KEY).unwrap(), "k");
    }
}
