//! Maps a stored request to an HTTP request, and an HTTP response to an outcome. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::charset;
use crate::contract::json::Refused;
use crate::contract::{self, Unfit};
use crate::engine::{CallOutcome, CallPurpose, Cut, Failure};
use crate::outgoing::{Request, Response};
use crate::secrets::Carried;
use crate::store::calls::Begun;

/// The header by which a target recognises duplicates.
const KEY: &str = "idempotency-key";

/// The HTTP request of an attempt, from the stored one with its placeholders filled in.
///
/// # Errors
/// The stored request was not written by this version.
pub(super) fn request(filled: &Value, begun: &Begun, response_max: usize) -> Result<Request, Failure> {
    let text = |name: &str| {
        filled[name].as_str().ok_or_else(|| Failure::new("http.request", format!("the stored request has no {name}")))
    };
    let (body, kind) = body(&filled["body"])?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in filled["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    let mut add = |name: &str, value: String| {
        if headers.iter().all(|(known, _)| known != name) {
            headers.push((name.to_owned(), value));
        }
    };
    if let Some(kind) = kind {
        add("content-type", kind.to_owned());
    }
    if begun.purpose == CallPurpose::Attempt {
        add(KEY, begun.id.to_string());
        add("leveret-attempt", begun.attempt.to_string());
    }
    if let Some(trace) = &begun.trace {
        add("traceparent", trace.clone());
    }
    add("user-agent", concat!("leveret/", env!("CARGO_PKG_VERSION")).to_owned());
    Ok(Request {
        method: text("method")?.to_owned(),
        url: with_query(text("url")?, &filled["query"]),
        headers,
        body,
        timeout: begun.timeout,
        response_max,
    })
}

fn body(body: &Value) -> Result<(Option<Vec<u8>>, Option<&'static str>), Failure> {
    if let Some(json) = body.get("json") {
        let bytes = contract::json::bytes(json).map_err(|error| Failure::new("http.request", error.to_string()))?;
        return Ok((Some(bytes), Some("application/json")));
    }
    if let Some(form) = body.get("form") {
        return Ok((Some(encoded(form).into_bytes()), Some("application/x-www-form-urlencoded")));
    }
    let text = body.get("text").and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    let kind = text.is_some().then_some("text/plain; charset=utf-8");
    Ok((text, kind))
}

fn with_query(url: &str, query: &Value) -> String {
    let query = encoded(query);
    if query.is_empty() {
        return url.to_owned();
    }
    // Before the fragment, which is never sent.
    let (before, fragment) = url.split_once('#').map_or((url, None), |(before, fragment)| (before, Some(fragment)));
    let joint = match () {
        () if before.ends_with(['?', '&']) => "",
        () if before.contains('?') => "&",
        () => "?",
    };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{before}{joint}{query}{fragment}")
}

/// Names and values, encoded as in a form.
fn encoded(pairs: &Value) -> String {
    let mut written = String::new();
    for pair in pairs.as_array().into_iter().flatten() {
        let part = |at: usize| {
            url::form_urlencoded::byte_serialize(pair[at].as_str().unwrap_or_default().as_bytes()).collect::<String>()
        };
        if !written.is_empty() {
            written.push('&');
        }
        written.push_str(&part(0));
        written.push('=');
        written.push_str(&part(1));
    }
    written
}

/// The outcome of a response, without the secrets that the request carried.
pub(super) fn outcome(response: Response, carried: &Carried) -> CallOutcome {
    let Response { status, headers, cookies, body, retry_after, cut, redirect_refused } = response;
    let headers = redacted(&headers, &cookies, carried);
    let definite = |code: &str, message: String| CallOutcome::Failed {
        failure: Failure { code: code.into(), message, data: json!({ "status": status, "headers": headers }) },
    };
    if let Some(why) = redirect_refused {
        // It may name the host.
        let why = carried.hide(&why);
        return definite(&format!("http.{status}"), format!("did not follow a redirect (status {status}): {why}"));
    }
    let (body, cut) = match cut {
        true => (Value::Null, Some(Cut::Long)),
        false => match read(&headers, &body, carried).and_then(kept) {
            Ok(body) => (body, None),
            Err(cut) => (Value::Null, Some(cut)),
        },
    };
    let retry_after_ms = retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    CallOutcome::Answered { status, headers, body, cut, retry_after_ms }
}

/// Headers as an activity sees them: texts, and `set-cookie` as a list, because two cookies cannot be told apart in one text.
fn redacted(headers: &BTreeMap<String, String>, cookies: &[String], carried: &Carried) -> Map<String, Value> {
    let hidden = |value: &String| (!value.contains('\0')).then(|| Value::String(carried.hide(value)));
    let kept = headers.iter().filter_map(|(name, value)| Some((carried.hide(name), hidden(value)?)));
    let cookies: Vec<Value> = cookies.iter().filter_map(hidden).collect();
    let cookies = (!cookies.is_empty()).then(|| ("set-cookie".to_owned(), Value::Array(cookies)));
    kept.chain(cookies).collect()
}

/// The body, unless it cannot be stored.
fn kept(body: Value) -> Result<Value, Cut> {
    match contract::find_unfit(&body, contract::DEPTH_MAX) {
        None => Ok(body),
        Some((Unfit::Nul, _)) => Err(Cut::Nul),
        Some((Unfit::Deep, _)) => Err(Cut::Deep),
        Some((Unfit::Number, _)) => Err(Cut::Number),
    }
}

/// JSON if the body is that, else text, else bytes as base64.
fn read(headers: &Map<String, Value>, body: &[u8], carried: &Carried) -> Result<Value, Cut> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let named = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = named("content-type");
    let Some(text) = charset::text(kind, body) else {
        let body = carried.hide_in_bytes(body);
        let body = json!({ "base64": base64::engine::general_purpose::STANDARD.encode(body) });
        // Compressed in a way that was not asked for.
        let is_plain = matches!(named("content-encoding"), "" | "identity");
        return Ok(if is_plain { body } else { carried.hide_unread(body) });
    };
    let is_json = charset::is_json(&charset::media_type(kind));
    // JSON is redacted after it was parsed, because it has many spellings of one text.
    match is_json.then(|| contract::json::read(text.as_bytes())) {
        Some(Ok(value)) => Ok(carried.hide_in(value)),
        Some(Err(Refused::Number(_) | Refused::NoDouble(_))) => Err(Cut::Number),
        Some(Err(Refused::Syntax(_))) | None => Ok(Value::String(carried.hide(&text))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits;
    use super::*;
    use crate::engine::{CallId, CallKind, InstanceId};

    fn begun() -> Begun {
        Begun {
            id: CallId(uuid::Uuid::from_u128(7)),
            instance: InstanceId(uuid::Uuid::from_u128(1)),
            bookmark: 1,
            activity: "a".into(),
            dispatch: 3,
            attempt: 2,
            kind: CallKind::Http,
            target: "https://a:443".into(),
            request: Value::Null,
            purpose: CallPurpose::Attempt,
            callback: false,
            heartbeat: None,
            timeout: None,
            deadline: None,
            trace: Some("00-1".into()),
            after_timeout: false,
        }
    }

    fn sent(filled: Value) -> Request {
        request(&filled, &begun(), 10).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    fn header<'r>(request: &'r Request, name: &str) -> &'r str {
        request.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    #[test]
    fn every_attempt_carries_its_key_and_number() {
        let sent = sent(json!({"method": "POST", "url": "https://a", "body": {"json": {"n": 1}}}));
        assert_eq!(header(&sent, KEY), "00000000-0000-0000-0000-000000000007");
        assert_eq!((header(&sent, "leveret-attempt"), header(&sent, "traceparent")), ("2", "00-1"));
        assert_eq!(header(&sent, "content-type"), "application/json");
        assert_eq!(sent.body.as_deref(), Some(b"{\"n\":1}".as_slice()));
    }

    #[test]
    fn a_query_is_added_after_an_existing_one_and_before_the_fragment() {
        let query = json!([["q", "a b&c"], ["n", "3"]]);
        for (url, expected) in [
            ("https://a", "https://a?q=a+b%26c&n=3"),
            ("https://a/x?y=1#top", "https://a/x?y=1&q=a+b%26c&n=3#top"),
            ("https://a/x?", "https://a/x?q=a+b%26c&n=3"),
        ] {
            assert_eq!(sent(json!({"method": "GET", "url": url, "query": query})).url, expected);
        }
    }

    #[test]
    fn a_form_is_urlencoded_and_a_content_type_of_the_author_is_kept() {
        let body = json!({"form": [["a", "1"], ["b", "é"]]});
        let form = sent(json!({"method": "POST", "url": "https://a", "body": body}));
        assert_eq!(form.body.as_deref(), Some(b"a=1&b=%C3%A9".as_slice()));
        let headers = json!({"content-type": "text/csv"});
        let text = sent(json!({"method": "POST", "url": "https://a", "headers": headers, "body": {"text": "1;2"}}));
        assert_eq!((header(&text, "content-type"), text.body.as_deref()), ("text/csv", Some(b"1;2".as_slice())));
    }

    fn answer(kind: &str, body: &[u8], cut: bool) -> CallOutcome {
        let headers = BTreeMap::from([("content-type".to_owned(), kind.to_owned())]);
        let body = bytes::Bytes::copy_from_slice(body);
        let cookies = vec!["a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT".to_owned(), "b=2".to_owned()];
        let response = Response { status: 200, headers, cookies, body, retry_after: None, cut, redirect_refused: None };
        outcome(response, &Carried::default())
    }

    #[test]
    fn a_body_is_json_text_or_bytes() {
        for (kind, body, expected) in [
            ("application/json; charset=utf-8", b"{\"n\": 1}".as_slice(), json!({"n": 1})),
            ("application/problem+json", b"[1]", json!([1])),
            ("application/json", b"{", json!("{")),
            ("text/plain", b"{\"n\": 1}", json!("{\"n\": 1}")),
            ("image/png", b"\xff\x00", json!({"base64": "/wA="})),
            ("application/json", b"\xef\xbb\xbf{\"n\": 1}", json!({"n": 1})),
            ("application/json; charset=iso-8859-1", b"\"Z\xfcrich\"", json!("Zürich")),
            ("text/plain; charset=windows-1252", b"5 \x80", json!("5 €")),
            ("", b"", json!(null)),
        ] {
            let CallOutcome::Answered { body, .. } = answer(kind, body, false) else { panic!("{kind}") };
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn a_secret_in_the_name_of_a_header_or_in_a_refused_redirect_is_hidden() {
        let mut carried = Carried::default();
        carried.carry("Hunter2-Hunter2".into());
        let headers = BTreeMap::from([("x-hunter2-hunter2".to_owned(), "1".to_owned())]);
        let response = |status, redirect_refused| Response {
            status,
            headers: headers.clone(),
            cookies: vec!["hunter2-hunter2=1".into()],
            body: bytes::Bytes::new(),
            retry_after: None,
            cut: false,
            redirect_refused,
        };
        let why = "hunter2-hunter2.example.org:80 is not listed in `outgoing.allow_hosts`".to_owned();
        for outcome in [outcome(response(200, None), &carried), outcome(response(302, Some(why)), &carried)] {
            let shown = format!("{outcome:?}");
            assert!(shown.contains("[secret]") && !shown.to_lowercase().contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_body_that_is_compressed_in_an_unknown_way_is_hidden_from_those_who_sent_a_secret() {
        let headers = BTreeMap::from([("content-encoding".to_owned(), "br".to_owned())]);
        let body = bytes::Bytes::from_static(b"\x0b\x02\x80\xff");
        let response = Response {
            status: 200,
            headers,
            cookies: vec![],
            body,
            retry_after: None,
            cut: false,
            redirect_refused: None,
        };
        let mut carried = Carried::default();
        let shown = |carried: &Carried| match outcome(response.clone(), carried) {
            CallOutcome::Answered { body, .. } => body,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown(&carried), json!({ "base64": "CwKA/w==" }));
        carried.carry("hunter2-hunter2".into());
        assert_eq!(shown(&carried), json!("[secret]"));
    }

    #[test]
    fn cookies_stay_a_list() {
        let CallOutcome::Answered { headers, .. } = answer("text/plain", b"", false) else { panic!("answered") };
        assert_eq!(headers["set-cookie"], json!(["a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT", "b=2"]));
        assert_eq!(headers["content-type"], "text/plain");
    }

    #[test]
    fn a_response_whose_body_cannot_be_kept_is_a_response_without_body() {
        for (body, cut, expected) in [
            (b"\"a\\u0000\"".as_slice(), false, Cut::Nul),
            (b"1", true, Cut::Long),
            (b"{\"n\": 18446744073709551615}", false, Cut::Number),
            (b"[1e400]", false, Cut::Number),
        ] {
            let outcome = answer("application/json", body, cut);
            assert_eq!(limits::TargetOutcome::of_call(&outcome), limits::TargetOutcome::Answered);
            let CallOutcome::Answered { status, body, cut, .. } = outcome else { panic!("{expected:?}") };
            assert_eq!((status, body, cut), (200, Value::Null, Some(expected)));
        }
    }
}
