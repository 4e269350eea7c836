//! Reads the key `retry` of an activity.

use std::time::Duration;

use serde_json::Number;

use super::draft::Draft;
use crate::definition::model::{Retries, Retry};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::Tree;

/// Attempts at most; more would be a loop.
pub(in crate::definition) const ATTEMPTS_MAX: u32 = 1_000;

// Defaults of the keys of a policy.
const ATTEMPTS: u32 = 3;
const BASE: Duration = Duration::from_secs(2);
const MAX: Duration = Duration::from_secs(30);
const FACTOR: f64 = 2.0;
const JITTER: f64 = 0.0;

pub(in crate::definition) const POLICY: Keys = Keys {
    of: "a retry policy",
    known: &["attempts", "base", "max", "factor", "jitter", "codes", "within"],
    later: &[],
};

impl Draft {
    /// `none`, a policy, or a list of policies.
    pub(super) fn retries(&mut self, at: Option<At<'_>>) -> Retries {
        match at {
            None => Retries::Default,
            Some(at) if at.is_word("none") => Retries::None,
            Some(at) if at.is_list() => {
                let items = self.problems.expect_items(&at, "retry policies");
                Retries::Policies(items.iter().filter_map(|item| self.policy(item)).collect())
            }
            Some(at) => Retries::Policies(self.policy(&at).into_iter().collect()),
        }
    }

    fn policy(&mut self, at: &At<'_>) -> Option<Retry> {
        if !self.problems.expect_map(at, &POLICY) {
            return None;
        }
        let attempts = at.get("attempts").and_then(|attempts| self.attempts(&attempts));
        let base = at.get("base").and_then(|base| self.fixed_duration(&base)).unwrap_or(BASE);
        let longest = at.get("max").and_then(|max| self.fixed_duration(&max));
        if let Some(max) = at.get("max").filter(|_| longest.is_some_and(|longest| longest < base)) {
            self.problems.error_at(
                &max,
                "`max` is shorter than `base`",
                Some("`max` is the longest pause between attempts"),
            );
        }
        let factor = at.get("factor").and_then(|factor| self.number(&factor, 1.0, 100.0));
        let jitter = at.get("jitter").and_then(|jitter| self.number(&jitter, 0.0, 1.0));
        let within = at.get("within").and_then(|within| self.fixed_duration(&within));
        Some(Retry {
            attempts: attempts.unwrap_or(ATTEMPTS),
            base,
            max: longest.unwrap_or(MAX.max(base)),
            factor: factor.unwrap_or(FACTOR),
            jitter: jitter.unwrap_or(JITTER),
            codes: at.get("codes").map(|codes| self.codes(&codes)).unwrap_or_default(),
            within,
        })
    }

    fn attempts(&mut self, at: &At<'_>) -> Option<u32> {
        let attempts = match &at.node.tree {
            Tree::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Tree::Refused => return None,
            Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let attempts = attempts.filter(|attempts| (1..=ATTEMPTS_MAX).contains(attempts));
        if attempts.is_none() {
            let message = format!("expected a whole number from 1 to {ATTEMPTS_MAX}");
            self.problems.error_at(at, message, Some("the first attempt counts; `retry: none` means a single attempt"));
        }
        attempts
    }

    fn number(&mut self, at: &At<'_>, least: f64, most: f64) -> Option<f64> {
        let number = match &at.node.tree {
            Tree::Number(number) => Number::as_f64(number),
            Tree::Refused => return None,
            Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.problems.error_at(at, format!("expected a number from {least} to {most}"), None);
        }
        number
    }
}
