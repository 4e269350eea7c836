//! Reads the `limits` of a document: how many instances may start per time, and how many may live.

use super::draft::Draft;
use crate::definition::model::StartLimits;
use crate::definition::yaml::cursor::{At, Keys};

pub(in crate::definition) const START_LIMITS: Keys = Keys { of: "`limits`", known: &["starts", "live"], later: &[] };

impl Draft {
    /// The key `limits` of a document.
    pub(super) fn start_limits(&mut self, at: &At<'_>) -> Option<StartLimits> {
        if !self.problems.expect_map(at, &START_LIMITS) {
            return None;
        }
        if at.get("starts").is_none() && at.get("live").is_none() {
            let hint = "add `starts: 10/s` or `live: 500`";
            self.problems.error_at(at, "`limits` needs `starts` or `live`", Some(hint));
        }
        let starts = at.get("starts").and_then(|starts| self.rate(&starts));
        let live = at.get("live").and_then(|live| self.count(&live));
        Some(StartLimits { starts, live })
    }
}
