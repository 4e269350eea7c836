//! What a call sends, evaluated when it is opened: every attempt sends the same.

use serde_json::{Map, Value, json};

use crate::definition::expression::{Data, Template, Use};
use crate::definition::{Body, Http, Limits, Probe};

use super::super::Failure;
use super::super::scope::Sight;

impl Sight<'_> {
    /// The request of an `http`, with open places for secrets.
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
            written.insert("key".into(), json!(self.key(key)?));
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

    /// Names and texts: null is left out, a list repeats its name.
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

/// A value as the text of a parameter; one with open places stays as it is.
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

/// Whose limits and breaker a request falls under: scheme, host and port of its URL. A host that is a secret is named by it.
pub(super) fn target(url: &Value) -> Result<String, Failure> {
    let wrong =
        || Failure::new("expression", "`url` gives no URL: it begins with https:// or http://, and names a host");
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
    let (scheme, rest) = begins.split_once("://").ok_or_else(wrong)?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return Err(wrong()),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let named = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).is_some();
    match host.is_empty() || host.starts_with(':') || host.contains(char::is_whitespace) {
        true => Err(wrong()),
        false if named => Ok(format!("{scheme}://{host}")),
        false => Ok(format!("{scheme}://{host}:{port}")),
    }
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
        for wrong in ["", "shop.example", "ftp://a", "https://", "https://:80/", "https://a b/"] {
            assert!(target(&json!(wrong)).is_err(), "{wrong}");
        }
    }
}
