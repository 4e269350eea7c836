//! Reads a `task`: who can do it, its form, its reminders and escalations.

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{Assign, AssignBy, Candidates, Escalation, Remind, Task, Work};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::Tree;
use crate::expression::{Data, Template};
use crate::text::{listed, shortened};
use crate::time::{duration, moment};

pub(in crate::definition) const TASK: Keys = Keys {
    of: "a `task`",
    known: &[
        "title",
        "description",
        "data",
        "priority",
        "candidates",
        "exclude",
        "assignee",
        "assign",
        "form",
        "decisions",
        "due",
        "remind",
        "escalate",
        "vote",
    ],
    later: &[],
};
pub(in crate::definition) const CANDIDATES: Keys = Keys { of: "candidates", known: &["users", "groups"], later: &[] };
pub(in crate::definition) const ASSIGN: Keys = Keys { of: "an assignment", known: &["strategy", "users"], later: &[] };
pub(in crate::definition) const REMIND: Keys = Keys { of: "reminders", known: &["every", "times"], later: &[] };
pub(in crate::definition) const ESCALATION: Keys =
    Keys { of: "an escalation", known: &["after", "candidates", "priority"], later: &[] };

/// Reminders, and escalations, of one task at most: each is a timer.
pub(in crate::definition) const TIMERS_MAX: usize = 20;
/// Default of `times` in `remind: { every }`.
const TIMES: u32 = 5;
/// Largest `times`: reminders of `{ every }` are one timer after the other.
pub(in crate::definition) const TIMES_MAX: u32 = 1_000;

impl Draft {
    /// The work under the key `task`.
    pub(super) fn task(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &TASK) {
            return None;
        }
        let decisions = at.get("decisions").map(|decisions| self.decisions(&decisions)).unwrap_or_default();
        let task = Task {
            title: at.get("title").and_then(|title| self.text(&title, sees)),
            description: at.get("description").and_then(|description| self.text(&description, sees)),
            data: at.get("data").and_then(|data| self.data(&data, sees)),
            priority: at.get("priority").and_then(|priority| self.task_priority(&priority, sees)),
            candidates: at.get("candidates").map(|at| self.candidates(&at, sees)).unwrap_or_default(),
            exclude: at.get("exclude").and_then(|exclude| self.people(&exclude, sees)),
            assign: self.assign(at, sees),
            form: at.get("form").and_then(|form| self.schema(&form)),
            due: at.get("due").filter(|due| !due.is_null()).and_then(|due| self.time(&due, sees)),
            remind: at.get("remind").map_or(Remind::Never, |remind| self.remind(&remind, sees)),
            escalate: at.get("escalate").map(|list| self.escalations(&list, sees)).unwrap_or_default(),
            vote: at.get("vote").map(|vote| self.vote(&vote, &decisions, sees)).unwrap_or_default(),
            decisions,
        };
        self.check_people(at, &task);
        if at.get("vote").is_some() {
            self.check_vote(at, &task);
        }
        Some(Work::Task(Box::new(task)))
    }

    fn check_people(&mut self, at: &At<'_>, task: &Task) {
        let listed = match &task.assign {
            Assign::By { users, .. } => users.is_some(),
            Assign::To(_) => true,
            Assign::Nobody => false,
        };
        // An invalid value is already reported.
        if !listed && ["candidates", "assignee", "assign"].iter().all(|key| at.get(key).is_none()) {
            let hint = "add `candidates: { groups: [clerks] }` or an `assignee`";
            self.problems.error_at(at, "no one can do this task: it has no candidates", Some(hint));
        }
        if let (Assign::By { users: None, .. }, None, Some(assign)) =
            (&task.assign, &task.candidates.users, at.get("assign"))
        {
            let hint = "add `candidates: { users: [ … ] }`, or write `assign: { strategy: …, users: [ … ] }`";
            self.problems.error_at(&assign, "a strategy needs a list of users to choose from", Some(hint));
        }
    }

    /// Names of users or groups: a string, a list, or an expression.
    fn people(&mut self, at: &At<'_>, sees: Sees) -> Option<Data> {
        match &at.node.tree {
            Tree::Text(_) | Tree::List(_) => self.data(at, sees),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Map(_) => {
                self.problems.unexpected(at, "a name or a list of names", None);
                None
            }
        }
    }

    fn candidates(&mut self, at: &At<'_>, sees: Sees) -> Candidates {
        if !self.problems.expect_map(at, &CANDIDATES) {
            return Candidates::default();
        }
        if at.entries().is_empty() {
            self.problems.error_at(at, "`candidates` must not be empty", Some("add `users: [ … ]` or `groups: [ … ]`"));
        }
        let users = at.get("users").and_then(|users| self.people(&users, sees));
        let groups = at.get("groups").and_then(|groups| self.people(&groups, sees));
        Candidates { users, groups }
    }

    fn assign(&mut self, at: &At<'_>, sees: Sees) -> Assign {
        match (at.get("assignee"), at.get("assign")) {
            (None, None) => Assign::Nobody,
            (Some(assignee), None) => self.text(&assignee, sees).map_or(Assign::Nobody, Assign::To),
            (Some(_), Some(assign)) => {
                let hint = "use `assignee` for one user, `assign` to choose from a list";
                self.problems.error_at(&assign, "a task cannot have both `assignee` and `assign`", Some(hint));
                Assign::Nobody
            }
            (None, Some(assign)) => self.strategy(&assign, sees),
        }
    }

    fn strategy(&mut self, at: &At<'_>, sees: Sees) -> Assign {
        let (word, users) = match at.is_map() {
            true if self.problems.expect_map(at, &ASSIGN) => {
                let users = at.get("users").and_then(|users| self.people(&users, sees));
                (self.problems.expect(at, "strategy", "name a strategy, as in `strategy: round_robin`"), users)
            }
            true => (None, None),
            false => (Some(at.clone()), None),
        };
        let Some(word) = word else { return Assign::Nobody };
        let Some(name) = self.problems.expect_text(&word) else { return Assign::Nobody };
        if let Ok(strategy) = name.parse() {
            return Assign::By { strategy, users };
        }
        let hint = self.problems.did_you_mean(name, AssignBy::NAMES.iter().copied());
        let hint = hint.unwrap_or_else(|| format!("allowed strategies: {}", listed(AssignBy::NAMES)));
        self.problems.error_at(&word, format!("`{}` is not a valid strategy", shortened(name)), Some(&hint));
        Assign::Nobody
    }

    fn task_priority(&mut self, at: &At<'_>, sees: Sees) -> Option<Data> {
        let fits = match &at.node.tree {
            Tree::Number(number) => number.as_i64().is_some_and(|number| i16::try_from(number).is_ok()),
            Tree::Text(text) => text.contains("${"),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::List(_) | Tree::Map(_) => false,
        };
        if !fits {
            let message = format!("expected a whole number from {} to {}", i16::MIN, i16::MAX);
            self.problems.error_at(at, message, Some("0 is the default; higher numbers come first"));
            return None;
        }
        self.data(at, sees)
    }

    /// A timestamp, or a duration after the task opened.
    fn time(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let template = self.template(at, sees)?;
        if let Some(text) = template.literal()
            && duration::parse(text).is_err()
            && moment::parse(text).is_none()
        {
            let message = format!("`{}` is not a valid duration or timestamp", shortened(text));
            let hint = self.value_hint(at);
            self.problems.error_at(at, message, Some(hint.as_deref().unwrap_or("write 2d or 2030-12-31T09:00:00Z")));
        }
        Some(template)
    }

    fn remind(&mut self, at: &At<'_>, sees: Sees) -> Remind {
        if at.is_map() {
            if !self.problems.expect_map(at, &REMIND) {
                return Remind::Never;
            }
            let every = self.problems.expect(at, "every", "add the interval, as in `every: 1d`");
            let every = every.and_then(|every| self.duration(&every, sees));
            let times = at.get("times").map_or(Some(TIMES), |times| self.times(&times));
            return every.zip(times).map_or(Remind::Never, |(every, times)| Remind::Every { every, times });
        }
        let items = if at.is_list() { self.problems.expect_items(at, "reminders") } else { vec![at.clone()] };
        self.not_too_many(at, items.len(), "reminders");
        Remind::At(items.iter().filter_map(|item| self.time(item, sees)).collect())
    }

    fn times(&mut self, at: &At<'_>) -> Option<u32> {
        let times = match &at.node.tree {
            Tree::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Tree::Refused | Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let times = times.filter(|times| (1..=TIMES_MAX).contains(times));
        if times.is_none() {
            self.problems.error_at(at, format!("expected a whole number from 1 to {TIMES_MAX}"), None);
        }
        times
    }

    fn not_too_many(&mut self, at: &At<'_>, count: usize, of: &str) {
        if count > TIMERS_MAX {
            self.problems.error_at(at, format!("there are {count} {of}; at most {TIMERS_MAX} are allowed"), None);
        }
    }

    fn escalations(&mut self, at: &At<'_>, sees: Sees) -> Vec<Escalation> {
        let items = match at.is_map() {
            true => vec![at.clone()],
            false => self.problems.expect_items(at, "`{ after, candidates, priority }`"),
        };
        self.not_too_many(at, items.len(), "escalations");
        items.iter().filter_map(|item| self.escalation(item, sees)).collect()
    }

    fn escalation(&mut self, at: &At<'_>, sees: Sees) -> Option<Escalation> {
        if !self.problems.expect_map(at, &ESCALATION) {
            return None;
        }
        let after = self.problems.expect(at, "after", "add the time, as in `after: 1d`");
        let after = after.and_then(|after| self.time(&after, sees));
        if at.get("candidates").is_none() && at.get("priority").is_none() {
            let hint = "add `candidates` or a `priority`; to leave the task, use `timeout` and `on_timeout`";
            self.problems.error_at(at, "this escalation changes nothing", Some(hint));
        }
        let candidates = at.get("candidates").map(|at| self.candidates(&at, sees)).unwrap_or_default();
        let priority = at.get("priority").and_then(|priority| self.task_priority(&priority, sees));
        Some(Escalation { after: after?, candidates, priority })
    }
}
