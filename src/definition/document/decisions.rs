//! Reads the decisions of a task, and the rules of a vote.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{Decision, Task, VoteRule};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::{Node, Tree};
use crate::definition::{free_name_rule, is_free_name};
use crate::text::{listed, shortened};

pub(in crate::definition) const RULE: Keys = Keys { of: "a rule of a vote", known: &["decide", "when"], later: &[] };

/// Decisions of one task at most; more belong in a form.
pub(in crate::definition) const DECISIONS_MAX: usize = 50;

/// Writes the decisions of every task as a list, the form in which they are stored: the database keeps the order of a list, but
/// not that of a map.
pub(crate) fn list_decisions(document: &mut Node) {
    let Some(Node { tree: Tree::List(activities), .. }) = member(document, "activities") else { return };
    for activity in activities {
        let decisions = member(activity, "task").and_then(|task| member(task, "decisions"));
        let Some(Node { tree, line, column, .. }) = decisions else { continue };
        if let Tree::Map(entries) = tree {
            let (line, column) = (*line, *column);
            let item = |entry| Node { tree: Tree::Map(vec![entry]), line, column, cut: false };
            *tree = Tree::List(std::mem::take(entries).into_iter().map(item).collect());
        }
    }
}

fn member<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Tree::Map(entries) = &mut node.tree else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
}

impl Draft {
    /// The key `decisions`, in order.
    pub(super) fn decisions(&mut self, at: &At<'_>) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::new();
        if at.is_map() {
            for (entry, label) in at.entries() {
                let label = self.problems.expect_text(&label).unwrap_or(&entry.key).to_owned();
                self.decision(&at.member(entry), Decision { name: entry.key.clone(), label }, &mut decisions);
            }
        } else {
            for item in self.problems.expect_items(at, "decisions") {
                if item.is_map() {
                    self.labelled(&item, &mut decisions);
                } else if let Some(name) = self.problems.expect_text(&item) {
                    self.decision(&item, Decision { name: name.into(), label: name.into() }, &mut decisions);
                }
            }
        }
        if decisions.len() > DECISIONS_MAX {
            let message = format!("there are {} decisions; at most {DECISIONS_MAX} are allowed", decisions.len());
            self.problems.error_at(at, message, Some("ask for the rest in the `form`"));
        }
        if at.is_map() && at.entries().is_empty() {
            self.problems.error_at(at, "`decisions` must not be empty", Some("add one, as in `approve: Approve`"));
        }
        decisions
    }

    /// One decision with its label, as an item of a list.
    fn labelled(&mut self, at: &At<'_>, decisions: &mut Vec<Decision>) {
        let entries = at.entries();
        let [(entry, label)] = entries.as_slice() else {
            let hint = "write one in each item, as in `- approve: Let it pass`";
            self.problems.error_at(at, "expected one decision and its label", Some(hint));
            return;
        };
        let label = self.problems.expect_text(label).unwrap_or(&entry.key).to_owned();
        self.decision(&at.member(entry), Decision { name: entry.key.clone(), label }, decisions);
    }

    fn decision(&mut self, at: &At<'_>, decision: Decision, decisions: &mut Vec<Decision>) {
        let name = &decision.name;
        if !is_free_name(name) {
            let message = format!("`{}` is not a valid decision name", shortened(name));
            self.problems.error_at(at, message, Some(&free_name_rule()));
        } else if decisions.iter().any(|known| known.name == *name) {
            self.problems.error_at(at, format!("duplicate decision `{name}`"), Some("remove one of them"));
            return;
        }
        decisions.push(decision);
    }

    pub(super) fn check_vote(&mut self, at: &At<'_>, task: &Task) {
        if task.decisions.is_empty() && at.get("decisions").is_none() {
            self.problems.error_at(at, "a vote needs `decisions`", Some("add `decisions: [approve, reject]`"));
        }
        for (key, hint) in [
            ("form", "every vote has a comment; use a separate task to ask for more"),
            ("assignee", "every candidate votes: list them in `candidates: { users: … }`"),
            ("assign", "every candidate votes: list them in `candidates: { users: … }`"),
        ] {
            if let Some(found) = at.get(key) {
                self.problems.error_at(&found, format!("`{key}` is not allowed with `vote`"), Some(hint));
            }
        }
        let escalated = task.escalate.iter().any(|escalation| escalation.candidates.groups.is_some());
        if task.candidates.groups.is_some() || escalated {
            let hint = "list the voters in `candidates: { users: … }`";
            let message = "a vote cannot have groups: Leveret does not know their members";
            self.problems.error_at(at, message, Some(hint));
        }
    }

    pub(super) fn vote(&mut self, at: &At<'_>, decisions: &[Decision], sees: Sees) -> Vec<VoteRule> {
        let items = self.problems.expect_items(at, "`{ decide, when }`");
        items.iter().filter_map(|item| self.rule(item, decisions, sees)).collect()
    }

    fn rule(&mut self, at: &At<'_>, decisions: &[Decision], sees: Sees) -> Option<VoteRule> {
        if !self.problems.expect_map(at, &RULE) {
            return None;
        }
        let decide =
            self.problems.expect(at, "decide", "name the decision that closes the task, as in `decide: approve`");
        let when = self.problems.expect(at, "when", "add a condition, as in `when: votes.approve * 2 > size(voters)`");
        let when = when.and_then(|when| self.expression(&when, Sees { votes: true, ..sees }));
        let decide_at = decide?;
        let decide = self.problems.expect_text(&decide_at)?;
        if !decisions.is_empty() && decisions.iter().all(|decision| decision.name != decide) {
            let names: Vec<&str> = decisions.iter().map(|decision| decision.name.as_str()).collect();
            let hint = self.problems.did_you_mean(decide, names.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("its decisions are {}", listed(&names)));
            let message = format!("this task has no decision `{}`", shortened(decide));
            self.problems.error_at(&decide_at, message, Some(&hint));
        }
        Some(VoteRule { decide: decide.into(), when: when? })
    }
}
