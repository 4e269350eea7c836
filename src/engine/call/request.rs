//! The request of a call, evaluated when the call is opened: every attempt sends the same.

use serde_json::{Map, Value, json};

use url::Url;

use crate::contract::NAME_MAX;
use crate::definition::{Body, Http, Limits, Probe};
use crate::expression::{Data, Template, Use};

use super::super::Failure;
use super::super::scope::Scope;

/// The longest target, in bytes: a host has at most 253. The target is part of index keys, whose size PostgreSQL limits.
const TARGET_MAX: usize = 300;

impl Scope<'_> {
    /// The request of an `http`, with placeholders for secrets.
    pub(super) fn request(&self, http: &Http) -> Result<Value, Failure> {
        let mut request = Map::new();
        request.insert("method".into(), json!(http.method));
        request.insert("url".into(), self.url(&http.url)?);
        self.addressed(&mut request, &http.query, &http.headers)?;
        let body = match &http.body {
            Body::None => None,
            Body::Json(data) => Some(json!({ "json": self.marked(data)? })),
            Body::Form(pairs) => Some(json!({ "form": self.pairs(pairs)? })),
            Body::Text(text) => Some(json!({ "text": self.marked_text(text, Use::Text)? })),
        };
        request.extend(body.map(|body| ("body".to_owned(), body)));
        Ok(Value::Object(request))
    }

    /// The request of a probe.
    pub(super) fn probe(&self, probe: &Probe) -> Result<Value, Failure> {
        let mut request = Map::new();
        request.insert("method".into(), json!("GET"));
        request.insert("url".into(), self.url(&probe.url)?);
        self.addressed(&mut request, &probe.query, &probe.headers)?;
        Ok(Value::Object(request))
    }

    /// The limits of an activity.
    pub(super) fn limits(&self, limits: &Limits) -> Result<Value, Failure> {
        let mut written = Map::new();
        if let Some(rate) = &limits.rate {
            let per_ms = u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX);
            written.insert("rate".into(), json!({ "count": rate.count, "per_ms": per_ms }));
        }
        if let Some(concurrency) = limits.concurrency {
            written.insert("concurrency".into(), json!(concurrency));
        }
        if let Some(key) = &limits.key {
            let key = self.key(key)?;
            // It may come from data, and is part of an index key.
            if key.len() > NAME_MAX || key.contains('\0') {
                let message = format!("the `key` of `limits` must have at most {NAME_MAX} bytes and no NUL");
                return Err(Failure::new("expression", message));
            }
            written.insert("key".into(), json!(key));
        }
        Ok(Value::Object(written))
    }

    fn url(&self, url: &Template) -> Result<Value, Failure> {
        self.marked_text(url, Use::Url)
    }

    fn addressed(
        &self,
        request: &mut Map<String, Value>,
        query: &[(String, Data)],
        headers: &[(String, Template)],
    ) -> Result<(), Failure> {
        if !query.is_empty() {
            request.insert("query".into(), self.pairs(query)?);
        }
        let mut written = Map::new();
        for (name, text) in headers {
            written.insert(name.clone(), self.marked_text(text, Use::Text)?);
        }
        if !written.is_empty() {
            request.insert("headers".into(), Value::Object(written));
        }
        Ok(())
    }

    /// Pairs of name and text: a null is left out, a list repeats its name.
    fn pairs(&self, pairs: &[(String, Data)]) -> Result<Value, Failure> {
        let mut written = Vec::new();
        for (name, data) in pairs {
            match self.marked(data)? {
                Value::Null => {}
                Value::Array(items) => {
                    written
                        .extend(items.into_iter().filter(|item| !item.is_null()).map(|item| json!([name, text(item)])));
                }
                value => written.push(json!([name, text(value)])),
            }
        }
        Ok(Value::Array(written))
    }
}

/// A value as the text of a parameter; one with placeholders stays as it is.
fn text(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        Value::Object(ref members) if members.get("$parts").is_some_and(is_text) => value,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().into()
        }
    }
}

fn is_text(parts: &Value) -> bool {
    parts.as_array().is_some_and(|parts| parts.iter().all(|part| part.get("map").is_none()))
}

/// The key of the circuit breaker and the limits of a request: scheme, host and port of its URL, or the name of the secret that
/// contains the host.
pub(super) fn target(url: &Value) -> Result<String, Failure> {
    let target = server(url)?;
    match target.len() > TARGET_MAX {
        true => Err(Failure::new("expression", format!("the host in `url` is longer than {TARGET_MAX} bytes"))),
        false => Ok(target),
    }
}

fn server(url: &Value) -> Result<String, Failure> {
    let wrong = || {
        Failure::new("expression", "the value of `url` is not a URL: it must begin with https:// or http:// and a host")
    };
    let begins = match url {
        Value::String(text) => text.as_str(),
        Value::Object(_) => {
            let parts = url["$parts"].as_array().ok_or_else(wrong)?;
            let first = parts.first().ok_or_else(wrong)?;
            if let Some(secret) = first["secret"].as_str() {
                return Ok(format!("secret:{secret}"));
            }
            let text = first["text"].as_str().ok_or_else(wrong)?;
            let is_whole = text.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
            let secret = parts.get(1).and_then(|part| part["secret"].as_str());
            match secret.filter(|_| !is_whole) {
                Some(secret) => return Ok(format!("secret:{secret}")),
                None => text,
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(wrong()),
    };
    // Only scheme, host and port are read: the rest may contain placeholders.
    let (scheme, rest) = begins.split_once("://").ok_or_else(wrong)?;
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong());
    }
    // The same parser as for requests: however a server is written, it has one name.
    let server = Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| wrong())?;
    let (Some(host), Some(port), "http" | "https") =
        (server.host_str(), server.port_or_known_default(), server.scheme())
    else {
        return Err(wrong());
    };
    Ok(format!("{}://{host}:{port}", server.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_scheme_host_and_port() {
        for (url, expected) in [
            (json!("https://Shop.example/a?b#c"), "https://shop.example:443"),
            (json!("http://shop.example:8080"), "http://shop.example:8080"),
            (json!("http://ann:pw@[::1]/x"), "http://[::1]:80"),
            (json!("http://[::1]:81/x"), "http://[::1]:81"),
            (json!({"$parts": [{"text": "https://a.example/"}, {"secret": "KEY"}]}), "https://a.example:443"),
            (json!({"$parts": [{"text": "https://"}, {"secret": "HOST"}, {"text": "/x"}]}), "secret:HOST"),
            (json!({"$parts": [{"secret": "BASE"}, {"text": "/x"}]}), "secret:BASE"),
        ] {
            assert_eq!(target(&url).as_deref(), Ok(expected), "{url}");
        }
        for wrong in ["", "shop.example", "ftp://a", "https://", "https://:80/", "https://a b/", "https://a:99999/"] {
            assert!(target(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_has_one_name_however_it_is_written() {
        for (urls, expected) in [
            (["http://127.0.0.1/", "HTTP://0x7f.1:80", "http://2130706433/x"], "http://127.0.0.1:80"),
            (
                ["https://päckchen.example/", "https://PÄCKCHEN.example", "https://xn--pckchen-5wa.example/"],
                "https://xn--pckchen-5wa.example:443",
            ),
            (
                ["https://Shop.Example", "https://shop%2Eexample:443/", "https://shop.example:0443/"],
                "https://shop.example:443",
            ),
            (["http://[::1]:81", "http://[0:0::1]:81/", "http://[0:0:0:0:0:0:0:1]:81?x"], "http://[::1]:81"),
        ] {
            for url in urls {
                assert_eq!(target(&json!(url)).as_deref(), Ok(expected), "{url}");
            }
        }
    }

    #[test]
    fn a_host_that_is_too_long_is_refused() {
        let host = |bytes: usize| json!(format!("https://{}/", "a".repeat(bytes)));
        assert!(target(&host(253)).is_ok());
        assert_eq!(target(&host(3_000)).unwrap_err().code, "expression");
        let secret = json!({"$parts": [{"secret": "S".repeat(3_000)}, {"text": "/x"}]});
        assert_eq!(target(&secret).unwrap_err().code, "expression");
    }
}
