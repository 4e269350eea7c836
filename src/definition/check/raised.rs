//! Error codes that nothing raises: an `on_error` or a `retry` that names one never matches.

use crate::definition::codes::matches;
use crate::definition::problem::Problems;
use crate::definition::yaml::cursor::At;
use crate::definition::yaml::node::Tree;
use crate::fault::DATABASE;
use crate::text::{listed, nearest, shortened};

/// The first words of the codes with which any activity may fail.
const EVERYWHERE: [&str; 3] = ["expression", "limit", "timeout"];
/// First words of Leveret's own codes, with the second words that are known; those of `database` are also in the table of faults.
const OWN: [(&str, &[&str]); 9] = [
    ("database", &["not_found", "client", "aborted"]),
    ("expression", &[]),
    ("handler", &[]),
    ("http", &HTTP),
    ("limit", &[]),
    ("secrets", &[]),
    ("statement", &["params", "result", "unknown"]),
    ("task", &["candidates", "undecided"]),
    ("worker", &[]),
];
/// The second words of `http` besides statuses.
const HTTP: [&str; 5] = ["connect", "broken", "refused", "request", "response"];

/// With what an activity, or a whole document, may fail.
#[derive(Debug, Default)]
struct Raised {
    /// First words.
    roots: Vec<&'static str>,
    /// Codes of a `raise`.
    own: Vec<String>,
    /// A code is computed, or unknown.
    anything: bool,
    /// What codes of the work itself begin with, if it has codes of its own.
    of_work: Option<&'static str>,
}

/// Reports codes that cannot match.
pub(super) fn check(root: &At<'_>, activities: &[At<'_>], problems: &mut Problems) {
    let mut all = Raised { roots: EVERYWHERE.to_vec(), ..Raised::default() };
    for activity in activities {
        let raised = Raised::of(activity);
        each_code(activity, |code, text| raised.check(code, text, "this activity never fails", problems));
        all.roots.extend(raised.roots);
        all.own.extend(raised.own);
        all.anything |= raised.anything;
    }
    all.roots.sort_unstable();
    all.roots.dedup();
    each_code(root, |code, text| all.check(code, text, "no activity fails", problems));
}

/// Every code in `on_error` and `retry`.
fn each_code(at: &At<'_>, mut see: impl FnMut(&At<'_>, &str)) {
    let handled = at.get("on_error").map(|list| list.items()).unwrap_or_default();
    let policies = at.get("retry").map(|retry| if retry.is_list() { retry.items() } else { vec![retry] });
    let handled = handled.iter().filter_map(|entry| entry.get("code"));
    let retried: Vec<At<'_>> = policies.unwrap_or_default().iter().filter_map(|policy| policy.get("codes")).collect();
    for codes in handled.chain(retried) {
        let codes = if codes.is_list() { codes.items() } else { vec![codes] };
        for code in codes {
            if let Tree::Text(text) = &code.node.tree {
                see(&code, text);
            }
        }
    }
}

impl Raised {
    fn of(activity: &At<'_>) -> Self {
        let own = |roots: &[&'static str], of_work| {
            let roots = EVERYWHERE.iter().chain(roots).copied().collect();
            Raised { roots, of_work, ..Raised::default() }
        };
        if let Some(run) = activity.get("run") {
            return match run.get("sql") {
                Some(_) => own(&["database", "statement"], Some("database")),
                None => own(&["handler", "database"], Some("handler")),
            };
        }
        if activity.get("http").is_some() {
            return own(&["http", "secrets", "worker", "unknown"], Some("http"));
        }
        if activity.get("call").is_some() {
            return own(&["worker", "unknown"], Some("worker"));
        }
        if activity.get("task").is_some() {
            return own(&["task"], Some("task"));
        }
        if let Some(raise) = activity.get("raise") {
            return match raise.get("code").as_ref().map(|code| &code.node.tree) {
                Some(Tree::Text(code)) if !code.contains("${") => Raised { own: vec![code.clone()], ..own(&[], None) },
                _ => Raised { anything: true, ..Raised::default() },
            };
        }
        let idle = ["set", "switch", "emit", "wait", "receive", "end"];
        match idle.iter().any(|work| activity.get(work).is_some()) {
            true => own(&[], None),
            false => Raised { anything: true, ..Raised::default() },
        }
    }

    /// Whether something fails with a code that this one matches.
    fn has(&self, code: &str) -> bool {
        let (first, second) = words(code);
        let known = self.roots.contains(&first) && second.is_none_or(|second| fits(first, second));
        self.anything || known || self.own.iter().any(|own| matches(code, own))
    }

    fn check(&self, at: &At<'_>, code: &str, nothing: &str, problems: &mut Problems) {
        // An invalid code is reported where it is read.
        if self.has(code) || !crate::definition::codes::is_code(code) {
            return;
        }
        let hint = self.meant(code).map(|meant| format!("did you mean `{meant}`?")).or_else(|| self.hint(code));
        problems.warning(at.place(), format!("{nothing} with `{}`", shortened(code)), hint);
    }

    /// The code that was probably meant; only one that something raises.
    fn meant(&self, code: &str) -> Option<String> {
        let (first, second) = words(code);
        if let Some(own) = nearest(code, self.own.iter().map(String::as_str)) {
            return Some(own.to_owned());
        }
        let rest = code.strip_prefix(first).unwrap_or_default();
        let by_first = nearest(first, self.roots.iter().copied()).map(|root| format!("{root}{rest}"));
        let by_second = second.and_then(|second| Some(format!("{first}.{}", nearest(second, seconds(first))?)));
        [by_first, by_second].into_iter().flatten().find(|meant| meant != code && self.has(meant))
    }

    fn hint(&self, code: &str) -> Option<String> {
        let (first, _) = words(code);
        let reserved = OWN.iter().any(|(root, _)| *root == first);
        match self.of_work {
            Some(root @ ("handler" | "worker")) if !reserved => {
                Some(format!("an error of the {root} itself has the code `{root}.{}`", shortened(code)))
            }
            _ => Some(format!("its codes begin with {}", listed(&[self.roots.as_slice(), &self.raised()].concat()))),
        }
    }

    fn raised(&self) -> Vec<&str> {
        self.own.iter().take(5).map(String::as_str).collect()
    }
}

/// The first two words of a code.
fn words(code: &str) -> (&str, Option<&str>) {
    let mut words = code.split('.');
    (words.next().unwrap_or_default(), words.next())
}

/// The known second words of a first word; empty if every word may follow.
fn seconds(first: &str) -> Vec<&'static str> {
    let own = OWN.iter().find(|(root, _)| *root == first).map(|(_, seconds)| *seconds).unwrap_or_default();
    let of_database = DATABASE.iter().filter(|_| first == "database").map(|line| line.kind);
    own.iter().copied().chain(of_database).collect()
}

/// Whether a code may have this second word. Only the list of `http` is complete for ever; elsewhere a word is wrong if a known one is
/// similar.
fn fits(first: &str, second: &str) -> bool {
    let known = seconds(first);
    let status = second.len() == 3 && second.starts_with(|c: char| ('1'..='5').contains(&c));
    match first {
        "http" if status => second.ends_with("xx") || second.bytes().all(|byte| byte.is_ascii_digit()),
        "http" => known.contains(&second),
        _ => known.contains(&second) || nearest(second, known).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::Definition;

    fn told(work: &str, code: &str) -> Option<String> {
        let text = format!("name: a\nactivities: [{{ id: a, {work}, on_error: [{{ code: {code}, to: exit }}] }}]");
        let warnings = Definition::parse(&text).unwrap().warnings;
        let warning = warnings.into_iter().find(|warning| warning.message.contains("never fails with"))?;
        assert_eq!(warning.path, "activities[0].on_error[0].code");
        warning.hint
    }

    const HTTP: &str = "http: { url: 'https://a.example' }";
    const HANDLER: &str = "run: { handler: x }";
    const CALL: &str = "call: { name: x }";

    #[test]
    fn a_code_that_is_raised_is_not_reported() {
        for (work, codes) in [
            (
                HTTP,
                ["http", "http.404", "http.5xx", "http.connect.dns", "worker.declined", "timeout", "limit.response"]
                    .as_slice(),
            ),
            (HANDLER, &["handler", "handler.anything", "database.unique", "database.anything", "expression"]),
            (CALL, &["worker", "worker.out_of_boxes", "worker.unavailable"]),
            ("raise: { code: a.b }", &["a", "a.b", "expression"]),
            ("raise: { code: '${ instance.key }' }", &["anything"]),
            ("run: { sql: x }", &["database.check", "statement.params", "limit.rows"]),
        ] {
            for code in codes {
                assert_eq!(told(work, code), None, "{work} {code}");
            }
        }
    }

    #[test]
    fn a_code_that_nothing_raises_has_a_suggestion_only_if_that_is_right() {
        for (work, code, hint) in [
            (HTTP, "htpp.404", "did you mean `http.404`?"),
            (HTTP, "http.conect", "did you mean `http.connect`?"),
            (HANDLER, "databse.unique", "did you mean `database.unique`?"),
            (HANDLER, "database.uniqe", "did you mean `database.unique`?"),
            (HANDLER, "no_stock", "an error of the handler itself has the code `handler.no_stock`"),
            (CALL, "out_of_boxes", "an error of the worker itself has the code `worker.out_of_boxes`"),
            (CALL, "http.404", "its codes begin with `expression`, `limit`, `timeout`, `worker` and `unknown`"),
            ("raise: { code: no_stock }", "no_stok", "did you mean `no_stock`?"),
            ("set: {}", "handler.busy", "its codes begin with `expression`, `limit` and `timeout`"),
        ] {
            assert_eq!(told(work, code).as_deref(), Some(hint), "{work} {code}");
        }
    }
}
