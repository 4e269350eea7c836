//! Reads redirects: the next request, and what it must not carry to another server.

use http::{HeaderMap, Method, header};

use super::wording::CheckedRequest;

/// The only headers that are sent on to another server: they do not identify the sender.
const SENT_ON: [header::HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT];

/// What a response demands.
pub(super) enum Redirect {
    /// Nothing: it is not a redirect.
    None,
    /// A redirect that must not be followed, and why.
    Refused(String),
    /// A redirect, and the next request.
    Follow(Box<CheckedRequest>),
}

/// Reads the status and the `Location` of a response to `request`.
pub(super) fn read(request: &CheckedRequest, status: u16, location: Option<&String>) -> Redirect {
    let (Some(location), 301 | 302 | 303 | 307 | 308) = (location, status) else { return Redirect::None };
    let mut url = match request.url.join(location) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) => url,
        Ok(_) => return Redirect::Refused("the redirect leads away from HTTP".into()),
        Err(_) => return Redirect::Refused("the `Location` of the redirect is not a valid URL".into()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Redirect::Refused("the URL of the redirect contains a user".into());
    }
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Redirect::Refused("the redirect leads from https to http".into());
    }
    url.set_fragment(None);
    let mut next = CheckedRequest { url, ..request.clone() };
    let becomes_get = match status {
        303 => request.method != Method::HEAD,
        301 | 302 => ![Method::GET, Method::HEAD].contains(&request.method),
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = None;
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
            next.headers.remove(name);
        }
    }
    if next.url.origin() != request.url.origin() {
        if next.body.is_some() {
            return Redirect::Refused("the redirect would carry the body to another server".into());
        }
        next.headers = sent_on(&request.headers);
    }
    Redirect::Follow(Box::new(next))
}

fn sent_on(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| SENT_ON.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use url::Url;

    use super::*;

    fn request(method: Method, body: Option<&'static str>) -> CheckedRequest {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("s"));
        headers.insert("x-api-key", HeaderValue::from_static("s"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let url = Url::parse("https://a.test/one?q=1").unwrap();
        CheckedRequest { method, url, headers, body: body.map(Into::into) }
    }

    fn to(request: &CheckedRequest, status: u16, location: &str) -> Result<CheckedRequest, String> {
        match read(request, status, Some(&location.to_owned())) {
            Redirect::Follow(next) => Ok(*next),
            Redirect::Refused(why) => Err(why),
            Redirect::None => Err("stay".into()),
        }
    }

    #[test]
    fn a_post_becomes_a_get_except_after_307_and_308() {
        let post = request(Method::POST, Some("x"));
        for status in [301, 302, 303] {
            let next = to(&post, status, "/two").unwrap();
            assert_eq!((next.method, next.body), (Method::GET, None));
            assert!(!next.headers.contains_key("content-type") && next.headers.contains_key("authorization"));
        }
        for status in [307, 308] {
            let next = to(&post, status, "two").unwrap();
            assert_eq!((next.url.as_str(), next.method), ("https://a.test/two", Method::POST));
            assert_eq!(next.body.as_deref(), Some(b"x".as_slice()));
        }
    }

    #[test]
    fn secrets_are_not_sent_to_another_server() {
        let get = request(Method::GET, None);
        for location in ["https://b.test/", "//b.test/", "https://a.test:8443/"] {
            let next = to(&get, 302, location).unwrap();
            let names: Vec<&str> = next.headers.keys().map(header::HeaderName::as_str).collect();
            assert_eq!(names, ["accept"], "{location}");
        }
        assert!(to(&request(Method::PUT, Some("x")), 307, "https://b.test/").is_err_and(|why| why.contains("body")));
    }

    #[test]
    fn a_redirect_to_an_unsafe_url_is_refused() {
        let get = request(Method::GET, None);
        for location in ["http://a.test/", "ftp://a.test/", "file:///etc/passwd", "https://u:p@a.test/", "https://[x/"]
        {
            assert!(to(&get, 302, location).is_err_and(|why| why != "stay"), "{location}");
        }
        assert!(matches!(read(&get, 302, None), Redirect::None));
        assert!(matches!(read(&get, 200, Some(&"/x".to_owned())), Redirect::None));
    }
}
