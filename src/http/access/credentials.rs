//! What a request brings to prove who sends it.

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;
use super::session;
use crate::command::api_key::PREFIX;
use crate::link::token;

/// The longest token of an issuer, in bytes: some carry many groups.
const TOKEN_MAX: usize = 16 * 1024;

/// A proof, in its form only; whether it counts is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// An API key.
    Key(String),
    /// A token of an issuer.
    Token(String),
    /// The cookie of a session.
    Session(String),
}

/// The proof of a request. `Authorization` counts before the cookie, which a browser sends by itself.
pub(super) fn read(headers: &HeaderMap) -> Result<Credential, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (Some(_), Some(_)) => Err(Refusal::Malformed("the request has several headers `Authorization`")),
        (Some(value), None) => bearer(value.to_str().unwrap_or_default()),
        (None, _) => session::cookie(headers).map(Credential::Session).ok_or(Refusal::Nothing),
    }
}

fn bearer(value: &str) -> Result<Credential, Refusal> {
    let (scheme, text) = value.split_once(' ').unwrap_or((value, ""));
    let text = text.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || text.is_empty() {
        return Err(Refusal::Malformed("`Authorization` must be `Bearer` and a key or a token"));
    }
    if text.starts_with(PREFIX) {
        return match token::has_form(text, PREFIX) {
            true => Ok(Credential::Key(text.to_owned())),
            false => Err(Refusal::UnknownKey),
        };
    }
    match text.len() <= TOKEN_MAX && text.split('.').count() == 3 {
        true => Ok(Credential::Token(text.to_owned())),
        false => Err(Refusal::Malformed("what follows `Bearer` is neither a key, which begins with `lv_`, nor a JWT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(pairs: &[(&'static str, &str)]) -> Result<Credential, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        read(&headers).map_err(|refusal| refusal.word())
    }

    #[test]
    fn a_key_a_token_and_a_session_are_told_apart() {
        let key = token::new(PREFIX).unwrap();
        let bearer = |text: &str| read_of(&[("authorization", &format!("Bearer {text}"))]);
        assert_eq!(bearer(&key), Ok(Credential::Key(key.clone())));
        assert_eq!(read_of(&[("authorization", &format!("bearer  {key}"))]), Ok(Credential::Key(key.clone())));
        assert_eq!(bearer("a.b.c"), Ok(Credential::Token("a.b.c".into())));
        let cookie = token::new(session::PREFIX).unwrap();
        let sent = format!("theme=dark; leveret-session={cookie}");
        assert_eq!(read_of(&[("cookie", &sent)]), Ok(Credential::Session(cookie)));
        // What is sent on purpose counts.
        assert_eq!(
            read_of(&[("cookie", &sent), ("authorization", &format!("Bearer {key}"))]),
            Ok(Credential::Key(key))
        );
    }

    #[test]
    fn what_proves_nothing_is_refused() {
        assert_eq!(read_of(&[]), Err("no_proof"));
        assert_eq!(read_of(&[("cookie", "leveret-session=short")]), Err("no_proof"));
        assert_eq!(read_of(&[("authorization", "Bearer lv_short")]), Err("unknown_key"));
        for wrong in ["", "Bearer", "Bearer ", "Basic bGV2ZXJldDp4", "Bearer a.b", "Bearer a.b.c.d", "Bearer x"] {
            assert_eq!(read_of(&[("authorization", wrong)]), Err("malformed"), "{wrong}");
        }
        let long = format!("Bearer {}.b.c", "a".repeat(TOKEN_MAX));
        assert_eq!(read_of(&[("authorization", &long)]), Err("malformed"));
        assert_eq!(read_of(&[("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")]), Err("malformed"));
    }
}
