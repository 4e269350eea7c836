//! Reads an `http`: the request, the accepted statuses and the probe.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{Body, Http, OnUnknown, Probe, Statuses, Work};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::Tree;
use crate::expression::{Data, Template};
use crate::text::{listed, shortened};

pub(in crate::definition) const HTTP: Keys = Keys {
    of: "an `http`",
    known: &[
        "method",
        "url",
        "query",
        "headers",
        "body",
        "form",
        "text",
        "accept",
        "idempotent",
        "on_unknown",
        "probe",
        "await",
    ],
    later: &[],
};
pub(in crate::definition) const PROBE: Keys =
    Keys { of: "a `probe`", known: &["url", "query", "headers", "accept", "done"], later: &[] };

pub(in crate::definition) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that the HTTP client sets, and why a definition need not.
const OWN_HEADERS: [(&str, &str); 6] = [
    ("host", "it is taken from the `url`"),
    ("content-length", "it is computed from the body"),
    ("transfer-encoding", "it is computed from the body"),
    ("connection", "connections are reused"),
    ("upgrade", "connections cannot be upgraded"),
    ("idempotency-key", "every attempt already carries the key of its call"),
];
/// Headers, and parameters of a query or form, at most.
pub(in crate::definition) const ENTRIES_MAX: usize = 100;

impl Draft {
    /// The work under the key `http`.
    pub(super) fn http(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &HTTP) {
            return None;
        }
        let sees = Sees { marks: true, ..sees };
        let url = self.problems.expect(at, "url", "write the address, as in `url: https://…`");
        let url = url.and_then(|url| self.url(&url, sees));
        let body = self.http_body(at, sees);
        let method = self.method(at, &body);
        let probe = at.get("probe").map(|probe| self.probe(&probe, sees));
        let http = Http {
            method: method?,
            query: at.get("query").map(|query| self.parameters(&query, sees)).unwrap_or_default(),
            headers: at.get("headers").map(|headers| self.headers(&headers, sees)).unwrap_or_default(),
            body: body?,
            accept: at.get("accept").map(|accept| self.accept(&accept)).unwrap_or_default(),
            idempotent: at.get("idempotent").and_then(|idempotent| self.boolean(&idempotent)),
            on_unknown: at.get("on_unknown").and_then(|way| self.on_unknown(&way, OnUnknown::ALL)),
            callback: self.callback(at),
            probe: match probe {
                Some(probe) => Some(Box::new(probe?)),
                None => None,
            },
            url: url?,
        };
        self.check_probe(at, &http);
        Some(Work::Http(Box::new(http)))
    }

    fn check_probe(&mut self, at: &At<'_>, http: &Http) {
        let probes = http.on_unknown == Some(OnUnknown::Probe);
        match (at.get("on_unknown"), at.get("probe")) {
            (Some(way), None) if probes => {
                let hint = "add `probe: { url: …, done: <condition on result> }`";
                self.problems.error_at(&way, "`on_unknown: probe` needs a `probe`", Some(hint));
            }
            (_, Some(probe)) if !probes => {
                self.problems.error_at(
                    &probe,
                    "this `probe` is never used",
                    Some("add `on_unknown: probe`, or remove it"),
                );
            }
            (_, _) => {}
        }
    }

    fn url(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        self.warn_of_places(at, sees);
        if let Some(text) = template.literal()
            && !(text.starts_with("https://") || text.starts_with("http://"))
        {
            let message = format!("`{}` is not a valid URL", shortened(text));
            let hint = self.value_hint(at);
            self.problems.error_at(at, message, Some(hint.as_deref().unwrap_or("start it with https:// or http://")));
        }
        Some(template)
    }

    fn method(&mut self, at: &At<'_>, body: &Option<Body>) -> Option<&'static str> {
        let has_body = !matches!(body, Some(Body::None));
        let Some(method) = at.get("method") else { return Some(if has_body { "POST" } else { "GET" }) };
        let name = self.problems.expect_text(&method)?;
        let Some(known) = METHODS.into_iter().find(|known| *known == name) else {
            let hint = self.problems.did_you_mean(&name.to_ascii_uppercase(), METHODS);
            let hint = hint.unwrap_or_else(|| format!("allowed methods: {}", listed(&METHODS)));
            self.problems.error_at(&method, format!("`{}` is not a valid method", shortened(name)), Some(&hint));
            return None;
        };
        if body.is_some() && has_body && ["GET", "HEAD"].contains(&known) {
            let hint = "move the data to `query`, or choose another method";
            self.problems.error_at(&method, format!("a `{known}` request cannot have a body"), Some(hint));
        }
        Some(known)
    }

    fn http_body(&mut self, at: &At<'_>, sees: Sees) -> Option<Body> {
        let written: Vec<&str> = ["body", "form", "text"].into_iter().filter(|key| at.get(key).is_some()).collect();
        if let [_, second, ..] = written.as_slice()
            && let Some(second) = at.get(second)
        {
            let message = format!("a request can have only one body: this one has {}", listed(&written));
            self.problems.error_at(
                &second,
                message,
                Some("`body` is JSON, `form` is urlencoded, `text` is plain text"),
            );
        }
        match (at.get("body"), at.get("form"), at.get("text")) {
            (Some(body), _, _) => self.data(&body, sees).map(Body::Json),
            (None, Some(form), _) => Some(Body::Form(self.parameters(&form, sees))),
            (None, None, Some(text)) => self.text(&text, sees).map(Body::Text),
            (None, None, None) => Some(Body::None),
        }
    }

    /// Names with values, for a query or a form.
    fn parameters(&mut self, at: &At<'_>, sees: Sees) -> Vec<(String, Data)> {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of names to values", Some("write `name: \"${ value }\"`"));
        }
        self.not_too_many_entries(at);
        for (entry, _) in at.entries().iter().filter(|(entry, _)| entry.key.contains("${")) {
            let hint = "write a fixed name; a name from data can stand in the `url`: `…?${ name }=1`";
            self.problems.error(at.key_place(entry), "a name cannot contain an expression", Some(hint.into()));
        }
        let mut entries: Vec<(String, Data)> = at
            .entries()
            .into_iter()
            .filter_map(|(entry, value)| self.data(&value, sees).map(|data| (entry.key.clone(), data)))
            .collect();
        // The stored form does not keep the order of keys.
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries
    }

    fn headers(&mut self, at: &At<'_>, sees: Sees) -> Vec<(String, Template)> {
        if !at.is_map() {
            self.problems.unexpected(at, "a map of headers to strings", Some("write `Accept: text/csv`"));
        }
        self.not_too_many_entries(at);
        let mut headers: Vec<(String, Template)> = Vec::new();
        for (entry, value) in at.entries() {
            let name = entry.key.to_ascii_lowercase();
            let place = at.key_place(entry);
            if !is_token(&name) {
                let message = format!("`{}` is not a valid header name", shortened(&entry.key));
                self.problems.error(place, message, Some("use letters, digits and `-`".into()));
            } else if let Some((_, hint)) = OWN_HEADERS.iter().find(|(own, _)| *own == name) {
                let message = format!("the header `{}` cannot be set here", entry.key);
                self.problems.error(place, message, Some((*hint).to_owned()));
            } else if headers.iter().any(|(known, _)| *known == name) {
                let message = format!("duplicate header `{name}`");
                self.problems.error(place, message, Some("remove one of them".into()));
            }
            if let Some(template) = self.text(&value, sees) {
                if template.literal().is_some_and(|text| text.contains(['\r', '\n', '\0'])) {
                    let hint = "write it on one line";
                    self.problems.error_at(&value, "a header cannot contain a line break", Some(hint));
                }
                headers.push((name, template));
            }
        }
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        headers
    }

    fn not_too_many_entries(&mut self, at: &At<'_>) {
        let count = at.entries().len();
        if count > ENTRIES_MAX {
            self.problems.error_at(at, format!("there are {count} entries; at most {ENTRIES_MAX} are allowed"), None);
        }
    }

    /// One status or several.
    fn accept(&mut self, at: &At<'_>) -> Vec<Statuses> {
        let items = if at.is_list() { self.problems.expect_items(at, "statuses") } else { vec![at.clone()] };
        items.iter().filter_map(|item| self.statuses(item)).collect()
    }

    fn statuses(&mut self, at: &At<'_>) -> Option<Statuses> {
        let found = match &at.node.tree {
            Tree::Number(number) => {
                number.as_u64().and_then(|status| u16::try_from(status).ok()).map(|status| (status, status))
            }
            Tree::Text(text) => text
                .strip_suffix("xx")
                .and_then(|first| first.parse::<u16>().ok())
                .map(|first| (first * 100, first * 100 + 99)),
            Tree::Refused => return None,
            Tree::Null | Tree::Bool(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let found = found.filter(|(from, to)| *from >= 200 && *to <= 599);
        if found.is_none() {
            let hint = "write a number such as 404, or a class such as 4xx";
            self.problems.error_at(at, "expected an HTTP status from 200 to 599", Some(hint));
        }
        found.map(|(from, to)| Statuses { from, to })
    }

    /// The key `on_unknown`; one of `ways`.
    pub(super) fn on_unknown(&mut self, at: &At<'_>, ways: &[OnUnknown]) -> Option<OnUnknown> {
        let name = self.problems.expect_text(at)?;
        let found = ways.iter().copied().find(|way| way.name() == name);
        if found.is_none() {
            let names: Vec<&str> = ways.iter().map(|way| way.name()).collect();
            let hint = self.problems.did_you_mean(name, names.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("allowed values: {}", listed(&names)));
            let message = format!("`{}` is not a valid value of `on_unknown`", shortened(name));
            self.problems.error_at(at, message, Some(&hint));
        }
        found
    }

    fn callback(&mut self, at: &At<'_>) -> bool {
        let Some(at) = at.get("await") else { return false };
        match self.problems.expect_text(&at) {
            Some("callback") => true,
            Some("response") | None => false,
            Some(other) => {
                let message = format!("`{}` is not a valid value of `await`", shortened(other));
                self.problems.error_at(&at, message, Some("allowed values: `response` (default) and `callback`"));
                false
            }
        }
    }

    fn probe(&mut self, at: &At<'_>, sees: Sees) -> Option<Probe> {
        if !self.problems.expect_map(at, &PROBE) {
            return None;
        }
        let url = self.problems.expect(at, "url", "write the address to ask, as in `url: https://…`");
        let url = url.and_then(|url| self.url(&url, sees));
        let done = self.problems.expect(at, "done", "write a condition, as in `done: result.body.count > 0`");
        let done = done.and_then(|done| self.expression(&done, Sees { result: true, marks: false, ..sees }));
        let query = at.get("query").map(|query| self.parameters(&query, sees)).unwrap_or_default();
        let headers = at.get("headers").map(|headers| self.headers(&headers, sees)).unwrap_or_default();
        let accept = at.get("accept").map(|accept| self.accept(&accept)).unwrap_or_default();
        Some(Probe { url: url?, query, headers, accept, done: done? })
    }
}

/// Whether a text is a token of RFC 9110, as header names are.
fn is_token(text: &str) -> bool {
    const LENGTH_MAX: usize = 128;
    !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
