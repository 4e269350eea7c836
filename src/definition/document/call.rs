//! Reads a `call`, and the `limits` of an `http` or `call`.

use std::time::Duration;

use super::draft::Draft;
use crate::definition::check::names::Sees;
use crate::definition::model::{Call, Limits, OnUnknown, Work};
use crate::definition::yaml::cursor::{At, Keys};
use crate::definition::yaml::node::Tree;
use crate::definition::{free_name_rule, is_free_name};
use crate::expression::Template;
use crate::limits::rate::Rate;
use crate::text::shortened;

pub(in crate::definition) const CALL: Keys =
    Keys { of: "a `call`", known: &["name", "input", "heartbeat", "idempotent", "on_unknown"], later: &[] };
pub(in crate::definition) const LIMITS: Keys =
    Keys { of: "`limits`", known: &["rate", "concurrency", "key"], later: &[] };

/// Values of `on_unknown` for a call: an external worker cannot be probed.
pub(in crate::definition) const WAYS: [OnUnknown; 3] = [OnUnknown::Retry, OnUnknown::Suspend, OnUnknown::Fail];
/// Largest count of a limit.
pub(in crate::definition) const LIMIT_MAX: u32 = 1_000_000;

impl Draft {
    /// The work under the key `call`.
    pub(super) fn call(&mut self, at: &At<'_>, sees: Sees) -> Option<Work> {
        if !self.problems.expect_map(at, &CALL) {
            return None;
        }
        let name = self.problems.expect(at, "name", "name the work, as in `name: pack`");
        let name = name.and_then(|name| self.name_of_work(&name, sees));
        let input = self.data_or_empty(at.get("input"), sees);
        let heartbeat = at.get("heartbeat").and_then(|heartbeat| self.duration(&heartbeat, sees));
        let idempotent = at.get("idempotent").and_then(|idempotent| self.boolean(&idempotent));
        let on_unknown = at.get("on_unknown").and_then(|way| self.on_unknown(&way, &WAYS));
        Some(Work::Call(Box::new(Call { name: name?, input: input?, heartbeat, idempotent, on_unknown })))
    }

    fn name_of_work(&mut self, at: &At<'_>, sees: Sees) -> Option<Template> {
        let name = self.template(at, sees)?;
        if let Some(text) = name.literal().filter(|text| !is_free_name(text)) {
            let message = format!("`{}` is not a valid name of work", shortened(text));
            self.problems.error_at(at, message, Some(&free_name_rule()));
        }
        Some(name)
    }

    /// The key `limits` of an activity.
    pub(super) fn activity_limits(&mut self, at: &At<'_>, sees: Sees) -> Option<Limits> {
        if !self.problems.expect_map(at, &LIMITS) {
            return None;
        }
        let rate = at.get("rate").and_then(|rate| self.rate(&rate));
        let concurrency = at.get("concurrency").and_then(|count| self.count(&count));
        let key = at.get("key").and_then(|key| {
            let template = self.text(&key, sees);
            self.filled(&key, template)
        });
        if at.get("rate").is_none() && at.get("concurrency").is_none() {
            let hint = "add `rate: 10/s` or `concurrency: 5`";
            self.problems.error_at(at, "`limits` needs a `rate` or a `concurrency`", Some(hint));
        }
        Some(Limits { rate, concurrency, key })
    }

    pub(super) fn rate(&mut self, at: &At<'_>) -> Option<Rate> {
        let text = self.problems.expect_text(at)?;
        let read = || {
            let (count, per) = text.split_once('/')?;
            let count: u32 = count.trim().parse().ok()?;
            let per = match per.trim() {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            (1..=LIMIT_MAX).contains(&count).then_some(Rate { count, per: Duration::from_secs(per) })
        };
        let rate = read();
        if rate.is_none() {
            let message = format!("`{}` is not a valid rate", shortened(text));
            self.problems.error_at(at, message, Some("write a number and a unit, as in 10/s, 100/m, 5/h or 1000/d"));
        }
        rate
    }

    pub(super) fn count(&mut self, at: &At<'_>) -> Option<u32> {
        let count = match &at.node.tree {
            Tree::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Tree::Refused => return None,
            Tree::Null | Tree::Bool(_) | Tree::Text(_) | Tree::List(_) | Tree::Map(_) => None,
        };
        let count = count.filter(|count| (1..=LIMIT_MAX).contains(count));
        if count.is_none() {
            self.problems.error_at(at, format!("expected a whole number from 1 to {LIMIT_MAX}"), None);
        }
        count
    }
}
