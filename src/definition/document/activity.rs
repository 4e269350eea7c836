//! Reads an activity: the keys that all kinds have in common.

use super::call::{CALL, LIMITS};
use super::draft::Draft;
use super::flow::EXIT;
use super::http::HTTP;
use super::retry::POLICY;
use super::task::TASK;
use super::work::{EMIT, END, RAISE, RECEIVE, RUN, WAIT};
use crate::definition::check::names::Sees;
use crate::definition::model::{Activity, End, Next, Timeout, Work};
use crate::definition::problem::Place;
use crate::definition::yaml::cursor::{At, Keys, is_name};
use crate::text::listed;

/// The kinds of work; an activity has exactly one of these keys.
pub(in crate::definition) const WORK: [&str; 11] =
    ["set", "switch", "run", "emit", "wait", "receive", "raise", "end", "task", "http", "call"];
/// Kinds of work that are not supported yet.
const LATER_WORK: [&str; 4] = ["workflow", "fork", "map", "compensate"];

pub(in crate::definition) const ACTIVITY: Keys = Keys {
    of: "an activity",
    known: &[
        "id",
        "title",
        "when",
        "set",
        "switch",
        "run",
        "emit",
        "wait",
        "receive",
        "raise",
        "end",
        "task",
        "http",
        "call",
        "output",
        "next",
        "timeout",
        "on_timeout",
        "retry",
        "on_error",
        "labels",
        "limits",
    ],
    later: &["workflow", "fork", "map", "compensate", "undo", "due"],
};

impl Draft {
    /// Collects the ids of all activities, so that targets can be checked while reading.
    pub(super) fn learn_ids(&mut self, activities: &[At<'_>]) {
        for (number, at) in activities.iter().enumerate() {
            let Some(id_at) = at.get("id") else { continue };
            self.names.tasks |= at.get("task").is_some();
            let Some(id) = id_of(at) else { continue };
            if self.ids.contains_key(id) {
                self.graph_is_doubtful = true;
                self.problems.error_at(&id_at, format!("duplicate activity id `{id}`"), Some("rename one of them"));
            } else {
                self.ids.insert(id.into(), number);
            }
        }
    }

    /// Reads an activity. Invalid parts are reported and left out.
    pub(super) fn activity(&mut self, at: &At<'_>, number: usize) -> Activity {
        let sees = Sees::ACTIVITY;
        let read = !self.stands_beside(at, &ACTIVITY, &keys_of) && self.problems.expect_map(at, &ACTIVITY);
        let id = if read { self.id(at) } else { None };
        let title = at.get("title").and_then(|title| self.text(&title, sees));
        let when = at.get("when").and_then(|when| self.expression(&when, sees));
        let work = if read { self.only_work(at) } else { None };
        self.graph_is_doubtful |= work.is_none();
        let has_result = matches!(
            work,
            Some(Work::Run { .. } | Work::Receive(_) | Work::Task(_) | Work::Http(_) | Work::Call(_)) | None
        );
        let after = Sees { result: has_result, ..sees };
        let output = at.get("output").map(|output| self.assignments(&output, after)).unwrap_or_default();
        let next = at.get("next").map_or(Next::Following, |next| self.next(&next, work.as_ref(), after));
        let timeout = self.timeout(at, sees);
        let on_error = self.on_errors(at, sees);
        let retry = self.retries(at.get("retry"));
        let labels = at.get("labels").map(|labels| self.labels(&labels)).unwrap_or_default().into_iter().collect();
        let limits = at.get("limits").and_then(|limits| self.activity_limits(&limits, sees));
        if let Some(work) = &work {
            self.check_use(at, work);
        }
        // A document with problems never becomes a definition; the placeholder only keeps the positions right.
        let work = work.unwrap_or(Work::End(End::Cancelled));
        let id = id.unwrap_or_else(|| format!("?{number}"));
        Activity { id, title, when, work, output, next, timeout, on_error, retry, labels, limits }
    }

    /// Reports the keys of a work that stand beside it, because they are not indented further. `inside` has the keys that belong
    /// inside of each key of the map.
    pub(super) fn stands_beside(
        &mut self,
        at: &At<'_>,
        keys: &Keys,
        inside: &dyn Fn(&str) -> Option<&'static [&'static str]>,
    ) -> bool {
        let entries = at.entries();
        for (number, (entry, value)) in entries.iter().enumerate() {
            let Some(inside) = inside(&entry.key).filter(|_| value.is_null()) else { continue };
            let following = entries.iter().skip(number + 1).map(|(entry, _)| *entry);
            let beside: Vec<_> = following.take_while(|entry| inside.contains(&entry.key.as_str())).collect();
            if let Some(first) = beside.first()
                && beside.iter().any(|entry| !keys.has(&entry.key))
            {
                let names: Vec<&str> = beside.iter().map(|entry| entry.key.as_str()).collect();
                let verb = if names.len() == 1 { "stands" } else { "stand" };
                let message = format!("{} {verb} beside `{}`, not inside of it", listed(&names), entry.key);
                let hint = format!("indent further than `{}` what belongs inside of it", entry.key);
                self.problems.error(at.key_place(first), message, Some(hint));
                self.graph_is_doubtful = true;
                return true;
            }
        }
        false
    }

    fn id(&mut self, at: &At<'_>) -> Option<String> {
        let id_at = self.problems.expect(at, "id", "add an `id` that is unique in the document");
        let id = id_at.as_ref().and_then(|id_at| self.problems.expect_name(id_at));
        self.graph_is_doubtful |= id.is_none();
        if let (Some(id_at), Some(EXIT)) = (&id_at, id) {
            self.problems.error_at(id_at, "`exit` is a reserved target and cannot be an id", Some("choose another id"));
        }
        id.map(str::to_owned)
    }

    /// The work of an activity.
    fn only_work(&mut self, at: &At<'_>) -> Option<Work> {
        let entries = at.entries();
        let kinds: Vec<&str> = entries.iter().map(|(entry, _)| entry.key.as_str()).collect();
        let kinds: Vec<&str> =
            kinds.into_iter().filter(|kind| WORK.contains(kind) || LATER_WORK.contains(kind)).collect();
        match kinds.as_slice() {
            // The unknown key is already reported, and was probably meant as the work.
            [] if entries.iter().any(|(entry, _)| !ACTIVITY.has(&entry.key)) => None,
            [] => {
                let hint = format!("add one of {}", listed(&WORK));
                self.problems.error_at(at, "this activity does nothing", Some(&hint));
                None
            }
            [kind] => at.get(kind).and_then(|work| self.work(kind, &work)),
            [_, _, ..] => {
                let message = format!("an activity can do only one thing: this one has {}", listed(&kinds));
                self.problems.error_at(at, message, Some("split it into several activities"));
                for kind in kinds {
                    // Only to report their problems.
                    at.get(kind).and_then(|work| self.work(kind, &work));
                }
                None
            }
        }
    }

    fn timeout(&mut self, at: &At<'_>, sees: Sees) -> Timeout {
        match at.get("timeout") {
            None => Timeout::Default,
            Some(timeout) if timeout.is_word("none") => Timeout::None,
            Some(timeout) => self.duration(&timeout, sees).map_or(Timeout::Default, Timeout::After),
        }
    }

    /// Reports keys that are not allowed with this kind of work.
    fn check_use(&mut self, at: &At<'_>, work: &Work) {
        let kind = work.kind();
        let meaningless: &[(&str, &str)] = match work {
            Work::Switch(_) => &[("next", "a `switch` contains its targets: add an entry to it")],
            Work::Raise { .. } => &[("output", "assign in the `output` of an `on_error` entry")],
            Work::End(_) => &[
                ("next", "nothing runs after an `end`"),
                ("output", "write the output of the instance inside: `end: { output: … }`"),
            ],
            Work::Set(_) | Work::Run { .. } | Work::Emit { .. } | Work::Wait(_) | Work::Receive(_) | Work::Task(_) => {
                &[]
            }
            Work::Http(_) | Work::Call(_) => &[],
        };
        for (key, hint) in meaningless {
            if let Some(found) = at.get(key) {
                self.problems.error_at(&found, format!("`{key}` is not allowed with `{kind}`"), Some(hint));
            }
        }
        let outside = matches!(work, Work::Http(_) | Work::Call(_));
        if let Some(limits) = at.get("limits").filter(|_| !outside) {
            let message = format!("`limits` is not allowed with `{kind}`");
            self.problems.error_at(&limits, message, Some("only `http` and `call` can be limited"));
        }
        let timed = outside || matches!(work, Work::Run { .. } | Work::Wait(_) | Work::Receive(_) | Work::Task(_));
        for key in ["timeout", "on_timeout"] {
            if let Some(found) = at.get(key).filter(|_| !timed) {
                let message = format!("`{key}` has no effect with `{kind}`, which takes no time");
                self.problems.warning(found.place(), message, Some("remove it".into()));
            }
        }
    }
}

/// The keys inside of a kind of work, or of another key of an activity.
fn keys_of(kind: &str) -> Option<&'static [&'static str]> {
    let keys: &'static Keys = match kind {
        "run" => &RUN,
        "emit" => &EMIT,
        "wait" => &WAIT,
        "receive" => &RECEIVE,
        "raise" => &RAISE,
        "end" => &END,
        "task" => &TASK,
        "http" => &HTTP,
        "call" => &CALL,
        "limits" => &LIMITS,
        "retry" => &POLICY,
        _ => return None,
    };
    Some(keys.known)
}

/// The id of an activity, if it is valid.
fn id_of<'n>(at: &At<'n>) -> Option<&'n str> {
    match &at.node.entry("id")?.value.tree {
        crate::definition::yaml::node::Tree::Text(id) if is_name(id) => Some(id),
        _ => None,
    }
}

/// The place at which problems of an activity are reported: its id, or its beginning.
pub(super) fn place_of(at: &At<'_>) -> Place {
    let place = at.get("id").map_or_else(|| at.place(), |id| id.place());
    Place { path: at.path.clone(), ..place }
}
