//! What becomes of an error: another attempt, `on_error`, an incident, or the end.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{OnError, OnFailure, Retries, Work, codes};
use crate::limits::backoff::next_delay;

use super::admit::Stand;
use super::call::left_alone_until;
use super::flow::Ending;
use super::turn::Turn;
use super::{Bookmark, BookmarkKind, EntryKind, Failure, Phase, Refusal, Status, WaitOn, assign, scope};

/// An error of an activity.
pub(super) struct Fault {
    pub(super) failure: Failure,
    /// What the work returned, where only `output` or `next` failed.
    pub(super) result: Option<Value>,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, result: None }
    }
}

/// What another attempt would be for.
pub(super) enum Cause {
    /// An error, after which the target may want to be left alone for so many milliseconds.
    Error {
        /// So many.
        retry_after_ms: Option<u64>,
    },
    /// Nobody knows whether the last one was carried out, and it may be repeated.
    Unknown,
}

/// Why an activity did not complete.
pub(super) enum Stop {
    /// It failed.
    Fault(Fault),
    /// The caller owes a fact.
    Missing,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Fault(failure.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<'a> Turn<'a> {
    /// Makes of an error what the definition says.
    pub(super) fn catch_stop(&mut self, stand: Stand<'a>, outcome: Result<(), Stop>) -> Result<(), Refusal> {
        match outcome {
            Ok(()) => {}
            Err(Stop::Missing) => return Err(Refusal::Missing),
            Err(Stop::Fault(fault)) => self.fail(stand, fault),
        }
        Ok(())
    }

    fn fail(&mut self, stand: Stand<'a>, fault: Fault) {
        // Work that is done is not done again.
        let due_at = match &fault.result {
            None => self.next_attempt(stand, &fault.failure, Cause::Error { retry_after_ms: None }),
            Some(_) => None,
        };
        if let Some(due_at) = due_at {
            return self.pause(stand, &fault.failure, due_at);
        }
        let mut details = assign::brief(&fault.failure);
        details.insert("attempt".into(), json!(self.branch(stand).attempt));
        details.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
        self.record(EntryKind::ActivityFailed, stand, Value::Object(details));
        self.handle(stand, fault);
    }

    /// When the work is tried again, if a policy allows it; the failure is counted by that policy.
    pub(super) fn next_attempt(&mut self, stand: Stand<'a>, failure: &Failure, cause: Cause) -> Option<Timestamp> {
        // What only changes the instance fails again in the same way.
        let retried = matches!(stand.activity.work, Work::Run { .. } | Work::Http(_) | Work::Call(_));
        let policies = match &stand.activity.retry {
            Retries::Default if retried => std::slice::from_ref(self.context.retry),
            Retries::Policies(policies) if retried => policies.as_slice(),
            Retries::Default | Retries::Policies(_) | Retries::None => return None,
        };
        let code = &failure.code;
        let (at, policy) = policies.iter().enumerate().find(|(_, policy)| match (policy.codes.is_empty(), &cause) {
            (true, Cause::Error { .. }) => codes::is_transient(code),
            (true, Cause::Unknown) => true,
            (false, _) => codes::any_matches(&policy.codes, code),
        })?;
        let (now, chance) = (self.context.now, self.context.chance);
        let branch = self.branch_mut(stand);
        let count = branch.failures.entry(at).or_insert(0);
        *count = count.saturating_add(1);
        let failures = *count;
        let tried_at = *branch.tried_at.get_or_insert(now);
        let delay = next_delay(policy.base, policy.max, policy.factor, policy.jitter, failures, chance);
        let due_at = scope::later(now, delay)?;
        let due_at = match cause {
            Cause::Error { retry_after_ms } => {
                left_alone_until(now, retry_after_ms).map_or(due_at, |at| at.max(due_at))
            }
            Cause::Unknown => due_at,
        };
        let in_time =
            policy.within.is_none_or(|within| scope::later(tried_at, within).is_none_or(|last| due_at <= last));
        (failures < policy.attempts && in_time).then_some(due_at)
    }

    fn pause(&mut self, stand: Stand<'a>, failure: &Failure, due_at: Timestamp) {
        let branch = self.branch_mut(stand);
        let attempt = branch.attempt;
        branch.attempt = attempt.saturating_add(1);
        let mut details = assign::brief(failure);
        details.insert("attempt".into(), json!(attempt));
        details.insert("due_at".into(), json!(due_at));
        self.record(EntryKind::ActivityRetryScheduled, stand, Value::Object(details));
        let bookmark = Bookmark { due_at: Some(due_at), ..self.bookmark(stand, BookmarkKind::Timer) };
        let wait = self.open_wait(bookmark, WaitOn::Retry { due_at });
        self.branch_mut(stand).phase = Phase::Waiting(vec![wait]);
    }

    /// Asks the activity's `on_error`, then the definition's, then `on_failure`.
    pub(super) fn handle(&mut self, stand: Stand<'a>, fault: Fault) {
        let definition = self.definition;
        let entries = stand.activity.on_error.iter().chain(&definition.on_error);
        self.handle_by(stand, fault, entries);
    }

    /// The same for an error of the whole instance.
    pub(super) fn handle_expiry(&mut self, stand: Stand<'a>, failure: Failure) {
        let definition = self.definition;
        self.handle_by(stand, failure.into(), definition.on_error.iter());
    }

    fn handle_by(&mut self, stand: Stand<'a>, fault: Fault, entries: impl Iterator<Item = &'a OnError>) {
        match self.caught(stand, &fault, entries) {
            Ok(true) => {}
            Ok(false) => self.give_up(stand, fault),
            // Handling must not fail for ever: what fails here is not handled again.
            Err(mut failure) => {
                failure.message = format!("while handling `{}`: {}", fault.failure.code, failure.message);
                failure.data = json!({ "error": assign::brief(&fault.failure) });
                self.give_up(stand, Fault { failure, result: fault.result });
            }
        }
    }

    fn caught(
        &mut self,
        stand: Stand<'a>,
        fault: &Fault,
        entries: impl Iterator<Item = &'a OnError>,
    ) -> Result<bool, Failure> {
        let Failure { code, message, data } = &fault.failure;
        let attempt = self.branch(stand).attempt;
        let error = json!({ "code": code, "message": message, "data": data, "attempt": attempt });
        for entry in entries {
            let sight = self.sight(stand).error(&error);
            if !codes::any_matches(&entry.codes, code) || !sight.allows(entry.when.as_ref())? {
                continue;
            }
            let values = sight.values(&entry.output)?;
            let before = self.assign(values)?;
            let way = match &entry.to {
                Some(target) => self.target(target),
                None => self.leads(stand, &stand.activity.next, fault.result.as_ref().unwrap_or(&Value::Null)),
            };
            let way = match way {
                Ok(way) => way,
                Err(failure) => {
                    self.unassign(before);
                    return Err(failure);
                }
            };
            let mut details = Map::new();
            details.insert("code".into(), json!(code));
            details.extend(self.take_assigned().map(|assigned| ("assigned".into(), assigned)));
            details.extend(self.turning(stand, &way).map(|to| ("next".into(), json!(to))));
            self.record(EntryKind::ErrorCaught, stand, Value::Object(details));
            self.go(stand, way);
            return Ok(true);
        }
        Ok(false)
    }

    fn give_up(&mut self, stand: Stand<'a>, fault: Fault) {
        match self.definition.on_failure {
            OnFailure::Suspend => self.incident(stand, fault),
            OnFailure::Fail => self.end(Ending::Failed(fault.failure)),
        }
    }

    /// Leaves the branch where it stands until a person says `retry`.
    pub(super) fn incident(&mut self, stand: Stand<'a>, fault: Fault) {
        let error = Value::Object(assign::brief(&fault.failure));
        self.instance.status = Status::Suspended;
        self.record(EntryKind::IncidentOpened, stand, error.clone());
        let bookmark = Bookmark { details: error.clone(), ..self.bookmark(stand, BookmarkKind::Intervention) };
        let on = WaitOn::Intervention { failure: fault.failure, result: fault.result };
        let wait = self.open_wait(bookmark, on);
        self.branch_mut(stand).phase = Phase::Waiting(vec![wait]);
        let mut data = Map::new();
        data.insert("activity".into(), json!(stand.activity.id));
        data.insert("error".into(), error);
        self.announce("suspended", data);
    }

    /// Lets a suspended instance move again.
    pub(super) fn resume(&mut self, by: Option<String>, reason: Option<String>) {
        self.instance.status = Status::Running;
        let details = on_behalf(by, reason);
        self.record_whole(EntryKind::IncidentRetried, assign::details(details.clone()));
        self.announce("resumed", details);
    }
}

/// Who asked, and why.
pub(super) fn on_behalf(by: Option<String>, reason: Option<String>) -> Map<String, Value> {
    let mut details = Map::new();
    details.extend(by.map(|by| ("by".into(), json!(by))));
    details.extend(reason.map(|reason| ("reason".into(), json!(reason))));
    details
}
