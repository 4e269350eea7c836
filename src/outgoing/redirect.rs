//! Where a redirect leads, and what is not carried there.

use http::{HeaderMap, Method, header};

use super::wording::Asked;

/// Headers that say nothing of who is asking: only these go along to another server.
const CARRIED: [header::HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT];

/// What a response asks for.
pub(super) enum Next {
    /// It is no redirect.
    Stay,
    /// It is one that must not be followed.
    Halt(String),
    /// The next request.
    Follow(Box<Asked>),
}

/// Reads a response to `asked`.
pub(super) fn next(asked: &Asked, status: u16, location: Option<&String>) -> Next {
    let (Some(location), 301 | 302 | 303 | 307 | 308) = (location, status) else { return Next::Stay };
    let mut url = match asked.url.join(location) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) => url,
        Ok(_) => return Next::Halt("the redirect leads away from HTTP".into()),
        Err(_) => return Next::Halt("the redirect leads nowhere".into()),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Next::Halt("the redirect names a user".into());
    }
    if asked.url.scheme() == "https" && url.scheme() == "http" {
        return Next::Halt("the redirect leads from https to http".into());
    }
    url.set_fragment(None);
    let mut next = Asked { url, ..asked.clone() };
    let becomes_get = match status {
        303 => asked.method != Method::HEAD,
        301 | 302 => ![Method::GET, Method::HEAD].contains(&asked.method),
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = None;
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE] {
            next.headers.remove(name);
        }
    }
    if next.url.origin() != asked.url.origin() {
        if next.body.is_some() {
            return Next::Halt("the redirect would carry the body to another server".into());
        }
        next.headers = carried(&asked.headers);
    }
    Next::Follow(Box::new(next))
}

fn carried(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| CARRIED.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use url::Url;

    use super::*;

    fn asked(method: Method, body: Option<&'static str>) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("s"));
        headers.insert("x-api-key", HeaderValue::from_static("s"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let url = Url::parse("https://a.test/one?q=1").unwrap();
        Asked { method, url, headers, body: body.map(Into::into) }
    }

    fn to(asked: &Asked, status: u16, location: &str) -> Result<Asked, String> {
        match next(asked, status, Some(&location.to_owned())) {
            Next::Follow(next) => Ok(*next),
            Next::Halt(why) => Err(why),
            Next::Stay => Err("stay".into()),
        }
    }

    #[test]
    fn a_post_becomes_a_get_unless_the_status_forbids_it() {
        let post = asked(Method::POST, Some("x"));
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
    fn nothing_secret_goes_to_another_server() {
        let get = asked(Method::GET, None);
        for location in ["https://b.test/", "//b.test/", "https://a.test:8443/"] {
            let next = to(&get, 302, location).unwrap();
            let names: Vec<&str> = next.headers.keys().map(header::HeaderName::as_str).collect();
            assert_eq!(names, ["accept"], "{location}");
        }
        assert!(to(&asked(Method::PUT, Some("x")), 307, "https://b.test/").is_err_and(|why| why.contains("body")));
    }

    #[test]
    fn what_leads_astray_is_not_followed() {
        let get = asked(Method::GET, None);
        for location in ["http://a.test/", "ftp://a.test/", "file:///etc/passwd", "https://u:p@a.test/", "https://[x/"]
        {
            assert!(to(&get, 302, location).is_err_and(|why| why != "stay"), "{location}");
        }
        assert!(matches!(next(&get, 302, None), Next::Stay));
        assert!(matches!(next(&get, 200, Some(&"/x".to_owned())), Next::Stay));
    }
}
