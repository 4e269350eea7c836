//! The limits of an attempt, and what its outcome says about its target.

use std::time::Duration;

use serde_json::Value;

use crate::command::calls::AtOnce;
use crate::engine::CallOutcome;
use crate::limits::rate::Rate;

/// The limits of an activity. Calls to one target with equal limits form a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LimitKey {
    /// How many attempts may begin per time.
    pub rate: Option<Rate>,
    /// How many attempts may be under way.
    pub concurrency: Option<u32>,
    /// The key for which both are counted; without it they are counted for the whole target.
    pub key: Option<String>,
    /// The number of the group, stored with each of its calls.
    pub group: i64,
}

impl LimitKey {
    /// Reads the limits stored with a call: `rate` (`count`, `per_ms`), `concurrency`, `key`.
    pub fn read(stored: Option<&Value>, group: i64) -> Self {
        let Some(stored) = stored else { return Self::default() };
        let whole = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let rate = || {
            let rate = stored.get("rate")?;
            let per = Duration::from_millis(rate.get("per_ms")?.as_u64()?);
            Some(Rate { count: whole(rate.get("count")?)?, per })
        };
        let key = match stored.get("key") {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(other) => Some(other.to_string()),
        };
        let concurrency = stored.get("concurrency").and_then(whole);
        Self { rate: rate(), concurrency, key, group }
    }

    /// The bound of attempts under way, as the transaction that begins one counts it.
    pub(in crate::roles::caller) fn at_once<'a>(&'a self, target: &'a str) -> Option<AtOnce<'a>> {
        Some(AtOnce { target, key: self.key.as_deref(), limit: self.concurrency? })
    }
}

/// What an attempt says about its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetOutcome {
    /// The target answers.
    Answered,
    /// The target does not answer, or answers that it cannot serve requests: the code.
    Failed(String),
    /// Nothing, because nothing was sent.
    Nothing,
}

impl TargetOutcome {
    /// The outcome of a status: a target that is overloaded or broken has failed, one that rejects this request has not.
    pub fn of_status(status: u16) -> Self {
        match status {
            429 | 500.. => Self::Failed(format!("http.{status}")),
            _ => Self::Answered,
        }
    }

    /// The outcome of an attempt.
    pub fn of_call(outcome: &CallOutcome) -> Self {
        match outcome {
            CallOutcome::Answered { status, .. } => Self::of_status(*status),
            CallOutcome::Done { .. } => Self::Answered,
            CallOutcome::Failed { failure } | CallOutcome::Unknown { failure } => Self::of_failure(&failure.code),
        }
    }

    /// The outcome of an attempt without a response, by its code.
    pub fn of_failure(code: &str) -> Self {
        match code {
            "http.request" | "http.refused" | "secrets" => Self::Nothing,
            _ => Self::Failed(code.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_limits_are_read() {
        let stored = json!({ "rate": { "count": 5, "per_ms": 60_000 }, "concurrency": 2, "key": "eu" });
        let rate = Rate { count: 5, per: Duration::from_secs(60) };
        let read = LimitKey { rate: Some(rate), concurrency: Some(2), key: Some("eu".into()), group: 7 };
        assert_eq!(LimitKey::read(Some(&stored), 7), read);
        assert_eq!(LimitKey::read(Some(&json!({ "key": 7 })), 0).key.as_deref(), Some("7"));
        assert_eq!(LimitKey::read(Some(&json!({ "key": null, "rate": { "count": 1 } })), 0), LimitKey::default());
        assert_eq!(LimitKey::read(None, 0), LimitKey::default());
    }

    #[test]
    fn only_an_overloaded_or_broken_target_has_failed() {
        for status in [200, 204, 302, 400, 404, 409, 422] {
            assert_eq!(TargetOutcome::of_status(status), TargetOutcome::Answered);
        }
        for status in [429, 500, 503, 599] {
            assert_eq!(TargetOutcome::of_status(status), TargetOutcome::Failed(format!("http.{status}")));
        }
        assert_eq!(TargetOutcome::of_failure("http.refused"), TargetOutcome::Nothing);
        assert_eq!(TargetOutcome::of_failure("timeout"), TargetOutcome::Failed("timeout".into()));
    }
}
