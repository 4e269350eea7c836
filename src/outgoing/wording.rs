//! Turns a request into HTTP, and refuses what could end a line or control the connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use url::Url;

use super::Request;

/// The longest URL in bytes.
const URL_MAX: usize = 16 * 1024;
/// The most bytes of all header names and values together.
const HEADERS_MAX: usize = 32 * 1024;
/// Headers that control the connection: with these a second request could be smuggled, or another host checked.
const CONNECTION_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// The `User-Agent` of requests that set none.
const AGENT: &str = concat!("leveret/", env!("CARGO_PKG_VERSION"));

/// A request whose parts are all valid.
#[derive(Clone)]
pub(super) struct CheckedRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Checks a request. The error does not contain its values.
pub(super) fn check(request: Request, body_max: usize) -> Result<CheckedRequest, String> {
    let method = method(&request.method)?;
    let url = url(&request.url)?;
    let headers = headers(&request.headers)?;
    if request.body.as_ref().is_some_and(|body| body.len() > body_max) {
        return Err(format!("the body is longer than `outgoing.request_max`, which is {body_max} bytes"));
    }
    Ok(CheckedRequest { method, url, headers, body: request.body.map(Bytes::from) })
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| "the method is not valid".to_owned())?;
    match method {
        Method::CONNECT => Err("the method CONNECT is not allowed".into()),
        method => Ok(method),
    }
}

fn url(text: &str) -> Result<Url, String> {
    // The URL parser drops some of these silently, so they are refused before.
    if text.chars().any(char::is_control) {
        return Err("the URL contains a line end or another control character".into());
    }
    if text.len() > URL_MAX {
        return Err(format!("the URL is longer than {URL_MAX} bytes"));
    }
    let mut url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("the URL must begin with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL contains a user or a password: use the header `Authorization` instead".into());
    }
    url.set_fragment(None);
    Ok(url)
}

fn headers(named: &[(String, String)]) -> Result<HeaderMap, String> {
    let size: usize = named.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > HEADERS_MAX {
        return Err(format!("the headers are longer than {HEADERS_MAX} bytes"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        let invalid = || format!("`{}` is not a valid header name", name.escape_debug());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        if CONNECTION_HEADERS.contains(&name.as_str()) {
            return Err(format!("the header `{name}` is set by the connection itself: remove it"));
        }
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header `{name}` contains a line end or another control character"))?;
        // It may contain a secret: HTTP/2 then does not index it for later requests.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
    Ok(headers)
}

/// The request as hyper sends it.
pub(super) fn build(
    checked: &CheckedRequest,
    proxy_auth: Option<&HeaderValue>,
) -> Result<http::Request<Full<Bytes>>, String> {
    let mut request = http::Request::new(Full::new(checked.body.clone().unwrap_or_default()));
    *request.method_mut() = checked.method.clone();
    *request.uri_mut() =
        checked.url.as_str().parse().map_err(|_| "the URL is not valid in a request line".to_owned())?;
    *request.headers_mut() = checked.headers.clone();
    // hyper leaves the header out; some servers then answer 411, because these methods usually have a body.
    let usual = [Method::POST, Method::PUT, Method::PATCH].contains(&checked.method);
    if usual && checked.body.as_ref().is_none_or(Bytes::is_empty) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(value) = proxy_auth {
        request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, value.clone());
    }
    Ok(request)
}

/// The values of `Set-Cookie`, which cannot be joined: a comma is part of their dates.
pub(super) fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers.get_all(SET_COOKIE).iter().map(text).collect()
}

/// The other headers as a definition sees them: the values of a repeated header are joined by `, `.
pub(super) fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| **name != SET_COOKIE) {
        let value = text(value);
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push_str(", ");
                values.push_str(&value);
            })
            .or_insert(value);
    }
    joined
}

/// The text of a header, which is UTF-8, or Latin-1 as of old. Nothing of it is lost: a secret in it is found.
fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(url: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: "POST".into(),
            url: url.into(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Some(b"0123456789".to_vec()),
            timeout: None,
            response_max: 100,
        }
    }

    fn problem(url: &str, headers: &[(&str, &str)]) -> String {
        check(request(url, headers), 100).err().unwrap_or_default()
    }

    #[test]
    fn a_line_end_or_nul_is_refused_everywhere() {
        for bad in ["\r\n", "\n", "\r", "\0", "\x7f", "\u{85}"] {
            assert!(problem(&format!("http://a.test/{bad}x"), &[]).contains("control"), "{bad:?}");
            assert!(problem(&format!("http://a.test{bad}/"), &[]).contains("control"), "{bad:?}");
            assert!(!problem("http://a.test/", &[(&format!("x{bad}y"), "1")]).is_empty(), "{bad:?}");
        }
        for bad in ["\r\nx: y", "\n", "\r", "\0", "\x7f"] {
            assert!(problem("http://a.test/", &[("x", &format!("1{bad}"))]).contains("control"), "{bad:?}");
        }
    }

    #[test]
    fn headers_that_control_the_connection_are_refused() {
        for name in ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "proxy-authorization", "Upgrade"] {
            assert!(problem("http://a.test/", &[(name, "x")]).contains("connection itself"), "{name}");
        }
        assert!(problem("http://user:secret@a.test/", &[]).contains("Authorization"));
        assert!(problem("ftp://a.test/", &[]).contains("http://"));
        assert!(problem("file:///etc/passwd", &[]).contains("http://"));
        assert!(problem("a.test", &[]).contains("cannot be read"));
    }

    #[test]
    fn a_method_that_usually_has_a_body_says_that_it_has_none() {
        let length = |method: &str, body: Option<&[u8]>| {
            let request =
                Request { method: method.into(), body: body.map(<[u8]>::to_vec), ..request("http://a.test/", &[]) };
            let request = build(&check(request, 100).ok()?, None).ok()?;
            request.headers().get("content-length").and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        for method in ["POST", "PUT", "PATCH"] {
            assert_eq!(length(method, None).as_deref(), Some("0"), "{method}");
            assert_eq!(length(method, Some(b"")).as_deref(), Some("0"), "{method}");
            assert_eq!(length(method, Some(b"x")), None, "{method}: hyper counts");
        }
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            assert_eq!(length(method, None), None, "{method}");
        }
    }

    #[test]
    fn what_exceeds_its_bound_is_refused() {
        assert!(check(request("http://a.test/", &[]), 9).is_err_and(|why| why.contains("outgoing.request_max")));
        assert!(problem("http://a.test/", &[("x", &"y".repeat(HEADERS_MAX))]).contains("headers are longer"));
        assert!(problem(&format!("http://a.test/{}", "y".repeat(URL_MAX)), &[]).contains("URL is longer"));
    }

    #[test]
    fn errors_do_not_contain_values() {
        for (url, headers) in [
            ("http://a.test/CANARY\n", vec![]),
            ("http://CANARY:CANARY@a.test/", vec![]),
            ("http://a.test/", vec![("x", "CANARY\n")]),
            ("CANARY", vec![]),
            ("http://[CANARY]/", vec![]),
        ] {
            let why = problem(url, &headers);
            assert!(!why.is_empty() && !why.contains("CANARY"), "{why}");
        }
        let debug = format!("{:?}", request("http://a.test/CANARY?CANARY", &[("authorization", "CANARY")]));
        assert!(debug.contains("a.test") && !debug.contains("CANARY"), "{debug}");
    }

    proptest! {
        #[test]
        fn requests_never_contain_a_line_end(url in "\\PC{0,12}|[\\x00-\\x7f]{0,12}", name in "[\\x00-\\x7f]{0,6}", value in "[\\x00-\\x7f]{0,12}") {
            let url = format!("http://a.test/{url}");
            if let Ok(checked) = check(request(&url, &[(&name, &value)]), 100) {
                let request = build(&checked, None).unwrap();
                let target = request.uri().to_string();
                prop_assert!(target.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{target:?}");
                for (name, value) in request.headers() {
                    prop_assert!(name.as_str().bytes().all(|byte| byte > b' ' && byte != b':'));
                    prop_assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)));
                }
            }
        }
    }
}
