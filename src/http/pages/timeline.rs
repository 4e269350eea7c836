//! Where the time of an instance went, from its history: in the queue, at work, backing off, or waiting. Pure.
//!
//! The time of an entry is that of the decision. So what follows an entry of a `run` is the work of its handler; what follows a wake-up is the
//! wait for a worker; what follows an opened wait is the wait.

use std::time::Duration;

use jiff::Timestamp;

use super::ui::between;
use crate::contract::api::{CallSummary, HistoryView};

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// A step could be taken, and no worker had begun.
    Queue,
    /// A handler, or a call.
    Run,
    /// The pause before another attempt.
    BackOff,
    /// A message, a timer, a person.
    Waiting,
}

impl Spent {
    pub(super) const ALL: [Spent; 4] = [Spent::Queue, Spent::Run, Spent::BackOff, Spent::Waiting];

    /// The word on the page, and the end of its class.
    pub(super) fn name(self) -> &'static str {
        match self {
            Spent::Queue => "queue",
            Spent::Run => "run",
            Spent::BackOff => "backoff",
            Spent::Waiting => "waiting",
        }
    }
}

/// A piece of the time of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) activity: String,
    pub(super) spent: Spent,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Span {
    pub(super) fn took(&self) -> Duration {
        between(self.from, self.to)
    }
}

/// What an entry of the history says about the time after it.
enum After {
    /// Until the next entry.
    All(Spent),
    /// One until this time, then another.
    Until(Spent, Timestamp, Spent),
    /// As before it.
    Same,
    /// Nothing follows.
    End,
}

/// The spans of an instance until `end`, oldest first; none is empty. `kind` tells what an activity does.
pub(super) fn spans<'k>(
    history: &[HistoryView],
    calls: &[CallSummary],
    kind: impl Fn(&str) -> Option<&'k str>,
    end: Timestamp,
) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let (mut spent, mut activity) = (Spent::Queue, String::new());
    for (at, entry) in history.iter().enumerate() {
        let until = history.get(at + 1).map_or(end, |next| next.at);
        if let Some(named) = &entry.activity {
            activity.clone_from(named);
        }
        let own = activity.clone();
        let mut push =
            |spent, from: Timestamp, to: Timestamp| add(&mut found, Span { activity: own.clone(), spent, from, to });
        match after(entry, calls, &kind) {
            After::All(now) => {
                spent = now;
                push(spent, entry.at, until);
            }
            After::Until(first, middle, second) => {
                let middle = middle.clamp(entry.at, until.max(entry.at));
                push(first, entry.at, middle);
                push(second, middle, until);
                spent = second;
            }
            After::Same => push(spent, entry.at, until),
            After::End => break,
        }
    }
    found
}

/// Adds a span that has a length, to the one before it where both are of one kind.
fn add(found: &mut Vec<Span>, span: Span) {
    if span.to <= span.from {
        return;
    }
    match found.last_mut() {
        Some(last) if last.spent == span.spent && last.activity == span.activity && last.to == span.from => {
            last.to = span.to
        }
        Some(_) | None => found.push(span),
    }
}

fn after<'k>(entry: &HistoryView, calls: &[CallSummary], kind: &impl Fn(&str) -> Option<&'k str>) -> After {
    let is_run = entry.activity.as_deref().and_then(kind) == Some("run");
    match entry.kind.as_str() {
        "WaitOpened" | "TaskOpened" | "IncidentOpened" | "InstanceSuspended" | "CallUnknown" => {
            After::All(Spent::Waiting)
        }
        "CallOpened" => {
            let id = entry.details["call"].as_str().unwrap_or_default();
            let call = calls.iter().find(|call| call.id.to_string() == id && call.attempt <= 1);
            match call.and_then(|call| call.begun_at) {
                Some(begun) => After::Until(Spent::Queue, begun, Spent::Run),
                None => After::All(Spent::Run),
            }
        }
        "ActivityRetryScheduled" => {
            let due = entry.details["due_at"].as_str().and_then(|due| due.parse().ok());
            due.map_or(After::All(Spent::BackOff), |due| After::Until(Spent::BackOff, due, Spent::Queue))
        }
        "ActivityCompleted" | "ActivityFailed" | "ErrorCaught" if is_run => After::All(Spent::Run),
        "InstanceStarted" | "InstanceResumed" | "IncidentRetried" | "MessageReceived" | "TimerFired"
        | "TaskCompleted" | "WaitTimedOut" | "WaitSkipped" | "CallResolved" | "BranchJumped" | "BranchRerun"
        | "ActivityCompleted" | "ActivitySkipped" | "ActivityFailed" | "ErrorCaught" | "WorkerCrashed" => {
            After::All(Spent::Queue)
        }
        "InstanceCompleted" | "InstanceFailed" | "InstanceCancelled" | "InstanceTerminated" | "IncidentFailed" => {
            After::End
        }
        // What is only noted: a claim, a reminder, another value.
        _ => After::Same,
    }
}

/// The time spent on one thing.
pub(super) fn total(spans: &[Span], spent: Spent) -> Duration {
    spans.iter().filter(|span| span.spent == spent).map(Span::took).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).unwrap()
    }

    fn entry(second: i64, kind: &str, activity: &str, details: Value) -> HistoryView {
        let activity = Some(activity.to_owned()).filter(|activity| !activity.is_empty());
        HistoryView { number: second, at: at(second), kind: kind.into(), activity, branch: Some(0), details }
    }

    fn told(history: &[HistoryView], end: i64) -> Vec<(String, &'static str, u64)> {
        let kind = |activity: &str| Some(if activity.starts_with("run") { "run" } else { "receive" });
        let spans = spans(history, &[], kind, at(end));
        spans.iter().map(|span| (span.activity.clone(), span.spent.name(), span.took().as_secs())).collect()
    }

    #[test]
    fn time_is_split_into_queue_run_and_waiting() {
        let history = [
            entry(0, "InstanceStarted", "", Value::Null),
            entry(2, "ActivityCompleted", "run-it", Value::Null),
            entry(7, "WaitOpened", "payment", json!({})),
            entry(60, "TaskReminded", "payment", json!({})),
            entry(100, "MessageReceived", "payment", json!({})),
            entry(101, "ActivityCompleted", "payment", json!({})),
            entry(101, "InstanceCompleted", "", Value::Null),
        ];
        let expected = [("", "queue", 2), ("run-it", "run", 5), ("payment", "waiting", 93), ("payment", "queue", 1)];
        assert_eq!(told(&history, 101), expected.map(|(activity, spent, took)| (activity.to_owned(), spent, took)));
    }

    #[test]
    fn a_back_off_ends_when_the_next_attempt_is_due() {
        let due = json!({ "due_at": at(10).to_string() });
        let history =
            [entry(0, "ActivityRetryScheduled", "run-it", due), entry(12, "ActivityCompleted", "run-it", Value::Null)];
        let expected = [("run-it", "backoff", 10), ("run-it", "queue", 2), ("run-it", "run", 3)];
        assert_eq!(told(&history, 15), expected.map(|(activity, spent, took)| (activity.to_owned(), spent, took)));
    }

    #[test]
    fn a_person_is_waited_for_until_now() {
        let history = [entry(0, "IncidentOpened", "run-it", json!({ "code": "x" }))];
        assert_eq!(told(&history, 50), [("run-it".to_owned(), "waiting", 50)]);
        assert!(told(&[], 50).is_empty());
        // A clock that runs backwards makes no span.
        assert!(told(&history, -5).is_empty());
    }
}
