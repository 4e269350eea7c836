//! What every page has in its head, and what every form must have: where it comes from. Answers are compressed for those who accept it.

use async_compression::tokio::write::GzipEncoder;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;

use super::fault::Fault;
use super::visitor::Visitor;
use crate::http::problem::{Kind, Problem};

/// What a page may load and do: its own files and forms, and nothing written into it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// The largest answer that is compressed; lists are bounded far below it.
const PAGE_MAX: usize = 8 * 1024 * 1024;
/// Smaller answers gain nothing.
const PAGE_MIN: usize = 512;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses forms of unknown origin, and dresses the answer as a page.
pub(super) async fn of_a_page(request: Request, next: Next) -> Response {
    let visitor = Visitor::of(request.headers());
    let accepts_gzip = accepts_gzip(request.headers());
    let response = match is_from_a_page(request.method(), request.headers()) {
        true => next.run(request).await,
        false => {
            let detail =
                "a form of the dashboard must come from one of its own pages; programs use the API under /api/v1";
            Fault::from(Problem::new(Kind::Origin, detail)).into_response()
        }
    };
    dressed(super::fault::shown(&visitor, response), accepts_gzip).await
}

/// The page of a problem, where no route was found.
pub(super) async fn dressed_fault(visitor: &Visitor, fault: Fault) -> Response {
    dressed(super::fault::shown(visitor, fault.into_response()), false).await
}

/// Whether a request reads, or a browser says that a page of this server sends it. That the named origin is this server, the guard of
/// all routes has checked.
fn is_from_a_page(method: &Method, headers: &HeaderMap) -> bool {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    match site {
        _ if method.is_safe() => true,
        Some(site) => site == b"same-origin",
        None => headers.contains_key(header::ORIGIN),
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
    })
}

/// With the headers of a page, and compressed.
async fn dressed(response: Response, accepts_gzip: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    let headers = &mut parts.headers;
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Ok(bytes) = to_bytes(body, PAGE_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if !accepts_gzip || bytes.len() < PAGE_MIN {
        return Response::from_parts(parts, Body::from(bytes));
    }
    match gzipped(&bytes).await {
        Ok(small) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(small))
        }
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}

async fn gzipped(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzipEncoder::new(Vec::with_capacity(bytes.len() / 4));
    encoder.write_all(bytes).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_form_says_where_it_comes_from() {
        let post = |pairs: &[(&'static str, &str)]| is_from_a_page(&Method::POST, &headers(pairs));
        assert!(post(&[("sec-fetch-site", "same-origin")]));
        assert!(post(&[("origin", "http://localhost:8420")]), "the guard has compared it");
        for site in ["none", "same-site", "cross-site"] {
            assert!(!post(&[("sec-fetch-site", site), ("origin", "http://localhost:8420")]), "{site}");
        }
        assert!(!post(&[]));
        assert!(is_from_a_page(&Method::GET, &headers(&[("sec-fetch-site", "none")])));
    }

    #[test]
    fn only_who_accepts_gzip_gets_it() {
        let accepts = |value: &str| accepts_gzip(&headers(&[("accept-encoding", value)]));
        assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && !accepts("br") && !accepts("gzip;q=0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
