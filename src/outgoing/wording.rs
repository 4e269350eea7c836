//! A request put into the words of HTTP, and what may not be said: what would end a line, or speak for the connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use url::Url;

use super::Request;

/// Bytes of a URL.
const URL_MAX: usize = 16 * 1024;
/// Bytes of all names and values of headers.
const HEADERS_MAX: usize = 32 * 1024;
/// Headers that belong to the connection: whoever could write them could smuggle a second request, or ask another host.
const OF_THE_CONNECTION: [&str; 12] = [
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
/// Who is asking, unless a header says otherwise.
const AGENT: &str = concat!("leveret/", env!("CARGO_PKG_VERSION"));

/// A request whose every part was found sayable.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Checks a request. What is wrong is said without the values.
pub(super) fn read(request: Request, body_max: usize) -> Result<Asked, String> {
    let method = method(&request.method)?;
    let url = url(&request.url)?;
    let headers = headers(&request.headers)?;
    if request.body.as_ref().is_some_and(|body| body.len() > body_max) {
        return Err(format!("the body is longer than `outgoing.request_max`, which is {body_max} bytes"));
    }
    Ok(Asked { method, url, headers, body: request.body.map(Bytes::from) })
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| "the method is no method".to_owned())?;
    match method {
        Method::CONNECT => Err("the method CONNECT is not for requests".into()),
        method => Ok(method),
    }
}

fn url(text: &str) -> Result<Url, String> {
    // A reader of URLs drops some of these silently, so that they are looked for before.
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
        return Err("the URL contains a user or a password: write a header `Authorization`".into());
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
        let wrong = || format!("`{}` cannot be the name of a header", name.escape_debug());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if OF_THE_CONNECTION.contains(&name.as_str()) {
            return Err(format!("the header `{name}` is written by the connection itself"));
        }
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header `{name}` contains a line end or another control character"))?;
        // It may hold a secret: HTTP/2 then keeps no copy of it for later requests.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
    Ok(headers)
}

/// The request as it is sent.
pub(super) fn write(asked: &Asked, proxy_auth: Option<&HeaderValue>) -> Result<http::Request<Full<Bytes>>, String> {
    let mut request = http::Request::new(Full::new(asked.body.clone().unwrap_or_default()));
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = asked.url.as_str().parse().map_err(|_| "the URL cannot be written".to_owned())?;
    *request.headers_mut() = asked.headers.clone();
    if let Some(value) = proxy_auth {
        request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, value.clone());
    }
    Ok(request)
}

/// Headers as a definition sees them.
pub(super) fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        shown
            .entry(name.as_str().to_owned())
            .and_modify(|said| {
                said.push_str(", ");
                said.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    shown
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

    fn wrong(url: &str, headers: &[(&str, &str)]) -> String {
        read(request(url, headers), 100).err().unwrap_or_default()
    }

    #[test]
    fn a_line_end_or_nul_is_refused_in_every_part() {
        for bad in ["\r\n", "\n", "\r", "\0", "\x7f", "\u{85}"] {
            assert!(wrong(&format!("http://a.test/{bad}x"), &[]).contains("control"), "{bad:?}");
            assert!(wrong(&format!("http://a.test{bad}/"), &[]).contains("control"), "{bad:?}");
            assert!(!wrong("http://a.test/", &[(&format!("x{bad}y"), "1")]).is_empty(), "{bad:?}");
        }
        for bad in ["\r\nx: y", "\n", "\r", "\0", "\x7f"] {
            assert!(wrong("http://a.test/", &[("x", &format!("1{bad}"))]).contains("control"), "{bad:?}");
        }
    }

    #[test]
    fn what_speaks_for_the_connection_is_refused() {
        for name in ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "proxy-authorization", "Upgrade"] {
            assert!(wrong("http://a.test/", &[(name, "x")]).contains("connection itself"), "{name}");
        }
        assert!(wrong("http://user:secret@a.test/", &[]).contains("Authorization"));
        assert!(wrong("ftp://a.test/", &[]).contains("http://"));
        assert!(wrong("file:///etc/passwd", &[]).contains("http://"));
        assert!(wrong("a.test", &[]).contains("cannot be read"));
    }

    #[test]
    fn nothing_longer_than_its_bound_is_sent() {
        assert!(read(request("http://a.test/", &[]), 9).is_err_and(|why| why.contains("outgoing.request_max")));
        assert!(wrong("http://a.test/", &[("x", &"y".repeat(HEADERS_MAX))]).contains("headers are longer"));
        assert!(wrong(&format!("http://a.test/{}", "y".repeat(URL_MAX)), &[]).contains("URL is longer"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_values() {
        for (url, headers) in [
            ("http://a.test/CANARY\n", vec![]),
            ("http://CANARY:CANARY@a.test/", vec![]),
            ("http://a.test/", vec![("x", "CANARY\n")]),
            ("CANARY", vec![]),
            ("http://[CANARY]/", vec![]),
        ] {
            let why = wrong(url, &headers);
            assert!(!why.is_empty() && !why.contains("CANARY"), "{why}");
        }
        let debug = format!("{:?}", request("http://a.test/CANARY?CANARY", &[("authorization", "CANARY")]));
        assert!(debug.contains("a.test") && !debug.contains("CANARY"), "{debug}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_contains_a_line_end(url in "\\PC{0,12}|[\\x00-\\x7f]{0,12}", name in "[\\x00-\\x7f]{0,6}", value in "[\\x00-\\x7f]{0,12}") {
            let url = format!("http://a.test/{url}");
            if let Ok(asked) = read(request(&url, &[(&name, &value)]), 100) {
                let request = write(&asked, None).unwrap();
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
