//! How a task can be decided: its decisions, and the rules of a vote.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::codes;
use crate::definition::model::{Decision, Task, VoteRule};
use crate::definition::yaml::cursor::{At, Keys, is_name};
use crate::text::{listed, shortened};

const RULE: Keys = Keys { of: "a rule of a vote", known: &["decide", "when"], later: &[] };

/// Most decisions of one task: more is a form.
const DECISIONS_MAX: usize = 50;
impl Draft {
    /// The names of the ways to decide, in order; a map is ordered by its keys.
    pub(super) fn decisions(&mut self, at: &At<'_>) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::new();
        if at.is_map() {
            for (entry, label) in at.entries() {
                let label = self.problems.expect_text(&label).unwrap_or(&entry.key).to_owned();
                self.decision(&at.member(entry), Decision { name: entry.key.clone(), label }, &mut decisions);
            }
            decisions.sort_by(|one, other| one.name.cmp(&other.name));
        } else {
            for item in self.problems.expect_items(at, "decisions") {
                if let Some(name) = self.problems.expect_text(&item) {
                    self.decision(&item, Decision { name: name.into(), label: name.into() }, &mut decisions);
                }
            }
        }
        if decisions.len() > DECISIONS_MAX {
            let message = format!("there are {} decisions; {DECISIONS_MAX} are allowed", decisions.len());
            self.problems.error_at(at, message, Some("ask for it in the `form`"));
        }
        if at.is_map() && at.entries().is_empty() {
            self.problems.error_at(at, "the map of decisions is empty", Some("write `approve: Approve`"));
        }
        decisions
    }

    fn decision(&mut self, at: &At<'_>, decision: Decision, decisions: &mut Vec<Decision>) {
        let name = &decision.name;
        if !is_name(name) || !codes::is_code(name) {
            let hint = "a small letter, then small letters, digits, `_` and `-`";
            self.problems.error_at(at, format!("`{}` is no name of a decision", shortened(name)), Some(hint));
        } else if decisions.iter().any(|known| known.name == *name) {
            self.problems.error_at(at, format!("the decision `{name}` is there twice"), Some("remove one of them"));
            return;
        }
        decisions.push(decision);
    }

    pub(super) fn fits_a_vote(&mut self, at: &At<'_>, task: &Task) {
        if task.decisions.is_empty() && at.get("decisions").is_none() {
            self.problems.error_at(at, "a vote needs `decisions`", Some("add `decisions: [approve, reject]`"));
        }
        for (key, hint) in [
            ("form", "each ballot has a comment; ask for more in a task of its own"),
            ("assignee", "every candidate has a vote: name them under `candidates: { users: … }`"),
            ("assign", "every candidate has a vote: name them under `candidates: { users: … }`"),
        ] {
            if let Some(found) = at.get(key) {
                self.problems.error_at(&found, format!("`{key}` has no meaning beside `vote`"), Some(hint));
            }
        }
        let escalated = task.escalate.iter().any(|escalation| escalation.candidates.groups.is_some());
        if task.candidates.groups.is_some() || escalated {
            let hint = "write the voters under `candidates: { users: … }`";
            self.problems.error_at(
                at,
                "who belongs to a group is not known here, so its votes cannot be counted",
                Some(hint),
            );
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
        let decide = self.problems.expect(at, "decide", "name the decision it closes the task with");
        let when = self.problems.expect(at, "when", "say when it holds: `when: votes.approve * 2 > size(voters)`");
        let when = when.and_then(|when| self.expression(&when, Sees { votes: true, ..sees }));
        let decide_at = decide?;
        let decide = self.problems.expect_text(&decide_at)?;
        if !decisions.is_empty() && decisions.iter().all(|decision| decision.name != decide) {
            let names: Vec<&str> = decisions.iter().map(|decision| decision.name.as_str()).collect();
            let hint = self.problems.did_you_mean(decide, names.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("it has {}", listed(&names)));
            let message = format!("this task has no decision `{}`", shortened(decide));
            self.problems.error_at(&decide_at, message, Some(&hint));
        }
        Some(VoteRule { decide: decide.into(), when: when? })
    }
}
