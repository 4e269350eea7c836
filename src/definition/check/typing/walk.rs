//! The places of a document in which expressions stand.

use super::results;
use super::scope::Here;
use super::visits::{Use, Visit};
use crate::definition::yaml::cursor::At;
use crate::expression::typing::{Kinds, When};

impl Visit<'_> {
    /// Every expression of the document.
    pub(super) fn document(&mut self, root: &At<'_>, activities: &[At<'_>]) {
        let here = Here::default();
        self.values(root.get("output"), &here);
        self.text(root.get("timeout").filter(|timeout| !timeout.is_word("none")), Use::Duration, &here);
        self.on_errors(root, &here);
        for (_, attribute) in root.get("search").map(|search| search.entries()).unwrap_or_default() {
            for (_, typed) in attribute.entries() {
                self.bare_value(&typed, &here);
            }
            self.bare_value(&attribute, &here);
        }
        let caught = continues(root);
        for activity in activities {
            self.activity(activity, caught);
        }
    }

    fn activity(&mut self, at: &At<'_>, caught_outside: bool) {
        let outside = Here::activity();
        self.condition(at.get("when"), &outside);
        let here = outside.and(Self::follows(at.get("when"), When::Holds));
        self.text(at.get("title"), Use::Value, &here);
        self.work(at, &here);
        let result = results::of_activity(at);
        let after = here.with_result(result.clone());
        self.assignments(at.get("output"), &after);
        if let Some(next) = at.get("next") {
            // Without a result `next` reads null: the activity was skipped, or its error was handled.
            let maybe_none = at.get("when").is_some() || caught_outside || continues(at);
            let result = if maybe_none { result.or(Kinds::NULL) } else { result };
            self.choices(&next, &here.with_result(result));
            for (_, next) in next.entries() {
                self.choices(&next, &after);
            }
        }
        self.text(at.get("timeout").filter(|timeout| !timeout.is_word("none")), Use::Duration, &here);
        let key = at.get("limits").and_then(|limits| limits.get("key"));
        self.text(key, Use::NotNull("a key"), &here);
        self.on_errors(at, &here);
    }

    fn on_errors(&mut self, at: &At<'_>, here: &Here) {
        let here = here.with_error();
        for entry in at.get("on_error").map(|list| list.items()).unwrap_or_default() {
            self.condition(entry.get("when"), &here);
            self.assignments(entry.get("output"), &here.and(Self::follows(entry.get("when"), When::Holds)));
        }
    }

    fn work(&mut self, at: &At<'_>, here: &Here) {
        self.assignments(at.get("set"), here);
        if self.is_learning() {
            return;
        }
        if let Some(switch) = at.get("switch") {
            self.choices(&switch, here);
        }
        for (work, keys) in [
            ("run", ["input", "params"].as_slice()),
            ("emit", &["body"]),
            ("call", &["name", "input"]),
            ("raise", &["code", "message", "data"]),
            ("end", &["output", "error"]),
        ] {
            let work = at.get(work);
            for key in keys {
                self.values(work.as_ref().and_then(|work| work.get(key)), here);
            }
        }
        self.text(at.get("call").and_then(|call| call.get("heartbeat")), Use::Duration, here);
        self.wait(at, here);
        if let Some(receive) = at.get("receive") {
            self.receive(&receive, here);
        }
        if let Some(task) = at.get("task") {
            self.task(&task, here);
        }
        if let Some(http) = at.get("http") {
            self.http(&http, here);
        }
    }

    fn wait(&mut self, at: &At<'_>, here: &Here) {
        let Some(wait) = at.get("wait") else { return };
        self.text(wait.get("for"), Use::Duration, here);
        self.text(wait.get("until"), Use::Moment, here);
        self.text(wait.get("cron"), Use::Value, here);
        self.text(wait.get("zone"), Use::Value, here);
    }

    fn receive(&mut self, receive: &At<'_>, here: &Here) {
        let messages = if receive.is_list() { receive.items() } else { vec![receive.clone()] };
        for message in messages {
            self.text(message.get("name"), Use::Value, here);
            self.text(message.get("key"), Use::NotNull("a key"), here);
            self.condition(message.get("when"), &Here { is_message: true, ..here.clone() });
        }
    }

    fn task(&mut self, task: &At<'_>, here: &Here) {
        for key in ["title", "description", "data", "priority", "candidates", "exclude", "assignee"] {
            self.values(task.get(key), here);
        }
        self.values(task.get("assign").and_then(|assign| assign.get("users")), here);
        self.text(task.get("due"), Use::DurationOrMoment, here);
        if let Some(remind) = task.get("remind") {
            self.text(remind.get("every"), Use::Duration, here);
            let moments = if remind.is_list() { remind.items() } else { vec![remind] };
            moments.into_iter().for_each(|moment| self.text(Some(moment), Use::DurationOrMoment, here));
        }
        let escalations = task.get("escalate");
        let escalations = escalations.map(|one| if one.is_list() { one.items() } else { vec![one] });
        for escalation in escalations.unwrap_or_default() {
            self.text(escalation.get("after"), Use::DurationOrMoment, here);
            self.values(escalation.get("candidates"), here);
            self.values(escalation.get("priority"), here);
        }
        self.vote(task, here);
    }

    fn http(&mut self, http: &At<'_>, here: &Here) {
        let answered = here.with_result(results::of_answer());
        let probe = http.get("probe");
        for request in [Some(http), probe.as_ref()].into_iter().flatten() {
            self.text(request.get("url"), Use::NotNull("a URL"), here);
            for key in ["query", "headers", "body", "form", "text"] {
                self.values(request.get(key), here);
            }
        }
        self.condition(probe.and_then(|probe| probe.get("done")), &answered);
    }
}

/// Whether an entry of `on_error` continues as after success.
fn continues(at: &At<'_>) -> bool {
    let entries = at.get("on_error").map(|list| list.items()).unwrap_or_default();
    entries.iter().any(|entry| entry.is_map() && entry.get("to").is_none())
}
