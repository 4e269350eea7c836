//! The token of the page in a request of a session: a header, or a field of a form.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use tokio::time::timeout;
use url::form_urlencoded;

use crate::contract::BODY_MAX;
use crate::http::listener::Arrival;
use crate::link::token;

/// The header, for requests of scripts.
const HEADER: &str = "x-csrf-token";
/// The field of a form.
const FIELD: &str = "csrf";
/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether the body is a form of a page.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    stated.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM)
}

/// Whether a request carries this token. The body of a form is read for it, and is there afterwards.
pub(super) async fn carries(request: &mut Request, expected: &str) -> bool {
    if let Some(sent) = request.headers().get(HEADER) {
        return sent.to_str().is_ok_and(|sent| token::is_equal(sent, expected));
    }
    if !is_form(request.headers()) {
        return false;
    }
    let Some(bytes) = body(request).await else { return false };
    let is_there =
        form_urlencoded::parse(&bytes).any(|(name, value)| name == FIELD && token::is_equal(&value, expected));
    *request.body_mut() = Body::from(bytes);
    is_there
}

/// The body, if it arrives in time and is not too long; what is not read is not answered either.
async fn body(request: &mut Request) -> Option<Bytes> {
    let arrival = request.extensions().get::<Arrival>().cloned();
    let reading = to_bytes(std::mem::take(request.body_mut()), BODY_MAX);
    let read = match arrival {
        None => reading.await,
        Some(Arrival { within, stop }) => tokio::select! {
            biased;
            read = timeout(within, reading) => read.ok()?,
            () = stop.cancelled() => return None,
        },
    };
    read.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn carried(kind: &str, header: Option<&str>, body: String) -> (bool, String) {
        let mut request = Request::post("/x").header("content-type", kind);
        if let Some(header) = header {
            request = request.header(HEADER, header);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        let carries = carries(&mut request, "secret+1").await;
        let left = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        (carries, String::from_utf8(left.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_token_is_in_a_header_or_in_a_form_which_is_kept() {
        let form = "a=1&csrf=secret%2B1&b=2".to_owned();
        assert_eq!(carried(FORM, None, form.clone()).await, (true, form.clone()));
        assert_eq!(carried("Application/x-www-form-urlencoded; charset=utf-8", None, form.clone()).await, (true, form));
        assert_eq!(carried("application/json", Some("secret+1"), "{}".into()).await, (true, "{}".into()));
    }

    #[tokio::test]
    async fn without_the_token_a_request_is_refused() {
        for (kind, header, body) in [
            (FORM, None, "a=1"),
            (FORM, None, "csrf=secret"),
            (FORM, Some("other"), "csrf=secret%2B1"),
            ("application/json", None, r#"{"csrf":"secret+1"}"#),
            ("text/plain", None, "csrf=secret%2B1"),
        ] {
            assert!(!carried(kind, header, body.into()).await.0, "{kind} {header:?} {body}");
        }
        let long = format!("csrf=secret%2B1&a={}", "x".repeat(BODY_MAX));
        assert!(!carried(FORM, None, long).await.0);
    }
}
