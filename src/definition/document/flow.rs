//! Reads where a branch continues: targets, `next`, `switch`, `on_error`.

use std::collections::BTreeMap;

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{Choice, Next, OnError, Receive, Target, Task, Work};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::Tree;
use crate::text::{listed, shortened};

pub(in crate::definition) const CHOICE: Keys = Keys { of: "a choice", known: &["when", "to"], later: &[] };
pub(in crate::definition) const ON_ERROR: Keys =
    Keys { of: "an `on_error` entry", known: &["code", "when", "output", "to"], later: &[] };
/// The target that completes the instance; no activity can have it as its id.
pub(super) const EXIT: &str = "exit";

impl Draft {
    /// The id of an activity, or `exit`.
    pub(super) fn target(&mut self, at: &At<'_>) -> Option<Target> {
        let Some(id) = self.problems.expect_text(at) else {
            self.graph_is_doubtful = true;
            return None;
        };
        if id == EXIT {
            return Some(Target::Exit);
        }
        if self.ids.contains_key(id) {
            return Some(Target::Activity(id.into()));
        }
        let ids = self.ids.keys().map(String::as_str).chain([EXIT]);
        let meant = self.problems.nearest(id, ids).map(str::to_owned);
        let hint = meant.as_ref().map(|id| format!("did you mean `{id}`?"));
        let hint = hint.unwrap_or_else(|| "write the `id` of an activity, or `exit`".into());
        self.graph_is_doubtful |= meant.is_none();
        self.problems.error_at(at, format!("there is no activity `{}`", shortened(id)), Some(&hint));
        // Continuing with the similar id avoids reports that follow from this one.
        meant.map(|id| if id == EXIT { Target::Exit } else { Target::Activity(id) })
    }

    /// A `switch`, or a `next` that is a list.
    pub(super) fn choices(&mut self, at: &At<'_>, sees: Sees) -> Vec<Choice> {
        let items = self.problems.expect_items(at, "choices");
        self.graph_is_doubtful |= items.is_empty();
        let mut choices = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let last = number + 1 == items.len();
            if !self.problems.expect_map(item, &CHOICE) {
                self.graph_is_doubtful = true;
                continue;
            }
            let when = item.get("when");
            match (&when, last) {
                (Some(when), true) => self.problems.error_at(
                    when,
                    "the last entry must not have a `when`: without a match the branch would have no target",
                    Some("add a last entry without `when`: `- { to: … }`"),
                ),
                (None, false) => self.problems.error_at(
                    item,
                    "an entry without `when` always matches: the entries after it are never reached",
                    Some("move it to the end, or add a `when`"),
                ),
                (Some(_), false) | (None, true) => {}
            }
            let when = when.and_then(|when| self.expression(&when, sees));
            match self.problems.expect(item, "to", "add the target: `to: <id>`") {
                Some(to) => choices.extend(self.target(&to).map(|to| Choice { when, to })),
                None => self.graph_is_doubtful = true,
            }
        }
        choices
    }

    /// The key `next` of an activity that does `work`.
    pub(super) fn next(&mut self, at: &At<'_>, work: Option<&Work>, sees: Sees) -> Next {
        if !at.is_map() {
            return self.plain_next(at, sees);
        }
        let (of, kind, names) = match work {
            Some(Work::Receive(messages)) => ("`receive`", "message", self.literal_names(at, messages)),
            Some(Work::Task(task)) => ("`task`", "decision", self.decision_names(at, task)),
            Some(_) => {
                let hint = "write an id, or a list of `{ when, to }`";
                self.problems.error_at(at, "`next` can be a map only with `receive` or `task`", Some(hint));
                ("", "", None)
            }
            None => ("", "", None),
        };
        let Some(names) = names else {
            self.graph_is_doubtful = true;
            return Next::Following;
        };
        let mut by_name = BTreeMap::new();
        for (entry, value) in at.entries() {
            if !names.contains(&entry.key) {
                let near = self.problems.did_you_mean(&entry.key, names.iter().map(String::as_str));
                let hint = near.unwrap_or_else(|| format!("its {kind}s are {}", listed(&names)));
                let message = format!("this {of} has no {kind} `{}`", shortened(&entry.key));
                self.problems.error(at.key_place(entry), message, Some(hint));
            }
            let next = self.plain_next(&value, sees);
            by_name.insert(entry.key.clone(), next);
        }
        for name in names.iter().filter(|name| !by_name.contains_key(*name)) {
            let hint = format!("add `{name}: <id>`");
            self.problems.error_at(at, format!("`next` does not handle the {kind} `{name}`"), Some(&hint));
        }
        Next::ByName(by_name)
    }

    /// The names of the decisions; none are a problem.
    fn decision_names(&mut self, at: &At<'_>, task: &Task) -> Option<Vec<String>> {
        if task.decisions.is_empty() {
            let hint = "add `decisions: [approve, reject]`";
            self.problems.error_at(at, "a `next` by decision needs `decisions`", Some(hint));
            return None;
        }
        Some(task.decisions.iter().map(|decision| decision.name.clone()).collect())
    }

    /// The names of the messages; expressions in them are a problem.
    fn literal_names(&mut self, at: &At<'_>, messages: &[Receive]) -> Option<Vec<String>> {
        let names: Option<Vec<String>> =
            messages.iter().map(|message| message.name.literal().map(str::to_owned)).collect();
        if names.is_none() {
            let hint = "use a list: `- { when: result.name == …, to: … }`";
            self.problems.error_at(at, "a `next` by message needs message names without expressions", Some(hint));
        }
        names
    }

    fn plain_next(&mut self, at: &At<'_>, sees: Sees) -> Next {
        match &at.node.tree {
            Tree::List(_) => Next::Choose(self.choices(at, sees)),
            Tree::Text(_) => self.target(at).map_or(Next::Following, Next::To),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Map(_) => {
                self.problems.unexpected(at, "an id or a list of `{ when, to }`", None);
                self.graph_is_doubtful = true;
                Next::Following
            }
        }
    }

    /// `on_timeout` and `on_error`, of an activity or of the document.
    pub(super) fn on_errors(&mut self, at: &At<'_>, sees: Sees) -> Vec<OnError> {
        let mut entries = Vec::new();
        if let Some(to) = at.get("on_timeout").and_then(|to| self.target(&to)) {
            entries.push(OnError { codes: vec!["timeout".into()], when: None, output: Vec::new(), to: Some(to) });
        }
        if let Some(list) = at.get("on_error") {
            let items = self.problems.expect_items(&list, "`{ code, when, output, to }`");
            let last = items.len();
            for (number, item) in items.iter().enumerate() {
                entries.extend(self.on_error(item, number + 1 == last, sees.and_error()));
            }
        }
        entries
    }

    fn on_error(&mut self, at: &At<'_>, last: bool, sees: Sees) -> Option<OnError> {
        if !self.problems.expect_map(at, &ON_ERROR) {
            self.graph_is_doubtful = true;
            return None;
        }
        let (code, when) = (at.get("code"), at.get("when"));
        if code.is_none() && when.is_none() && !last {
            let hint = "move it to the end, or add a `code` or a `when`";
            self.problems.error_at(
                at,
                "this entry matches every error: the entries after it are never reached",
                Some(hint),
            );
        }
        let codes = code.map(|code| self.codes(&code)).unwrap_or_default();
        let when = when.and_then(|when| self.expression(&when, sees));
        let output = at.get("output").map(|output| self.assignments(&output, sees)).unwrap_or_default();
        let to = at.get("to").and_then(|to| self.target(&to));
        Some(OnError { codes, when, output, to })
    }
}
