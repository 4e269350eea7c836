//! Reads `on_failure`: what an error does that nothing handles, and which event tells of it.

use super::draft::Draft;
use super::work::event_name;
use crate::definition::model::OnFailure;
use crate::definition::yaml::cursor::{At, Keys};
use crate::text::shortened;

pub(in crate::definition) const ON_FAILURE: Keys =
    Keys { of: "`on_failure`", known: &["suspend", "notify"], later: &["compensate"] };

/// The policy of a document.
pub(super) struct FailurePolicy {
    pub(super) on_failure: OnFailure,
    /// The event that is published.
    pub(super) notify: Option<String>,
}

impl Draft {
    pub(super) fn failure_policy(&mut self, at: Option<At<'_>>) -> FailurePolicy {
        let standard = FailurePolicy { on_failure: OnFailure::Suspend, notify: None };
        let Some(at) = at else { return standard };
        if !at.is_map() {
            return FailurePolicy { on_failure: self.on_failure_word(&at), ..standard };
        }
        if !self.problems.expect_map(&at, &ON_FAILURE) {
            return standard;
        }
        let suspends = at.get("suspend").and_then(|suspend| self.boolean(&suspend));
        let on_failure = match suspends {
            Some(true) | None => OnFailure::Suspend,
            Some(false) => OnFailure::Fail,
        };
        let notify = at.get("notify").and_then(|notify| event_name(&mut self.problems, &notify));
        FailurePolicy { on_failure, notify }
    }

    fn on_failure_word(&mut self, at: &At<'_>) -> OnFailure {
        match self.problems.expect_text(at) {
            Some("suspend") | None => OnFailure::Suspend,
            Some("fail") => OnFailure::Fail,
            Some("compensate") => {
                self.problems.later(at.place(), "on_failure: compensate");
                OnFailure::Fail
            }
            Some(other) => {
                let hint = self.problems.did_you_mean(other, ["suspend", "fail"]).unwrap_or_else(|| {
                    "allowed values: `suspend`, `fail`, and `{ suspend: true, notify: event }`".into()
                });
                let message = format!("`{}` is not a valid value of `on_failure`", shortened(other));
                self.problems.error_at(at, message, Some(&hint));
                OnFailure::Suspend
            }
        }
    }
}
