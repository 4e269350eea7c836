//! What an attempt wants of its target, and what it says of it when it is over.

use std::time::Duration;

use serde_json::Value;

use crate::engine::CallOutcome;
use crate::limits::rate::Rate;
use crate::step::calls::AtOnce;

/// How much of a target an activity may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LimitKey {
    /// Attempts that may begin in a time.
    pub rate: Option<Rate>,
    /// Attempts that may be under way.
    pub concurrency: Option<u32>,
    /// What both are counted for; for the target as a whole when there is none.
    pub key: Option<String>,
    /// The number of the group of those that want the same, as the table knows it.
    pub group: i64,
}

impl LimitKey {
    /// Reads what is stored with a call: `rate` (`count`, `per_ms`), `concurrency`, `key`.
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

    /// The bound of attempts at a target that may be under way.
    pub(in crate::roles::caller) fn at_once<'a>(&'a self, target: &'a str) -> Option<AtOnce<'a>> {
        Some(AtOnce { target, key: self.key.as_deref(), limit: self.concurrency? })
    }
}

/// What an attempt says of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answers.
    Answered,
    /// It does not, or says that it cannot: the code.
    Failed(String),
    /// Nothing: it was not asked.
    Nothing,
}

impl Outcome {
    /// Of a status. A target that is overloaded, or broken, has failed; one that refuses this request has not.
    pub fn of_status(status: u16) -> Self {
        match status {
            429 | 500.. => Self::Failed(format!("http.{status}")),
            _ => Self::Answered,
        }
    }

    /// Of an attempt at a call.
    pub fn of_call(outcome: &CallOutcome) -> Self {
        match outcome {
            CallOutcome::Answered { status, .. } => Self::of_status(*status),
            CallOutcome::Done { .. } => Self::Answered,
            CallOutcome::Failed { failure } | CallOutcome::Unknown { failure } => Self::of_failure(&failure.code),
        }
    }

    /// Of an attempt without an answer, by its code.
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
    fn only_a_target_that_cannot_is_said_to_fail() {
        for status in [200, 204, 302, 400, 404, 409, 422] {
            assert_eq!(Outcome::of_status(status), Outcome::Answered);
        }
        for status in [429, 500, 503, 599] {
            assert_eq!(Outcome::of_status(status), Outcome::Failed(format!("http.{status}")));
        }
        assert_eq!(Outcome::of_failure("http.refused"), Outcome::Nothing);
        assert_eq!(Outcome::of_failure("timeout"), Outcome::Failed("timeout".into()));
    }
}
